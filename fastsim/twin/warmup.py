"""How long a simulation has to run before it is steady: found from the service, and looked for.

A service that begins empty fills for as long as its requests last: answers of half a minute keep
arriving for half a minute before as many are in flight as will be. Queues take longer the busier
the service is; whether they still grow is seen in the simulation itself.
"""

import math
from collections.abc import Mapping

import numpy as np

from fastsim.model import ServiceModel
from fastsim.scenario import ResolvedDeployment
from fastsim.twin.engine import simulate
from fastsim.twin.replicate import Replications
from fastsim.twin.sampling import sample_apart
from fastsim.twin.statistics import student_quantile

SHORTEST_S = 5.0
LONGEST_S = 600.0
EMPTY = 0.01
"""A service is full when all but this part of what will be in flight is there."""
LONGER, TIMES = 3.0, 3
"""By how much a warm-up grows that was too short, and how often."""

_REQUESTS = 200
_GROWN = 0.02
_SURE = 0.98


def filling_s(
    model: ServiceModel, mix: Mapping[str, float], deployment: ResolvedDeployment
) -> float:
    """Return how long an empty service takes to fill, seconds, 10 minutes at most.

    Of all that is in flight in the long run, a part ``E[max(S - t, 0)] / E[S]`` has been there for
    longer than ``t``, where ``S`` is how long a request lasts, background work included.
    """
    shares = mix or {endpoint.name: endpoint.share for endpoint in model.endpoints}
    if sum(shares.values()) <= 0.0:
        return 0.0
    alone = model.model_copy(update={"loop": model.loop.model_copy(update={"background": []})})
    drawn = sample_apart(alone, _REQUESTS, mix)
    lasts_s = simulate(drawn, deployment, alone.loop).done_s - drawn.arrival_s
    lasts_s = lasts_s[np.isfinite(lasts_s)]
    if not len(lasts_s) or not lasts_s.sum() > 0.0:
        return 0.0
    low, high = 0.0, float(lasts_s.max())
    while high - low > 0.01 * high:
        middle = (low + high) / 2.0
        empty = np.maximum(lasts_s - middle, 0.0).sum() > EMPTY * lasts_s.sum()
        low, high = (middle, high) if empty else (low, middle)
    return min(high, LONGEST_S)


def still_filling(found: Replications) -> bool:
    """Tell whether more was surely in flight in the second half than in the first quarter.

    By more than 2 %, and by more than chance in all replications together (one-sided, 1 %).
    """
    in_flight = np.array([run.windows.in_flight for run in found.runs])
    runs, windows = in_flight.shape
    if runs < 2 or windows < 4:
        return False
    late = in_flight[:, windows // 2 :].mean(axis=1)
    rises = late - in_flight[:, : windows // 4].mean(axis=1)
    error = float(rises.std(ddof=1)) / math.sqrt(runs)
    sure = float(rises.mean()) > student_quantile(runs - 1, _SURE) * error
    return sure and float(rises.mean()) > _GROWN * float(late.mean())
