"""Answer what a service would do: simulate a plan and report it as a ``Run``.

The estimate of a statistic is that of all replications pooled; its 95 % interval is
Student's, from the statistic of each replication, and what doubt about the fitted model adds
to it (``fastsim.twin.model_doubt``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import fastsim
from fastsim.errors import InputError, UnknownNameError
from fastsim.load.course import Course, course_of
from fastsim.model import ServiceModel
from fastsim.phases import Phase, check_phases
from fastsim.result import (
    CapacityFound,
    RequestTable,
    Run,
    RunProvenance,
    Summary,
)
from fastsim.scenario import (
    Deployment,
    ResolvedDeployment,
    Spacing,
    TrafficPlan,
    check_users,
    resolve_deployment,
)
from fastsim.twin.advice import advise
from fastsim.twin.by_phase import judge_phases, overload_sentences, phase_results, phases_of
from fastsim.twin.capacity import EVENT_LOOP, SATURATED, Capacity, capacity_of, find_capacity, uses
from fastsim.twin.goals import judge, parse_goals
from fastsim.twin.metrics import IN_FLIGHT, OK, Measures
from fastsim.twin.model_doubt import ModelDoubt, doubt_of, has_doubt
from fastsim.twin.plan import ArrivalReplay, Plan
from fastsim.twin.replicate import OnProgress, Replications, replicate, silent
from fastsim.twin.summaries import errors, loop, resource, series, summary
from fastsim.twin.trust import Overload, arrivals_per_s, doubts, find_overload
from fastsim.twin.users import idle_cycle_s
from fastsim.twin.warmup import LONGER, SHORTEST_S, TIMES, filling_s, still_filling
from fastsim.units import format_share

_BURSTS = 10.0
"""A service under bursts is as usual after so many times their memory."""

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
    with_doubt: bool = False,
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
        Give each replication a model and a machine speed of its own, to be compared with a live
        run: the doubt is in the spread of the replications.
    with_table
        Put the requests of the first replication into ``Run.table``.
    with_advice
        Where goals are missed or much time is spent waiting for loop or slots, simulate what
        the obvious changes would do.
    with_doubt
        Have the intervals hold what the recording does not know, which takes as many
        replications again.

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
    twice = with_doubt and has_doubt(plan)
    report = on_progress or silent
    for _ in range(TIMES):
        found = replicate(
            plan,
            replications=replications,
            seed=seed,
            jobs=jobs,
            on_progress=lambda done, total: report(done, total * (1 + twice)),
            keep=keep,
        )
        overload = find_overload(found)
        said = arrivals is not None or plan.course is not None
        said = said or (traffic is not None and traffic.warmup is not None)
        if said or overload is not None or found.stopped or not still_filling(found):
            break
        plan = replace(plan, warmup_s=LONGER * plan.warmup_s)
    doubt = ModelDoubt(found)
    if twice and overload is None and not found.stopped:
        found, doubt = doubt_of(
            found,
            jobs=jobs,
            on_progress=lambda done, total: report(total + done, 2 * total),
            keep=keep,
        )
    names: list[str | None] = [None, *found.endpoints]
    summaries = {name: summary(found, doubt, name) for name in names}
    failures = {name: errors(found, doubt, name) for name in names}
    parts = phases_of(found, doubt)
    phases = phase_results(parts)
    if parts:
        judged = judge_phases(goals, parts)
    else:
        judged = judge(goals, summaries, failures, overloaded=overload is not None)
    met = overload is None and all(result.met for result in judged.results)
    capacity = _capacity(found, overload, seed)
    with_advice = with_advice and not found.stopped
    waits = (goals and not met) or overload is not None or _waiting(summaries[None]) > MUCH_WAITING
    run = Run(
        source="twin",
        title=_title(plan),
        seed=seed,
        rate_per_s=plan.rate_per_s if plan.users is None else arrivals_per_s(found),
        users=None if plan.users is None else plan.users.count,
        duration_s=plan.duration_s,
        warmup_s=found.plan.warmup_s,
        replications=len(found),
        total=summaries[None],
        endpoints={name: summaries[name] for name in found.endpoints},
        loop=loop(found, doubt),
        resources={name: resource(found, doubt, name) for name in found.runs[0].resources},
        series=series(found),
        phases=phases,
        slo=judged.results,
        verdict=("yes" if met else "no") if goals else "none",
        capacity=None if capacity is None else _capacity_found(found, capacity),
        advice=advise(found, goals, seed=seed) if with_advice and waits else [],
        warnings=[
            *overload_sentences(phases),
            *doubts(found, overload, capacity),
            *judged.warnings,
        ],
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
    rate_per_s, course = _rate_and_course(model, traffic)
    resolved, mix = checked_deployment(model, deployment), complete_mix(model, traffic.mix)
    spacing = _spacing(model, traffic)
    filling = filling_s(model, mix, resolved)
    if spacing == "bursty" and model.traffic is not None and model.traffic.burst is not None:
        filling = max(filling, _BURSTS * model.traffic.burst.memory)
    return Plan(
        model=model,
        deployment=resolved,
        rate_per_s=rate_per_s,
        duration_s=traffic.duration if course is None else course.duration_s,
        course=course,
        users=traffic.users,
        warmup_s=max(SHORTEST_S, filling) if traffic.warmup is None else traffic.warmup,
        filling_s=filling,
        arrivals=spacing,
        mix=mix,
        replay=arrivals,
        doubtful=doubtful,
    )


def _rate_and_course(model: ServiceModel, traffic: TrafficPlan) -> tuple[float, Course | None]:
    """Return the mean rate, requests per second, and the phases that the traffic has."""
    check_users(traffic)
    if traffic.users is not None:
        cycle_s = idle_cycle_s(model, traffic.users, complete_mix(model, traffic.mix))
        return traffic.users.count / max(cycle_s, 1e-6), None
    rate_per_s = traffic.rate
    if rate_per_s is None and model.traffic is not None:
        rate_per_s = model.traffic.rate
    if traffic.phases:
        check_phases(traffic.phases, traffic.rate)
        course, rate_per_s = course_of(
            [_with_whole_mix(model, each) for each in traffic.phases], rate_per_s
        )
        return rate_per_s, course
    if rate_per_s is None:
        raise InputError(
            "the model has no recorded rate", hint="say how much arrives: --rate 100/s"
        )
    return rate_per_s, None


def _with_whole_mix(model: ServiceModel, phase: Phase) -> Phase:
    """Give every endpoint its share of a phase that has shares of its own."""
    if not phase.mix:
        return phase
    return phase.model_copy(update={"mix": complete_mix(model, phase.mix)})


def _spacing(model: ServiceModel, traffic: TrafficPlan) -> Spacing:
    """Return how requests arrive: by chance unless something else is said."""
    bursts = model.traffic is not None and model.traffic.burst is not None
    if traffic.arrivals == "bursty" and not bursts:
        raise InputError(
            "the recording shows no bursts to repeat",
            hint="leave arrivals out, or write phases: --phases '60s x1, 10s x3'",
        )
    return traffic.arrivals


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


def _table(run: Measures) -> RequestTable:
    rows = np.flatnonzero(run.state != IN_FLIGHT)
    return RequestTable(
        endpoints=list(run.endpoints),
        endpoint=run.endpoint[rows].tolist(),
        scheduled_s=run.at_s[rows].tolist(),
        latency_s=run.client_s[rows].tolist(),
        ok=(run.state[rows] == OK).tolist(),
    )
