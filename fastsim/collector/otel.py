"""Server spans from OpenTelemetry, caught on their way out.

FastAPI's own telemetry (0.142 and later) or the contrib instrumentation makes the
server span. A provider that the user has set is used as it is: a span processor is
added to it. Without one, if OpenTelemetry's spans are wanted all the same, the contrib
instrumentation gets a provider of ours, which is not made global, so nothing else in the
process changes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastsim.collector.destination import Mode
from fastsim.collector.faults import note_fault
from fastsim.collector.llm import note_llm_span
from fastsim.collector.privacy import kept_attributes
from fastsim.collector.timeline import active_record
from fastsim.collector.waits import spans_in_use
from fastsim.spans import Span, SpanKind, StatusCode

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


def attach_opentelemetry(
    app: object, on_child: Callable[[Callable[[], Span]], None], mode: Mode = "full"
) -> bool:
    """Have OpenTelemetry make server spans for ``app``; return whether it will.

    ``on_child`` receives finished client spans of recorded requests.
    """
    if mode == "light":
        return False
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return False
    try:
        from fastsim.collector.span_names import name_by_span

        spans_in_use.name = name_by_span
        processor = _make_processor(on_child)
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.add_span_processor(processor)
            if _traces_itself(app):
                return True
            return _instrument(app, provider)
        if mode == "auto":
            return False
        own = TracerProvider(sampler=_make_sampler(), shutdown_on_exit=False)
        own.add_span_processor(processor)
        return _instrument(app, own)
    except Exception as fault:  # noqa: BLE001  never into the service
        note_fault(fault)
        return False


def _traces_itself(app: object) -> bool:
    native = getattr(app, "_native_telemetry", None)
    return native is not None or bool(getattr(app, "_is_instrumented_by_opentelemetry", False))


def _instrument(app: object, provider: Any) -> bool:
    if getattr(app, "_is_instrumented_by_opentelemetry", False):
        return True
    try:
        from fastapi import FastAPI
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    except ImportError:
        return False
    if not isinstance(app, FastAPI):
        return False
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=provider, exclude_spans=["send", "receive"]
    )
    return True


def _make_sampler() -> Any:
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

    class FollowRecord(Sampler):
        """Sample exactly the requests that are being recorded."""

        def should_sample(self, *_args: Any, **_kwargs: Any) -> SamplingResult:
            recording = active_record() is not None
            return SamplingResult(Decision.RECORD_AND_SAMPLE if recording else Decision.DROP)

        def get_description(self) -> str:
            return "fastsim: follow the recorder"

    return FollowRecord()


def _make_processor(on_child: Callable[[Callable[[], Span]], None]) -> Any:
    from opentelemetry.sdk.trace import SpanProcessor

    class KeepServerSpan(SpanProcessor):
        """Hand the server span to the request's record; pass client spans on."""

        def on_end(self, span: "ReadableSpan") -> None:
            try:
                record = active_record()
                if record is None:
                    return
                kind = span.kind.name
                if kind == "SERVER" or (kind == "INTERNAL" and _serves(span)):
                    if record.span is None and not record.finished:
                        record.span = span
                    return
                if kind in {"CLIENT", "INTERNAL"}:
                    note_llm_span(record, span)
                if kind == "CLIENT":
                    on_child(lambda: from_readable(span))
            except Exception as fault:  # noqa: BLE001  never into the request
                note_fault(fault)

    return KeepServerSpan()


def _serves(span: "ReadableSpan") -> bool:
    """Tell a server span that OpenTelemetry filed under another request.

    After a large body asyncio hands the request's context to the connection, and the spans of
    later requests on it become INTERNAL ones of the first request's trace.
    """
    attributes = span.attributes or {}
    return "http.route" in attributes and (
        "http.method" in attributes or "http.request.method" in attributes
    )


def from_readable(span: "ReadableSpan") -> Span:
    """Turn an SDK span into our record."""
    context = span.get_span_context()
    scope = span.instrumentation_scope
    return Span(
        trace_id=f"{context.trace_id:032x}" if context else "",
        span_id=f"{context.span_id:016x}" if context else "",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        kind=SpanKind[span.kind.name],
        name=span.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        scope=scope.name if scope else "",
        attributes=kept_attributes(span.attributes or {}, of_server=span.kind.name != "CLIENT"),
        status=StatusCode[span.status.status_code.name],
    )
