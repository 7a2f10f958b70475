"""What an event loop works on: the requests as plain lists, and pools of slots.

Plain lists because the hot loop reads single values, where numpy is slow.
"""

import math
from collections import deque


class Pool:
    """One resource of one worker, first come first served."""

    __slots__ = ("acquires", "busy_s", "capacity", "free", "max_queue", "queue", "since", "wait_s")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self.queue: deque[tuple[float, int]] = deque()
        self.busy_s = 0.0
        self.since = 0.0
        self.wait_s = 0.0
        self.acquires = 0
        self.max_queue = 0

    def take(self, now: float, request: int) -> bool:
        """Take a slot; when none is free, queue the request and return False."""
        self.acquires += 1
        self.account(now)
        if self.free > 0:
            self.free -= 1
            return True
        self.queue.append((now, request))
        self.max_queue = max(self.max_queue, len(self.queue))
        return False

    def give_back(self, now: float) -> tuple[int, float] | None:
        """Return the slot: to the first in the queue (its request and wait), or to nobody.

        One that nobody took is not given back: a path may have been recorded without its start.
        """
        self.account(now)
        if not self.queue:
            self.free = min(self.free + 1, self.capacity)
            return None
        since, request = self.queue.popleft()
        self.wait_s += now - since
        return request, now - since

    def account(self, now: float) -> None:
        """Add the slot-seconds since the last change."""
        self.busy_s += (self.capacity - self.free) * (now - self.since)
        self.since = now


class WakingPool(Pool):
    """A pool that hands over as ``asyncio.Semaphore`` does.

    A freed slot wakes the first who waits; until that one has run, nobody else gets a slot
    that is free meanwhile, not even a newcomer.

    Parameters
    ----------
    wakes_all
        Whether who runs then wakes as many others as slots are free (CPython from 3.13 on),
        or one, which wakes the next in its turn.
    """

    __slots__ = ("wakes_all", "waking")

    def __init__(self, capacity: int, *, wakes_all: bool) -> None:
        super().__init__(capacity)
        self.wakes_all = wakes_all
        self.waking = 0
        """Requests that were woken and have not run yet."""

    def take(self, now: float, request: int) -> bool:
        """Take a slot; when none is free or others wait, queue the request."""
        if self.free > 0 and not self.waking and not self.queue:
            return super().take(now, request)
        self.acquires += 1
        self.queue.append((now, request))
        self.max_queue = max(self.max_queue, len(self.queue))
        return False

    def give_back(self, now: float) -> tuple[int, float] | None:
        """Return the slot and wake the first in the queue, if there is one."""
        self.account(now)
        self.free = min(self.free + 1, self.capacity)
        return self._wake(now)

    def resumed(self, now: float) -> list[tuple[int, float]]:
        """Note that one who was woken runs; return whom it wakes."""
        self.account(now)
        self.waking -= 1
        woken = []
        while self.free > 0 and (granted := self._wake(now)) is not None:
            woken.append(granted)
            if not self.wakes_all:
                break
        return woken

    def _wake(self, now: float) -> tuple[int, float] | None:
        if not self.queue:
            return None
        self.free -= 1
        self.waking += 1
        since, request = self.queue.popleft()
        self.wait_s += now - since
        return request, now - since


class Requests:
    """The workload as lists, and what is measured per request."""

    def __init__(
        self,
        ops: tuple[list[int], list[int], list[int], list[float], list[float]],
        first: list[int],
        kinds: int,
    ) -> None:
        n = len(first) - 1
        self.code, self.arg, self.kind, self.value, self.extra = ops
        self.last = first[1:]
        self.position = first[:-1]
        self.start = [math.nan] * n
        self.respond = [math.nan] * n
        self.done = [math.nan] * n
        self.ready = [math.nan] * n
        self.running = [0.0] * n
        self.pool_wait = [0.0] * n
        self.waits = [0.0] * (n * kinds)
        self.kinds = kinds
        self.n = n
        self.parent: list[int] = []
        """Of tasks started by FORK, whose numbers follow those of the requests."""
        self.joining: dict[int, int] = {}
        """Tasks that a request or task still waits for."""
        self._unused: list[int] = []

    def start_task(self, parent: int, first: int, last: int, now: float) -> int:
        """Return the number of a new task of ``parent`` with operations ``first`` to ``last``."""
        if self._unused:
            task = self._unused.pop()
            self.parent[task - self.n] = parent
            self.position[task], self.last[task] = first, last
            self.ready[task] = now
            self.start[task] = math.nan
            self.running[task] = self.pool_wait[task] = 0.0
            begin = task * self.kinds
            self.waits[begin : begin + self.kinds] = [0.0] * self.kinds
            return task
        self.parent.append(parent)
        self.position.append(first)
        self.last.append(last)
        self.ready.append(now)
        for times in (self.start, self.respond, self.done):
            times.append(math.nan)
        self.running.append(0.0)
        self.pool_wait.append(0.0)
        self.waits.extend([0.0] * self.kinds)
        return self.n + len(self.parent) - 1

    def end_task(self, task: int) -> int | None:
        """End a task; return who waited for it, if it was the last one.

        What the last of several tasks spent its time with is what the waiter waited for.
        """
        parent = self.parent[task - self.n]
        self._unused.append(task)
        self.joining[parent] -= 1
        if self.joining[parent]:
            return None
        del self.joining[parent]
        if not self.responded(parent):
            self.running[parent] += self.running[task]
            self.pool_wait[parent] += self.pool_wait[task]
            for kind in range(self.kinds):
                self.waits[parent * self.kinds + kind] += self.waits[task * self.kinds + kind]
        return parent

    def responded(self, request: int) -> bool:
        """Return whether the response is out; what follows is not latency."""
        return self.respond[request] == self.respond[request]
