"""The pools and semaphores of one worker."""

import math
from collections import deque
from collections.abc import Callable, Sequence

from fastsim.twin.records import Usage
from fastsim.twin.tasks import KIND_BITS, STEP, Tasks

DIRECT, WAKES_ONE, WAKES_ALL = range(3)
"""How a station hands a free slot over: to who waits first, as connection pools do; or it wakes
one who waits, as ``asyncio.Semaphore`` does, or (CPython from 3.13 on) as many as there are free
slots, and gives nobody else a slot until those have run."""


class Stations:
    """Every station has a number of slots; who finds none free waits in line."""

    def __init__(
        self,
        tasks: Tasks,
        capacities: Sequence[int],
        modes: Sequence[int],
        timeouts_s: Sequence[float] = (),
        *,
        refusals: bool = False,
    ) -> None:
        self._tasks = tasks
        self.timeouts_s = list(timeouts_s) or [math.inf] * len(capacities)
        """How long a task waits for a slot before it gives up, seconds."""
        self.fallible = refusals or any(timeout < math.inf for timeout in self.timeouts_s)
        """Whether a request can fail for want of a slot."""
        self.blocked: set[int] = set()
        """Tasks whose thread waits for a slot."""
        self.unblock: Callable[[int, float], None]
        """Lets such a thread go on."""
        self._waits_at: dict[int, int] = {}
        """The station in whose line a task stands, where it may give up."""
        self._capacity = list(capacities)
        self._free = list(capacities)
        self._mode = list(modes)
        self._queues: list[deque[tuple[float, int]]] = [deque() for _ in capacities]
        self._waking = [0] * len(capacities)
        """Tasks that were woken and have not run yet."""
        self.usage = [Usage() for _ in capacities]

    def take(self, station: int, task: int, now: float) -> bool:
        """Take a slot; when there is none to be had, queue the task and return False."""
        use, free = self.usage[station], self._free[station]
        use.acquires += 1
        queue = self._queues[station]
        if free > 0 and not (self._mode[station] and (self._waking[station] or queue)):
            use.busy_s += (self._capacity[station] - free) * (now - use.since)
            use.since = now
            self._free[station] = free - 1
            return True
        queue.append((now, task))
        use.max_queue = max(use.max_queue, len(queue))
        if self.fallible:
            self._waits_at[task] = station
        return False

    def in_line(self, task: int) -> bool:
        """Tell whether a task still waits for a slot."""
        return task in self._waits_at

    def give_up(self, task: int, now: float) -> None:
        """Take a task that has waited too long out of the line."""
        station = self._waits_at.pop(task)
        queue = self._queues[station]
        place = next(place for place, (_, who) in enumerate(queue) if who == task)
        since = queue[place][0]
        del queue[place]
        self._waited(station, task, now - since)

    def give_back(self, station: int, now: float) -> None:
        """Give a slot back: to who waits first, if anybody does.

        One that nobody took is not given back: a path may have been recorded without its start.
        """
        if self._queues[station] and not self._mode[station]:
            self._grant(station, now)
            return
        self._account(station, now)
        self._free[station] = min(self._free[station] + 1, self._capacity[station])
        if self._queues[station]:
            self._wake(station, now)

    def resumed(self, task: int, now: float) -> None:
        """Let one that a semaphore has woken wake the next."""
        station = self._tasks.woken[task]
        self._tasks.woken[task] = -1
        self._waking[station] -= 1
        while self._free[station] > 0 and self._queues[station]:
            self._wake(station, now)
            if self._mode[station] == WAKES_ONE:
                break

    def close(self, end: float) -> None:
        """Add up the use until ``end``, seconds."""
        for station in range(len(self.usage)):
            self._account(station, max(end, self.usage[station].since))

    def _wake(self, station: int, now: float) -> None:
        self._account(station, now)
        self._free[station] -= 1
        self._waking[station] += 1
        self._tasks.woken[self._grant(station, now)] = station

    def _grant(self, station: int, now: float) -> int:
        """Pass a slot to who waits first, though its coroutine must still wait for the loop."""
        since, task = self._queues[station].popleft()
        self._waited(station, task, now - since)
        if self.fallible:
            del self._waits_at[task]
        if task in self.blocked:
            self.unblock(task, now)
            return task
        tasks = self._tasks
        tasks.since[task] = now
        tasks.ready.append(task << KIND_BITS | STEP)
        return task

    def _waited(self, station: int, task: int, waited_s: float) -> None:
        self.usage[station].wait_s += waited_s
        if self._tasks.responded[task] < 0.0:
            self._tasks.pool_wait[task] += waited_s

    def _account(self, station: int, now: float) -> None:
        """Add the slot-seconds since the last change."""
        use = self.usage[station]
        use.busy_s += (self._capacity[station] - self._free[station]) * (now - use.since)
        use.since = now
