"""How far doubt about the model moves a limit: trials with models it may as well have been.

As in ``fastsim.twin.model_doubt``, replications that share their draws differ by the model alone.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastsim.twin.model_doubt import half_of
from fastsim.twin.trial import Trial

FloatArray = npt.NDArray[np.float64]
BUSY = 0.8
"""Part of the saturation load at which the use of what is full first tells how far it is."""

AROUND = (0.6, 0.75, 0.9, 1.0, 1.1, 1.25)
"""Loads, as parts of the limit, between which other models have theirs."""

NEAREST = (2, 5)
"""Those of them that are tried in any case."""


def saturation_doubt(usual: Trial, other: Trial) -> float:
    """Return how far the saturation load may be moved, as a logarithm.

    By the use of what is full first at ``BUSY`` of that load, with the model and with others: it is
    the demand of a request on it times the load.
    """
    return half_of(np.log(np.maximum(usual.uses, 1e-9)) - np.log(np.maximum(other.uses, 1e-9)))


def limit_doubt(
    attempt: Callable[[float], Trial], limit_per_s: float, usual_per_s: FloatArray
) -> float:
    """Return how far the limit may be moved, as a logarithm.

    Parameters
    ----------
    attempt
        Tries a load, requests per second, with other models.
    limit_per_s
        The limit of all replications together.
    usual_per_s
        Shape (replications,): that of each with the model as it is.
    """
    low, high = NEAREST
    found = {part: attempt(part * limit_per_s).margins for part in AROUND[low:high]}
    # Farther off only where some other model has its limit there.
    while low > 0 and (found[AROUND[low]] >= 1.0).any():
        low -= 1
        found[AROUND[low]] = attempt(AROUND[low] * limit_per_s).margins
    while high < len(AROUND) and (found[AROUND[high - 1]] < 1.0).any():
        found[AROUND[high]] = attempt(AROUND[high] * limit_per_s).margins
        high += 1
    rates = np.array(AROUND[low:high]) * limit_per_s
    margins = np.array([found[part] for part in AROUND[low:high]])
    each = np.array([crossing_of(rates, column, float(rates[-1])) for column in margins.T])
    return half_of(np.log(each / np.maximum(usual_per_s, 1e-9)))


def crossing_of(rates: FloatArray, margins: FloatArray, highest: float) -> float:
    """Return the load at which the logarithm of a margin passes 0, from the first that misses.

    Parameters
    ----------
    rates, margins
        Shape (loads,), in order of the load.
    highest
        What is returned if none misses.
    """
    missed = np.flatnonzero(margins >= 1.0)
    if not len(missed):
        return highest
    first = int(missed[0])
    if first == 0:
        return float(rates[0])
    low, high = float(rates[first - 1]), float(rates[first])
    if not math.isfinite(margins[first]):
        return (low + high) / 2.0
    below, above = np.log(max(margins[first - 1], 1e-9)), np.log(margins[first])
    return low + (high - low) * float(-below / max(above - below, 1e-12))
