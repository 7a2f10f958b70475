"""Twin against live on a machine as fast as live's was.

Most of what a comparison cannot tell is the machine: a few per cent of CPU are much latency on a
busy loop. Where the live run was recorded, how long its event loops were busy for a request is
known, and replications, each on a processor of its own, say how latency goes with that: the
regression of each value on it, straight and square, read off where live was (the adjustment of
approximate Bayesian computation; Beaumont, Zhang and Balding, Genetics 162, 2002). What is left
beside it is what replications on that machine would differ by.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastsim.twin.equivalence import Compared
from fastsim.twin.replicate import Replications

Floats = NDArray[np.float64]

FEWEST = 20
"""Replications from which a regression of three numbers is trusted."""
_PARAMETERS = 3


def busy_per_request_s(found: Replications) -> Floats:
    """Return how long the event loops were busy for a request in each replication, seconds."""
    loops = found.plan.deployment.processes
    return found.each(
        lambda run: loops * run.loop.utilisation * run.duration_s / max(len(run.at_s), 1)
    )


def within_reach(busy_s: Floats, live_s: float) -> bool:
    """Tell whether live was as busy as some replications: beyond them nothing is read off."""
    enough = len(busy_s) >= FEWEST and float(np.ptp(busy_s)) > 0.0
    return enough and float(busy_s.min()) <= live_s <= float(busy_s.max())


def at_equal_cpu(value: Compared, busy_s: Floats, live_s: float) -> Compared | None:
    """Return a value as it would be in replications that are as busy as live.

    Parameters
    ----------
    busy_s
        Of each replication, per request; ``within_reach`` of ``live_s``.

    Returns
    -------
    None for a value that is not known in every replication, or is 0.
    """
    if value.twin is None or not value.log or not np.isfinite(value.twin).all():
        return None
    away = np.log(busy_s / live_s)
    scale = float(away.std())
    design = np.vander(away / scale, _PARAMETERS, increasing=True)
    found, *_ = np.linalg.lstsq(design, value.twin, rcond=None)
    left = value.twin - design @ found
    # Three numbers were fitted to them, and the first is known no better than this.
    doubt = float(np.linalg.pinv(design.T @ design)[0, 0])
    runs = len(left)
    left *= np.sqrt((1.0 + doubt) * runs / (runs - _PARAMETERS))
    centre = float(found[0])
    return replace(value, centre=centre, twin=centre + left)
