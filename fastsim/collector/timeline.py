"""The state behind the resume timer: one clock per event loop, one record per request.

Hot path of the recorder: everything here runs at each resume of user code, so
it is plain attribute arithmetic. All times are integer nanoseconds.
"""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from math import exp
from typing import TYPE_CHECKING, Protocol

from fastsim.collector import clocks
from fastsim.collector.background import Background
from fastsim.collector.passes import Passes
from fastsim.collector.propagation import Parent
from fastsim.collector.series import LoopSeries
from fastsim.spans import RECENT_NS, StepKind, Via
from fastsim.step_columns import StepRow

if TYPE_CHECKING:
    from fastsim.collector.llm import LlmCall
    from fastsim.spans import Span

MAX_STEPS = 2000
"""Steps kept per request; a streamed answer of 900 chunks still fits."""

BLOCKED_NS = 5_000_000
"""Code that had the loop this much longer than its CPU was blocked, or kept off the core."""
LONG_NS = 50_000_000
"""Code that holds the loop this long is noted even if all of it was CPU."""
MAX_BLOCKS = 50

# An idle wait of the loop shorter than this did not really sleep: the events were there already.
SELECT_BLOCKED_NS = 25_000

_FORGOTTEN_NS = 16 * RECENT_NS
"""A sleep so long ago counts less than one part per million."""

# Without a view into the loop (uvloop): user code less than this apart is one busy period.
SAME_BUSY_PERIOD_NS = 200_000

_CPU = StepKind.CPU.value
_LOOP = Via.LOOP.value


class _Selector(Protocol):
    def select(self, timeout: float | None = None) -> list[object]: ...


class LoopClock:
    """What is known about one event loop: when it polled, when it slept, what it spent.

    On the standard asyncio loop every poll is seen, which bounds the moment a wait
    ended to one pass of the loop. Other loops are watched by ``fastsim.collector.passes``.
    """

    __slots__ = (
        "__weakref__",
        "active",
        "background",
        "busy_since",
        "fresh_idle",
        "idle_at_wake",
        "idle_pass",
        "idle_total",
        "idle_wakeups",
        "last_end",
        "own",
        "pass_number",
        "passes",
        "poll_1",
        "poll_2",
        "poll_now",
        "sees_polls",
        "segment_cpu",
        "segment_wall",
        "series",
        "started",
        "thread",
    )

    def __init__(self) -> None:
        now = clocks.perf_counter_ns()
        self.active: Segment | None = None
        self.series = LoopSeries(now)
        self.background = Background()
        self.thread = threading.get_ident()
        self.sees_polls = False
        self.passes: Passes | None = None
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
        self.own = 0
        """Time the recorder itself has taken."""
        self.segment_wall = 0
        self.segment_cpu = 0

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """See every poll of the loop, where it has a Python selector to look through."""
        selector: _Selector | None = getattr(loop, "_selector", None)
        if selector is None:
            self.passes = Passes(loop, lambda: self.last_end)
        elif not self.sees_polls:
            self._watch_selector(selector)

    def _watch_selector(self, selector: _Selector) -> None:
        inner = selector.select
        series = self.series

        def select(timeout: float | None = None) -> list[object]:
            before = clocks.perf_counter_ns()
            events = inner(timeout)
            after = clocks.perf_counter_ns()
            series.add_pass(before - self.poll_now, after)
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
        slept = gap >= SAME_BUSY_PERIOD_NS
        if self.passes is not None:
            slept = self.passes.enter(now, slept)
        if not slept:
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

    def idle_ppm(self, now: int) -> int:
        """Return the same in parts per million."""
        # A busy loop needs no exponential: nothing of the last sleep is left.
        age = now - self.busy_since
        if age > _FORGOTTEN_NS:
            return 0
        return int(self.idle_at_wake * exp(-age / RECENT_NS) * 1e6)

    def queueing(self, now: int, extra_hops: bool, threaded: bool = False) -> tuple[int, int]:
        """Bound the time a wait that resumes now spent ready but queued: (most, least).

        The standard loop runs a finished wait's callback in the pass whose poll found
        it and the waiting task one pass later, so the wait ended after the poll before
        that one. If that poll slept, it ended exactly when the poll returned.
        """
        if self.sees_polls and not extra_hops:
            if self.idle_pass == self.pass_number:
                # Resumed in the very pass that woke: a chain shorter than the usual two passes.
                return now - self.poll_now, 0
            least = now - self.poll_1
            if self.idle_pass == self.pass_number - 1:
                return least, least
            return now - self.poll_2, least
        if self.passes is not None and not extra_hops:
            return self.passes.queueing(now, threaded)
        return now - self.busy_since, 0


class Segment:
    """A stretch of user code being timed; eager child tasks run nested inside one."""

    __slots__ = ("began", "nested_cpu", "nested_wall", "outer", "record", "seen_at", "task")

    def __init__(
        self, outer: "Segment | None", record: "RequestRecord", began: int, task: int = 0
    ) -> None:
        self.outer = outer
        self.record = record
        self.task = task
        self.began = began
        self.seen_at: tuple[str, str] | None = None
        """What the watchdog saw running when this took long: the user's line, what it called."""
        self.nested_wall = 0
        self.nested_cpu = 0


class ThreadCall:
    """One function on its way through a thread pool."""

    __slots__ = ("begin", "cpu", "end", "submitted")

    def __init__(self) -> None:
        self.submitted = clocks.perf_counter_ns()
        self.begin = self.submitted
        self.end = self.submitted
        self.cpu = 0

    def run(self, function: Callable[..., object], *args: object) -> object:
        """Call the function in the thread, timed."""
        self.begin = clocks.perf_counter_ns()
        cpu = clocks.thread_time_ns()
        try:
            return function(*args)
        finally:
            self.cpu = clocks.thread_time_ns() - cpu
            self.end = clocks.perf_counter_ns()


class RequestRecord:
    """The timeline of one request, while it happens."""

    __slots__ = (
        "blocks",
        "calls",
        "cancelled",
        "closed",
        "disconnected",
        "end_clock",
        "events",
        "failed",
        "finished",
        "llm_calls",
        "method",
        "on_quiet",
        "open_tasks",
        "parent",
        "path",
        "response_clock",
        "route",
        "span",
        "start_clock",
        "start_unix",
        "status",
        "steps",
        "steps_dropped",
        "submit_child",
        "task_parents",
        "thread_calls",
    )

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path
        self.start_unix = clocks.time_ns()
        self.start_clock = clocks.perf_counter_ns()
        self.end_clock = 0
        self.response_clock = 0
        self.status = 0
        self.route: str | None = None
        self.failed = False
        self.cancelled = False
        self.disconnected = False
        self.finished = False
        """The application's coroutine has returned."""
        self.closed = False
        """Nothing is added any more; tasks that outlive the request get a while before."""
        self.open_tasks = 0
        self.on_quiet: Callable[[RequestRecord], None] | None = None
        """Called when the last task ends after the request finished."""
        self.span: object | None = None
        self.blocks: list[tuple[int, int, int, str, str]] = []
        self.calls: dict[int, tuple[object, ThreadCall]] = {}
        """Functions given to executors and not yet awaited, by identity of their future."""
        self.parent: Parent | None = None
        """The caller's span, when the server span is the recorder's own."""
        self.steps: list[StepRow] = []
        self.steps_dropped = 0
        self.events: list[tuple[str, str, int, int]] = []
        self.llm_calls: list[LlmCall] = []
        self.submit_child: Callable[[Callable[[], Span]], None] | None = None
        """Takes finished client spans of the service's own telemetry; None to leave it alone."""
        self.thread_calls: list[tuple[int, int, int, int]] = []
        self.task_parents: list[int] = []
        """Task 1 was created by task ``task_parents[0]``, and so on; -1: by none of them."""

    def new_task(self, parent: int) -> int:
        """Return the number of a task that task ``parent`` creates."""
        self.task_parents.append(parent)
        return len(self.task_parents)

    def task_ended(self) -> None:
        """Note that a child task ended."""
        self.open_tasks -= 1
        if self.finished and self.open_tasks == 0 and self.on_quiet is not None:
            self.on_quiet(self)

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
    connection after large bodies), so a closed record does not count.
    """
    record = current_record.get()
    return None if record is None or record.closed else record
