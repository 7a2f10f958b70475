"""Peers that serve so many calls at a time: the others wait there, in line.

Nobody on this side has to do anything for a call to be served next, so when its answer comes is
known as soon as the call is made: every call in line before it was made earlier.
"""

from collections import deque
from heapq import heapreplace

from fastsim.twin.records import Usage


class Peer:
    """A peer with a number of slots, each of which serves one call after the other.

    A call that nobody waits for any longer is served all the same.
    """

    __slots__ = ("_begins", "_closed", "_free_at", "usage")

    def __init__(self, capacity: int) -> None:
        self.usage = Usage()
        self._free_at = [0.0] * capacity
        """When each slot is done with the calls that there are; a heap."""
        self._begins: deque[float] = deque()
        """When the calls begin to be served that wait in line."""
        self._closed = False

    def call(self, now: float, served_s: float) -> float:
        """Take a call that needs a slot for so long; return how long it waits for one, seconds.

        Parameters
        ----------
        now
            No earlier than that of any call before, seconds.
        """
        usage, free_at, begins = self.usage, self._free_at, self._begins
        usage.acquires += 1
        usage.busy_s += served_s
        begin = free_at[0]
        if begin <= now:
            heapreplace(free_at, now + served_s)
            return 0.0
        heapreplace(free_at, begin + served_s)
        while begins and begins[0] <= now:
            begins.popleft()
        begins.append(begin)
        usage.max_queue = max(usage.max_queue, len(begins))
        usage.wait_s += begin - now
        return begin - now

    def close(self, end: float) -> None:
        """Count only what was served until ``end``, seconds."""
        if not self._closed:
            self._closed = True
            # A slot that is taken beyond the end has no pause before: who waits follows at once.
            self.usage.busy_s -= sum(max(at - end, 0.0) for at in self._free_at)
