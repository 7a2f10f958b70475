"""The resume timer: drive a coroutine and stamp the clock around every resume.

Each resume is a stretch of code on the event loop, each gap a suspension. Tasks
created during a request are driven the same way, through the loop's task factory.
Nothing in here may raise into the request: recording errors switch recording of
that coroutine off.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from fastsim.collector import clocks
from fastsim.collector.background import watch_background
from fastsim.collector.driven import DrivenCoroutine
from fastsim.collector.faults import note_fault
from fastsim.collector.timeline import (
    BLOCKED_NS,
    LONG_NS,
    MAX_BLOCKS,
    LoopClock,
    RequestRecord,
    Segment,
    ThreadCall,
    active_record,
)
from fastsim.collector.waits import Wait, find_wait, remember_origin
from fastsim.spans import StepKind, Via

T = TypeVar("T")

_CPU = StepKind.CPU.value
_LOOP = Via.LOOP.value
_THREAD = Via.THREAD.value
_EXECUTOR = Wait(StepKind.THREAD.value, Via.THREAD.value, "executor", "", -1.0, False)


class TimedCoroutine(DrivenCoroutine[T]):
    """Drives ``inner`` and writes its steps into ``record`` as task number ``task``."""

    fastsim_timed = True
    """Says to ``classify_wait`` that the task's own waits are recorded."""

    __slots__ = (
        "_call",
        "_clock",
        "_enter_cpu",
        "_enter_gap",
        "_enter_idle",
        "_enter_wall",
        "_left",
        "_on",
        "_record",
        "_segment",
        "_suspended_at",
        "_task",
        "_users",
        "_wait",
    )

    def __init__(
        self, inner: Coroutine[Any, Any, T], record: RequestRecord, clock: LoopClock, task: int
    ) -> None:
        super().__init__(inner)
        self._record = record
        self._clock = clock
        self._task = task
        self._on = True
        self._left = False
        self._suspended_at = 0
        self._wait: Wait | None = None
        self._call: ThreadCall | None = None
        self._users: Any = None
        self._segment = Segment(None, record, 0, task)
        self._enter_wall = 0
        self._enter_cpu = 0
        self._enter_gap = 0
        self._enter_idle = 0

    def send(self, value: Any) -> Any:
        """Resume the coroutine, timed."""
        if self._on:
            self._before()
        try:
            yielded = self._inner.send(value)
        except BaseException:
            if self._on:
                self._after(None, ended=True)
            raise
        if self._on:
            self._after(yielded, ended=False)
        return yielded

    def throw(self, *error: Any) -> Any:
        """Resume the coroutine with an exception, timed."""
        if self._on:
            self._before()
        try:
            yielded = self._inner.throw(*error)
        except BaseException:
            if self._on:
                self._after(None, ended=True)
            raise
        if self._on:
            self._after(yielded, ended=False)
        return yielded

    def close(self) -> None:
        """Close the coroutine."""
        try:
            self._inner.close()
        finally:
            self._leave()

    def _before(self) -> None:
        # This and ``_after`` run at every resume of the service's code, so they spare calls.
        try:
            clock = self._clock
            now = clocks.perf_counter_ns()
            if clock.sees_polls:
                self._enter_gap = clock.fresh_idle
                clock.fresh_idle = 0
            else:
                self._enter_gap = clock.enter(now)
            if self._wait is not None:
                self._end_wait(self._wait, now)
            self._enter_idle = clock.idle_ppm(now)
            segment = self._segment
            segment.began = now
            segment.outer = clock.active
            segment.nested_wall = segment.nested_cpu = 0
            segment.seen_at = None
            clock.active = segment
            self._enter_cpu = clocks.thread_time_ns()
            self._enter_wall = clocks.perf_counter_ns()
            clock.own += self._enter_wall - now
        except Exception as fault:  # noqa: BLE001  never into the request
            self._fail(fault)

    def _end_wait(self, wait: Wait, now: int) -> None:
        self._wait = None
        start = self._suspended_at
        wall = now - start
        most, least = self._clock.queueing(now, wait.extra_hops, wait.via == _THREAD)
        if wait.known_s > 0.0:
            most = least = wall - round(wait.known_s * 1e9)
        most = 0 if most < 0 else min(wall, most)
        least = 0 if least < 0 else min(most, least)
        kind, via, label, where, _, _ = wait
        record = self._record
        offset = start - record.start_clock
        record.add((kind, via, offset, wall, 0, most, least, 0, label, where, self._task))
        if self._call is not None:
            self._keep_call(self._call)
            self._call = None

    def _after(self, yielded: object, *, ended: bool) -> None:
        try:
            now = clocks.perf_counter_ns()
            cpu = clocks.thread_time_ns() - self._enter_cpu
            clock = self._clock
            clock.last_end = now
            begin = self._enter_wall
            wall = now - begin
            segment = self._segment
            outer = clock.active = segment.outer
            if outer is not None:
                outer.nested_wall += wall
                outer.nested_cpu += cpu
            wall -= segment.nested_wall
            cpu -= segment.nested_cpu
            clock.segment_wall += wall
            clock.segment_cpu += cpu
            record = self._record
            if record.closed:
                self._on = False
                return
            offset = begin - record.start_clock
            gap, idle = self._enter_gap, self._enter_idle
            used = max(0, cpu)
            record.add((_CPU, _LOOP, offset, wall, used, gap, 0, idle, "", "", self._task))
            if ended:
                self._leave()
            else:
                if record.calls and id(yielded) in record.calls:
                    self._call = record.calls.pop(id(yielded))[1]
                wait, self._users = find_wait(self._inner, yielded, self._users)
                if self._call is not None and wait.via != _THREAD:
                    wait = _EXECUTOR._replace(where=wait.where)
                self._wait = wait
                # Naming the wait is the recorder's own time: it is part of the suspension.
                self._suspended_at = now
            if wall - cpu > BLOCKED_NS or wall > LONG_NS:
                self._note_block(segment, wall, cpu)
            clock.own += clocks.perf_counter_ns() - now
        except Exception as fault:  # noqa: BLE001  never into the request
            self._fail(fault)

    def _keep_call(self, call: ThreadCall) -> None:
        queued, inside = call.begin - call.submitted, call.end - call.begin
        self._record.thread_calls.append((len(self._record.steps) - 1, queued, inside, call.cpu))

    def _note_block(self, segment: Segment, wall: int, cpu: int) -> None:
        """Note code that held the loop for long, with the line that the watchdog saw."""
        where = called = ""
        if segment.seen_at is not None:
            where, called = segment.seen_at
        record = self._record
        if len(record.blocks) < MAX_BLOCKS:
            at = self._enter_wall - record.start_clock
            record.blocks.append((at, wall, max(cpu, 0), where, called))

    def _leave(self) -> None:
        """Note, once, that this task will not run again."""
        if self._task > 0 and not self._left:
            self._left = True
            self._record.task_ended()

    def _fail(self, fault: Exception) -> None:
        self._on = False
        self._clock.active = None
        note_fault(fault)


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
        coro = _timed(clock, coro)
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
