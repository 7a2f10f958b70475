"""Answer what a service would do: simulate a plan and report it as a ``Run``.

The estimate of a statistic is that of all replications pooled; its 95 % interval is
Student's, from the statistic of each replication. Uncertainty of the fitted parameters is
not in it.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

import fastsim
from fastsim.errors import InputError, UnknownNameError
from fastsim.model import ServiceModel
from fastsim.result import (
    CapacityFound,
    Estimate,
    LoopUse,
    RequestTable,
    ResourceUse,
    Run,
    RunProvenance,
    Series,
    Summary,
)
from fastsim.scenario import Deployment, ResolvedDeployment, TrafficPlan, resolve_deployment
from fastsim.twin.advice import advise
from fastsim.twin.capacity import EVENT_LOOP, SATURATED, Capacity, capacity_of, find_capacity, uses
from fastsim.twin.goals import judge, parse_goals
from fastsim.twin.metrics import CAUSES, IN_FLIGHT, OK, Measures
from fastsim.twin.replicate import ArrivalReplay, OnProgress, Plan, Replications, replicate
from fastsim.twin.statistics import replicated_estimate, replicated_latency
from fastsim.twin.trust import Overload, doubts, find_overload
from fastsim.units import format_share

MUCH_WAITING = 0.3
"""Share of latency spent waiting for loop or slots from which changes are worth a try."""


class Forecast(NamedTuple):
    """A forecast and the replications behind it."""

    run: Run
    replications: Replications


def forecast_run(
    model: ServiceModel,
    *,
    traffic: TrafficPlan | None = None,
    deployment: Deployment | None = None,
    slo: Iterable[str] = (),
    replications: int = 8,
    seed: int = 1,
    jobs: int | None = 1,
    on_progress: OnProgress | None = None,
    arrivals: ArrivalReplay | None = None,
    doubtful: bool = False,
    with_table: bool = False,
    with_advice: bool = False,
    keep: bool = False,
) -> Forecast:
    """Simulate a service under traffic and summarise what its clients would see.

    Parameters
    ----------
    traffic, deployment
        What differs from the recording; the recorded traffic and deployment when absent.
    slo
        Goals such as ``p95 < 100ms``; they decide ``Run.verdict``.
    jobs, on_progress, keep
        See ``fastsim.twin.replicate.replicate``.
    arrivals
        Repeat these arrivals instead of drawing them.
    doubtful
        Give each replication a machine speed of its own, to be compared with a live run.
    with_table
        Put the requests of the first replication into ``Run.table``.
    with_advice
        Where goals are missed or much time is spent waiting for loop or slots, simulate what
        the obvious changes would do.

    Raises
    ------
    InputError
        When no rate is given or recorded, or a number makes no sense.
    UnknownNameError
        When a goal, the mix or the deployment names what the model does not have.
    NotEnoughDataError
        When a goal cannot be evaluated because no request got an answer.
    """
    goals = parse_goals(slo, [endpoint.name for endpoint in model.endpoints])
    plan = make_plan(
        model, traffic or TrafficPlan(), deployment or Deployment(), arrivals, doubtful=doubtful
    )
    found = replicate(
        plan,
        replications=replications,
        seed=seed,
        jobs=jobs,
        on_progress=on_progress,
        keep=keep,
    )
    overload = find_overload(found)
    names: list[str | None] = [None, *found.endpoints]
    summaries = {name: _summary(found, name) for name in names}
    errors = {name: _errors(found, name) for name in names}
    judged = judge(goals, summaries, errors, overloaded=overload is not None)
    met = overload is None and all(result.met for result in judged.results)
    capacity = _capacity(found, overload, seed)
    with_advice = with_advice and not found.stopped
    waits = (goals and not met) or overload is not None or _waiting(summaries[None]) > MUCH_WAITING
    run = Run(
        source="twin",
        title=_title(plan),
        seed=seed,
        rate_per_s=plan.rate_per_s,
        duration_s=plan.duration_s,
        replications=len(found),
        total=summaries[None],
        endpoints={name: summaries[name] for name in found.endpoints},
        loop=_loop(found),
        resources={name: _resource(found, name) for name in found.runs[0].resources},
        series=_series(found),
        slo=judged.results,
        verdict=("yes" if met else "no") if goals else "none",
        capacity=None if capacity is None else _capacity_found(found, capacity),
        advice=advise(found, goals, seed=seed) if with_advice and waits else [],
        warnings=doubts(found, overload, capacity) + judged.warnings,
        provenance=RunProvenance(fastsim_version=fastsim.__version__),
        table=_table(found.runs[0]) if with_table else None,
    )
    return Forecast(run, found)


def _capacity(found: Replications, overload: Overload | None, seed: int) -> Capacity | None:
    if overload is not None:
        return find_capacity(found.plan, seed=seed)
    processes = found.plan.deployment.processes
    each = [capacity_of(run, processes) for run in found.runs]
    known = sorted((one for one in each if one is not None), key=lambda one: one.per_s)
    return known[len(known) // 2] if known else None


def _capacity_found(found: Replications, capacity: Capacity) -> CapacityFound:
    behind: set[str] = set()
    if capacity.resource == EVENT_LOOP:
        for run in found.runs:
            behind |= {name for name, use in uses(run).items() if use >= SATURATED}
    return CapacityFound(
        per_s=capacity.per_s,
        resource=capacity.resource,
        demand_s=capacity.demand_s,
        behind=sorted(behind - {EVENT_LOOP}),
    )


def _waiting(summary: Summary) -> float:
    """Return the share of latency spent waiting for loop or slots."""
    parts = summary.breakdown
    total = sum(parts.values())
    return (parts.get("loop", 0.0) + parts.get("pool", 0.0)) / total if total > 0.0 else 0.0


def make_plan(
    model: ServiceModel,
    traffic: TrafficPlan,
    deployment: Deployment,
    arrivals: ArrivalReplay | None = None,
    *,
    doubtful: bool = False,
) -> Plan:
    """Fill in what was recorded and check that everything named exists.

    Raises
    ------
    InputError
        When no rate is given or recorded, or the mix adds up to more than 100 %.
    UnknownNameError
        When the mix or the deployment names what the model does not have.
    """
    rate_per_s = traffic.rate
    if rate_per_s is None:
        if model.traffic is None:
            raise InputError(
                "the model has no recorded rate", hint="say how much arrives: --rate 100/s"
            )
        rate_per_s = model.traffic.rate
    return Plan(
        model=model,
        deployment=checked_deployment(model, deployment),
        rate_per_s=rate_per_s,
        duration_s=traffic.duration,
        warmup_s=traffic.warmup,
        arrivals=traffic.arrivals,
        mix=complete_mix(model, traffic.mix),
        replay=arrivals,
        doubtful=doubtful,
    )


def checked_deployment(model: ServiceModel, deployment: Deployment) -> ResolvedDeployment:
    """Resolve a deployment; refuse resources that no endpoint can use.

    Raises
    ------
    UnknownNameError
        When the model has no resource of that name.
    """
    for name in deployment.resources:
        if name not in model.resources:
            raise UnknownNameError(
                "resource", name, model.resources, where=f"deployment.resources.{name}"
            )
    for name in deployment.limits:
        if name not in model.limits:
            where = f"deployment.limits.{name}"
            raise UnknownNameError("limit", name, model.limits, where=where)
    return resolve_deployment(model, deployment)


def complete_mix(model: ServiceModel, mix: Mapping[str, float]) -> dict[str, float]:
    """Give every endpoint its share.

    Endpoints that are not named divide what the named ones leave, in the recorded
    proportion. Empty means the recorded mix.

    Raises
    ------
    UnknownNameError
        When an endpoint is not in the model.
    InputError
        When the shares add up to more than 100 %, or to less with no endpoint left.
    """
    recorded = {endpoint.name: endpoint.share for endpoint in model.endpoints}
    for name in mix:
        if name not in recorded:
            raise UnknownNameError("endpoint", name, recorded, where="mix")
    rest = 1.0 - sum(mix.values())
    unnamed = sum(share for name, share in recorded.items() if name not in mix)
    if rest < -1e-6 or (mix and rest > 1e-6 and unnamed <= 0.0):
        raise InputError(
            f"the mix adds up to {format_share(1.0 - rest)}", hint="make it 100%", where="mix"
        )
    scale = max(rest, 0.0) / unnamed if unnamed > 0.0 else 0.0
    return {name: mix.get(name, share * scale) for name, share in recorded.items()}


def _title(plan: Plan) -> str:
    replicas, workers = plan.deployment.replicas, plan.deployment.workers
    parts = [plan.model.service]
    if replicas > 1:
        parts.append(f"{replicas} replicas, {plan.deployment.balancer}")
    parts.append(f"{workers} worker{'' if workers == 1 else 's'}{' each' * (replicas > 1)}")
    if plan.deployment.cpu_quota is not None:
        parts.append(f"limit {plan.deployment.cpu_quota:g} cores")
    parts += [f"{name} {capacity}" for name, capacity in plan.deployment.resources.items()]
    return " · ".join(parts)


def _summary(found: Replications, endpoint: str | None) -> Summary:
    states = np.concatenate([run.state[run.chosen(endpoint)] for run in found.runs])
    causes = {cause: int((states == state).sum()) for state, cause in CAUSES.items()}
    throughput = found.each(lambda run: run.throughput_per_s(endpoint))
    server = replicated_latency(
        found.pooled_statistics(endpoint, "server"),
        found.statistics(endpoint, "server"),
        found.stretches(endpoint, "server"),
    )
    client = replicated_latency(
        found.pooled_statistics(endpoint),
        found.statistics(endpoint),
        found.stretches(endpoint),
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


def _errors(found: Replications, endpoint: str | None) -> Estimate:
    ratios = found.each(lambda run: run.error_ratio(endpoint))
    present = ratios[~np.isnan(ratios)]
    value = float(present.mean()) if len(present) else math.nan
    return replicated_estimate(value, present, unit="ratio", most=1.0)


def _loop(found: Replications) -> LoopUse:
    use = found.each(lambda run: run.loop.utilisation)
    loops = [run.loop for run in found.runs]
    return LoopUse(
        utilisation=replicated_estimate(float(use.mean()), use, unit="ratio", most=1.0),
        lag_mean_s=float(np.mean([loop.lag_mean_s for loop in loops])),
        lag_p99_s=float(np.mean([loop.lag_p99_s for loop in loops])),
        ready_queue_mean=float(np.mean([loop.ready_mean for loop in loops])),
        ready_queue_max=max(loop.ready_max for loop in loops),
    )


def _resource(found: Replications, name: str) -> ResourceUse:
    uses = [run.resources[name] for run in found.runs]
    limits = found.plan.deployment.limits
    busy = np.array([use.utilisation for use in uses])
    return ResourceUse(
        capacity=uses[0].capacity,
        rate_per_s=limits[name].rate if name in limits else None,
        utilisation=replicated_estimate(float(busy.mean()), busy, unit="ratio", most=1.0),
        mean_wait_s=float(np.mean([use.mean_wait_s for use in uses])),
        max_queue=max(use.max_queue for use in uses),
    )


def _series(found: Replications) -> Series:
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


def _table(run: Measures) -> RequestTable:
    rows = np.flatnonzero(run.state != IN_FLIGHT)
    return RequestTable(
        endpoints=list(run.endpoints),
        endpoint=run.endpoint[rows].tolist(),
        scheduled_s=run.at_s[rows].tolist(),
        latency_s=run.client_s[rows].tolist(),
        ok=(run.state[rows] == OK).tolist(),
    )
