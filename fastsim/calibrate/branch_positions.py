"""Whether tasks of one code, started together, take different times by their place among them.

``gather(fetch(a), fetch(b), fetch(c))`` runs the same lines three times, for three things. Under
one law for all, the slow one would be any of them, and the slowest of three another than it is.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from fastsim.calibrate.observed import ObservedStep

FloatArray = npt.NDArray[np.float64]

CHANCE = 1e-4
"""How likely alike places may be taken for different ones."""
LEAST_DIFFERENCE = 1.05
"""The slowest place over the fastest, in the median: less changes no answer."""
MOST_PLACES = 8
"""Tasks in a row that are told apart; a model must stay readable."""
LEAST_REQUESTS = 50

Branches = Sequence[tuple[ObservedStep, ...]]


def places_differ(branches: Sequence[Branches]) -> bool:
    """Tell whether the tasks of requests differ by their place among those started together.

    Kruskal and Wallis' test on how long tasks take, without the queueing that is known. Tasks of
    one request are slow together, if anything, which makes it say so less often.

    Parameters
    ----------
    branches
        Of each request the tasks of one code, in the order in which they were started.
    """
    counts = {len(each) for each in branches}
    if len(counts) != 1 or len(branches) < LEAST_REQUESTS:
        return False
    [count] = counts
    if not 2 <= count <= MOST_PLACES:
        return False
    times_s = np.array([[_length_s(branch) for branch in each] for each in branches])
    medians = np.median(times_s, axis=0)
    if float(medians.max()) <= LEAST_DIFFERENCE * max(float(medians.min()), 1e-9):
        return False
    return bool(stats.kruskal(*times_s.T).pvalue < CHANCE)


def _length_s(branch: Sequence[ObservedStep]) -> float:
    """Return how long a task takes, without the middle of the queueing it may have met.

    Nor with waits for slots: who is started later stands in line behind the others.
    """
    length_s = 0.0
    for step in branch:
        if step.do == "wait":
            length_s += step.wall_s - (step.bound_s + step.late_s) / 2.0
        elif step.do != "acquire":
            length_s += step.wall_s
    return length_s
