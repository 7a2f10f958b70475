"""What replications together say: latency, throughput, errors, use, and their intervals."""

import itertools
import math
from collections.abc import Callable

import numpy as np

from fastsim.model import ServiceModel
from fastsim.result import Estimate, LoopUse, ResourceUse, Series, Summary
from fastsim.twin.metrics import CAUSES, IN_FLIGHT, OK, Measures
from fastsim.twin.model_doubt import ModelDoubt
from fastsim.twin.replicate import Replications
from fastsim.twin.statistics import CONFIDENCE, replicated_estimate, replicated_latency


def summary(found: Replications, doubt: ModelDoubt, endpoint: str | None) -> Summary:
    """Return what became of the requests of an endpoint, or of all for None."""
    states = np.concatenate([run.state[run.chosen(endpoint)] for run in found.runs])
    causes = {cause: int((states == state).sum()) for state, cause in CAUSES.items()}
    throughput = found.each(lambda run: run.throughput_per_s(endpoint))
    server = replicated_latency(
        found.pooled_statistics(endpoint, "server"),
        found.statistics(endpoint, "server"),
        found.stretches(endpoint, "server"),
        doubt.latency(endpoint, "server"),
    )
    client = replicated_latency(
        found.pooled_statistics(endpoint),
        found.statistics(endpoint),
        found.stretches(endpoint),
        doubt.latency(endpoint, "client"),
    )
    return Summary(
        requests=len(states),
        completed=int((states == OK).sum()),
        failed=sum(causes.values()),
        in_flight=int((states == IN_FLIGHT).sum()),
        errors={cause: count for cause, count in causes.items() if count},
        throughput=replicated_estimate(float(throughput.mean()), throughput, unit="/s"),
        latency=client,
        server_latency=server,
        breakdown=_breakdown(found, endpoint),
    )


def _breakdown(found: Replications, endpoint: str | None) -> dict[str, float]:
    parts = found.runs[0].parts
    sums_s = np.zeros(len(parts))
    requests = 0
    for run in found.runs:
        rows = slice(None) if endpoint is None else [run.endpoints.index(endpoint)]
        sums_s += run.part_sum_s[rows].sum(axis=0)
        requests += len(run.latency_s(endpoint))
    if not requests:
        return {}
    return {
        name: float(seconds) / requests
        for name, seconds in zip(parts, sums_s, strict=True)
        if seconds > 0.0
    }


def errors(found: Replications, doubt: ModelDoubt, endpoint: str | None) -> Estimate:
    """Return the share of failed requests.

    Where none failed, neither in the recording nor for another reason, the interval ends where
    so many recorded requests without a failure would be a chance of 1 in 40 (Clopper and Pearson).
    """
    ratios = found.each(lambda run: run.error_ratio(endpoint))
    present = ratios[~np.isnan(ratios)]
    value = float(present.mean()) if len(present) else math.nan
    if not present.any():
        recorded = _recorded(found.plan.model, endpoint)
        if recorded and len(present) > 1:
            most = 1.0 - (0.5 - CONFIDENCE / 2.0) ** (1.0 / recorded)
            return Estimate(value=value, low=0.0, high=most, unit="ratio")
    half = doubt.of(lambda run: run.error_ratio(endpoint))
    return replicated_estimate(value, present, unit="ratio", most=1.0, doubt=half)


def _recorded(model: ServiceModel, endpoint: str | None) -> int:
    """Return how many requests were recorded; 0 for a model by hand."""
    return sum(each.requests for each in model.endpoints if endpoint in {None, each.name})


def _use(
    found: Replications, doubt: ModelDoubt, utilisation: Callable[[Measures], float]
) -> Estimate:
    """Return how busy something is in the mean of the replications."""
    each, half = found.each(utilisation), doubt.of(utilisation)
    return replicated_estimate(float(each.mean()), each, unit="ratio", most=1.0, doubt=half)


def loop(found: Replications, doubt: ModelDoubt) -> LoopUse:
    """Return how busy the event loops are, and how late."""
    loops = [run.loop for run in found.runs]
    return LoopUse(
        utilisation=_use(found, doubt, lambda run: run.loop.utilisation),
        lag_mean_s=float(np.mean([loop.lag_mean_s for loop in loops])),
        lag_p99_s=float(np.mean([loop.lag_p99_s for loop in loops])),
        ready_queue_mean=float(np.mean([loop.ready_mean for loop in loops])),
        ready_queue_max=max(loop.ready_max for loop in loops),
    )


def resource(found: Replications, doubt: ModelDoubt, name: str) -> ResourceUse:
    """Return how busy a resource is, and how long requests wait for it."""
    uses = [run.resources[name] for run in found.runs]
    limits = found.plan.deployment.limits
    return ResourceUse(
        capacity=uses[0].capacity,
        rate_per_s=limits[name].rate if name in limits else None,
        utilisation=_use(found, doubt, lambda run: run.resources[name].utilisation),
        mean_wait_s=float(np.mean([use.mean_wait_s for use in uses])),
        max_queue=max(use.max_queue for use in uses),
    )


def series(found: Replications) -> Series:
    """Return the course over time: counts averaged over replications, quantiles pooled."""
    windows = [run.windows for run in found.runs]
    length_s, count = windows[0].window_s, len(windows[0].arrivals)
    answered = [(run, run.state == OK) for run in found.runs]
    at_s = np.concatenate([run.at_s[ok] for run, ok in answered])
    client_s = np.concatenate([run.client_s[ok] for run, ok in answered])
    order = np.argsort(at_s, kind="stable")
    cuts = np.searchsorted(at_s[order], np.arange(count + 1) * length_s)
    groups = [client_s[order[first:last]] for first, last in itertools.pairwise(cuts)]
    return Series(
        window_s=length_s,
        start_s=(np.arange(count) * length_s).tolist(),
        arrivals=_rounded([window.arrivals for window in windows]),
        completions=_rounded([window.completions for window in windows]),
        p50_s=[float(np.quantile(group, 0.5)) if len(group) else None for group in groups],
        p95_s=[float(np.quantile(group, 0.95)) if len(group) else None for group in groups],
        utilisation=np.mean([window.utilisation for window in windows], axis=0).tolist(),
        in_flight=np.mean([window.in_flight for window in windows], axis=0).tolist(),
    )


def _rounded(counts: list[np.typing.NDArray[np.int64]]) -> list[int]:
    whole: list[int] = np.rint(np.mean(counts, axis=0)).astype(np.int64).tolist()
    return whole
