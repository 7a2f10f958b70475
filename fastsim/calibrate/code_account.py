"""What code costs in the mean where it was recorded: the twin's must be what the recording's was.

How idle the loop was and how warm the code, the twin finds by itself, and finds a little otherwise:
a machine has moods, which make code dear and the loop busy at once. At the recorded load the mean
cost is known, so there the laws of code are scaled by what the twin's differs.
"""

from collections.abc import Sequence

import numpy as np

from fastsim.calibrate.closing import Replay
from fastsim.calibrate.cold import on_a_busy_loop
from fastsim.calibrate.growth import unsampled
from fastsim.calibrate.observed import Chunk, ObservedStep, walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.sampled import ALL_RECORDED
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import ColdCost, ServiceModel
from fastsim.twin.processes import Processes
from fastsim.twin.whatif import with_loop_cpu_scaled

REPLAYS = 2
"""The mean cost of code varies by a few thousandths between them."""


def recorded_cost(endpoints: Sequence[ObservedEndpoint], cold: ColdCost) -> float:
    """Return what code took, of what it takes on a busy loop when it has not run for long."""
    runs: list[ObservedStep | Chunk] = []
    for variant in (variant for endpoint in endpoints for variant in endpoint.variants):
        for step in (step for steps in variant.requests for step in walk(steps)):
            if step.do == "cpu":
                runs.append(step)
            runs += step.chunks
    cpu, idle, warm = (
        np.array([getattr(run, name) for run in runs], np.float64)
        for name in ("cpu_s", "idle_share", "warm")
    )
    alone_s = float(on_a_busy_loop(cold, cpu, idle, warm).sum())
    return float(cpu.sum()) / alone_s if alone_s > 0.0 else 1.0


def with_recorded_cost(
    model: ServiceModel,
    requests: RequestSet,
    endpoints: Sequence[ObservedEndpoint],
    jobs: Processes | None = None,
) -> ServiceModel:
    """Return the model with code that costs, replayed, in the mean what it cost when recorded.

    Of a sample, which cannot be replayed, nobody knows.
    """
    cold = model.loop.cold
    if not cold.matters or unsampled(requests) > ALL_RECORDED:
        return model
    twin = Replay(model, requests, jobs).code_cost(model, REPLAYS)
    return with_loop_cpu_scaled(model, recorded_cost(endpoints, cold) / twin)
