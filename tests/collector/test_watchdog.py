"""The thread that names blocking calls."""

import sys
import threading
import time
from pathlib import Path
from types import FrameType

from fastsim.collector.resume import TimedCoroutine
from fastsim.collector.timeline import LoopClock, RequestRecord
from fastsim.collector.watchdog import Watchdog, describe, look


def frame_of(function: object) -> FrameType:
    """Return the frame of a thread that sleeps inside ``function``."""
    ready = threading.Event()
    done = threading.Event()

    def run() -> None:
        function(ready, done)  # type: ignore[operator]

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10.0)
    time.sleep(0.02)
    frame = sys._current_frames()[thread.ident or 0]
    done.set()
    thread.join(10.0)
    return frame


def blocks(ready: threading.Event, done: threading.Event) -> None:
    ready.set()
    done.wait(10.0)


def running(clock: LoopClock, since: int) -> TimedCoroutine[None]:
    """Return code that looks as if it had been running since then."""
    inner = never()
    inner.close()
    code: TimedCoroutine[None] = TimedCoroutine(
        inner, RequestRecord({"method": "GET", "path": "/"}), clock, 0
    )
    code.began = since
    return code


async def never() -> None:
    """Be nothing that runs."""


def test_the_line_of_the_services_own_code_and_what_it_called() -> None:
    where, called = describe(frame_of(blocks))
    line = blocks.__code__.co_firstlineno + 2
    assert where == f"{Path(__file__).name}:{line} blocks"
    assert called == "threading.wait"


def test_short_code_is_left_alone() -> None:
    code = running(LoopClock(), time.perf_counter_ns() + 10**9)
    look(threading.get_ident(), code)
    assert code.seen_at is None


def test_it_looks_at_long_code_and_ticks() -> None:
    clock = LoopClock()
    ticks: list[int] = []
    watchdog = Watchdog(clock, lambda: ticks.append(1))
    clock.active = code = running(clock, time.perf_counter_ns())
    watchdog.ensure()
    end = time.monotonic() + 10.0
    while code.seen_at is None and time.monotonic() < end:
        time.sleep(0.01)
    watchdog.close()
    assert code.seen_at is not None
    assert code.seen_at[0].startswith(Path(__file__).name)
    assert ticks


def test_it_ends_with_its_loop() -> None:
    before = set(threading.enumerate())
    clock = LoopClock()
    Watchdog(clock, lambda: None).ensure()
    [thread] = set(threading.enumerate()) - before
    del clock
    thread.join(10.0)
    assert not thread.is_alive()
