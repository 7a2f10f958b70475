"""A thread that looks at what the event loop runs when it runs for long.

It names blocking calls: the line of the service's own code, and what that line called. It
also closes the records of requests whose tasks outlive them for long. One look costs some
ten microseconds, forty times a second.
"""

import os
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import PurePath
from types import FrameType
from typing import Any

from fastsim.collector import clocks
from fastsim.collector.faults import note_fault
from fastsim.collector.resume import TimedCoroutine
from fastsim.collector.timeline import LoopClock
from fastsim.collector.waits import is_users_code

EVERY_S = 0.025
LOOK_AFTER_NS = 5_000_000
_MAX_FRAMES = 200


class Watchdog:
    """Looks after one event loop. Starts again by itself in a forked process.

    Parameters
    ----------
    clock
        The loop's clock; the thread ends when it is gone.
    tick
        Called at every look, in the watchdog's thread.
    """

    def __init__(self, clock: LoopClock, tick: Callable[[], None]) -> None:
        self._clock = weakref.ref(clock)
        self._tick = tick
        self._pid = 0
        self._closing = threading.Event()

    def ensure(self) -> None:
        """Start the thread unless this process has it already."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._closing = threading.Event()
            threading.Thread(target=self._run, name="fastsim-watchdog", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._pid = 0

    def _run(self) -> None:
        closing = self._closing
        while not closing.wait(EVERY_S):
            clock = self._clock()
            if clock is None:
                return
            try:
                self._tick()
                code = clock.active
                if code is not None and code.seen_at is None:
                    look(clock.thread, code)
            except Exception as fault:  # noqa: BLE001  never into the service
                note_fault(fault)


def look(thread: int, code: TimedCoroutine[Any]) -> None:
    """Note what ``thread`` runs, if the code has been running for long."""
    if clocks.perf_counter_ns() - code.began < LOOK_AFTER_NS:
        return
    frame = sys._current_frames().get(thread)
    if frame is not None:
        code.seen_at = describe(frame)


def describe(frame: FrameType) -> tuple[str, str]:
    """Return the innermost line of the service's own code, and the function it called.

    Returns
    -------
    ``("file.py:12 function", "package.module.function")``; either is empty when there is none.
    """
    current: FrameType | None = frame
    called = ""
    for _ in range(_MAX_FRAMES):
        if current is None:
            break
        code = current.f_code
        if is_users_code(code):
            name = PurePath(code.co_filename).name
            return f"{name}:{current.f_lineno} {code.co_name}", called
        called = f"{current.f_globals.get('__name__', '?')}.{code.co_name}"
        current = current.f_back
    return "", called
