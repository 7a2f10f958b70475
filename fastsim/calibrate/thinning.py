"""Which requests' timelines are kept: of long recordings as many as laws need, in bounded memory.

A timeline is ten times as large as the rest of what is known of a request. What requests do at the
same time has to stay together, so whole stretches of time are kept, and nothing between them, as if
the recorder had been switched on and off; but of rare endpoints some requests in any case.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOST = 40_000
"""Timelines that are held at a time; about half as many are kept, or more."""
_FEW_ENOUGH = 0.75
"""Part of them with which thinning is content for a while."""
ENOUGH = 200
"""Of an endpoint that are kept wherever they lie."""
BLOCK = 500
"""Requests without a timeline that are looked at in a row."""
STRETCHES = 40
"""Into how many stretches the time of the first ``MOST`` is cut."""
_SHORTEST_NS = 2_000_000_000
_MOST_APART = 2**40


class Thinning:
    """Says of each request that is read whether its timeline is worth keeping."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._every = 1
        """One of so many stretches is kept."""
        self._first_ns = self._stretch_ns = 0
        self._kept_of: dict[int, int] = {}

    def wants(self, start_ns: int, endpoint: int) -> bool:
        """Tell whether to keep the timeline of the next request."""
        kept = self._kept_of.get(endpoint, 0)
        if self._every > 1 and kept >= ENOUGH and self._stretch(start_ns) % self._every:
            return False
        self._kept_of[endpoint] = kept + 1
        return True

    def _stretch(self, start_ns: int) -> int:
        return (start_ns - self._first_ns) // self._stretch_ns

    def thinned(self, start_ns: Sequence[int], endpoint: Sequence[int]) -> list[int]:
        """Return which of those that are kept to let go now; none while they are few.

        Parameters
        ----------
        start_ns, endpoint
            Of all that are kept.
        """
        if len(start_ns) <= self._most:
            return []
        begins, of = np.array(start_ns, np.int64), np.array(endpoint, np.int64)
        if not self._stretch_ns:
            self._stretch_ns = max(int(np.ptp(begins)) // STRETCHES, _SHORTEST_NS)
            self._first_ns = int(begins.min())
        gone = np.zeros(len(begins), np.bool_)
        enough = _FEW_ENOUGH * self._most
        while len(begins) - int(gone.sum()) > enough and self._every < _MOST_APART:
            self._every *= 2
            outside = (begins - self._first_ns) // self._stretch_ns % self._every != 0
            gone = self._beyond_enough(outside, of)
        for code, count in zip(*np.unique(of[~gone], return_counts=True), strict=True):
            self._kept_of[int(code)] = int(count)
        return np.flatnonzero(gone).tolist()

    @staticmethod
    def _beyond_enough(outside: BoolArray, endpoint: IntArray) -> BoolArray:
        """Return those outside of the kept stretches that their endpoints can do without."""
        gone = outside.copy()
        for code in np.unique(endpoint).tolist():
            own = np.flatnonzero((endpoint == code) & outside)
            inside = int(np.sum((endpoint == code) & ~outside))
            gone[own[: max(ENOUGH - inside, 0)]] = False
        return gone


def looked_at_plainly(endpoint: IntArray) -> IntArray:
    """Return which requests without a timeline are looked at: all, or of many stretches of time.

    Of rare endpoints more. What happens at the same time stays together.

    Parameters
    ----------
    endpoint
        Of each request, in the order in which they came.
    """
    number = np.arange(len(endpoint), dtype=np.int64)
    if len(number) <= MOST:
        return number
    block = number // BLOCK
    kept = np.zeros(int(block[-1]) + 1, np.bool_)
    kept[np.linspace(0, len(kept) - 1, MOST // BLOCK).astype(np.int64)] = True
    for code in np.unique(endpoint).tolist():
        own = block[endpoint == code]
        missing = min(len(own), ENOUGH) - int(kept[own].sum())
        if missing > 0:
            kept[own[~kept[own]][:missing]] = True
    return np.flatnonzero(kept[block])
