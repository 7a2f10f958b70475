"""The resume timer: drive a coroutine and stamp the clock around every resume.

Each resume is a stretch of code on the event loop, each gap a suspension. Tasks
created during a request are driven the same way, through the loop's task factory.
Nothing in here may raise into the request: recording errors switch recording of
that coroutine off.
"""

import asyncio
from collections.abc import Coroutine, Generator
from types import CoroutineType
from typing import Any, Protocol, TypeVar

from fastsim.collector import clocks
from fastsim.collector.background import watch_background
from fastsim.collector.driven import DrivenCoroutine
from fastsim.collector.faults import note_fault
from fastsim.collector.frames import known_frames
from fastsim.collector.paths import Path
from fastsim.collector.timeline import (
    BLOCKED_NS,
    LONG_NS,
    MAX_BLOCKS,
    MOST_NUMBERS,
    LoopClock,
    RequestRecord,
    ThreadCall,
    active_record,
    current_record,
    left_out,
)
from fastsim.collector.wait_names import EXECUTOR
from fastsim.collector.waits import (
    REACH_NEAR,
    REACH_THREAD,
    find_wait,
    make_wait,
    remember_origin,
)
from fastsim.step_columns import NO_WAIT, UNKNOWN

T = TypeVar("T")

READ_EVERY_NS = 100_000
"""The clock of a thread's CPU is dear. Where it was read less than this ago and the loop has not
slept since, the thread has had the core: what it costs to know better is not worth it."""
SHORT_NS = 20_000
"""Code that takes no longer has had the core all the time, or lost it for no longer than that."""


class TimedCoroutine(DrivenCoroutine[T]):
    """Drives ``inner`` and writes its steps into ``record`` as task number ``task``."""

    fastsim_timed = True
    """Says to ``find_wait`` that the task's own waits are recorded."""

    __slots__ = (
        "_clock",
        "_driver",
        "_left",
        "began",
        "nested_cpu",
        "nested_wall",
        "outer",
        "reach",
        "record",
        "seen_at",
        "since",
        "task",
    )

    def __init__(
        self, inner: Coroutine[Any, Any, T], record: RequestRecord, clock: LoopClock, task: int
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._driver: Generator[Any, Any, T] | None = None
        self._left = False
        self.record = record
        self.task = task
        self.since = 0
        """When it was suspended last."""
        self.reach = REACH_NEAR
        """Of its last wait."""
        self.began = 0
        """When the code that runs began."""
        self.outer: TimedCoroutine[Any] | None = None
        """An eager task runs its first step inside the code of the task that made it."""
        self.nested_wall = 0
        self.nested_cpu = 0
        self.seen_at: tuple[str, str] | None = None
        """What the watchdog saw running when this took long: the user's line, what it called."""

    def __await__(self) -> Generator[Any, Any, T]:
        return self._drive()

    def send(self, value: Any) -> Any:
        """Resume the coroutine, timed; tasks do this, where others await."""
        driver = self._driver
        if driver is None:
            driver = self._driver = self._drive()
        return driver.send(value)

    def throw(self, *error: Any) -> Any:
        """Resume the coroutine with an exception, timed."""
        if self._driver is None:  # before its first step: there is nothing to time
            self._leave()
            return self._inner.throw(*error)
        return self._driver.throw(*error)

    def close(self) -> None:
        """Close the coroutine."""
        try:
            self._inner.close()
        finally:
            self._leave()

    def _drive(self) -> Generator[Any, Any, T]:
        # Runs at every resume of the service's code, when all of it is cold in the processor's
        # caches: one function, without calls that can be spared, on local variables.
        inner, record, clock, task = self._inner, self.record, self._clock, self.task
        send, rows, clock_ns = inner.send, record.rows, clocks.perf_counter_ns
        value: Any = None
        error: BaseException | None = None
        users: Any = None
        path: Path | None = None
        call: ThreadCall | None = None
        wait, known, since = NO_WAIT, UNKNOWN, 0
        gap = cpu = begin = 0
        limits = clock.limits[REACH_NEAR]
        on, ended = True, False
        result: Any = None
        while True:
            if on:
                try:
                    begin = clock_ns()
                    if clock.sees_polls:
                        gap = clock.fresh_idle
                        clock.fresh_idle = 0
                    else:
                        gap = clock.enter(begin)
                    limits = clock.limits[self.reach]
                    if begin - clock.cpu_at > READ_EVERY_NS:
                        clock.cpu_read = cpu = clocks.thread_time_ns()
                        now = clock_ns()
                        clock.own += now - begin
                        clock.cpu_at = begin = now
                    else:
                        cpu = clock.cpu_read + begin - clock.cpu_at
                    self.nested_wall = 0
                    self.seen_at = None
                    self.began = begin
                    self.outer = clock.active
                    clock.active = self
                except Exception as fault:  # noqa: BLE001  never into the request
                    on = self._fail(fault)
            try:
                yielded = send(value) if error is None else inner.throw(error)
                error = None
            except StopIteration as stop:
                ended, result, error = True, stop.value, None
            except BaseException as failure:  # noqa: BLE001  raised again below
                ended, error = True, failure
            if on:
                try:
                    now = clock_ns()
                    clock.last_end = now
                    wall = now - begin
                    if wall > SHORT_NS:
                        clock.cpu_read = read = clocks.thread_time_ns()
                        clock.cpu_at = now
                        cpu = read - cpu if read > cpu else 0
                    else:
                        cpu = wall
                    outer = clock.active = self.outer
                    if outer is not None:
                        outer.add_nested(wall, cpu)
                    if self.nested_wall:
                        wall -= self.nested_wall
                        cpu = max(cpu - self.nested_cpu, 0)
                    clock.segment_wall += wall
                    clock.segment_cpu += cpu
                    if record.closed:
                        on = False
                    elif len(rows) < MOST_NUMBERS:
                        after, before, awake, woke = limits
                        # fmt: off
                        rows += (
                            wait, task, since, begin, wall, cpu,
                            after, before, known, gap, awake, woke,
                        )
                        # fmt: on
                    else:
                        record.rows_dropped += 1
                    if call is not None:
                        self.note_call(call)
                        call = None
                    if wall > BLOCKED_NS and (wall - cpu > BLOCKED_NS or wall > LONG_NS):
                        self._note_block(wall, cpu)
                    if ended:
                        self._leave()
                    else:
                        # Naming the wait is the recorder's own time: part of the suspension.
                        self.since = since = now
                        found, known, users, path = find_wait(inner, yielded, users, path)
                        if record.calls and id(yielded) in record.calls:
                            call = record.calls.pop(id(yielded))[1]
                            if found.reach != REACH_THREAD:
                                found = make_wait(*EXECUTOR, found.where)
                        wait = found.number
                        self.reach = found.reach
                    clock.own += clock_ns() - now
                except Exception as fault:  # noqa: BLE001  never into the request
                    on = self._fail(fault)
            if ended:
                if error is None:
                    return result  # type: ignore[no-any-return]
                try:
                    raise error
                finally:
                    del error  # else it and this frame keep each other alive
            try:
                value = yield yielded
            except GeneratorExit:
                self.close()
                raise
            except BaseException as failure:  # noqa: BLE001  the coroutine decides
                error = failure

    def add_nested(self, wall: int, cpu: int) -> None:
        """Note code of an eager task that ran inside this."""
        if not self.nested_wall:
            self.nested_cpu = 0
        self.nested_wall += wall
        self.nested_cpu += cpu

    def note_call(self, call: ThreadCall) -> None:
        """Keep what ran in a thread while this task last waited."""
        queued, inside = call.begin - call.submitted, call.end - call.begin
        self.record.thread_calls.append((self.task, self.since, queued, inside, call.cpu))

    def _note_block(self, wall: int, cpu: int) -> None:
        """Note code that held the loop for long, with the line that the watchdog saw."""
        where, called = self.seen_at or ("", "")
        record = self.record
        if len(record.blocks) < MAX_BLOCKS:
            at = self.began - record.start_clock
            record.blocks.append((at, wall, cpu, where, called))

    def _leave(self) -> None:
        """Note, once, that this task will not run again."""
        if self.task > 0 and not self._left:
            self._left = True
            self.record.task_ended()

    def _fail(self, fault: Exception) -> bool:
        """Note a fault of the recorder; return False, it is off now."""
        self._clock.active = None
        note_fault(fault)
        return False


def running_for(record: RequestRecord) -> TimedCoroutine[Any] | None:
    """Return what drives the code that runs for a request; None in a thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    driver = task.get_coro() if task is not None else None
    # A server's task runs what is timed, others are timed themselves.
    return driver if isinstance(driver, TimedCoroutine) else record.main


class TaskFactory(Protocol):
    """What ``loop.set_task_factory`` takes."""

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any
    ) -> "asyncio.Future[Any]":
        """Make the task that runs ``coro``."""
        ...


def make_task_factory(clock: LoopClock, inner: Any) -> TaskFactory:
    """Wrap the tasks that a recorded request creates; leave all others alone.

    An eager factory is remade as one by asyncio itself, around the constructor that the service
    gave it: anyio recognises it by its code, and starts tasks by that constructor.
    """
    eager = getattr(asyncio, "create_eager_task_factory", None)
    if eager is not None and _is_eager(inner):
        construct = inner.__closure__[0].cell_contents

        def make(coro: Any, **kwargs: Any) -> Any:
            return construct(_timed(clock, coro), **kwargs)

        return eager(make)  # type: ignore[no-any-return]

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> "asyncio.Future[Any]":
        code = coro.cr_code if type(coro) is CoroutineType else None
        frame = known_frames.get(id(code))
        if frame is None or frame.role == "user" or current_record.get() is not None:
            coro = _timed(clock, coro)
        # else a server's own task, as for every request
        if inner is not None:
            return inner(loop, coro, **kwargs)  # type: ignore[no-any-return]
        return asyncio.Task(coro, loop=loop, **kwargs)

    return factory


def _is_eager(factory: Any) -> bool:
    code = getattr(getattr(asyncio, "eager_task_factory", None), "__code__", None)
    return (
        code is not None
        and getattr(factory, "__code__", None) is code
        and bool(getattr(factory, "__closure__", None))
    )


def _timed(clock: LoopClock, coro: Any) -> Any:
    """Return the coroutine of a new task, timed as a request's or as nobody's."""
    if type(coro) is TimedCoroutine:  # by a factory of the service that asks ours
        return coro
    record = active_record()
    if record is None and left_out.get():
        return coro
    try:
        if record is None or (record.finished and _left_over(clock, record)):
            return watch_background(coro, clock.background)
        remember_origin(coro)
        running = clock.active
        own = running is not None and running.record is record
        number = record.new_task(running.task if running is not None and own else -1)
        timed = TimedCoroutine(coro, record, clock, number)
        record.open_tasks += 1
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)
        return coro
    return timed


def _left_over(clock: LoopClock, record: RequestRecord) -> bool:
    """Return whether a finished request's context is all that is left of it here.

    Its own tasks may still run and start others; but a connection that inherited the context
    starts other requests in it.
    """
    running = clock.active
    return running is None or running.record is not record
