"""The least that requests ask of loops, cores and slots: too much of it needs no simulation.

One run of the service on which no request meets another tells how long a request's code runs and
how long it holds a slot. Under load the same takes longer, never less: overheads, idle caches and
queues come on top. A deployment that could not do that much, at the rate asked for, is overloaded.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fastsim.loop_costs import ColdCost, Wander
from fastsim.scenario import Network, ResolvedDeployment
from fastsim.twin.engine import simulate
from fastsim.twin.plan import Plan
from fastsim.twin.sampling import sample_apart

_REQUESTS = 4000
_NEVER_S = 1e12
_SURE = 3.0
"""Standard errors by which a mean may be too high by chance."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request needs at least, in the mean, seconds."""

    code_s: float
    """On the event loop, and so of a core."""
    held_s: Mapping[str, float]
    """Of a slot of each resource."""

    def use_of(self, deployment: ResolvedDeployment, rate_per_s: float) -> float:
        """Return the least use of what is used most; above 1 it cannot be done."""
        cores = min(float(deployment.cores), deployment.cpu_quota or math.inf)
        loops = min(float(deployment.workers), cores) * deployment.replicas
        uses = [rate_per_s * self.code_s / loops]
        for name, held_s in self.held_s.items():
            copies = deployment.copies(deployment.scopes.get(name, "worker"))
            slots = deployment.resources.get(name, 1) * copies
            uses.append(rate_per_s * held_s / max(slots, 1))
        return max(uses)


def least_demand(plan: Plan) -> Demand:
    """Return what the requests of a plan need at least, as far as chance goes, too.

    All code is warm then.
    """
    model = plan.model
    cold = ColdCost(less=model.loop.cold.less, reach=model.loop.cold.reach, forgets=_NEVER_S)
    quiet = {"background": [], "cold": cold, "wander": Wander()}
    alone = model.model_copy(update={"loop": model.loop.model_copy(update=quiet)})
    deployment = plan.deployment.model_copy(
        update={
            "replicas": 1,
            "workers": 1,
            "cores": 64,
            "cpu_quota": None,
            "limit_concurrency": None,
            "network": Network(),
            "scopes": {},
        }
    )
    drawn = sample_apart(alone, _REQUESTS, plan.mix)
    found = simulate(drawn, deployment, alone.loop)
    stations = drawn.program.stations
    held = found.resource_busy_s[: len(stations)] / max(len(drawn), 1)
    code = found.running_s[np.isfinite(found.respond_s)]
    if len(code) < 2:
        return Demand(0.0, {})
    relative = (
        _SURE * float(code.std(ddof=1)) / math.sqrt(len(code)) / max(float(code.mean()), 1e-12)
    )
    # Of how long slots are held only the sum is known; it is taken to vary as code does.
    surely = max(0.0, 1.0 - relative)
    return Demand(
        code_s=surely * float(code.mean()),
        held_s=dict(zip(stations, (surely * held).tolist(), strict=True)),
    )
