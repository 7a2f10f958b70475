"""What the obvious changes of the deployment would do at the load that was asked for.

Each is simulated beside the deployment as it is, with the same random numbers, so that what
differs is what was changed. The one that helps most says where the bottleneck is, whatever
looks busiest.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from fastsim.result import Advice, Effect
from fastsim.scenario import ResolvedDeployment, Slo
from fastsim.twin.by_phase import parts_of
from fastsim.twin.capacity import overloaded
from fastsim.twin.metrics import PROCESSOR, THREAD_POOL
from fastsim.twin.plan import Plan
from fastsim.twin.processes import Jobs
from fastsim.twin.replicate import Replications, replicate
from fastsim.twin.statistics import METRICS
from fastsim.units import format_rate

_USED = 0.25
"""Utilisation below which more of something is no idea worth a simulation."""
_REPLICATIONS = 3
_REQUESTS = 4_000
_SHORTEST_S = 10.0
_HELPS = 0.9
"""Times the value as it is that a change must reach to be called a help."""

OnTry = Callable[[int, int], None]


def advise(
    found: Replications,
    goals: Sequence[Slo] = (),
    *,
    seed: int,
    jobs: Jobs = 1,
    on_try: OnTry = lambda _done, _total: None,
) -> list[Advice]:
    """Try more workers, slots and threads; most helpful first.

    Parameters
    ----------
    found
        The deployment as it is, at the load asked for.
    goals
        The first one on a latency is watched; p95 of the total without any.
    on_try
        Called with (done, all) after each change.
    """
    plan = found.plan
    watched = next((goal for goal in goals if goal.metric in METRICS), None)
    changes = _changes(found)
    if not changes:
        return []
    base = _value(_simulate(plan, plan.deployment, seed, jobs), watched)
    tried = []
    for number, (text, deployment) in enumerate(changes, start=1):
        value = _value(_simulate(plan, deployment, seed, jobs), watched)
        tried.append(
            Advice(
                change=text,
                metric=watched.metric if watched else "p95",
                endpoint=watched.endpoint if watched else None,
                value=value,
                before=base,
                effect=_effect(value, base, watched),
            )
        )
        on_try(number, len(changes))
    return sorted(tried, key=lambda each: np.inf if each.value is None else each.value)


def _effect(value: float | None, base: float | None, goal: Slo | None) -> Effect:
    if value is None:
        return "still overloaded"
    if goal is not None and value < goal.limit:
        return "meets the goal"
    if base is None or value < _HELPS * base:
        return "helps"
    return "does not help"


def _changes(found: Replications) -> list[tuple[str, ResolvedDeployment]]:
    """Return what could be tried, in words and as a deployment."""
    deployment = found.plan.deployment
    changes = []
    if float(found.each(lambda run: run.loop.utilisation).mean()) >= _USED:
        changes.append(_more_processes(deployment))
    used = {
        name: float(np.mean([run.resources[name].utilisation for run in found.runs]))
        for name in found.runs[0].resources
    }
    return [
        *changes,
        *(_more_slots(name, deployment) for name, share in used.items() if share >= _USED),
    ]


def more_of(full: str, deployment: ResolvedDeployment) -> list[tuple[str, ResolvedDeployment]]:
    """Return what may help where something is full: more of it, and more processes."""
    changes = [_more_processes(deployment)]
    if full in {THREAD_POOL, PROCESSOR} or full in {*deployment.limits, *deployment.resources}:
        changes.insert(0, _more_slots(full, deployment))
    return changes


def _more_slots(name: str, deployment: ResolvedDeployment) -> tuple[str, ResolvedDeployment]:
    """Return a deployment with twice as much of something."""
    if name == THREAD_POOL:
        tokens = 2 * deployment.thread_tokens
        return f"thread_tokens={tokens}", deployment.model_copy(update={"thread_tokens": tokens})
    if name == PROCESSOR:
        return _more_processor(deployment)
    if name in deployment.limits:
        limit = deployment.limits[name]
        rate = 2.0 * (limit.rate or 0.0)
        limits = deployment.limits | {name: limit.model_copy(update={"rate": rate})}
        return f"{name}={format_rate(rate)}", deployment.model_copy(update={"limits": limits})
    slots = 2 * deployment.resources[name]
    resources = deployment.resources | {name: slots}
    return f"{name}={slots}", deployment.model_copy(update={"resources": resources})


def _more_processes(deployment: ResolvedDeployment) -> tuple[str, ResolvedDeployment]:
    """Return one more replica where there are several, else one more worker, on its own core."""
    if deployment.replicas > 1:
        replicas = deployment.replicas + 1
        return f"replicas={replicas}", deployment.model_copy(update={"replicas": replicas})
    workers = deployment.workers + 1
    cores = max(deployment.cores, workers)
    text = f"workers={workers}"
    if cores != deployment.cores:
        text += f" cores={cores}"
    return text, deployment.model_copy(update={"workers": workers, "cores": cores})


def _more_processor(deployment: ResolvedDeployment) -> tuple[str, ResolvedDeployment]:
    quota = deployment.cpu_quota
    if quota is not None and quota < deployment.cores:
        more = min(2.0 * quota, float(deployment.cores))
        return f"cpu_quota={more:g}", deployment.model_copy(update={"cpu_quota": more})
    cores = deployment.cores + 1
    return f"cores={cores}", deployment.model_copy(update={"cores": cores})


def _simulate(plan: Plan, deployment: ResolvedDeployment, seed: int, jobs: Jobs) -> Replications:
    duration_s = plan.duration_s
    if not plan.has_a_course:
        duration_s = min(duration_s, max(_SHORTEST_S, _REQUESTS / plan.rate_per_s))
    changed = replace(plan, deployment=deployment, duration_s=duration_s, replay=None)
    return replicate(changed, replications=_REPLICATIONS, seed=seed, jobs=jobs)


def _value(found: Replications, goal: Slo | None) -> float | None:
    """Return the value watched, seconds, in the worst phase of the traffic.

    None under overload or without an answer.
    """
    steady = found.plan.open_and_steady
    if steady and np.mean([overloaded(run) for run in found.runs]) >= 0.5:
        return None
    metric, endpoint = (
        METRICS.index(goal.metric if goal else "p95"),
        goal.endpoint if goal else None,
    )
    values = [float(part.pooled_statistics(endpoint)[metric]) for part in parts_of(found)]
    return max((value for value in values if np.isfinite(value)), default=None)
