"""A service model as tables for the terminal: what to distrust first, then every step."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastsim.distributions import mean
from fastsim.means import endpoint_mean_s, mean_count, step_mean_s
from fastsim.model import (
    AcquireStep,
    BackgroundWork,
    CallStep,
    CheckRow,
    ChooseStep,
    CpuStep,
    Distribution,
    Endpoint,
    Limit,
    LimitStep,
    ParallelStep,
    ReleaseStep,
    RepeatStep,
    Resource,
    RespondStep,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    UseStep,
    Variant,
    WaitStep,
)
from fastsim.report.findings import model_trust, self_check_sentence
from fastsim.report.wording import (
    UNKNOWN,
    clean,
    count,
    distribution_parameters,
    duration,
    metric_name,
    plural,
    rate,
    share,
    signed_percent,
)
from fastsim.twin.blocking import long_code

if TYPE_CHECKING:
    from rich.table import Table


def model_lines(model: ServiceModel) -> Iterator["str | Table"]:
    """Yield lines and tables: warnings, self-check, process, traffic, endpoints."""
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
        slots = [_slots(name, resource) for name, resource in model.resources.items()]
        yield f"  Slots per worker: {', '.join(slots)}"
    if model.limits:
        limits = [f"{clean(name)} {_limit(limit)}" for name, limit in model.limits.items()]
        yield f"  Limits: {', '.join(limits)}"
    for endpoint in model.endpoints:
        yield ""
        yield _endpoint_line(endpoint)
        for variant in endpoint.variants:
            if len(endpoint.variants) > 1 or variant.failed:
                yield _variant_line(variant)
            yield _step_table(variant)


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


@dataclass(frozen=True, slots=True)
class _Row:
    what: str
    distribution: Distribution | None = None
    mean_s: float | None = None
    parameters: str = ""


def _step_table(variant: Variant) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in (
        "step",
        "what",
        "time",
        "mean",
        "of latency",
        "n",
        "distance",
        "censored",
        "range",
    ):
        right = name in {"step", "mean", "of latency", "n", "distance", "censored"}
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    latency_s = sum(map(step_mean_s, _before_response(variant.steps)))
    responded = False
    for number, step in enumerate(variant.steps, 1):
        for index, row in enumerate(_rows(step)):
            part = UNKNOWN if row.mean_s is not None or row.distribution is None else ""
            if responded:
                part = "after"
            elif row.mean_s is not None and latency_s > 0.0:
                part = share(row.mean_s / latency_s)
            table.add_row("" if index else str(number), *_cells(row, part))
        responded |= isinstance(step, RespondStep)
    return table


def _before_response(steps: list[Step]) -> list[Step]:
    for index, step in enumerate(steps):
        if isinstance(step, RespondStep):
            return steps[:index]
    return steps


def _cells(row: _Row, part: str) -> list[str]:
    if row.distribution is None:
        timed = [duration(row.mean_s), part] if row.mean_s is not None else ["", ""]
        return [row.what, row.parameters, *timed, "", "", "", ""]
    words = f"{row.distribution.family} {distribution_parameters(row.distribution)}"
    fit = row.distribution.fit
    cells = [row.what, words, "" if row.mean_s is None else duration(row.mean_s), part]
    if fit is None:
        return [*cells, "", "", "", ""]
    distance = UNKNOWN if fit.distance is None else f"{fit.distance:.3f}"
    if not fit.accepted:
        distance += " (no family fits)"
    seen = "" if fit.low is None else f"{duration(fit.low)} to {duration(fit.high)}"
    return [*cells, count(fit.n), distance, share(fit.censored), seen]


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


_SIDE_BY_SIDE = {
    "all": "side by side",
    "first": "side by side, for the first",
    "none": "beside what follows",
}


def _rows(step: Step) -> list[_Row]:
    """Return one row per distribution of a step, and how far it follows its request's size."""
    rows = _rows_of(step)
    size: float = getattr(step, "size", 0.0)
    return [replace(rows[0], what=f"{rows[0].what}, size {size:g}"), *rows[1:]] if size else rows


def _rows_of(step: Step) -> list[_Row]:
    match step:
        case CpuStep():
            blocking = f" ({share(step.blocking)} blocking)" if step.blocking else ""
            blocking += "" if step.gil else " (native)"
            return [_timed(_named("cpu", step.where or step.label) + blocking, step.time)]
        case WaitStep():
            return [_timed(_named(step.kind.value, step.label or step.where), step.time)]
        case ThreadStep():
            rows = [_timed(_named("thread cpu", step.where or step.label), step.cpu)]
            return rows + ([_timed("thread waiting", step.off_gil)] if step.off_gil else [])
        case StreamStep():
            chunks = mean_count(step.chunks)
            name = f"{_named(step.kind.value, step.label or step.where)} stream"
            return [
                _Row(name, parameters=f"{chunks:.3g} chunks on average"),
                _timed("  each chunk: wait", step.gap, times=chunks),
                _timed("  each chunk: cpu", step.cpu, times=chunks),
            ]
        case ParallelStep():
            rows = [_Row(_SIDE_BY_SIDE[step.join], mean_s=step_mean_s(step))]
            for branch in step.branches:
                rows.append(_Row(f"  {mean_count(branch.count):.3g} × branch"))
                rows += _inside(branch.steps, "    ")
            return rows
        case UseStep() | CallStep():
            rows = [row for inner in step.steps for row in _rows(inner)]
            held = [replace(row, what=f"  {row.what}") for row in rows]
            if isinstance(step, CallStep):
                return [_Row(_named("in a thread", step.where or step.label)), *held]
            return [_Row(f"with a slot of {clean(step.resource)}"), *held]
        case RepeatStep():
            rows = [_Row(f"{mean_count(step.count):.3g} × in a row", mean_s=step_mean_s(step))]
            return rows + _inside(step.steps, "  ")
        case ChooseStep():
            rows = [_Row("one of these ways", mean_s=step_mean_s(step))]
            for way in step.ways:
                rows.append(_Row(f"  {share(way.share)} {clean(way.name)}".rstrip()))
                rows += _inside(way.steps, "    ")
            return rows
        case LimitStep():
            return [_Row(f"limit {clean(step.limit)}")]
        case AcquireStep() | ReleaseStep():
            return [_Row(f"{step.do} {clean(step.resource)}")]
        case _:
            return [_Row(step.do)]


def _inside(steps: list[Step], margin: str) -> list[_Row]:
    """Return the rows of steps that another holds, whose share of the time is not known."""
    return [
        replace(row, what=margin + row.what, mean_s=None) for step in steps for row in _rows(step)
    ]


def _timed(what: str, distribution: Distribution, times: float = 1.0) -> _Row:
    return _Row(what, distribution, times * mean(distribution))


def _named(what: str, name: str) -> str:
    return f"{what} {clean(name)}".rstrip()
