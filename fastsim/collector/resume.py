"""The resume timer: drive a coroutine and stamp the clock around every resume.

Each resume is a stretch of code on the event loop, each gap a suspension. Tasks
created during a request are driven the same way, through the loop's task factory.
Nothing in here may raise into the request: recording errors switch recording of
that coroutine off.
"""

import asyncio
from collections.abc import Coroutine, Generator
from time import perf_counter_ns, thread_time_ns
from typing import Any, Protocol, TypeVar

from fastsim.collector.faults import note_fault
from fastsim.collector.timeline import LoopClock, RequestRecord, Segment, active_record
from fastsim.collector.waits import Wait, classify_wait
from fastsim.spans import StepKind, Via

T = TypeVar("T")

_CPU = StepKind.CPU.value
_LOOP = Via.LOOP.value


class TimedCoroutine(Coroutine[Any, Any, T]):
    """Drives ``inner`` and writes its steps into ``record`` as task number ``task``."""

    __slots__ = (
        "_clock",
        "_enter_cpu",
        "_enter_gap",
        "_enter_idle",
        "_enter_wall",
        "_inner",
        "_on",
        "_record",
        "_segment",
        "_suspended_at",
        "_task",
        "_wait",
    )

    def __init__(
        self, inner: Coroutine[Any, Any, T], record: RequestRecord, clock: LoopClock, task: int
    ) -> None:
        self._inner = inner
        self._record = record
        self._clock = clock
        self._task = task
        self._on = True
        self._suspended_at = 0
        self._wait: Wait | None = None
        self._segment: Segment | None = None
        self._enter_wall = 0
        self._enter_cpu = 0
        self._enter_gap = 0
        self._enter_idle = 0

    # ``send``, ``throw`` and ``close`` make this a coroutine, so a task can run it as it is.

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
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            yielded = self.send(None)
            while True:
                try:
                    value = yield yielded
                except GeneratorExit:
                    self.close()
                    raise
                except BaseException as error:  # noqa: BLE001  the coroutine decides
                    yielded = self.throw(error)
                else:
                    yielded = self.send(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return repr(self._inner)

    def __getattr__(self, name: str) -> Any:
        # Name, code, frame and await chain: what debuggers and asyncio look at is the inner one.
        return getattr(self._inner, name)

    def _before(self) -> None:
        try:
            clock = self._clock
            now = perf_counter_ns()
            wait = self._wait
            if wait is not None:
                self._wait = None
                start = self._suspended_at
                wall = now - start
                most, least = clock.queueing(now, wait.extra_hops)
                if wait.known_s > 0.0:
                    most = least = wall - round(wait.known_s * 1e9)
                most = min(max(most, 0), wall)
                self._record.add(
                    (
                        wait.kind,
                        wait.via,
                        start - self._record.start_clock,
                        wall,
                        0,
                        most,
                        min(max(least, 0), most),
                        0,
                        wait.label,
                        wait.where,
                        self._task,
                    )
                )
            self._enter_gap = clock.enter(now)
            self._enter_idle = int(clock.idle_share(now) * 1e6)
            segment = Segment(clock.active)
            clock.active = self._segment = segment
            self._enter_cpu = thread_time_ns()
            self._enter_wall = perf_counter_ns()
        except Exception as fault:  # noqa: BLE001  never into the request
            self._fail(fault)

    def _after(self, yielded: object, *, ended: bool) -> None:
        try:
            now = perf_counter_ns()
            cpu = thread_time_ns() - self._enter_cpu
            clock = self._clock
            clock.last_end = now
            segment = self._segment
            wall = now - self._enter_wall
            if segment is not None:
                clock.active = segment.outer
                if segment.outer is not None:
                    segment.outer.nested_wall += wall
                    segment.outer.nested_cpu += cpu
                wall -= segment.nested_wall
                cpu -= segment.nested_cpu
                self._segment = None
            clock.segment_wall += wall
            clock.segment_cpu += cpu
            record = self._record
            if record.finished:
                self._on = False
                return
            record.add(
                (
                    _CPU,
                    _LOOP,
                    self._enter_wall - record.start_clock,
                    wall,
                    max(cpu, 0),
                    self._enter_gap,
                    0,
                    self._enter_idle,
                    "",
                    "",
                    self._task,
                )
            )
            if not ended:
                self._wait = classify_wait(self._inner, yielded)
                # Naming the wait is the recorder's own time: it is part of the suspension.
                self._suspended_at = now
        except Exception as fault:  # noqa: BLE001  never into the request
            self._fail(fault)

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
    """Wrap the tasks that a recorded request creates; leave all others alone."""

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> "asyncio.Future[Any]":
        record = active_record()
        if record is not None:
            try:
                coro = TimedCoroutine(coro, record, clock, next(record.task_numbers))
            except Exception as fault:  # noqa: BLE001  never into the request
                note_fault(fault)
        if inner is not None:
            return inner(loop, coro, **kwargs)  # type: ignore[no-any-return]
        return asyncio.Task(coro, loop=loop, **kwargs)

    return factory
