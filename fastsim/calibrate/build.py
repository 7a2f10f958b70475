"""From traces to a ServiceModel: the whole of ``fastsim calibrate`` but the printing."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fastsim import __version__, spans
from fastsim.calibrate.loop_costs import fit_loop_costs, fit_thread_use, utilisation
from fastsim.calibrate.pauses import fit_pauses
from fastsim.calibrate.readers import open_traces, trace_files
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.steps import StepFitter
from fastsim.calibrate.wander import fit_wander
from fastsim.calibrate.variants import ObservedEndpoint, group_variants
from fastsim.errors import NotEnoughDataError
from fastsim.model import (
    Endpoint,
    Process,
    Provenance,
    Resource,
    ServiceModel,
    Traffic,
    Variant,
)
from fastsim.spans import Attributes

LEAST_REQUESTS = 50
"""Fewer recorded requests than this say nothing about percentiles."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the part done, 0 to 1."""


def read_requests(
    paths: Sequence[str | Path], *, service: str | None = None, skip_first_s: float | None = None
) -> RequestSet:
    """Read trace files and find the requests of one service in them."""
    return collect_requests(open_traces(paths), service=service, skip_first_s=skip_first_s)


def build_model(
    requests: RequestSet,
    *,
    command: str = "",
    data_sha256: str = "",
    on_progress: Progress | None = None,
) -> ServiceModel:
    """Fit a model to the requests of a recording.

    Raises
    ------
    NotEnoughDataError
        With fewer than 50 requests, or without any timeline.
    """
    if len(requests) < LEAST_REQUESTS:
        raise NotEnoughDataError(
            f"only {len(requests)} requests in the traces",
            hint=f"record at least {LEAST_REQUESTS}; a few hundred per endpoint are good",
        )
    observed = group_variants(requests)
    costs = fit_loop_costs(requests, observed)
    speed = fit_wander(requests, observed, costs.cold)
    costs = costs.model_copy(update={"wander": speed.law, "pauses": fit_pauses(observed)})
    fitter = StepFitter(requests, costs.cold, speed, fit_thread_use(requests, observed))
    all_requests = sum(endpoint.requests for endpoint in observed)
    endpoints = []
    for position, endpoint in enumerate(observed):
        if on_progress is not None:
            on_progress(endpoint.name, position / len(observed))
        endpoints.append(_endpoint(endpoint, fitter, all_requests))
    return ServiceModel(
        service=requests.service,
        provenance=Provenance(
            command=command,
            fastsim=__version__,
            data_sha256=data_sha256,
            recorded_at=_recorded_at(requests),
        ),
        warnings=_warnings(requests, observed),
        process=_process(requests),
        traffic=_traffic(requests),
        loop=costs,
        resources=_resources(requests),
        endpoints=endpoints,
    )


def hash_inputs(paths: Sequence[str | Path]) -> str:
    """Return one SHA-256 over the contents of the trace files; empty for standard input."""
    files = sorted(trace_files(paths))
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _endpoint(endpoint: ObservedEndpoint, fitter: StepFitter, all_requests: int) -> Endpoint:
    variants = [
        Variant(
            name="main" if number == 0 else f"variant {number + 1}",
            share=variant.share,
            requests=len(variant.requests),
            failed=variant.failed,
            steps=fitter.fit(variant),
        )
        for number, variant in enumerate(endpoint.variants)
    ]
    return Endpoint(
        name=endpoint.name,
        share=endpoint.requests / all_requests,
        requests=endpoint.requests,
        variants=variants,
    )


def _recorded_at(requests: RequestSet) -> str:
    moment = datetime.fromtimestamp(int(requests.start_ns.min()) / 1e9, UTC)
    return moment.isoformat(timespec="seconds")


def _process(requests: RequestSet) -> Process:
    facts = [instance.facts for instance in requests.instances]
    used = facts[0] if facts else {}
    versions = requests.instances[0].resource if requests.instances else {}
    limit = used.get(spans.PROCESS_LIMIT_CONCURRENCY)
    quota = used.get(spans.PROCESS_CPU_QUOTA)
    return Process(
        workers=_number(used, spans.PROCESS_WORKERS, 1),
        loop="uvloop" if used.get(spans.PROCESS_LOOP) == "uvloop" else "asyncio",
        cores=_number(used, spans.PROCESS_CORES, 1),
        cpu_quota=float(quota) if isinstance(quota, (int, float)) else None,
        thread_tokens=_number(used, spans.PROCESS_THREAD_TOKENS, 40),
        python=str(versions.get("process.runtime.version", "")),
        gil=used.get(spans.PROCESS_GIL) is not False,
        limit_concurrency=int(limit) if isinstance(limit, int) else None,
    )


def _number(facts: Attributes, name: str, default: int) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) and value >= 1 else default


def _traffic(requests: RequestSet) -> Traffic:
    """Rate, from the counters of requests seen where sampling left some out, and burstiness."""
    start_s = (requests.start_ns - requests.start_ns.min()) / 1e9
    steady = start_s[~requests.warm_up]
    span_s = float(steady.max() - steady.min()) if len(steady) > 1 else 0.0
    if span_s <= 0.0:
        raise NotEnoughDataError("all requests in the traces began at the same time")
    seconds = np.floor(steady - steady.min()).astype(np.int64)
    counts = np.bincount(seconds)[: int(span_s)]
    dispersion = float(counts.var(ddof=1) / counts.mean()) if len(counts) >= 5 else None
    return Traffic(
        rate=(len(steady) - 1) / span_s * _unsampled(requests),
        duration=span_s,
        dispersion=None if dispersion is None else round(dispersion, 3),
        utilisation=utilisation(requests),
    )


def _unsampled(requests: RequestSet) -> float:
    """Return how many requests were served per request recorded."""
    seen = recorded = 0
    for instance in range(len(requests.instances)):
        rows = requests.instance == instance
        counters = requests.counters[spans.REQUESTS_SEEN][rows]
        if len(counters) > 1 and counters.min() >= 0:
            seen += int(counters.max() - counters.min())
            recorded += len(counters) - 1
    return max(seen / recorded, 1.0) if recorded else 1.0


def _resources(requests: RequestSet) -> dict[str, Resource]:
    capacities: dict[str, int] = {}
    for _, timeline in requests.timelines():
        for event in timeline.events:
            capacities[event.name] = max(capacities.get(event.name, 1), event.capacity)
    return {name: Resource(capacity=capacity) for name, capacity in sorted(capacities.items())}


def _warnings(requests: RequestSet, observed: list[ObservedEndpoint]) -> list[str]:
    warnings = []
    busy = utilisation(requests)
    if busy is not None and busy > 0.9:
        warnings.append(
            f"recorded at {busy:.0%} utilisation: hardly any wait ended on an idle loop, "
            "so the fits are weak; record at 40 to 70 %"
        )
    missing = len(requests) - int(requests.recorded.sum())
    if missing:
        warnings.append(f"{missing} requests have no timeline and were used for rates only")
    dropped = max(int(requests.counters[spans.SPANS_DROPPED].max(initial=0)), 0)
    if dropped:
        warnings.append(f"the recorder dropped {dropped} spans; rates are corrected for it")
    for endpoint in observed:
        if endpoint.requests < 200:
            warnings.append(
                f"{endpoint.name}: only {endpoint.requests} requests, tail percentiles are guesses"
            )
        if endpoint.merged > 0.1 * endpoint.requests:
            warnings.append(
                f"{endpoint.name}: {endpoint.merged} requests took rare paths, "
                "merged with the common ones"
            )
    return warnings
