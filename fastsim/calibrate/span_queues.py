"""When calls of requests really ended, by spans alone: their ends wait for the event loop, too.

A client span ends when its coroutine runs again. If the loop was idle just before, that is when
the answer came. If it was busy, the answer came at some time since the loop had been idle last,
which the gaps of all requests of the process show, as far as they are code.
"""

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.gap_evidence import GapEvidence
from fastsim.calibrate.generations import generations
from fastsim.spans import RECENT_NS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SHORT_NS = (20_000, 40_000, 80_000, 120_000, 160_000, 240_000, 320_000, 480_000)
"""Breaks between stretches that may be the server's work, which spans do not show, not sleep."""
_SLEEP_NS = 500_000
"""A break longer than this is sleep."""
_DENSER = 1.5
"""Breaks of a length that are so many times as frequent as sleep makes them are no sleep."""
_SEED = 1


class BusyChains:
    """The stretches of code of one event loop, those that follow each other put together."""

    def __init__(self, begin_ns: IntArray, end_ns: IntArray) -> None:
        order = np.argsort(begin_ns, kind="stable")
        self._begin = begin_ns[order]
        self._until = np.maximum.accumulate(end_ns[order]) if len(order) else end_ns
        self.short_ns = shortest_sleep(self._begin[1:] - self._until[:-1])
        """A break of the loop up to this long was no sleep."""
        self._idle = self._idle_at_begins()
        self._low, self._high = self._begin.copy(), self._begin.copy()
        """Between which times each stretch became ready: ``high`` is when its generation began."""
        self._divide()

    def _divide(self) -> None:
        """Find between which times each stretch became ready: while another generation ran."""
        if not len(self._begin):
            return
        rng = random.Random(_SEED)
        fresh = np.ones(len(self._begin), np.bool_)
        fresh[1:] = self._begin[1:] - self._until[:-1] > self.short_ns
        firsts = [*np.flatnonzero(fresh).tolist(), len(fresh)]
        lengths = (self._until - self._begin).tolist()
        for first, end in itertools.pairwise(firsts):
            if end - first == 1:
                continue
            edges = [first + edge for edge in generations(lengths[first:end], rng)]
            for before, begin, after in zip(edges, edges[1:], edges[2:], strict=False):
                self._low[begin:after] = self._begin[before]
                self._high[begin:after] = self._begin[begin]

    def _idle_at_begins(self) -> FloatArray:
        """Return the recent idle share when each stretch begins."""
        found, idle, last = [], 1.0, 0
        for begin, until in zip(self._begin.tolist(), self._until.tolist(), strict=True):
            idle = 1.0 - (1.0 - idle) * math.exp(-max(begin - last, 0) / RECENT_NS)
            found.append(idle)
            idle *= math.exp(-max(until - max(begin, last), 0) / RECENT_NS)
            last = until
        return np.array(found)

    def ready(self, at_ns: IntArray) -> tuple[IntArray, IntArray]:
        """Return between which times became ready what the loop ran at these times."""
        if not len(self._begin):
            return at_ns, at_ns
        found = np.searchsorted(self._begin, at_ns, "left")
        here = np.minimum(found, len(self._begin) - 1)
        runs = self._begin[here] == at_ns
        # Code without a stretch of its own: next after what ran.
        last = np.maximum(found - 1, 0)
        busy = (self._begin[last] < at_ns) & (at_ns - self._until[last] <= self.short_ns)
        low = np.where(runs, self._low[here], np.where(busy, self._high[last], at_ns))
        high = np.where(runs, self._high[here], at_ns)
        return np.minimum(low, at_ns), np.minimum(high, at_ns)

    def idle_at(self, at_ns: IntArray) -> FloatArray:
        """Return the share of the last 20 ms that the loop slept, exponentially weighted."""
        if not len(self._begin):
            return np.ones(len(at_ns))
        last = np.searchsorted(self._begin, at_ns, "left") - 1
        some = np.maximum(last, 0)
        busy_ns = np.minimum(at_ns, self._until[some]) - self._begin[some]
        slept_ns = np.maximum(at_ns - self._until[some], 0)
        idle = self._idle[some] * np.exp(-busy_ns / RECENT_NS)
        idle = 1.0 - (1.0 - idle) * np.exp(-slept_ns / RECENT_NS)
        return np.where(last >= 0, idle, 1.0)


def shortest_sleep(breaks_ns: IntArray) -> int:
    """Tell how long breaks between stretches are in which the loop did not sleep.

    Sleep lasts until something happens, at any moment as likely as at another: its lengths fall off
    exponentially, as those of long breaks say. What the server does between stretches has a
    length of its own, which is seen as so many more.
    """
    long_ns = breaks_ns[breaks_ns > _SLEEP_NS] - _SLEEP_NS
    mean_ns = float(long_ns.mean()) if len(long_ns) else math.inf
    # Sleep that was longer than 0, by what is left of it.
    sleeps = len(long_ns) * math.exp(min(_SLEEP_NS / mean_ns, 50.0))
    short = 0
    for below, above in itertools.pairwise((0, *SHORT_NS)):
        seen = np.count_nonzero((breaks_ns > below) & (breaks_ns <= above))
        usual = sleeps * (math.exp(-below / mean_ns) - math.exp(-above / mean_ns))
        if seen > _DENSER * usual + 3.0 * math.sqrt(usual) + 5:
            short = above
    return max(short, SHORT_NS[0])


def busy_chains(
    evidence: GapEvidence,
    instances: Sequence[int],
    more: Sequence[tuple[int, int, int]] = (),
) -> dict[int, BusyChains]:
    """Return the chains of each instance; its gaps must be those of one event loop.

    Parameters
    ----------
    instances
        Of each request.
    more
        Other stretches of code: instance, begin and end, nanoseconds.
    """
    other = np.array(more, np.int64).reshape(-1, 3)
    instance = np.asarray(instances, np.int64)[evidence.request]
    first = evidence.begin_ns + evidence.first_ns.astype(np.int64)
    last = np.maximum(evidence.end_ns - evidence.last_ns.astype(np.int64), first)
    chains = {}
    for number in np.unique(instance).tolist():
        own = instance == number
        begin = np.concatenate([evidence.begin_ns[own], last[own]])
        end = np.concatenate([first[own], evidence.end_ns[own]])
        some = np.concatenate([evidence.first_ns[own] >= 1.0, evidence.last_ns[own] >= 1.0])
        beside = other[other[:, 0] == number]
        chains[number] = BusyChains(
            np.append(begin[some], beside[:, 1]), np.append(end[some], beside[:, 2])
        )
    return chains
