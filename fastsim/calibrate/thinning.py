"""Which requests' timelines are kept: of long recordings as many as laws need, in bounded memory.

A timeline is ten times as large as the rest of what is known of a request. What requests do at the
same time has to stay together, so whole stretches of time are kept, and nothing between them, as if
the recorder had been switched on and off; but of rare endpoints some requests in any case.
"""

from collections import Counter

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
MOST_PLAIN = 20_000
"""Requests without a timeline that are looked at, but for those of rare endpoints."""
BLOCK = 500
"""Requests without a timeline that are looked at in a row."""
STRETCHES = 40
"""Into how many stretches the time of the first ``MOST`` is cut."""
_SHORTEST_NS = 2_000_000_000
_MOST_APART = 2**40


class Thinning:
    """Says of each request that is read whether its timeline is worth keeping, and for how long."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._every = 1
        """One of so many stretches is kept."""
        self._first_ns = self._stretch_ns = 0
        self._held: list[tuple[int, int, int]] = []
        """Row, begin and endpoint of those whose timelines are held."""
        self._held_of: Counter[int] = Counter()
        """How many of each endpoint."""

    def wants(self, start_ns: int, endpoint: int) -> bool:
        """Tell whether to look at the timeline of the next request."""
        if self._every == 1 or self._held_of[endpoint] < ENOUGH:
            return True
        return (start_ns - self._first_ns) // self._stretch_ns % self._every == 0

    def hold(self, row: int, start_ns: int, endpoint: int) -> list[int]:
        """Hold one more timeline; return the rows of those to let go, mostly none."""
        self._held.append((row, start_ns, endpoint))
        self._held_of[endpoint] += 1
        return self._thin() if len(self._held) > self._most else []

    def _thin(self) -> list[int]:
        rows, begins, of = np.array(self._held, np.int64).T
        if not self._stretch_ns:
            self._stretch_ns = max(int(np.ptp(begins)) // STRETCHES, _SHORTEST_NS)
            self._first_ns = int(begins.min())
        gone = np.zeros(len(begins), np.bool_)
        enough = _FEW_ENOUGH * self._most
        while len(begins) - int(gone.sum()) > enough and self._every < _MOST_APART:
            self._every *= 2
            outside = (begins - self._first_ns) // self._stretch_ns % self._every != 0
            gone = self._beyond_enough(outside, of)
        self._held = [each for each, leaves in zip(self._held, gone, strict=True) if not leaves]
        self._held_of = Counter(endpoint for _, _, endpoint in self._held)
        leaving: list[int] = rows[gone].tolist()
        return leaving

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
    block, kept = even_blocks(len(endpoint), MOST_PLAIN, BLOCK)
    for code in np.unique(endpoint).tolist():
        own = block[endpoint == code]
        missing = min(len(own), ENOUGH) - int(kept[own].sum())
        if missing > 0:
            kept[own[~kept[own]][:missing]] = True
    return np.flatnonzero(kept[block])


def even_blocks(count: int, most: int, length: int) -> tuple[IntArray, BoolArray]:
    """Return the block that each of so many is in, and which blocks to take, evenly spread.

    All of them where they are no more than ``most``.
    """
    block = np.arange(count, dtype=np.int64) // length
    blocks = int(block[-1]) + 1 if count else 0
    if count <= most:
        return block, np.ones(blocks, np.bool_)
    taken = np.zeros(blocks, np.bool_)
    taken[np.linspace(0, blocks - 1, max(most // length, 1)).astype(np.int64)] = True
    return block, taken
