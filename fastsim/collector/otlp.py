"""Encode spans as OTLP/JSON, one export request per line.

Hex ids, integer enums, nanoseconds as decimal strings, as the OTLP specification
asks of JSON. Only writing; reading is ``fastsim.calibrate.readers``.
"""

import json
from collections.abc import Mapping, Sequence

from fastsim import __version__
from fastsim.spans import AttributeValue, Span

_SCOPE = {"name": "fastsim", "version": __version__}


def encode_span(span: Span) -> str:
    """Return one span as an OTLP/JSON object."""
    body: dict[str, object] = {"traceId": span.trace_id, "spanId": span.span_id}
    if span.parent_id:
        body["parentSpanId"] = span.parent_id
    body |= {
        "name": span.name,
        "kind": int(span.kind),
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes),
        "status": {"code": int(span.status)} if span.status else {},
    }
    return json.dumps(body, separators=(",", ":"))


def encode_line(resource: Mapping[str, AttributeValue], encoded_spans: Sequence[str]) -> str:
    """Return one line: an ExportTraceServiceRequest with the spans given."""
    head = json.dumps({"attributes": _attributes(resource)}, separators=(",", ":"))
    scope = json.dumps(_SCOPE, separators=(",", ":"))
    return (
        f'{{"resourceSpans":[{{"resource":{head},"scopeSpans":[{{"scope":{scope},'
        f'"spans":[{",".join(encoded_spans)}]}}]}}]}}\n'
    )


def _attributes(attributes: Mapping[str, AttributeValue]) -> list[dict[str, object]]:
    return [
        {"key": key, "value": _value(value)}
        for key, value in attributes.items()
        if value is not None
    ]


def _value(value: AttributeValue | Sequence[AttributeValue]) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [_value(item) for item in value or ()]}}
