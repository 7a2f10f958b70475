"""Code that holds the event loop without using a core: ``time.sleep``, a synchronous call."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

BLOCKING_SHARE = 0.1
"""Code whose typical run spends less of its time off the processor is not blocking."""

BLOCKING_LEAST_S = 0.0005


def held(wall: FloatArray, cpu: FloatArray) -> tuple[FloatArray, float]:
    """Return how long the code holds the loop by its own doing, and the blocking share of that.

    Wall beyond CPU is either blocking (a synchronous call, every time) or the GIL and the
    processor taken away (now and then). The typical run tells them apart; what is taken
    away is not the code's own time, the twin makes it.
    """
    off = float(np.median(wall - cpu))
    typical = float(np.median(wall))
    if off < BLOCKING_LEAST_S or off < BLOCKING_SHARE * typical:
        return cpu, 0.0
    return wall, min(off / typical, 1.0)
