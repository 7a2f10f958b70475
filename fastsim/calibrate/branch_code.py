"""Code after calls that end while others of the same request go on: no gap shows it.

A branch of a ``gather`` runs on when its call is over, and meanwhile nothing else happens. So from
the end of such a call on fewer things happen than later on; for how long, is its code, in the mean
over all such ends of a place.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.gap_evidence import program_keys
from fastsim.calibrate.layouts import Layout

FloatArray = npt.NDArray[np.float64]

LEAST_ENDS = 30
PER_STEP = 25.0
"""Events that are usual, over all ends, in one step of time."""
STEPS = 2_000
MOST = 1.5
"""Times what is found without a line behind the code: where little happens, a line is a guess."""
OVER = 4.0
"""Times the mean of code at which it is over."""
SOONEST, LATEST, LENGTH = 0.6, 0.25, 0.4
"""Chances that nothing has become ready: at which code is taken to be over at the latest, until
which it is looked for, and what is left of the first one where no more is."""
_POINTS = 6
"""So many steps of time must lie between."""

Quiet = tuple[float, bool]
"""How long nothing happened, nanoseconds, and whether something of others ended that."""
After = tuple[float, float]
"""How long nothing at all happened after the end of a call, and how long no call of its own request
ended, nanoseconds."""


def branch_code(
    layouts: Sequence[Layout], endpoints: Sequence[int], instances: Sequence[int]
) -> list[list[float]]:
    """Return the mean code after a call of each group of calls that overlap, nanoseconds.

    Parameters
    ----------
    layouts, endpoints, instances
        One entry per request, as for ``weigh_gaps``; each instance is one event loop.
    """
    instance = np.asarray(instances, np.int64)
    keys = program_keys(layouts, endpoints)
    found: dict[object, list[tuple[int, float]]] = {}
    for number in np.unique(instance).tolist():
        rows = np.flatnonzero(instance == number).tolist()
        events = _Events(layouts, rows)
        # Each loop by itself: how often things happen is a matter of its load.
        after_ends: dict[object, list[After]] = {}
        after_begins: list[Quiet] = []
        for row in rows:
            for group, (_, over, calls) in enumerate(layouts[row].groups):
                ends = sorted({min(call.end_ns, over) for call in calls})
                began = max(call.start_ns for call in calls)
                # Others may run in the very moment in which a request has begun to wait.
                shared = events.shared(began, row)
                after_begins.append((0.0, True) if shared else events.quiet(began, ends))
                for end, later in itertools.pairwise(ends):
                    seen, _ = events.quiet(end, [later])
                    own = float(later - end)
                    after_ends.setdefault((keys[row], group), []).append((seen, own))
        for place, each in after_ends.items():
            if len(each) >= LEAST_ENDS:
                found.setdefault(place, []).append((len(each), _excess(each, after_begins)))
    code = {
        place: sum(ends * code_ns for ends, code_ns in each) / sum(ends for ends, _ in each)
        for place, each in found.items()
    }
    return [
        [code.get((keys[row], group), 0.0) for group in range(len(layout.groups))]
        for row, layout in enumerate(layouts)
    ]


class _Events:
    """All times at which spans of an instance begin or end, and whose they are."""

    def __init__(self, layouts: Sequence[Layout], rows: Sequence[int]) -> None:
        found: list[tuple[int, int]] = []
        for row in rows:
            times = [layouts[row].start_ns, layouts[row].end_ns]
            for begin, over, calls in layouts[row].groups:
                times += (begin, over)
                if len(calls) > 1:
                    times += [call.start_ns for call in calls] + [call.end_ns for call in calls]
            found += [(at, row) for at in times]
        found.sort()
        self._at = [at for at, _ in found]
        self._row = [row for _, row in found]

    def shared(self, at: int, row: int) -> bool:
        """Tell whether it is the time of events of others."""
        same = slice(bisect_left(self._at, at), bisect_right(self._at, at))
        return any(other != row for other in self._row[same])

    def quiet(self, at: int, own: Sequence[int]) -> Quiet:
        """Return how long nothing of others happens, up to the request's own next event."""
        limit = next((end for end in own if end > at), at)
        after = bisect_right(self._at, at)
        if after < len(self._at) and self._at[after] < limit:
            return float(self._at[after] - at), True
        return float(limit - at), False


def _excess(seen: Sequence[After], usual: Sequence[Quiet]) -> float:
    """Return the mean code after ends, nanoseconds.

    Things become ready at a rate ``r``. What became ready while code ran happens right after it,
    and so does what stood in line behind it, by chance ``1 - q``. So nothing has happened by ``t``
    if code runs then still, or if nothing was in line and nothing became ready::

        P(nothing by t) = P(code > t) + P(code <= t) q exp(-r t)

    When the code is over, the logarithm of this falls along a line, which gives ``q`` and ``r``;
    the equation is then solved for the distribution of the code, whose mean is the integral over
    ``t``. About when that is, is told from what ``r`` is while a request waits, and no ``q``.
    """
    # A request may begin to wait in the very moment in which others begin to run: no wait.
    waits, ended = np.array([each for each in usual if each[0] > 0.0] or [(1.0, False)]).T
    rate = float(ended.sum() / waits.sum())
    if rate <= 0.0:
        return 0.0
    lengths, own = np.array(seen).T
    soon = 5.0 / rate
    rate += float((own < soon).sum() / np.minimum(own, soon).sum())
    step = PER_STEP / (rate * len(seen))
    at = step * np.arange(1, STEPS)
    still = 1.0 - np.searchsorted(np.sort(lengths), at, "right") / len(lengths)
    expected = np.exp(-rate * at)
    about = _mean(still, expected, expected) * step
    begin = max(math.exp(-rate * OVER * about), SOONEST)
    over = (expected < begin) & (expected >= max(LENGTH * begin, LATEST)) & (still > 0.0)
    none_ready = expected
    if over.sum() >= _POINTS:
        slope, level = np.polyfit(at[over], np.log(still[over]), 1)
        none_ready = math.exp(min(float(level), 0.0)) * np.exp(float(slope) * at)
    return min(_mean(still, none_ready, expected) * step, MOST * about)


def _mean(still: FloatArray, none_ready: FloatArray, expected: FloatArray) -> float:
    """Return the mean code in steps of time."""
    runs = np.clip((still - none_ready) / (1.0 - none_ready), 0.0, 1.0)
    # Later, what becomes ready by chance is all that can be seen.
    ends = np.flatnonzero((runs <= 0.0) | (expected < LATEST))
    return float(runs[: ends[0]].sum() if len(ends) else runs.sum())
