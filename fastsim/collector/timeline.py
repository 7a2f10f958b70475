"""The state behind the resume timer: one clock per event loop, one record per request.

Hot path of the recorder: everything here runs at each resume of user code, so
it is plain attribute arithmetic. All times are integer nanoseconds.
"""

import asyncio
import itertools
from contextvars import ContextVar
from math import exp
from time import perf_counter_ns, thread_time_ns, time_ns
from typing import Protocol

from fastsim.spans import RECENT_NS, StepKind, Via

MAX_STEPS = 2000
"""Steps kept per request; a streamed answer of 900 chunks still fits."""

# An idle wait of the loop shorter than this did not really sleep: the events were there already.
SELECT_BLOCKED_NS = 25_000

# Without a view into the loop (uvloop): user code less than this apart is one busy period.
SAME_BUSY_PERIOD_NS = 200_000

_CPU = StepKind.CPU.value
_LOOP = Via.LOOP.value

StepRow = tuple[str, str, int, int, int, int, int, int, str, str, int]
"""kind, via, start, wall, cpu, bound, late, idle, label, where, task (see fastsim.spans)."""


class _Selector(Protocol):
    def select(self, timeout: float | None = None) -> list[object]: ...


class LoopClock:
    """What is known about one event loop: when it polled, when it slept, what it spent.

    On the standard asyncio loop every poll is seen, which bounds the moment a wait
    ended to one pass of the loop. On other loops only user code is seen.
    """

    __slots__ = (
        "active",
        "busy_since",
        "fresh_idle",
        "idle_at_wake",
        "idle_pass",
        "idle_total",
        "idle_wakeups",
        "last_end",
        "pass_number",
        "poll_1",
        "poll_2",
        "poll_now",
        "sees_polls",
        "segment_cpu",
        "segment_wall",
        "started",
    )

    def __init__(self) -> None:
        now = perf_counter_ns()
        self.active: Segment | None = None
        self.sees_polls = False
        self.started = now
        self.busy_since = now
        self.last_end = now
        self.fresh_idle = 0
        self.pass_number = 0
        self.idle_at_wake = 1.0
        self.idle_pass = 0
        self.idle_total = 0
        self.idle_wakeups = 0
        # When the polls of this pass, the one before and the one before that returned.
        self.poll_now = now
        self.poll_1 = now
        self.poll_2 = now
        self.segment_wall = 0
        self.segment_cpu = 0

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """See every poll of the loop, where it has a Python selector to look through."""
        selector: _Selector | None = getattr(loop, "_selector", None)
        if selector is None or self.sees_polls:
            return
        inner = selector.select

        def select(timeout: float | None = None) -> list[object]:
            before = perf_counter_ns()
            events = inner(timeout)
            after = perf_counter_ns()
            self.pass_number += 1
            self.poll_2 = self.poll_1
            self.poll_1 = self.poll_now
            self.poll_now = after
            waited = after - before
            if waited > SELECT_BLOCKED_NS and (timeout is None or timeout > 0):
                self._slept(before, after)
                self.idle_pass = self.pass_number
                self.idle_total += waited
                self.fresh_idle = waited
                self.idle_wakeups += 1
            return events

        try:
            selector.select = select  # type: ignore[method-assign]
        except AttributeError:
            return
        self.sees_polls = True

    def enter(self, now: int) -> int:
        """Note that user code starts; return the idle gap just before it."""
        if self.sees_polls:
            gap, self.fresh_idle = self.fresh_idle, 0
            return gap
        gap = now - self.last_end
        if gap < SAME_BUSY_PERIOD_NS:
            return 0
        self._slept(self.last_end, now)
        return gap

    def _slept(self, begin: int, end: int) -> None:
        """Note that the loop slept; keep the exponentially weighted share of sleep."""
        idle = self.idle_share(begin)
        self.idle_at_wake = 1.0 - (1.0 - idle) * exp((begin - end) / RECENT_NS)
        self.busy_since = end

    def idle_share(self, now: int) -> float:
        """Return how much of the time just before ``now`` the loop slept, 0 to 1."""
        return self.idle_at_wake * exp((self.busy_since - now) / RECENT_NS)

    def queueing(self, now: int, extra_hops: bool) -> tuple[int, int]:
        """Bound the time a wait that resumes now spent ready but queued: (most, least).

        The standard loop runs a finished wait's callback in the pass whose poll found
        it and the waiting task one pass later, so the wait ended after the poll before
        that one. If that poll slept, it ended exactly when the poll returned.
        """
        if not self.sees_polls or extra_hops:
            return now - self.busy_since, 0
        if self.idle_pass == self.pass_number:
            # Resumed in the very pass that woke: a chain shorter than the usual two passes.
            return now - self.poll_now, 0
        least = now - self.poll_1
        if self.idle_pass == self.pass_number - 1:
            return least, least
        return now - self.poll_2, least


class Segment:
    """A stretch of user code being timed; eager child tasks run nested inside one."""

    __slots__ = ("nested_cpu", "nested_wall", "outer")

    def __init__(self, outer: "Segment | None") -> None:
        self.outer = outer
        self.nested_wall = 0
        self.nested_cpu = 0


class RequestRecord:
    """The timeline of one request, while it happens."""

    __slots__ = (
        "capacities",
        "end_clock",
        "events",
        "failed",
        "finished",
        "method",
        "path",
        "response_clock",
        "span",
        "start_clock",
        "start_unix",
        "status",
        "steps",
        "steps_dropped",
        "task_numbers",
        "thread_calls",
    )

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path
        self.start_unix = time_ns()
        self.start_clock = perf_counter_ns()
        self.end_clock = 0
        self.response_clock = 0
        self.status = 0
        self.failed = False
        self.finished = False
        self.span: object | None = None
        self.steps: list[StepRow] = []
        self.steps_dropped = 0
        self.events: list[tuple[str, str, int, int]] = []
        self.thread_calls: list[tuple[int, int, int, int]] = []
        self.task_numbers = itertools.count(1)

    def add(self, row: StepRow) -> None:
        """Append one step, or count it when the request has too many."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append(row)
        else:
            self.steps_dropped += 1


current_record: ContextVar[RequestRecord | None] = ContextVar("fastsim_record", default=None)


def active_record() -> RequestRecord | None:
    """Return the record of the request this code runs for, if it is still open.

    A context can outlive its request (asyncio hands a request's context to the
    connection after large bodies), so a finished record does not count.
    """
    record = current_record.get()
    return None if record is None or record.finished else record


clock_ns = perf_counter_ns
cpu_ns = thread_time_ns
