"""What other processes took of the event loop's time while it was recorded.

The kernel counts how long the loop's thread was ready to run and had no core. The process's own
threads keep it waiting, too, while they have all of its cores, so by no more than they ran over the
number of cores: what is beyond was others'. How much changed over the recording says how well the
mean is known: others come and go.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim import spans
from fastsim.calibrate.growth import processes, rested
from fastsim.calibrate.requests import RequestSet

FloatArray = npt.NDArray[np.float64]

LEAST = 0.01
"""Share of the busy time below which it is what interrupts and the clock's ticks leave."""
MOST = 0.9
"""What others took at most."""
STRETCHES = (4, 8, 16)
LEAST_STRETCH_S = 1.0
"""The recorder asks the kernel ten times a second."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What others took of the loop's busy time."""

    share: float
    """Of the busy time, 0 to 1."""
    error: float
    """Standard error of the mean speed, relative, by how much that share changed."""


def fit_taken(requests: RequestSet) -> Taken | None:
    """Measure it; None where the recording does not say."""
    found = [_growth(requests, rows) for rows in processes(requests)]
    counted = [each for each in found if each is not None]
    if not counted or len(counted) < len(found):
        return None
    length_s, busy_s, waited_s, own_s = np.concatenate(counted, axis=1)
    total_s = float(busy_s.sum())
    if total_s <= 0.0:
        return None
    # Own threads make the loop wait where both want to run.
    own = min(float(own_s.sum()), float(waited_s.sum())) / total_s
    share = float(waited_s.sum()) / total_s - own
    if share < LEAST:
        return Taken(0.0, 0.0)
    return Taken(min(share, MOST), _error(length_s, busy_s, waited_s - own * busy_s))


def _growth(requests: RequestSet, rows: npt.NDArray[np.int64]) -> FloatArray | None:
    """Return what was counted between the readings of one process, shape (4, n).

    Length, busy time of the loop, its time without a core, and how much of that the process's other
    threads may have been; seconds.
    """
    end_ns = requests.start_ns[rows] + requests.duration_ns[rows]
    waited = requests.counters[spans.CORE_WAIT_NS][rows]
    rows, end_ns, waited = rows[waited >= 0], end_ns[waited >= 0], waited[waited >= 0]
    if len(rows) < 2:
        return None
    loop = requests.counters[spans.LOOP_CPU_NS][rows]
    busy = requests.counters[spans.LOOP_BUSY_NS][rows]
    if busy.min() < 0:  # uvloop: what is known is when it ran and when it wanted to
        busy = loop + waited
    cores = requests.instances[int(requests.instance[rows[0]])].facts.get(spans.PROCESS_CORES)
    threads = np.maximum(requests.counters[spans.PROCESS_CPU_NS][rows] - loop, 0)
    own = threads // (cores if isinstance(cores, int) and cores > 0 else 1)
    kept = ~rested(requests, rows)
    grown: FloatArray = np.diff(np.stack([end_ns, busy, waited, own]))[:, kept] / 1e9
    return grown


def _error(length_s: FloatArray, busy_s: FloatArray, others_s: FloatArray) -> float:
    """Return the standard error of the mean speed, from the means of few long stretches.

    The largest of several lengths: who comes and goes slowly shows in long ones only.
    """
    at_s = np.cumsum(length_s)
    found = [0.0]
    for count in STRETCHES:
        if at_s[-1] < count * LEAST_STRETCH_S:
            continue
        stretch = np.minimum((at_s * count / at_s[-1]).astype(np.int64), count - 1)
        total_s = np.bincount(stretch, busy_s)
        others = np.maximum(np.bincount(stretch, others_s), 0.0)
        used_s = np.maximum(total_s - others, (1.0 - MOST) * total_s)
        slower = (others / np.maximum(used_s, 1e-12))[used_s > 0.0]
        weight = used_s[used_s > 0.0] / used_s.sum()
        mean = float(weight @ slower)
        variance = float(weight @ (slower - mean) ** 2) / max(len(slower) - 1, 1)
        found.append(math.sqrt(variance) / (1.0 + mean))
    return min(max(found), 1.0)
