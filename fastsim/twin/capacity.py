"""From which load something is full, and what that is: event loop, pool or thread pool.

The demand of a request on a resource is its busy time per request, taken from a simulation in
which nothing is full: under overload the holders of one resource wait for another, and
everything looks full. Capacity is the load at which the demand on the busiest one fills it.
"""

import math
from dataclasses import dataclass, replace

from fastsim.twin.metrics import PROCESSOR, THREAD_POOL, Measures
from fastsim.twin.plan import Plan
from fastsim.twin.simulation import simulate_once

EVENT_LOOP = "event loop"
SATURATED = 0.98
"""Utilisation from which a loop or resource is taken for full."""
GROWING = 0.005
"""Share of the arrivals that must pile up to speak of overload."""

_PROBES = 8
_ENOUGH_USE = 0.6
"""Utilisation from which a simulation says what the resource can do when it is full."""
_PROBE_USE = 0.8
"""Utilisation that is looked for to hear it."""
_REQUESTS = 2_000
_SHORTEST_S = 5.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """The load from which a deployment is full."""

    per_s: float
    resource: str
    demand_s: float
    """Seconds that a request keeps the resource (one slot of it) busy."""

    @property
    def subject(self) -> str:
        """The resource, as a sentence begins with it."""
        named = self.resource in {EVENT_LOOP, PROCESSOR, THREAD_POOL}
        return f"the {self.resource}" if named else self.resource


def uses(run: Measures) -> dict[str, float]:
    """Return the utilisation of event loop and resources, by name."""
    found = {EVENT_LOOP: run.loop.utilisation}
    return found | {name: use.utilisation for name, use in run.resources.items()}


def busiest(run: Measures) -> tuple[str, float]:
    """Return name and utilisation of what is busiest; the loop among equals.

    A pool fills up behind a full loop, hardly the other way round.
    """
    name, use = max(uses(run).items(), key=lambda item: min(item[1], SATURATED))
    return name, use


def overloaded(run: Measures, share: float = GROWING) -> bool:
    """Tell whether a share of the requests piled up in one simulation: something was full."""
    growing = run.growth_per_s > share * len(run.at_s) / run.duration_s
    return busiest(run)[1] >= SATURATED and growing


def capacity_of(run: Measures, processes: int) -> Capacity | None:
    """Return the capacity that a simulation in which nothing is full implies."""
    rate_per_s = len(run.at_s) / run.duration_s
    name, use = busiest(run)
    if use <= 0.0 or rate_per_s <= 0.0:
        return None
    if name == EVENT_LOOP:
        slots = float(processes)
    else:
        slots = float(run.resources[name].capacity * run.resources[name].copies)
    return Capacity(rate_per_s / use, name, use * slots / rate_per_s)


def find_capacity(plan: Plan, *, seed: int, start_per_s: float | None = None) -> Capacity | None:
    """Search a load at which the busiest resource is well used but not full; None if none is.

    Parameters
    ----------
    plan
        Arrivals to replay are not used.
    start_per_s
        Where the search starts; at the plan's rate when None.
    """
    rate = plan.rate_per_s if start_per_s is None else start_per_s
    found: Capacity | None = None
    for _ in range(_PROBES):
        steady = replace(plan, replay=None, source=None, doubtful=False)
        probe = steady.lasting(max(_SHORTEST_S, _REQUESTS / rate), rate)
        run = simulate_once(probe, seed)
        if overloaded(run) or busiest(run)[1] >= SATURATED:
            rate /= 2.0
            continue
        found = capacity_of(run, plan.deployment.processes)
        if found is None or busiest(run)[1] >= _ENOUGH_USE:
            return found
        closer = _PROBE_USE * found.per_s
        if not math.isfinite(closer) or closer <= rate:
            return found
        rate = closer
    return found


def looked_at_closer(found: Capacity, plan: Plan, *, seed: int) -> Capacity:
    """Return what a busier simulation says, where a quiet one does not tell.

    Code is dearer on an idle loop, and cheaper that ran just now: how much a full one can do is not
    in proportion.
    """
    told = plan.rate_per_s >= _ENOUGH_USE * found.per_s
    if told or not plan.model.loop.cold.matters or plan.users is not None:
        return found
    return find_capacity(plan, seed=seed, start_per_s=_PROBE_USE * found.per_s) or found
