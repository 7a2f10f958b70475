"""Measure what recording costs the event loop on this machine, with code that does nothing.

Writing is measured where it happens, in the recorder's own thread; what the timers cost
inside the service cannot be told apart there, so it is measured here, right after.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from statistics import median
from typing import Any

from fastsim.collector import clocks
from fastsim.collector.resume import TimedCoroutine
from fastsim.collector.timeline import LoopClock, RequestRecord

_ROUNDS = 7
_REQUESTS = 60
_WAITS = 20


@dataclass(frozen=True, slots=True)
class TimerCost:
    """CPU of the event loop's thread, in seconds."""

    per_request_s: float
    per_step_s: float

    def total_s(self, requests: int, steps: int) -> float:
        """Return the cost of so many requests with so many steps in all."""
        return requests * self.per_request_s + steps * self.per_step_s


def measure_timer_cost() -> TimerCost:
    """Time requests of none and of many waits, with and without the timer (about 0.1 s)."""
    long: list[float] = []
    short: list[float] = []
    for _ in range(_ROUNDS):  # interleaved, because the machine's speed wanders
        for waits, extra in ((_WAITS, long), (0, short)):
            extra.append(_cpu_s(waits, timed=True) - _cpu_s(waits, timed=False))
    # Each wait adds two steps: the wait itself and the code after it.
    per_step_s = max(median(long) - median(short), 0.0) / (2 * _WAITS)
    return TimerCost(max(median(short) - per_step_s, 0.0), per_step_s)


def _cpu_s(waits: int, *, timed: bool) -> float:
    """Return the CPU of one request."""

    async def wait_often() -> None:
        for _ in range(waits):
            await asyncio.sleep(0)

    async def serve_all() -> int:
        clock = LoopClock()
        start = clocks.thread_time_ns()
        for _ in range(_REQUESTS):
            serve: Coroutine[Any, Any, None] = wait_often()
            if timed:
                serve = TimedCoroutine(serve, RequestRecord("GET", "/"), clock, 0)
            await serve
        return clocks.thread_time_ns() - start

    return asyncio.run(serve_all()) / _REQUESTS / 1e9
