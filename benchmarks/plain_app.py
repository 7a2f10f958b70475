"""The example shop with OpenTelemetry's own instrumentation and no FastSim, for ``plain_shop``."""

import os
import sys
from pathlib import Path

from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

traces = Path(os.environ["PLAIN_TRACES"])
traces.with_suffix(".pid").write_text(str(os.getpid()))
provider = TracerProvider(
    resource=Resource.create({"service.name": "shop", "service.instance.id": str(os.getpid())})
)
provider.add_span_processor(BatchSpanProcessor(FileSpanExporter(traces), max_queue_size=100_000))
HTTPXClientInstrumentor().instrument(tracer_provider=provider)
SQLAlchemyInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)

from shop.app import app  # noqa: E402  its libraries are instrumented by now

FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, exclude_spans=["send", "receive"])

__all__ = ["app"]
