"""The virtual clock, and the event loop that lives by it."""

import asyncio
import heapq
import math
import selectors
import threading
from asyncio.events import Handle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from fastsim.collector import clocks
from fastsim.collector.watchdog import Watchdog

EPOCH_NS = 1_700_000_000 * 10**9

Ready = list[tuple[selectors.SelectorKey, int]]


class Clock:
    """Wall time and CPU of the one thread there is, seconds.

    Parameters
    ----------
    timer_late_s
        How late the kernel wakes who sleeps until a time.
    """

    def __init__(self, timer_late_s: float = 0.0) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0
        self.core_wait_s = 0.0
        self.timer_late_s = timer_late_s

    def burn(self, seconds: float) -> None:
        """Have code run for so long."""
        self.wall_s += seconds
        self.cpu_s += seconds

    def block(self, seconds: float) -> None:
        """Have code hold the loop for so long without using the processor."""
        self.wall_s += seconds

    def starve(self, seconds: float) -> None:
        """Have another process run on the only core for so long."""
        self.wall_s += seconds
        self.core_wait_s += seconds


class VirtualSelector(selectors.SelectSelector):
    """Sockets that become readable at given times; waiting for them moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._due: list[tuple[float, int, Handle]] = []
        self._number = 0

    def push(self, at_s: float, handle: Handle) -> None:
        """Make a socket readable at a time; sockets of one time stay in order."""
        self._number += 1
        heapq.heappush(self._due, (at_s, self._number, handle))

    def select(self, timeout: float | None = None) -> Ready:
        """Return what is readable, after the time that waiting for it takes."""
        clock, due = self._clock, self._due
        while due and due[0][2].cancelled():
            heapq.heappop(due)  # a socket that nobody reads any longer
        if timeout is None or timeout > 0.0:
            # epoll waits whole milliseconds, rounded up.
            woken_s = math.inf
            if timeout is not None:
                woken_s = clock.wall_s + math.ceil(timeout * 1e3) / 1e3 + clock.timer_late_s
            event_s = due[0][0] if due else math.inf
            if woken_s == event_s == math.inf:
                raise RuntimeError("everybody waits and nothing is going to happen")
            clock.wall_s = max(clock.wall_s, min(woken_s, event_s))
        ready: Ready = []
        while due and due[0][0] <= clock.wall_s:
            handle = heapq.heappop(due)[2]
            key = selectors.SelectorKey(0, 0, selectors.EVENT_READ, (handle, None))
            ready.append((key, selectors.EVENT_READ))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The standard event loop on a virtual clock.

    Parameters
    ----------
    per_turn_s
        CPU of every turn of the loop, seconds.
    """

    def __init__(self, clock: Clock, *, per_turn_s: float = 0.0) -> None:
        self.clock = clock
        self.sockets = VirtualSelector(clock)
        super().__init__(self.sockets)
        self._clock_resolution = 1e-9
        self._per_turn_s = per_turn_s

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        self.clock.burn(self._per_turn_s)

    def time(self) -> float:
        """Return the virtual time, seconds."""
        return self.clock.wall_s

    def at(self, when_s: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Call ``callback`` when a socket becomes readable at a time."""
        handle = Handle(callback, args, self, None)
        self.sockets.push(when_s, handle)
        return handle


def current() -> VirtualLoop:
    """Return the running loop, which must be a virtual one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def burn(seconds: float) -> None:
    """Run code on the loop for so long."""
    current().clock.burn(seconds)


def block(seconds: float) -> None:
    """Hold the loop for so long without using the processor, as ``time.sleep`` does."""
    current().clock.block(seconds)


def starve(seconds: float) -> None:
    """Lose the only core to another process for so long."""
    current().clock.starve(seconds)


async def answer(seconds: float) -> float:
    """Wait for a peer that answers, over a socket, after so long; return when that was read."""
    loop = current()
    future = loop.create_future()
    handle = loop.at(loop.time() + seconds, _resolve, future)
    try:
        read_s: float = await future
    except asyncio.CancelledError:
        handle.cancel()
        raise
    return read_s


def _resolve(future: "asyncio.Future[float]") -> None:
    if not future.done():
        future.set_result(current().time())


class Feed:
    """A peer that writes at times of its own, and who reads it only when nothing is left to handle.

    What has come by the time the loop reads, it reads at once. What is still to come is known from
    the start: the peer waits for nobody.

    Parameters
    ----------
    came_s
        When each chunk comes, seconds on the loop's clock.
    read_s
        When the loop last read what was there.
    """

    def __init__(self, came_s: list[float], read_s: float = -1.0) -> None:
        self._loop = current()
        self._came_s = came_s
        self._read = sum(each_s <= read_s for each_s in came_s)
        self._handled = 0

    async def next(self) -> None:
        """Return when a chunk is there that was not handled yet."""
        if self._handled == self._read:
            future = self._loop.create_future()
            readable = self._loop.at(self._came_s[self._read], self._receive, future)
            try:
                await future
            except asyncio.CancelledError:
                readable.cancel()
                raise
        self._handled += 1

    def _receive(self, future: "asyncio.Future[None]") -> None:
        now_s = self._loop.time()
        self._read = sum(each_s <= now_s for each_s in self._came_s)
        if not future.done():
            future.set_result(None)


@contextmanager
def virtual_loop(
    *, per_turn_s: float = 0.0, timer_late_s: float = 0.0, begin_s: float = 0.0
) -> Iterator[VirtualLoop]:
    """Yield a new virtual loop whose clock the recorder reads too."""
    clock = Clock(timer_late_s)
    clock.wall_s = begin_s
    loop = VirtualLoop(clock, per_turn_s=per_turn_s)
    thread = threading.get_ident()

    def wall_ns() -> int:
        return round(clock.wall_s * 1e9)

    def cpu_ns() -> int:
        return round(clock.cpu_s * 1e9)

    def unix_ns() -> int:
        return EPOCH_NS + wall_ns()

    def core_wait_ns() -> int:
        return round(clock.core_wait_s * 1e9)

    def thread_ns() -> int:
        # The recorder's own threads cost nothing in virtual time.
        return cpu_ns() if threading.get_ident() == thread else 0

    with (
        mock.patch.object(clocks, "perf_counter_ns", wall_ns),
        mock.patch.object(clocks, "process_time_ns", cpu_ns),
        mock.patch.object(clocks, "thread_time_ns", thread_ns),
        mock.patch.object(clocks, "time_ns", unix_ns),
        mock.patch.object(clocks, "core_wait_ns", core_wait_ns),
        # A thread that looks at the loop in real time sees what it happens to see.
        mock.patch.object(Watchdog, "ensure", return_value=None),
    ):
        asyncio.set_event_loop(loop)
        try:
            yield loop
        finally:
            _close(loop)


def _close(loop: VirtualLoop) -> None:
    """End what still waits, for ever as it may be."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    asyncio.set_event_loop(None)
    loop.close()
