"""Record a service in virtual time with OpenTelemetry alone, as teams without FastSim do.

The SDK and the instrumentation of FastAPI are the real ones, on the virtual clock; what the
services wait for over sockets is in a client span, as instrumented drivers have it.
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from fastsim.collector import clocks
from tests.virtual import loop, services

Wait = Callable[[float], Awaitable[None]]


def _now_ns() -> int:
    """Return the time of the loop that runs when it is asked for."""
    return clocks.time_ns()


class _Identities(IdGenerator):
    """The same ones every time: samplers go by them."""

    def __init__(self, instance: int) -> None:
        self._draw = random.Random(4 + instance)

    def generate_span_id(self) -> int:
        return self._draw.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._draw.getrandbits(128) or 1


@contextmanager
def recorded_plainly(
    app: FastAPI, traces: Path, *, sample_ratio: float = 1.0, instance: int = 1
) -> Iterator[None]:
    """Write spans of what ``app`` serves inside; no FastSim in it."""
    provider = TracerProvider(
        id_generator=_Identities(instance),
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=Resource.create({"service.name": "virtual", "service.instance.id": str(instance)}),
    )
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(traces)))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    tracer = provider.get_tracer("driver")
    answer = loop.answer

    async def spanned(seconds: float) -> None:
        attributes = {"db.system.name": "postgresql"}
        with tracer.start_as_current_span(
            "SELECT", kind=trace.SpanKind.CLIENT, attributes=attributes
        ):
            await answer(seconds)

    with (
        mock.patch.object(services, "answer", spanned),
        mock.patch("opentelemetry.sdk.trace.time_ns", _now_ns),
    ):
        try:
            yield
        finally:
            FastAPIInstrumentor.uninstrument_app(app)
            provider.shutdown()
