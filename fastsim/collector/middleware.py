"""The ASGI layer that records: outermost, one record per HTTP request."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastsim.collector import clocks
from fastsim.collector.background import TimedBackground
from fastsim.collector.batch import Batch
from fastsim.collector.cost import measure_timer_cost
from fastsim.collector.destination import DEFAULT_MODE, Destination, as_mode
from fastsim.collector.ending import flush_when_uvicorn_ends
from fastsim.collector.export import Counters, build_series_span
from fastsim.collector.facts import process_facts, thread_tokens
from fastsim.collector.faults import note_fault
from fastsim.collector.libraries import hook_libraries
from fastsim.collector.otel import ride_on_global, rides, watch_providers
from fastsim.collector.otlp import encode_span
from fastsim.collector.resume import TaskFactory, TimedCoroutine, make_task_factory
from fastsim.collector.routes import route_template
from fastsim.collector.series import probe_lag, watch_collections
from fastsim.collector.threads import hook_anyio_threads, hook_executors
from fastsim.collector.timeline import (
    LoopClock,
    Message,
    Receive,
    RequestRecord,
    Scope,
    Send,
    current_record,
    left_out,
)
from fastsim.collector.watchdog import Watchdog
from fastsim.collector.writer import NoWriter, TraceWriter
from fastsim.spans import (
    PROCESS_OPENTELEMETRY,
    PROCESS_THREAD_TOKENS,
    PROCESS_TIMER_REQUEST_NS,
    PROCESS_TIMER_STEP_NS,
    PROCESS_TIMER_TURN_NS,
    Attributes,
)

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


COUNT_EVERY_NS = 20_000_000
"""Requests that end within this share one reading of the process's counters."""
LINGER_NS = 1_000_000_000
"""How long tasks that outlive their request are still recorded with it."""


class FastSimMiddleware:
    """Record every request that passes, without changing it.

    Parameters
    ----------
    app
        The ASGI application.
    service_name
        ``service.name`` of the spans.
    output
        Directory for the trace files, or where else the recording goes.
    sample_ratio
        Share of requests to record, 0 to 1. The others are only counted.
    mode
        ``auto`` or ``light``, see ``fastsim.collector.destination.Mode``.
    server
        Facts about the server, for the record: ``fastsim.process.*``.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        service_name: str = "service",
        output: str | Path | Destination = "traces",
        sample_ratio: float = 1.0,
        mode: str = DEFAULT_MODE,
        server: Attributes | None = None,
    ) -> None:
        self.app = app
        self._service_name = service_name
        self._sample_ratio = sample_ratio
        self._mode = as_mode(mode)
        self._server = server or {}
        self._clock: LoopClock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._requests_seen = 0
        self._lingering: dict[int, RequestRecord] = {}
        self._watchdog: Watchdog | None = None
        self._probe: asyncio.Task[None] | None = None
        self._reported = 0
        self._factory: TaskFactory | None = None
        self._counted: Counters | None = None
        self._batch: Batch | None = None
        self._counted_at = 0
        destination = output if isinstance(output, Destination) else Destination(Path(output))
        self._writer: TraceWriter | NoWriter = TraceWriter(
            destination,
            self._resource,
            lambda: self._requests_seen,
            lambda: self._clock.own if self._clock is not None else 0,
        )
        self._rides = self._mode == "auto"
        if self._rides:
            watch_providers()
        if destination.directory is not None or destination.otlp:
            flush_when_uvicorn_ends(self)

    @classmethod
    def for_nobody(cls, app: AsgiApp) -> FastSimMiddleware:
        """Return a recorder that does all its work on the running loop and writes nothing."""
        recorder = cls(app, output=Destination(None), mode="light")
        recorder._clock, recorder._loop = LoopClock(), asyncio.get_running_loop()
        recorder._writer = NoWriter()
        recorder._batch = Batch(recorder._writer, recorder._clock, None)
        return recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        begun = clocks.perf_counter_ns()
        self._requests_seen += 1
        clock = self._clock
        if clock is None or self._loop is not asyncio.get_running_loop():
            clock = self._ready_clock()
        if clock is not None and clock.background.running is not None:
            clock.background.running.serves = True
        if clock is None:
            await self.app(scope, receive, send)
            return
        if self._sample_ratio < 1.0 and random.random() >= self._sample_ratio:
            # Its tasks are a request's, and no background.
            marked = left_out.set(True)
            try:
                await self.app(scope, receive, send)
            finally:
                left_out.reset(marked)
            return
        record = RequestRecord(scope, receive, send)
        if self._rides:
            record.submit_child = self._writer.submit
        token = current_record.set(record)
        clock.series.in_flight += 1
        serve: Any = self.app(scope, record.watch_receive, record.watch_send)
        record.main = timed = TimedCoroutine(serve, record, clock, 0)
        clock.own += clocks.perf_counter_ns() - begun
        try:
            await timed
        except BaseException as error:
            record.failed = isinstance(error, Exception)
            record.cancelled = isinstance(error, asyncio.CancelledError)
            raise
        finally:
            record.end_clock = ended = clocks.perf_counter_ns()
            record.main = None  # each refers to the other
            current_record.reset(token)
            clock.series.in_flight -= 1
            self._finish(record, clock, ended)
            clock.own += clocks.perf_counter_ns() - ended

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            # Before it starts: the tasks it makes are watched, too.
            self._ready_clock()
            await self.app(scope, receive, self._watch_lifespan(send))
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        clock, root_path = self._ready_clock(), str(scope.get("root_path", ""))
        serve: Any = self.app(scope, receive, send)
        if clock is not None:

            def name() -> str:  # known once it has been routed
                return f"websocket {route_template(scope, root_path) or ''}".strip()

            serve = TimedBackground(serve, clock.background, name)
        await serve

    def _finish(self, record: RequestRecord, clock: LoopClock, now: int) -> None:
        record.finished = True
        if record.open_tasks > 0:
            self._lingering[id(record)] = record
            record.on_quiet = self._close
        else:
            self._hand_over(record, clock, now)

    def _hand_over(self, record: RequestRecord, clock: LoopClock, now: int) -> None:
        try:
            record.closed = True
            record.tasks_cut = record.open_tasks
            # The clocks of thread and process are dear: what was read just now is true enough.
            if self._counted is None or now - self._counted_at >= COUNT_EVERY_NS:
                self._counted, self._counted_at = self._count(clock), now
            record.counters = self._counted
            self._batch.add(record)  # type: ignore[union-attr]
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)

    def _close(self, record: RequestRecord) -> None:
        """Write a record whose last task has ended, or had long enough."""
        self._lingering.pop(id(record), None)
        if not record.closed and self._clock is not None:
            self._hand_over(record, self._clock, clocks.perf_counter_ns())

    def _tick(self) -> None:
        """Have requests closed whose tasks take too long; from the watchdog's thread."""
        if self._lingering and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close_overdue)

    def _close_overdue(self, linger_ns: int = LINGER_NS) -> None:
        now = clocks.perf_counter_ns()
        for record in list(self._lingering.values()):
            if now - record.end_clock >= linger_ns:
                self._close(record)

    def _write_series(self) -> None:
        """Write what the loop did since the last time, unless nothing was asked of it."""
        if self._rides:
            ride_on_global()
        clock = self._clock
        if clock is None:
            return
        windows, collections = clock.series.take()
        if windows and (self._requests_seen > self._reported or clock.series.in_flight):
            self._reported = self._requests_seen
            background = clock.background.take()
            span = build_series_span(windows, collections, background, clock.series.take_timers())
            self._writer.submit(lambda: encode_span(span))

    def _count(self, clock: LoopClock) -> Counters:
        sees = clock.sees_polls
        busy_ns = clocks.perf_counter_ns() - clock.started - clock.idle_total
        return Counters(
            requests_seen=self._requests_seen,
            segment_wall_ns=clock.segment_wall,
            segment_cpu_ns=clock.segment_cpu,
            loop_cpu_ns=clocks.thread_time_ns(),
            process_cpu_ns=clocks.process_time_ns(),
            recorder_cpu_ns=self._writer.cpu_ns,
            recorder_loop_ns=clock.own,
            background_wall_ns=clock.background.wall,
            background_cpu_ns=clock.background.cpu,
            spans_dropped=self._writer.dropped,
            loop_busy_ns=busy_ns if sees else None,
            loop_passes=clock.pass_number if sees else None,
            sleep_cpu_ns=clock.sleep_cpu if sees else None,
            idle_wakeups=clock.idle_wakeups if sees else None,
            core_wait_ns=clock.series.core_wait if clock.series.core_wait >= 0 else None,
        )

    def _ready_clock(self) -> LoopClock | None:
        """Return this loop's clock; hook into the loop at its first request or start-up."""
        try:
            loop = asyncio.get_running_loop()
            if self._clock is None or self._loop is not loop:
                self._clock, self._loop = self._watch(loop), loop
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)
        return self._clock

    def _watch(self, loop: asyncio.AbstractEventLoop) -> LoopClock:
        cost = measure_timer_cost(type(self).for_nobody)
        clock = LoopClock()
        clock.watch(loop)
        self._server = self._server | {
            PROCESS_THREAD_TOKENS: thread_tokens(),
            PROCESS_TIMER_REQUEST_NS: round(cost.per_request_s * 1e9),
            PROCESS_TIMER_STEP_NS: round(cost.per_step_s * 1e9),
            PROCESS_TIMER_TURN_NS: round(cost.per_pass_s * 1e9) if clock.sees_polls else 0,
        }
        if self._rides:
            ride_on_global()
        clock.series.on_full = self._write_series
        self._batch = Batch(self._writer, clock, loop)
        watch_collections(clock.series)
        hook_anyio_threads()
        hook_executors(loop)
        hook_libraries(self.app)
        if self._watchdog is not None:
            self._watchdog.close()
        self._watchdog = Watchdog(clock, self._tick)
        self._watchdog.ensure()
        if not clock.sees_polls:
            # In a context of its own: the first request's must not be kept alive by it.
            self._probe = loop.create_task(probe_lag(clock.series), context=contextvars.Context())
        self._watch_tasks(clock, loop)
        return clock

    def _watch_tasks(self, clock: LoopClock, loop: asyncio.AbstractEventLoop) -> None:
        self._factory = make_task_factory(clock, loop.get_task_factory())
        loop.set_task_factory(self._factory)

    def _keep_tasks(self) -> None:
        """Watch tasks again where the service has set a task factory of its own."""
        clock, loop = self._ready_clock(), self._loop
        if clock is not None and loop is not None and loop.get_task_factory() is not self._factory:
            self._watch_tasks(clock, loop)

    def _watch_lifespan(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            kind = message["type"]
            if kind == "lifespan.startup.complete":
                self._keep_tasks()
            elif kind.startswith("lifespan.shutdown"):
                self.stop()
            await send(message)

        return watched

    def stop(self) -> None:
        """Write everything and end the helpers; recording starts again by itself if needed."""
        self.flush()
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._watchdog is not None:
            self._watchdog.close()

    def flush(self) -> None:
        """Write everything recorded so far to the file."""
        try:
            self._close_overdue(0)
            if self._batch is not None:
                self._batch.write()
            self._write_series()
            self._writer.flush()
        except Exception as fault:  # noqa: BLE001  never into the service
            note_fault(fault)

    def _resource(self) -> Attributes:
        return process_facts(
            service_name=self._service_name,
            loop=self._loop,
            mode=self._mode,
            sample_ratio=self._sample_ratio,
            start_ns=clocks.time_ns(),
            server=self._server | {PROCESS_OPENTELEMETRY: self._rides and rides()},
        )


def find_fastapi(app: object) -> object:
    """Follow ``.app`` through wrapping ASGI layers to the innermost application."""
    current: object = app
    for _ in range(20):
        if hasattr(current, "build_middleware_stack"):
            return current
        following = getattr(current, "app", None)
        if following is None:
            return current
        current = following
    return current
