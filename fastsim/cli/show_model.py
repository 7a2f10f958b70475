"""A service model as text for the terminal: what to distrust first, then every step."""

from collections.abc import Iterator

from fastsim.cli.show_steps import notes, step_lines
from fastsim.distributions import mean
from fastsim.means import endpoint_mean_s
from fastsim.model import (
    BackgroundWork,
    CheckRow,
    Endpoint,
    Limit,
    Resource,
    ServiceModel,
    Variant,
)
from fastsim.report.findings import model_trust, self_check_sentence
from fastsim.report.layout import WIDTH, wrap
from fastsim.report.wording import (
    UNKNOWN,
    clean,
    count,
    duration,
    metric_name,
    plural,
    rate,
    share,
    signed_percent,
)
from fastsim.twin.blocking import long_code


def model_lines(model: ServiceModel) -> Iterator[str]:
    """Yield lines: warnings, self-check, process, traffic, endpoints and their steps."""
    for line in _lines(model):
        first, *rest = wrap(line, WIDTH)
        yield first
        margin = " " * (len(line) - len(line.lstrip()) + 2)
        for text in wrap(" ".join(rest), WIDTH - len(margin)) if rest else []:
            yield margin + text


def _lines(model: ServiceModel) -> Iterator[str]:
    yield f"model of {clean(model.service)} · {plural(len(model.endpoints), 'endpoint')}"
    for warning in [*long_code(model), *model.warnings]:
        yield f"  warning: {clean(warning)}"
    yield f"  {model_trust(model, [])}"
    if sentence := self_check_sentence(model):
        yield f"  {sentence}"
    off = [row for row in model.self_check if row.verdict == "off"]
    for row in off:
        yield f"    {_check_line(row)}"
    yield f"  Process: {_process(model)}"
    if model.traffic is not None:
        yield f"  Traffic: {_traffic(model)}"
    yield f"  Event loop: {_loop(model)}"
    if model.loop.background:
        work = ", ".join(_background(each) for each in model.loop.background)
        yield f"  Beside requests: {work}"
    if model.resources:
        peers = {name for name, each in model.resources.items() if each.hand_over == "peer"}
        slots = {name: _slots(name, resource) for name, resource in model.resources.items()}
        if own := [text for name, text in slots.items() if name not in peers]:
            yield f"  Slots per worker: {', '.join(own)}"
        if theirs := [text for name, text in slots.items() if name in peers]:
            yield f"  Calls that peers serve at a time: {', '.join(theirs)}"
    if model.limits:
        limits = [f"{clean(name)} {_limit(limit)}" for name, limit in model.limits.items()]
        yield f"  Limits: {', '.join(limits)}"
    for endpoint in model.endpoints:
        yield ""
        yield _endpoint_line(endpoint)
        for variant in endpoint.variants:
            if len(endpoint.variants) > 1 or variant.failed:
                yield _variant_line(variant)
            yield from step_lines(variant.steps)
    steps = [step for e in model.endpoints for variant in e.variants for step in variant.steps]
    if said := notes(steps):
        yield ""
        yield from (f"  {each}" for each in said)


def _check_line(row: CheckRow) -> str:
    return (
        f"off: {clean(row.endpoint)} {metric_name(row.metric)} recorded {duration(row.recorded)}, "
        f"twin {duration(row.twin)} ({signed_percent(row.error)}, "
        f"could be {signed_percent(row.error_low)} to {signed_percent(row.error_high)})"
    )


def _process(model: ServiceModel) -> str:
    process = model.process
    facts = [plural(process.workers, "worker"), process.loop, plural(process.cores, "core")]
    if process.cpu_quota is not None:
        facts.append(f"container limit {process.cpu_quota:g} cores")
    facts.append(f"{process.thread_tokens} threads")
    if process.limit_concurrency is not None:
        facts.append(f"at most {process.limit_concurrency} requests at once")
    if process.python:
        facts.append(f"Python {clean(process.python)}")
    if not process.gil:
        facts.append("no GIL")
    return ", ".join(facts)


_PATTERNS = {
    "poisson": "arrivals by chance (Poisson)",
    "varying": "at a rate that changed",
    "bursty": "in bursts",
    "regular": "evenly spaced",
}


def _traffic(model: ServiceModel) -> str:
    traffic = model.traffic
    if traffic is None:
        return UNKNOWN
    facts = [f"{rate(traffic.rate)} for {duration(traffic.duration)}"]
    facts.append(_PATTERNS[traffic.pattern])
    if traffic.burst is not None:
        facts.append(
            f"bursts of dispersion {traffic.burst.dispersion:.3g} within "
            f"{duration(traffic.burst.memory)}"
        )
    if traffic.dispersion is not None:
        facts.append(f"dispersion {traffic.dispersion:.3g} (1 is Poisson)")
    if traffic.utilisation is not None:
        facts.append(f"event loop {share(traffic.utilisation)} busy")
    return ", ".join(facts)


def _loop(model: ServiceModel) -> str:
    loop, cold = model.loop, model.loop.cold
    facts = [
        f"{duration(loop.accept)} per request",
        f"{duration(loop.per_event)} per event",
        f"{duration(loop.per_pass)} per pass",
    ]
    if recorded := loop.recorder.accept:
        facts.append(f"without what recording cost ({duration(recorded)} per request)")
    if cold.extra:
        facts.append(f"up to {share(cold.extra)} more after idling {duration(cold.memory)}")
    if cold.less:
        facts.append(f"up to {share(cold.less)} less for code that has just run")
    return ", ".join(facts)


def _background(work: BackgroundWork) -> str:
    pace = "every" if work.regular else "about every"
    length_s = mean(work.time)
    used = share(length_s / work.every)
    return f"{clean(work.name)} {duration(length_s)} {pace} {duration(work.every)} ({used} busy)"


def _endpoint_line(endpoint: Endpoint) -> str:
    recorded = f", {count(endpoint.requests)} recorded" if endpoint.requests else ""
    return (
        f"{clean(endpoint.name)} · {share(endpoint.share)} of requests{recorded} · "
        f"{duration(endpoint_mean_s(endpoint))} mean without queueing"
    )


def _variant_line(variant: Variant) -> str:
    failed = ", fails" if variant.failed else ""
    recorded = f", {count(variant.requests)} recorded" if variant.requests else ""
    return f"  {clean(variant.name)} · {share(variant.share)}{recorded}{failed}"


_WHOSE = {"worker": "per worker", "replica": "per replica", "service": "for the service"}


def _slots(name: str, resource: Resource) -> str:
    shared = "" if resource.scope == "worker" else f" ({_WHOSE[resource.scope]})"
    return f"{clean(name)} {resource.capacity}{shared}"


def _limit(limit: Limit) -> str:
    whose = _WHOSE[limit.scope]
    if limit.rate is None:
        return f"by {clean(limit.station or '')}, {whose}"
    otherwise = "waits" if limit.full == "wait" else "fails"
    return f"{rate(limit.rate)} {whose} (bursts of {limit.burst}), else {otherwise}"
