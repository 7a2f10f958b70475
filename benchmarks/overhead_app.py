"""The service measured by collector_overhead.py; OVERHEAD_VARIANT says what watches it."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiosqlite
from fastapi import FastAPI

VARIANT = os.environ.get("OVERHEAD_VARIANT", "bare")
OUTPUT = Path(os.environ.get("OVERHEAD_OUTPUT", "."))
QUERIES = 12
YIELDS = 50


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with aiosqlite.connect(":memory:") as connection:
        await connection.execute("create table rows (id integer primary key, name text)")
        names = [(f"row {number}",) for number in range(200)]
        await connection.executemany("insert into rows (name) values (?)", names)
        app.state.connection = connection
        yield


app = FastAPI(title="Overhead", lifespan=lifespan)


async def other(number: int) -> int:
    return number


for _number in range(int(os.environ.get("OVERHEAD_ROUTES", "0"))):
    app.add_api_route(f"/others/{_number}/{{number}}", other)


@app.get("/trivial/{item}")
async def trivial(item: int, q: str = "") -> dict[str, object]:
    return {"item": item, "q": q}


@app.get("/yields/{item}")
async def yields(item: int, q: str = "") -> dict[str, object]:
    for _ in range(YIELDS):
        await asyncio.sleep(0)
    return {"item": item, "q": q}


@app.get("/database/{item}")
async def database(item: int) -> list[str]:
    """Ask twelve times, two waits each: a query and its rows."""
    found: list[str] = []
    for offset in range(QUERIES):
        query = "select name from rows where id = ?"
        async with app.state.connection.execute(query, (item + offset,)) as cursor:
            found += [row[0] for row in await cursor.fetchall()]
    return found


@app.get("/cpu")
async def cpu() -> dict[str, int]:
    """Return the CPU used so far, once everything recorded has been written."""
    flush()
    return {"process_ns": time.process_time_ns(), "loop_ns": time.thread_time_ns()}


def instrument_stock(*, to_file: bool, messages: bool) -> Callable[[], object]:
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
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=provider, exclude_spans=None if messages else ["send", "receive"]
    )
    return provider.force_flush


def instrument_own(*, to_file: bool) -> Callable[[], object]:
    from fastsim.collector import instrument

    instrument(app, output=OUTPUT if to_file else None)
    return app._fastsim_recorder.flush  # type: ignore[attr-defined,no-any-return]


def both() -> Callable[[], object]:
    from fastsim.collector.otel import watch_providers

    watch_providers()
    stock = instrument_stock(to_file=False, messages=False)
    own = instrument_own(to_file=True)
    return lambda: (stock(), own())


def nothing() -> None:
    """Flush nothing."""


WATCHERS: dict[str, Callable[[], Callable[[], object]]] = {
    "bare": lambda: nothing,
    "timer only": lambda: instrument_own(to_file=False),
    "recording": lambda: instrument_own(to_file=True),
    "OpenTelemetry": lambda: instrument_stock(to_file=False, messages=True),
    "OpenTelemetry, file": lambda: instrument_stock(to_file=True, messages=True),
    "OpenTelemetry, no messages": lambda: instrument_stock(to_file=False, messages=False),
    "recording on OpenTelemetry": both,
}
if VARIANT not in WATCHERS:
    sys.exit(f"no variant {VARIANT!r}")
flush: Callable[[], object] = WATCHERS[VARIANT]()
