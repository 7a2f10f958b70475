"""Answer what a service would do: simulate a plan and report it as a ``Run``.

The estimate of a statistic is that of all replications pooled; its 95 % interval is
Student's, from the statistic of each replication, and what doubt about the fitted model adds
to it (``fastsim.twin.model_doubt``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import fastsim
from fastsim.load.source import Source
from fastsim.model import ServiceModel
from fastsim.result import (
    CapacityFound,
    RequestTable,
    Run,
    RunProvenance,
    Summary,
)
from fastsim.scenario import (
    Deployment,
    Slo,
    TrafficPlan,
)
from fastsim.twin.advice import advise
from fastsim.twin.by_phase import judge_phases, overload_sentences, phase_results, phases_of
from fastsim.twin.capacity import (
    EVENT_LOOP,
    SATURATED,
    Capacity,
    capacity_of,
    find_capacity,
    looked_at_closer,
    uses,
)
from fastsim.twin.goals import judge, parse_goals
from fastsim.twin.metrics import IN_FLIGHT, OK, Measures
from fastsim.twin.model_doubt import ModelDoubt, doubt_of, has_doubt
from fastsim.twin.plan import ArrivalReplay, Plan
from fastsim.twin.planning import make_plan
from fastsim.twin.processes import Jobs, OnProgress, Processes, shared
from fastsim.twin.replicate import Replications, replicate, silent
from fastsim.twin.summaries import errors, loop, resource, series, summary
from fastsim.twin.trust import Overload, arrivals_per_s, doubts, find_overload
from fastsim.twin.warmup import LONGER, TIMES, still_filling

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
    jobs: Jobs = 1,
    on_progress: OnProgress | None = None,
    arrivals: ArrivalReplay | None = None,
    source: Source | None = None,
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
        See ``fastsim.twin.replicate``.
    arrivals
        Repeat these arrivals instead of drawing them.
    source
        What ``traffic`` names as its source, read.
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
        model,
        traffic or TrafficPlan(),
        deployment or Deployment(),
        arrivals,
        source=source,
        doubtful=doubtful,
    )
    warmed = arrivals is not None or plan.has_a_course
    warmed = warmed or (traffic is not None and traffic.warmup is not None)
    with shared(jobs) as processes:
        simulated = _simulated(
            plan,
            replications=replications,
            seed=seed,
            jobs=processes,
            on_progress=on_progress or silent,
            keep=keep,
            warmed=warmed,
            with_doubt=with_doubt,
        )
        return _answered(
            *simulated, goals, jobs=processes, with_table=with_table, with_advice=with_advice
        )


def _simulated(
    plan: Plan,
    *,
    replications: int,
    seed: int,
    jobs: Processes,
    on_progress: OnProgress,
    keep: bool,
    warmed: bool,
    with_doubt: bool,
) -> tuple[Replications, ModelDoubt, Overload | None]:
    """Simulate until the service is warm, unless it is said how, and with other models."""
    twice = with_doubt and has_doubt(plan)
    for _ in range(TIMES):
        found = replicate(
            plan,
            replications=replications,
            seed=seed,
            jobs=jobs,
            on_progress=lambda done, total: on_progress(done, total * (1 + twice)),
            keep=keep,
        )
        overload = find_overload(found)
        if warmed or overload is not None or found.stopped or not still_filling(found):
            break
        plan = replace(plan, warmup_s=LONGER * plan.warmup_s)
    doubt = ModelDoubt(found)
    if twice and overload is None and not found.stopped:
        found, doubt = doubt_of(
            found,
            jobs=jobs,
            on_progress=lambda done, total: on_progress(total + done, 2 * total),
            keep=keep,
        )
    return found, doubt, overload


def _answered(
    found: Replications,
    doubt: ModelDoubt,
    overload: Overload | None,
    goals: Sequence[Slo],
    *,
    jobs: Processes,
    with_table: bool,
    with_advice: bool,
) -> Forecast:
    """Say what the simulations mean."""
    plan, seed = found.plan, found.seed
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
        advice=advise(found, goals, seed=seed, jobs=jobs) if with_advice and waits else [],
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
    if not known:
        return None
    return looked_at_closer(known[len(known) // 2], found.plan, seed=seed)


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
