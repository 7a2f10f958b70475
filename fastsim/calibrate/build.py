"""From traces to a ServiceModel: the whole of ``fastsim calibrate`` but the printing."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from fastsim import __version__, spans
from fastsim.calibrate.arrivals import describe_arrivals
from fastsim.calibrate.background import fit_background
from fastsim.calibrate.closing import close_account
from fastsim.calibrate.code_account import with_recorded_cost
from fastsim.calibrate.code_runs import code_runs
from fastsim.calibrate.cold import fit_cold
from fastsim.calibrate.exposure import processes_at_a_time, watched_times_s
from fastsim.calibrate.growth import looked_at, stand_for, unsampled
from fastsim.calibrate.loop_costs import fit_loop_costs, fit_thread_use, utilisation
from fastsim.calibrate.loop_queueing import without_queueing
from fastsim.calibrate.loop_windows import loop_windows, stolen_per_request_s
from fastsim.calibrate.pauses import fit_pauses
from fastsim.calibrate.peers import called
from fastsim.calibrate.plain import PlainSpans, plain_spans
from fastsim.calibrate.pushed import pushing_peers
from fastsim.calibrate.readers import Columns, open_traces, trace_files
from fastsim.calibrate.recorder_cost import without_recorder
from fastsim.calibrate.remarks import language, recording_warnings, thinned
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.sampled import ALL_RECORDED
from fastsim.calibrate.steps import StepFitter
from fastsim.calibrate.taken import fit_taken
from fastsim.calibrate.variants import (
    ObservedEndpoint,
    ObservedVariant,
    group_variants,
    recorded_programs,
)
from fastsim.calibrate.wander import fit_wander
from fastsim.errors import NotEnoughDataError
from fastsim.model import (
    Endpoint,
    LoopCosts,
    Process,
    Provenance,
    Resource,
    ServiceModel,
    Traffic,
    Variant,
)
from fastsim.program import nested
from fastsim.spans import Attributes
from fastsim.twin.processes import Processes

LEAST_REQUESTS = 50
"""Fewer recorded requests than this say nothing about percentiles."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the part done, 0 to 1."""


def read_requests(
    paths: Sequence[str | Path],
    *,
    service: str | None = None,
    skip_first_s: float | None = None,
    columns: Columns | None = None,
    sampled: float | None = None,
) -> RequestSet:
    """Read trace files and find the requests of one service in them.

    Parameters are those of ``open_traces`` and of ``collect_requests``.
    """
    source = open_traces(paths, columns)
    requests = collect_requests(source, service=service, skip_first_s=skip_first_s, sampled=sampled)
    return replace(requests, reading=tuple(source.account.problems()))


def build_model(
    requests: RequestSet,
    *,
    command: str = "",
    data_sha256: str = "",
    assume_cpu: float | None = None,
    busy: float | None = None,
    loops: int = 1,
    jobs: Processes | None = None,
    on_progress: Progress | None = None,
) -> ServiceModel:
    """Fit a model to the requests of a recording.

    Parameters
    ----------
    command, data_sha256
        What the model says of where it comes from.
    assume_cpu
        Where spans are all there is: part of the gaps between calls that is code, 0 to 1.
    busy
        Where spans are all there is: CPU of each process while recorded, of one core.
    loops
        Where spans are all there is: event loops (workers) behind one instance of them.
    jobs
        Share the replays that close the account, if they are started.

    Raises
    ------
    NotEnoughDataError
        With fewer than 50 requests.
    """
    recorded = bool(requests.recorded.any())
    if len(requests) < LEAST_REQUESTS:
        raise NotEnoughDataError(
            f"only {len(requests)} requests in the traces"
            + ("" if recorded else ", recorded without FastSim"),
            hint=f"record at least {LEAST_REQUESTS}; a few hundred per endpoint are good"
            + ("" if recorded else " (with fastsim record, to tell CPU from waits)"),
        )
    everything, requests = requests, looked_at(requests)
    remarks = thinned(everything)
    used = utilisation(everything)
    plain = None
    if not recorded:
        plain = plain_spans(requests, code_share=assume_cpu, busy=busy, workers=loops)
        remarks += requests.sampling.sentences(requests.stand_for) + plain.sentences()
        used = plain.utilisation
    programs = recorded_programs(requests) if plain is None else plain.programs
    resources = _resources(requests, plain)
    calls = called(
        requests,
        programs,
        all_seen=unsampled(requests) <= ALL_RECORDED and loops == 1,
        taken=resources,
    )
    remarks += calls.remarks
    observed = group_variants(requests, calls.programs)
    runs = code_runs(requests, observed)
    cold = fit_cold(runs)
    speed = fit_wander(requests, runs, cold)
    doubt, stolen_s = speed.doubt, 0.0
    if plain is None:
        windows = loop_windows(requests, observed)
        costs = fit_loop_costs(requests, observed, windows, cold)
        stolen_s = stolen_per_request_s(windows)
    else:
        costs = LoopCosts(accept=plain.accept_s, cold=cold)
        error = min(math.hypot(doubt.error, plain.doubt), 1.0)
        doubt = doubt.model_copy(update={"error": error})
    costs = costs.model_copy(
        update={
            "wander": speed.law,
            "doubt": doubt,
            "pauses": fit_pauses(observed),
            "background": fit_background(requests.loop_series),
            "timer_late": requests.loop_series.timer_late_s,
        }
    )
    thread_use, pushing = fit_thread_use(requests, observed), pushing_peers(observed)
    fitter = StepFitter(requests, costs.cold, speed, thread_use, pushing)
    shares = _shares(everything)
    routed = everything.endpoint[~everything.rejected]
    counts = np.bincount(routed, minlength=len(everything.endpoints)).tolist()
    count_of = dict(zip(everything.endpoints, counts, strict=True))
    # Endpoints without a request that was answered are left out.
    total = sum(shares[endpoint.name] for endpoint in observed)
    endpoints = []
    # Matrices are tiny: more threads of the linear algebra only wait for each other, busily.
    with threadpool_limits(limits=1, user_api="blas"):
        for position, endpoint in enumerate(observed):
            if on_progress is not None:
                on_progress(endpoint.name, position / len(observed))
            share = shares[endpoint.name] / total
            fitted = _endpoint(endpoint, fitter, share)
            endpoints.append(fitted.model_copy(update={"requests": count_of[endpoint.name]}))
    traffic, more = _traffic(everything, used)
    model = ServiceModel(
        service=requests.service,
        provenance=Provenance(
            command=command,
            fastsim=__version__,
            data_sha256=data_sha256,
            recorded_at=_recorded_at(everything),
        ),
        warnings=[*remarks, *recording_warnings(requests, observed), *more],
        process=_process(everything, loops),
        traffic=traffic,
        loop=costs,
        resources=resources | calls.resources,
        endpoints=endpoints,
    )
    if plain is not None and plain.hidden:
        model = without_queueing(model, requests)
    if plain is None:
        model = with_recorded_cost(model, requests, observed, jobs)
    model, said = close_account(model, requests, stolen_s, fit_taken(requests), jobs=jobs)
    model.warnings += said
    return without_recorder(model, requests)


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


def _shares(requests: RequestSet) -> dict[str, float]:
    """Return each endpoint's part of the requests that were routed."""
    routed = ~requests.rejected
    each = np.bincount(
        requests.endpoint[routed], stand_for(requests)[routed], len(requests.endpoints)
    )
    return dict(zip(requests.endpoints, (each / max(each.sum(), 1e-12)).tolist(), strict=True))


def _endpoint(endpoint: ObservedEndpoint, fitter: StepFitter, share: float) -> Endpoint:
    variants = [
        Variant(
            name=_variant_name(number, variant),
            share=variant.share,
            requests=len(variant.requests),
            failed=variant.failed,
            steps=nested(fitter.fit(variant)),
        )
        for number, variant in enumerate(endpoint.variants)
    ]
    return Endpoint(
        name=endpoint.name,
        share=share,
        requests=endpoint.requests,
        variants=variants,
    )


def _variant_name(number: int, variant: ObservedVariant) -> str:
    if variant.pooled:
        return "rare paths that fail" if variant.failed else "rare paths"
    return "main" if number == 0 else f"variant {number + 1}"


def _recorded_at(requests: RequestSet) -> str:
    moment = datetime.fromtimestamp(int(requests.start_ns.min()) / 1e9, UTC)
    return moment.isoformat(timespec="seconds")


def _process(requests: RequestSet, loops: int) -> Process:
    facts = [instance.facts for instance in requests.instances]
    used = facts[0] if facts else {}
    versions = requests.instances[0].resource if requests.instances else {}
    limit = used.get(spans.PROCESS_LIMIT_CONCURRENCY)
    quota = used.get(spans.PROCESS_CPU_QUOTA)
    return Process(
        # Spans of others say nothing of workers, but each process has a name of its own.
        workers=_number(used, spans.PROCESS_WORKERS, processes_at_a_time(requests) * loops),
        loop="uvloop" if used.get(spans.PROCESS_LOOP) == "uvloop" else "asyncio",
        cores=_number(used, spans.PROCESS_CORES, 1),
        cpu_quota=float(quota) if isinstance(quota, (int, float)) else None,
        thread_tokens=_number(used, spans.PROCESS_THREAD_TOKENS, 40),
        python="" if language(requests) else str(versions.get("process.runtime.version", "")),
        gil=used.get(spans.PROCESS_GIL) is not False,
        limit_concurrency=int(limit) if isinstance(limit, int) else None,
    )


def _number(facts: Attributes, name: str, default: int) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) and value >= 1 else default


def _traffic(requests: RequestSet, busy: float | None) -> tuple[Traffic, list[str]]:
    """Rate, from the counters of requests seen where sampling left some out, and pattern."""
    start_s = watched_times_s(requests)
    steady = start_s[~requests.warm_up]
    span_s = float(steady.max() - steady.min()) if len(steady) > 1 else 0.0
    if span_s <= 0.0:
        raise NotEnoughDataError("all requests in the traces began at the same time")
    seconds = np.floor(steady - steady.min()).astype(np.int64)
    counts = np.bincount(seconds)[: int(span_s)]
    dispersion = float(counts.var(ddof=1) / counts.mean()) if len(counts) >= 5 else None
    ratio = unsampled(requests)
    found = describe_arrivals(steady, requests.endpoint[~requests.warm_up], sampled=1.0 / ratio)
    traffic = Traffic(
        rate=(len(steady) - 1) / span_s * ratio,
        pattern=found.pattern,
        curve=list(found.curve),
        burst=found.burst,
        duration=span_s,
        dispersion=None if dispersion is None else round(dispersion, 3),
        utilisation=busy,
    )
    remarks = []
    if found.mix_changed:
        remarks.append("the mix of endpoints changed while recording; the model has its mean")
    if found.pattern == "regular":
        remarks.append(
            "requests arrived more evenly than by chance (a paced or closed-loop load tool?); "
            "the twin's arrivals are Poisson unless told otherwise"
        )
    return traffic, remarks


def _resources(requests: RequestSet, plain: PlainSpans | None) -> dict[str, Resource]:
    if plain is not None:
        return {pool.name: Resource(capacity=pool.capacity) for pool in plain.pools}
    capacities: dict[str, int] = {}
    wakes: set[str] = set()
    for _, timeline in requests.timelines():
        for event in timeline.events:
            capacities[event.name] = max(capacities.get(event.name, 1), event.capacity)
            if event.wakes:
                wakes.add(event.name)
    return {
        name: Resource(capacity=capacity, hand_over="wake" if name in wakes else "direct")
        for name, capacity in sorted(capacities.items())
    }
