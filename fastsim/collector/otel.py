"""Ride on the service's own OpenTelemetry, if it has any.

FastAPI's own telemetry (0.142 and later) or the contrib instrumentation makes the server span;
a span processor of ours, added to every provider of the service, hands it to the request's
record, and passes client spans on. A span that the service's sampler leaves out never gets here:
the recorder then writes its own, as it does for a service without OpenTelemetry. Nothing is
imported, instrumented or made global here; providers are met whenever they appear.
"""

import functools
import sys
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fastsim.collector.faults import note_fault
from fastsim.collector.imports import when_imported
from fastsim.collector.llm import note_llm_span
from fastsim.collector.otlp import encode_span
from fastsim.collector.privacy import kept_attributes
from fastsim.collector.timeline import active_record
from fastsim.collector.waits import spans_in_use
from fastsim.spans import Span, SpanKind, StatusCode

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_SDK = "opentelemetry.sdk.trace"


class _Watching:
    on = False


_ridden: "weakref.WeakSet[Any]" = weakref.WeakSet()


def watch_providers() -> None:
    """Ride on every provider that this process makes, and on the global one if there is one."""
    if not _Watching.on:
        _Watching.on = True
        when_imported(_SDK, _watch_new_providers)
    ride_on_global()


def rides() -> bool:
    """Return whether the service has a provider that we ride on."""
    return len(_ridden) > 0


def ride_on_global() -> None:
    """Ride on the global provider, one that was made before anybody watched."""
    # Asking ``get_tracer_provider`` would make one where the environment names it.
    api = sys.modules.get("opentelemetry.trace")
    sdk = sys.modules.get(_SDK)
    provider = getattr(api, "_TRACER_PROVIDER", None)
    kind = getattr(sdk, "TracerProvider", None)
    if provider is not None and kind is not None and isinstance(provider, kind):
        _ride(provider)


def _watch_new_providers(module: ModuleType) -> None:
    kind: Any = module.TracerProvider
    inner = kind.__init__

    @functools.wraps(inner)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        inner(self, *args, **kwargs)
        _ride(self)

    kind.__init__ = __init__


def _ride(provider: Any) -> None:
    try:
        if provider in _ridden:
            return
        from fastsim.collector.span_names import name_by_span

        provider.add_span_processor(_make_processor())
        _ridden.add(provider)
        spans_in_use.name = name_by_span
    except Exception as fault:  # noqa: BLE001  never into the service
        note_fault(fault)


def _make_processor() -> Any:
    from opentelemetry.sdk.trace import SpanProcessor

    class KeepServerSpan(SpanProcessor):
        """Hand the server span to the request's record; pass client spans on."""

        def on_end(self, span: "ReadableSpan") -> None:
            try:
                record = active_record()
                if record is None or record.submit_child is None:
                    return
                kind = span.kind.name
                if kind == "SERVER" or (kind == "INTERNAL" and _serves(span)):
                    if record.span is None and not record.finished:
                        record.span = span
                    return
                if kind in {"CLIENT", "INTERNAL"}:
                    note_llm_span(record, span)
                if kind == "CLIENT":
                    record.submit_child(lambda: encode_span(from_readable(span)))
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
