"""The state behind the resume timer: one clock per event loop, one record per request.

Hot path of the recorder: everything here runs at each pass of the loop or resume of user code, so
it is plain attribute arithmetic, and what can be computed later is left to the reader
(``fastsim.step_columns``). All times are integer nanoseconds.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from math import ceil, exp
from typing import TYPE_CHECKING, Any, Protocol

from fastsim.collector import clocks
from fastsim.collector.background import Background
from fastsim.collector.passes import Passes
from fastsim.collector.series import LoopSeries
from fastsim.spans import RECENT_NS
from fastsim.step_columns import COLUMNS, UNKNOWN

if TYPE_CHECKING:
    from fastsim.collector.export import Counters
    from fastsim.collector.llm import LlmCall
    from fastsim.collector.resume import TimedCoroutine

MOST_NUMBERS = 2000 * COLUMNS
"""Numbers kept per request, of 2,000 waits with the code after them."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

NEVER = -(1 << 60)

Limits = tuple[int, int, int, int]
"""A wait that resumes in this pass ended after the first instant and before the second (UNKNOWN:
before it resumed); then the idle share when the loop last woke, in parts per million, and when."""

BLOCKED_NS = 5_000_000
"""Code that had the loop this much longer than its CPU was blocked, or kept off the core."""
LONG_NS = 50_000_000
"""Code that holds the loop this long is noted even if all of it was CPU."""
MAX_BLOCKS = 50

# An idle wait of the loop shorter than this did not really sleep: the events were there already.
SELECT_BLOCKED_NS = 25_000

# Without a view into the loop (uvloop): user code less than this apart is one busy period.
SAME_BUSY_PERIOD_NS = 200_000


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
        "cpu_at",
        "cpu_read",
        "fresh_idle",
        "idle_at_wake",
        "idle_total",
        "idle_wakeups",
        "last_end",
        "limits",
        "own",
        "pass_number",
        "passes",
        "sees_polls",
        "segment_cpu",
        "segment_wall",
        "series",
        "sleep_cpu",
        "started",
        "thread",
    )

    def __init__(self) -> None:
        now = clocks.perf_counter_ns()
        self.active: TimedCoroutine[Any] | None = None
        """What has the loop, if it is a request's code."""
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
        self.idle_total = 0
        self.idle_wakeups = 0
        self.sleep_cpu = 0
        """CPU of the thread inside polls that slept."""
        self.cpu_read = 0
        self.cpu_at = NEVER
        """When the CPU of the loop's thread was last read, unless the loop has slept since."""
        self.own = 0
        """Time the recorder itself has taken."""
        self.segment_wall = 0
        self.segment_cpu = 0
        self.limits: tuple[Limits, Limits, Limits] = ((0, 0, 0, 0),) * 3
        """By the reach of a wait (``fastsim.collector.waits``): what bounds its end if it resumes
        in this pass."""
        self._bound((now, now), (now, now))

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """See every poll of the loop, where it has a Python selector to look through."""
        selector: _Selector | None = getattr(loop, "_selector", None)
        if selector is None:
            self.passes = Passes(loop, lambda: self.last_end)
        elif not self.sees_polls:
            self.watch_selector(selector)

    def watch_selector(self, selector: _Selector) -> None:
        """See every poll through a selector, unless its methods cannot be replaced."""
        inner, now, series = selector.select, clocks.perf_counter_ns, self.series
        cpu_now = clocks.thread_time_ns
        last = before_last = self.started
        """When the polls of this pass and of the one before returned."""
        slept = True
        """The poll before this pass slept."""
        busy = squares = longest = 0

        def select(timeout: float | None = None) -> list[object]:
            # At every pass of the loop: local variables, no calls.
            nonlocal last, before_last, slept, busy, squares, longest
            # The clock of a thread's CPU is dear, but nothing waits for it where the loop sleeps.
            cpu = cpu_now() if timeout != 0 else 0
            before = now()
            events = inner(timeout)
            after = now()
            length = before - last
            busy += length
            squares += length * length
            longest = max(longest, length)
            if after >= series.until:
                series.end_window(after, busy, squares, longest)
                busy = squares = longest = 0
            self.pass_number += 1
            waited = after - before
            if timeout != 0 or waited > SELECT_BLOCKED_NS:
                self.cpu_at = NEVER
                if timeout != 0 and waited > SELECT_BLOCKED_NS:
                    self.cpu_read = read = cpu_now()
                    self.cpu_at = after
                    self.sleep_cpu += read - cpu
                    self._slept(before, after)
                    self.idle_total += waited
                    self.fresh_idle = waited
                    self.idle_wakeups += 1
                    if not events and timeout:
                        # A timer ended it, which is asked for in whole milliseconds, or a signal.
                        late = waited - ceil(timeout * 1e3) * 1_000_000
                        if late >= 0:
                            series.timer_wakes += 1
                            series.timer_late += late
                    # Who resumes in the very pass that woke had a chain shorter than usual.
                    far = (after, UNKNOWN, int(self.idle_at_wake * 1e6), after)
                    self.limits = (far, far, far)
                    before_last, last, slept = last, after, True
                    return events
            # A finished wait's callback runs in the pass whose poll found it and the waiting task
            # one pass later, so the wait ended after the poll before that one. If that poll
            # slept, it ended exactly when the poll returned.
            far = self.limits[2]
            near = (last if slept else before_last, last, far[2], far[3])
            self.limits = (near, near, far)
            before_last, last, slept = last, after, False
            return events

        try:
            selector.select = select  # type: ignore[method-assign]
        except AttributeError:
            return
        self.sees_polls = True

    def _bound(self, near: tuple[int, int], threaded: tuple[int, int]) -> None:
        idle = (int(self.idle_at_wake * 1e6), self.busy_since)
        self.limits = ((*near, *idle), (*threaded, *idle), (self.busy_since, UNKNOWN, *idle))

    def enter(self, now: int) -> int:
        """Note, where polls are not seen, that user code starts; return the idle gap before it."""
        gap = now - self.last_end
        slept = gap >= SAME_BUSY_PERIOD_NS
        if self.passes is not None:
            slept = self.passes.enter(now, slept)
        if slept:
            self.cpu_at = NEVER
            self._slept(self.last_end, now)
        if self.passes is None:
            self._bound((self.busy_since, UNKNOWN), (self.busy_since, UNKNOWN))
        elif slept or self.passes.number != self.pass_number:
            self.pass_number = self.passes.number
            self._bound(self.passes.limits(threaded=False), self.passes.limits(threaded=True))
        return gap if slept else 0

    def _slept(self, begin: int, end: int) -> None:
        """Note that the loop slept; keep the exponentially weighted share of sleep."""
        idle = self.idle_at_wake * exp((self.busy_since - begin) / RECENT_NS)
        self.idle_at_wake = 1.0 - (1.0 - idle) * exp((begin - end) / RECENT_NS)
        self.busy_since = end


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
        "_receive",
        "_send",
        "blocks",
        "calls",
        "cancelled",
        "closed",
        "counters",
        "disconnected",
        "end_clock",
        "events",
        "failed",
        "finished",
        "llm_calls",
        "main",
        "on_quiet",
        "open_tasks",
        "path",
        "response_clock",
        "root_path",
        "rows",
        "rows_dropped",
        "scope",
        "span",
        "start_clock",
        "start_unix",
        "status",
        "submit_child",
        "task_parents",
        "tasks_cut",
        "thread_calls",
    )

    def __init__(
        self, scope: Scope, receive: Receive | None = None, send: Send | None = None
    ) -> None:
        self.scope = scope
        """Kept until the request is encoded, a moment after its end: routing writes into it."""
        # Mounts may change both.
        self.path = scope.get("path", "")
        self.root_path = scope.get("root_path", "")
        self._receive: Any = receive
        self._send: Any = send
        self.start_unix = clocks.time_ns()
        self.start_clock = clocks.perf_counter_ns()
        self.end_clock = 0
        self.response_clock = 0
        self.status = 0
        self.failed = False
        self.cancelled = False
        self.disconnected = False
        self.finished = False
        """The application's coroutine has returned."""
        self.closed = False
        """Nothing is added any more; tasks that outlive the request get a while before."""
        self.open_tasks = 0
        self.tasks_cut = 0
        """Tasks that still ran when it was closed."""
        self.on_quiet: Callable[[RequestRecord], None] | None = None
        """Called when the last task ends after the request finished."""
        self.span: object | None = None
        self.counters: Counters | None = None
        """Of the process, when the request was over."""
        self.main: TimedCoroutine[Any] | None = None
        """Drives the application itself: task 0."""
        self.blocks: list[tuple[int, int, int, str, str]] = []
        self.calls: dict[int, tuple[object, ThreadCall]] = {}
        """Functions given to executors and not yet awaited, by identity of their future."""
        self.rows: list[int] = []
        """Flat: see ``fastsim.spans.STEPS``."""
        self.rows_dropped = 0
        self.events: list[tuple[str, str, int, int]] = []
        self.llm_calls: list[LlmCall] = []
        self.submit_child: Callable[[Callable[[], str]], None] | None = None
        """Takes finished client spans of the service's own telemetry; None to leave it alone."""
        self.thread_calls: list[tuple[int, int, int, int, int]] = []
        """(task, start of its wait, queued, inside, CPU) of each."""
        self.task_parents: list[int] = []
        """Task 1 was created by task ``task_parents[0]``, and so on; -1: by none of them."""

    @property
    def steps(self) -> int:
        """Steps recorded: code, and the waits between; a task begins with code."""
        return max(2 * (len(self.rows) // COLUMNS) - len(self.task_parents) - 1, 0)

    async def watch_receive(self) -> Any:
        """Receive a message for the application; note it if the client has left."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.response_clock:
            self.disconnected = True
        return message

    def watch_send(self, message: Any) -> Any:
        """Send a message of the application; note status and end of the response."""
        # No coroutine of its own for each message: only the last waits for the moment it is sent.
        kind = message["type"]
        if kind == "http.response.body":
            if not message.get("more_body", False):
                return self._send_last(message)
        elif kind == "http.response.start":
            self.status = message.get("status", 0)
        return self._send(message)

    async def _send_last(self, message: Any) -> None:
        await self._send(message)
        self.response_clock = clocks.perf_counter_ns()

    def new_task(self, parent: int) -> int:
        """Return the number of a task that task ``parent`` creates."""
        self.task_parents.append(parent)
        return len(self.task_parents)

    def task_ended(self) -> None:
        """Note that a child task ended."""
        self.open_tasks -= 1
        if self.finished and self.open_tasks == 0 and self.on_quiet is not None:
            self.on_quiet(self)


current_record: ContextVar[RequestRecord | None] = ContextVar("fastsim_record", default=None)

left_out: ContextVar[bool] = ContextVar("fastsim_left_out", default=False)
"""Whether this code runs for a request that sampling leaves out."""


def active_record() -> RequestRecord | None:
    """Return the record of the request this code runs for, if it is still open.

    A context can outlive its request (asyncio hands a request's context to the
    connection after large bodies), so a closed record does not count.
    """
    record = current_record.get()
    return None if record is None or record.closed else record
