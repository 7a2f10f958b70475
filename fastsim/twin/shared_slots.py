"""Slots that several processes share: what a database or a pooler in front of it allows."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from fastsim.twin.records import Usage
from fastsim.twin.slots import Stations
from fastsim.twin.tasks import Tasks


class SharedSlots:
    """Slots of which any of several processes takes; who finds none free waits in line."""

    def __init__(self, capacity: int) -> None:
        self.capacity = self.free = capacity
        self.queue: deque[tuple[float, SharingStations, int]] = deque()
        """Since when, of which process, which task."""
        self.usage = Usage()

    def account(self, now: float) -> None:
        """Add the slot-seconds since the last change."""
        use = self.usage
        use.busy_s += (self.capacity - self.free) * (now - use.since)
        use.since = now


class SharingStations(Stations):
    """The stations of one process, some of which are not its own.

    A slot that becomes free goes to who waits first, whose process hears of it through a socket.
    """

    def __init__(
        self,
        shared: Mapping[int, SharedSlots],
        tasks: Tasks,
        capacities: Sequence[int],
        modes: Sequence[int],
        timeouts_s: Sequence[float] = (),
        *,
        refusals: bool = False,
    ) -> None:
        super().__init__(tasks, capacities, modes, timeouts_s, refusals=refusals)
        self._shared = shared
        for number, slots in shared.items():
            self.usage[number] = slots.usage
        self.answer: Callable[[int, float], None] = lambda _task, _now: None
        """Tells the process that a task of its own has got a slot."""

    def take(self, station: int, task: int, now: float) -> bool:
        """Take a slot; when there is none to be had, queue the task and return False."""
        slots = self._shared.get(station)
        if slots is None:
            return super().take(station, task, now)
        slots.usage.acquires += 1
        if slots.free > 0:
            slots.account(now)
            slots.free -= 1
            return True
        slots.queue.append((now, self, task))
        slots.usage.max_queue = max(slots.usage.max_queue, len(slots.queue))
        if self.fallible:
            self._waits_at[task] = station
        return False

    def give_up(self, task: int, now: float) -> None:
        """Take a task that has waited too long out of the line."""
        station = self._waits_at[task]
        if station not in self._shared:
            super().give_up(task, now)
            return
        del self._waits_at[task]
        queue = self._shared[station].queue
        place = next(n for n, (_, who, which) in enumerate(queue) if (who, which) == (self, task))
        since = queue[place][0]
        del queue[place]
        self._waited(station, task, now - since)

    def give_back(self, station: int, now: float) -> None:
        """Give a slot back: to who waits first, if anybody does."""
        slots = self._shared.get(station)
        if slots is None:
            super().give_back(station, now)
            return
        if slots.queue:
            since, owner, task = slots.queue.popleft()
            owner.got(station, task, since, now)
            return
        slots.account(now)
        slots.free = min(slots.free + 1, slots.capacity)

    def got(self, station: int, task: int, since: float, now: float) -> None:
        """Let a task of this process, which has waited since then, go on with its slot."""
        self._waited(station, task, now - since)
        if self.fallible:
            del self._waits_at[task]
        if task in self.blocked:
            self.unblock(task, now)
            return
        self._tasks.since[task] = now
        self.answer(task, now)

    def close(self, end: float) -> None:
        """Add up the use until ``end``, seconds."""
        for station, use in enumerate(self.usage):
            until = max(end, use.since)
            if station in self._shared:
                self._shared[station].account(until)
            else:
                self._account(station, until)
