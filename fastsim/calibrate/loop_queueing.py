"""Take out of waits what the event loop made of them, where spans do not show it one by one.

A wait without a span, and any wait where the loop's other work is not seen, contains queueing for
the loop. The twin queues again, so its requests take longer than the recorded ones by just that:
replaying the recording says how much, and the waits of each endpoint are shortened by it.
"""

import numpy as np

from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.selfcheck import replayed_means
from fastsim.distributions import scaled
from fastsim.means import step_mean_s
from fastsim.model import Endpoint, ServiceModel, Step, WaitStep
from fastsim.program import all_steps

ROUNDS = 3
ENOUGH = 0.01
"""Endpoints whose mean is so near are left as they are."""
SHORTEST = 0.3
"""No wait is taken for less than this part of what was recorded."""


def without_queueing(model: ServiceModel, requests: RequestSet, *, seed: int = 1) -> ServiceModel:
    """Return the model whose waits are short enough to give the recorded mean latencies."""
    for number in range(ROUNDS):
        excess = replayed_means(model, requests, seed=seed + number)
        longer = {
            name: twin_s - live_s
            for name, (live_s, twin_s) in excess.items()
            if twin_s > (1.0 + ENOUGH) * live_s and np.isfinite(twin_s)
        }
        if not longer:
            break
        model = model.model_copy(
            update={
                "endpoints": [
                    _shortened(endpoint, longer.get(endpoint.name, 0.0))
                    for endpoint in model.endpoints
                ]
            }
        )
    return model


def _shortened(endpoint: Endpoint, by_s: float) -> Endpoint:
    waits_s = sum(
        variant.share * step_mean_s(step)
        for variant in endpoint.variants
        for step in all_steps(variant.steps)
        if isinstance(step, WaitStep)
    )
    if by_s <= 0.0 or waits_s <= 0.0:
        return endpoint
    factor = max(1.0 - by_s / waits_s, SHORTEST)

    def shorten(step: Step) -> Step:
        if isinstance(step, WaitStep):
            return step.model_copy(update={"time": scaled(step.time, factor)})
        return step

    return endpoint.with_steps(shorten)
