"""Rare long stops of the whole loop: full garbage collections above all.

A Python service that has imported much stops for 100 ms when the garbage collector looks at
everything, every few hundred requests, inside whatever code happens to allocate. A law
fitted to that code would either be bent by the few stops or ignore them. They are taken out
of the steps and become a law of their own: how likely per request, and how long.
"""

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import Pauses

FloatArray = npt.NDArray[np.float64]

LEAST_S = 0.02
LEAST_RATIO = 8.0
FEWEST = 2
"""One stop may be anything; two are a habit."""
MOST = 0.02
"""Share of a step's runs that can be stops: more often, that is how long the code takes."""


def is_pause(cpu_s: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which runs of one step hold a stop: long, far beyond the typical run, and rare.

    Between them and the others lies a gap. A law with a heavy tail has none: of each size it
    has more runs than of twice that size.
    """
    limit = max(LEAST_S, LEAST_RATIO * float(np.median(cpu_s)))
    beyond = cpu_s > limit
    count, below = int(beyond.sum()), int((cpu_s > limit / 2.0).sum()) - int(beyond.sum())
    if count > max(MOST * len(cpu_s), 1.0) or below >= max(count, 1):
        return np.zeros(len(cpu_s), np.bool_)
    return beyond


def without_pauses(cpu_s: FloatArray) -> FloatArray:
    """Return the runs with stops replaced by the typical run."""
    return np.where(is_pause(cpu_s), np.median(cpu_s), cpu_s)


def fit_pauses(endpoints: list[ObservedEndpoint]) -> Pauses:
    """Find how often requests are stopped and for how long; none when there is one at most."""
    lengths: list[FloatArray] = []
    requests = 0
    for variant in (variant for endpoint in endpoints for variant in endpoint.variants):
        requests += len(variant.requests)
        for steps, _ in variant.columns():
            if steps[0].do == "cpu":
                cpu = np.array([step.cpu_s for step in steps])
                lengths.append(cpu[is_pause(cpu)] - np.median(cpu))
    found = np.concatenate(lengths) if lengths else np.zeros(0)
    if len(found) < FEWEST:
        return Pauses()
    law = fit_distribution(found, np.zeros_like(found))
    return Pauses(per_request=len(found) / requests, time=law)
