"""The ASGI layer that records: outermost, one record per HTTP request."""

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from time import perf_counter_ns, process_time_ns, thread_time_ns, time_ns
from typing import Any

from fastsim.collector.export import Counters, build_span
from fastsim.collector.facts import process_facts
from fastsim.collector.faults import note_fault
from fastsim.collector.otel import attach_opentelemetry
from fastsim.collector.pools import hook_sqlalchemy_pools
from fastsim.collector.resume import TimedCoroutine, make_task_factory
from fastsim.collector.threads import hook_anyio_threads
from fastsim.collector.timeline import LoopClock, RequestRecord, current_record
from fastsim.collector.writer import TraceWriter
from fastsim.spans import Attributes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class FastSimMiddleware:
    """Record every request that passes, without changing it.

    Parameters
    ----------
    app
        The ASGI application; its OpenTelemetry instrumentation is attached here.
    service_name
        ``service.name`` of the spans.
    output
        Directory for the trace files.
    sample_ratio
        Share of requests to record, 0 to 1. The others are only counted.
    workers, limit_concurrency
        Uvicorn's settings, for the record.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        service_name: str = "service",
        output: str | Path = "traces",
        sample_ratio: float = 1.0,
        workers: int = 1,
        limit_concurrency: int | None = None,
    ) -> None:
        self.app = app
        self._service_name = service_name
        self._sample_ratio = sample_ratio
        self._workers = workers
        self._limit_concurrency = limit_concurrency
        self._clock: LoopClock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._requests_seen = 0
        self._writer = TraceWriter(Path(output), self._resource)
        self.opentelemetry = attach_opentelemetry(find_fastapi(app), self._writer.submit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._watch_lifespan(send))
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        clock = self._ready_clock()
        self._requests_seen += 1
        if clock is None or (self._sample_ratio < 1.0 and random.random() >= self._sample_ratio):
            await self.app(scope, receive, send)
            return
        record = RequestRecord(str(scope.get("method", "")), str(scope.get("path", "")))
        token = current_record.set(record)
        serve: Any = self.app(scope, receive, _watch_response(record, send))
        try:
            await TimedCoroutine(serve, record, clock, 0)
        except BaseException:
            record.failed = True
            raise
        finally:
            current_record.reset(token)
            self._finish(record, clock)

    def _finish(self, record: RequestRecord, clock: LoopClock) -> None:
        try:
            record.end_clock = perf_counter_ns()
            record.finished = True
            counters = self._counters(clock)
            self._writer.submit(lambda: build_span(record, counters))
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)

    def _counters(self, clock: LoopClock) -> Counters:
        sees = clock.sees_polls
        return Counters(
            requests_seen=self._requests_seen,
            segment_wall_ns=clock.segment_wall,
            segment_cpu_ns=clock.segment_cpu,
            loop_cpu_ns=thread_time_ns(),
            process_cpu_ns=process_time_ns(),
            recorder_cpu_ns=self._writer.cpu_ns,
            spans_dropped=self._writer.dropped,
            loop_busy_ns=perf_counter_ns() - clock.started - clock.idle_total if sees else None,
            loop_passes=clock.pass_number if sees else None,
            idle_wakeups=clock.idle_wakeups if sees else None,
        )

    def _ready_clock(self) -> LoopClock | None:
        """Return this loop's clock; hook into the loop at its first request or start-up."""
        try:
            loop = asyncio.get_running_loop()
            if self._clock is None or self._loop is not loop:
                clock = LoopClock()
                clock.watch(loop)
                factory = make_task_factory(clock, loop.get_task_factory())
                loop.set_task_factory(factory)
                hook_anyio_threads()
                hook_sqlalchemy_pools()
                self._clock, self._loop = clock, loop
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)
        return self._clock

    def _watch_lifespan(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            kind = message["type"]
            if kind == "lifespan.startup.complete":
                self._ready_clock()
            elif kind.startswith("lifespan.shutdown"):
                self.flush()
            await send(message)

        return watched

    def flush(self) -> None:
        """Write everything recorded so far to the file."""
        try:
            self._writer.flush()
        except Exception as fault:  # noqa: BLE001  never into the service
            note_fault(fault)

    def _resource(self) -> Attributes:
        return process_facts(
            service_name=self._service_name,
            loop=self._loop,
            workers=self._workers,
            limit_concurrency=self._limit_concurrency,
            sample_ratio=self._sample_ratio,
            start_ns=time_ns(),
        )


def _watch_response(record: RequestRecord, send: Send) -> Send:
    async def watched(message: Message) -> None:
        await send(message)
        kind = message["type"]
        if kind == "http.response.body":
            if not message.get("more_body", False):
                record.response_clock = perf_counter_ns()
        elif kind == "http.response.start":
            record.status = message.get("status", 0)

    return watched


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
