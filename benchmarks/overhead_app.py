"""The service measured by collector_overhead.py; OVERHEAD_VARIANT says what watches it."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI

VARIANT = os.environ.get("OVERHEAD_VARIANT", "bare")
OUTPUT = Path(os.environ.get("OVERHEAD_OUTPUT", "."))

app = FastAPI(title="Overhead")


@app.get("/items/{item}")
async def read_item(item: int, q: str = "") -> dict[str, object]:
    for _ in range(5):
        await asyncio.sleep(0)
    return {"item": item, "q": q}


@app.get("/cpu")
async def cpu() -> dict[str, int]:
    """Return the CPU used so far, once everything recorded has been written."""
    flush()
    return {"process_ns": time.process_time_ns(), "loop_ns": time.thread_time_ns()}


def instrument_stock(*, to_file: bool) -> Callable[[], object]:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002
            return SpanExportResult.SUCCESS

    exporter: SpanExporter = Nowhere()
    if to_file:
        from opentelemetry.exporter.otlp.json.file import FileSpanExporter

        exporter = FileSpanExporter(OUTPUT / f"stock-{os.getpid()}.jsonl")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=1_000_000))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return provider.force_flush


def instrument_own(*, mode: str, to_file: bool) -> Callable[[], object]:
    from fastsim.collector import instrument

    instrument(app, output=OUTPUT if to_file else None, mode=mode)
    return app._fastsim_recorder.flush  # type: ignore[attr-defined,no-any-return]


def nothing() -> None:
    """Flush nothing."""


flush: Callable[[], object] = nothing
if VARIANT == "timer only":
    flush = instrument_own(mode="light", to_file=False)
elif VARIANT == "recording, file":
    flush = instrument_own(mode="auto", to_file=True)
elif VARIANT == "recording with OTel spans, file":
    flush = instrument_own(mode="full", to_file=True)
elif VARIANT == "stock OpenTelemetry":
    flush = instrument_stock(to_file=False)
elif VARIANT == "stock OpenTelemetry, file":
    flush = instrument_stock(to_file=True)
elif VARIANT != "bare":
    sys.exit(f"no variant {VARIANT!r}")
