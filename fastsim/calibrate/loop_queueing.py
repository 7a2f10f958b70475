"""Take out of waits what the event loop made of them, where spans do not show it one by one.

A wait without a span, and any wait where the loop's other work is not seen, contains queueing for
the loop. The twin queues again, so its requests take longer than the recorded ones by just that:
replaying the recording says how much, and the waits of each endpoint are shortened by it.
"""

from collections.abc import Callable, Mapping

import numpy as np

from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.selfcheck import replayed_means
from fastsim.distributions import scaled
from fastsim.means import endpoint_mean_s
from fastsim.model import Constant, Endpoint, ServiceModel, Step, WaitStep

Means = Callable[[ServiceModel, int], Mapping[str, tuple[float, float]]]
"""Called with a model and how many came before."""

ROUNDS = 3
ENOUGH = 0.01
"""Endpoints whose mean is so near are left as they are."""
SHORTEST = 0.3
"""No wait is taken for less than this part of what was recorded."""


def without_queueing(model: ServiceModel, requests: RequestSet, *, seed: int = 1) -> ServiceModel:
    """Return the model whose waits are short enough to give the recorded mean latencies."""
    return shortened(
        model, lambda tried, number: replayed_means(tried, requests, seed=seed + number)
    )


def shortened(model: ServiceModel, means: Means) -> ServiceModel:
    """Return the model whose waits are short enough to give known mean latencies.

    Parameters
    ----------
    means
        Gives the mean latency of each endpoint, as known and as the model has it, seconds.
    """
    waits_s = {each.name: _waits_s(each) for each in model.endpoints}
    part = dict.fromkeys(waits_s, 1.0)
    found = model
    for number in range(ROUNDS):
        for name, (live_s, twin_s) in means(found, number).items():
            off_s = twin_s - live_s
            if abs(off_s) > ENOUGH * live_s and np.isfinite(off_s) and waits_s[name] > 0.0:
                part[name] = float(np.clip(part[name] - off_s / waits_s[name], SHORTEST, 1.0))
        endpoints = [
            each if part[each.name] >= 1.0 else _scaled(each, part[each.name])
            for each in model.endpoints
        ]
        if endpoints == found.endpoints:
            break
        found = model.model_copy(update={"endpoints": endpoints})
    return found


def _waits_s(endpoint: Endpoint) -> float:
    """Return what waits make of the mean of an endpoint, seconds."""
    return endpoint_mean_s(endpoint) - endpoint_mean_s(_scaled(endpoint, 0.0))


def _scaled(endpoint: Endpoint, factor: float) -> Endpoint:
    """Return an endpoint whose waits take so many times as long; none at 0."""

    def scale(step: Step) -> Step:
        if not isinstance(step, WaitStep):
            return step
        law = scaled(step.time, factor) if factor > 0.0 else Constant(value=0.0)
        return step.model_copy(update={"time": law})

    return endpoint.with_steps(scale)
