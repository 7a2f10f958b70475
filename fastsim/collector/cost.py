"""Measure what recording costs the event loop on this machine, with code that does nothing.

Measured in the process that records, by the same recorder around an application that only
waits, so that calibration can take it out of the model. Writing is measured where it happens, in
the recorder's own thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from types import coroutine
from typing import Any

from fastsim.collector import clocks
from fastsim.collector.batch import MOST_AT_ONCE
from fastsim.collector.frames import take_for_users
from fastsim.collector.timeline import LoopClock

_ROUNDS = 5
_REQUESTS = MOST_AT_ONCE
_WAITS = 10
_POLLS = 100

Serve = Callable[..., Any]
"""An ASGI application."""


@dataclass(frozen=True, slots=True)
class TimerCost:
    """CPU of the event loop's thread, in seconds."""

    per_request_s: float
    per_step_s: float
    per_pass_s: float
    """Of the wrapper around the loop's selector, which does not count itself."""


def measure_timer_cost(record: Callable[[Serve], Serve]) -> TimerCost:
    """Time requests of none and of many waits, recorded and not (about 20 ms).

    Parameters
    ----------
    record
        Returns an application that records the one it is given, and writes nothing.
    """
    long: list[float] = []
    short: list[float] = []
    pairs = [(waits, _application(waits)) for waits in (_WAITS, 0)]
    for number in range(_ROUNDS + 1):  # interleaved, because the machine's speed wanders
        for waits, plain in pairs:
            added = _cpu_s(record(plain)) - _cpu_s(plain)
            if number > 0:  # the first one warms up
                (long if waits else short).append(added)
    # Each wait adds two steps: the wait itself and the code after it.
    per_step_s = max(median(long) - median(short), 0.0) / (2 * _WAITS)
    return TimerCost(max(median(short) - per_step_s, 0.0), per_step_s, _pass_s())


class _NoSelector:
    """Finds nothing, and takes no time for it."""

    def select(self, _timeout: float | None = None) -> list[object]:
        return []


def _pass_s() -> float:
    watched, plain = _NoSelector(), _NoSelector()
    LoopClock().watch_selector(watched)
    return max(median(_polls_s(watched) - _polls_s(plain) for _ in range(_ROUNDS + 1)), 0.0)


def _polls_s(selector: _NoSelector) -> float:
    """Return the CPU of one poll that does not sleep."""
    start = clocks.thread_time_ns()
    for _ in range(_POLLS):
        selector.select(0)
    return (clocks.thread_time_ns() - start) / _POLLS / 1e9


@coroutine
def _pass() -> Any:
    yield


def _application(waits: int) -> Serve:
    async def serve(_scope: Any, _receive: Any, send: Any) -> None:
        for _ in range(waits):
            await _pass()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    # Waits of the service's own code are recognised, others are looked at closely each time.
    take_for_users(serve.__code__)
    return serve


_HEADERS = [
    (name, b"some value of usual length")
    for name in (b"host", b"user-agent", b"accept", b"accept-encoding", b"cookie", b"connection")
]


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: dict[str, Any]) -> None:
    pass


def _cpu_s(application: Serve) -> float:
    """Return the CPU of one request."""
    start = clocks.thread_time_ns()
    for _ in range(_REQUESTS):
        scope = {"type": "http", "method": "GET", "path": "/", "headers": _HEADERS}
        running = application(scope, _receive, _send)
        try:  # driven by hand: the loop that this may run on goes on with its own
            while True:
                running.send(None)
        except StopIteration:
            pass
    return (clocks.thread_time_ns() - start) / _REQUESTS / 1e9
