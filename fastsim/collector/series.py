"""How loaded the event loop was over time: busy time and lag per window of 0.1 s.

On the standard loop every pass is seen, so the lag needs no probe: an event that becomes
ready at a random moment waits for the rest of the pass it falls into. Over a window ``T`` with
passes of length ``p`` that is ``sum(p^2) / (2 T)`` on average, and the longest pass at most.
On other loops a task that sleeps reports how late it woke.
"""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import NamedTuple

from fastsim.collector import clocks

WINDOW_NS = 100_000_000
WINDOWS_PER_SPAN = 10
_MAX_COLLECTIONS = 1000
_OLDEST = 2
"""The garbage collector's generation whose collection visits all objects."""


class Window(NamedTuple):
    """One stretch of time of one event loop; nanoseconds on the monotonic clock."""

    at: int
    length: int
    busy: int
    """Time not asleep in ``select``; -1 where the loop's polls cannot be seen."""
    lag_mean: int
    lag_max: int
    in_flight: int
    """Requests being served when it ended."""


class LoopSeries:
    """Collects windows; hands them over ten at a time."""

    __slots__ = (
        "__weakref__",
        "_start",
        "collections",
        "core_wait",
        "in_flight",
        "on_full",
        "timer_late",
        "timer_wakes",
        "until",
        "windows",
    )

    def __init__(self, now: int) -> None:
        self._start = now
        self.until = now + WINDOW_NS
        """When this window ends: ``end_window`` is called at the first pass after it."""
        self.in_flight = 0
        self.windows: list[Window] = []
        self.collections: list[tuple[int, int]] = []
        """Full garbage collections: (at, length)."""
        self.on_full: Callable[[], None] | None = None
        self.core_wait = -1
        """For how long the loop's thread has been ready to run without a core, as read when the
        last window ended; -1 before, and where nobody says."""
        self.timer_wakes = 0
        """How often a timer ended the loop's sleep, where its polls are seen."""
        self.timer_late = 0
        """How late it did so, summed: beyond the whole milliseconds that were asked for."""

    def end_window(self, now: int, busy: int, squares: int, longest: int) -> None:
        """Begin another window.

        Parameters
        ----------
        busy, squares, longest
            Of the lengths of the passes in the one that ends: sum, sum of squares, greatest.
        """
        span = now - self._start
        mean = round(squares / (2.0 * span))
        self._close(Window(self._start, span, busy, mean, longest, self.in_flight))
        self._start = now
        self.until = now + WINDOW_NS

    def add_probe(self, late: int, now: int) -> None:
        """Note that a sleeping task woke ``late`` by so much."""
        self._close(Window(self._start, now - self._start, -1, late, late, self.in_flight))
        self._start = now

    def _close(self, window: Window) -> None:
        self.core_wait = clocks.core_wait_ns()
        self.windows.append(window)
        if len(self.windows) >= WINDOWS_PER_SPAN and self.on_full is not None:
            self.on_full()

    def take(self) -> tuple[list[Window], list[tuple[int, int]]]:
        """Return what was collected since the last call."""
        windows, self.windows = self.windows, []
        collections, self.collections = self.collections, []
        return windows, collections

    def take_timers(self) -> tuple[int, int]:
        """Return how often timers woke the loop since the last call, and how late, summed."""
        wakes, late = self.timer_wakes, self.timer_late
        self.timer_wakes = self.timer_late = 0
        return wakes, late


class _Collections:
    """Full garbage collections stop all threads, so every loop of the process is told."""

    def __init__(self) -> None:
        self.listening: weakref.WeakSet[LoopSeries] = weakref.WeakSet()
        self._began = 0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] != _OLDEST:
            return
        now = clocks.perf_counter_ns()
        if phase == "start":
            self._began = now
        elif self._began:
            for series in self.listening:
                if len(series.collections) < _MAX_COLLECTIONS:
                    series.collections.append((self._began, now - self._began))


_collections = _Collections()


def watch_collections(series: LoopSeries) -> None:
    """Note every full garbage collection of this process in ``series``."""
    _collections.listening.add(series)
    if _collections not in gc.callbacks:
        gc.callbacks.append(_collections)


async def probe_lag(series: LoopSeries) -> None:
    """Sleep again and again, and report how late the loop woke this task."""
    while True:
        due = clocks.perf_counter_ns() + WINDOW_NS
        await asyncio.sleep(WINDOW_NS / 1e9)
        now = clocks.perf_counter_ns()
        series.add_probe(max(now - due, 0), now)
