"""The passes of an event loop that cannot be looked into (uvloop), found by a mark.

A callback put into the ready queue while code runs comes at the front of the next pass, so
it says when that began. uvloop polls between two passes: what it finds, it notes at once (a
future gets its result in the poll itself) and the waiting task runs in the pass that
follows, one pass sooner than on the standard loop. What other threads report takes a pass
more. There is a mark only while requests run: the loop sleeps as it would.
"""

import asyncio
import contextvars
from collections.abc import Callable

from fastsim.collector import clocks

_SAME_PASS_NS = 60_000
"""Code so soon after a mark runs in the pass that the mark began."""


class Passes:
    """When the last passes began and ended; nanoseconds on the monotonic clock.

    Parameters
    ----------
    last_end
        Returns when the last code of a request ended.
    """

    __slots__ = ("_ends", "_last_end", "_loop", "_marked", "_own", "_slept", "_starts", "number")

    def __init__(self, loop: asyncio.AbstractEventLoop, last_end: Callable[[], int]) -> None:
        self._loop = loop
        self._last_end = last_end
        # The mark must not keep the context of the request that happened to set it.
        self._own = contextvars.Context()
        self._marked = False
        now = clocks.perf_counter_ns()
        # This pass, the one before, the one before that.
        self._starts = (now, now, now)
        self._slept = (True, True, True)
        self._ends = (now, now)
        """Of the pass before this one, and the one before that."""
        self.number = 0

    def enter(self, now: int, gap: bool) -> bool:
        """Note that a request's code starts.

        Parameters
        ----------
        gap
            Whether it is so long after the last such code that the loop may have slept.

        Returns
        -------
        Whether the loop did sleep: with a mark in its queue it cannot have.
        """
        if self._marked:
            return False
        self._marked = True
        self._loop.call_soon(self._mark, context=self._own)
        if not self._slept[0] and now - self._starts[0] < _SAME_PASS_NS:
            return False
        # Nothing of ours ran in the pass of the last mark: the loop has polled since, or slept.
        self._begin(now, slept=True)
        return gap

    def _mark(self) -> None:
        self._marked = False
        self._begin(clocks.perf_counter_ns(), slept=False)

    def _begin(self, now: int, *, slept: bool) -> None:
        self._starts = (now, *self._starts[:2])
        self._slept = (slept, *self._slept[:2])
        self._ends = (self._last_end(), self._ends[0])
        self.number += 1

    def limits(self, *, threaded: bool) -> tuple[int, int]:
        """Return the instants between which a wait ended that resumes in this pass."""
        start, start_1, start_2 = self._starts
        if self._slept[0]:
            # The poll that found it had slept, or had only just begun.
            return start, start
        if threaded:
            return (start_1 if self._slept[1] else start_2), start_1
        # Noted by the poll before this pass, not yet by the one before the last.
        return (start_1 if self._slept[1] else self._ends[1]), start
