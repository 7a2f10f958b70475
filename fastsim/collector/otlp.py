"""Encode spans as OTLP/JSON, one export request per line.

Hex ids, integer enums, nanoseconds as decimal strings, as the OTLP specification
asks of JSON. Only writing; reading is ``fastsim.calibrate.readers``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted

from fastsim import __version__
from fastsim.spans import AttributeValue, Span

_SCOPE = {"name": "fastsim", "version": __version__}


def encode_span(span: Span) -> str:
    """Return one span as an OTLP/JSON object."""
    # Written by hand: a timeline holds hundreds of numbers, and a dictionary for each of
    # them costs the service several times the time of this (benchmarks/collector_overhead.py).
    parent = f'"parentSpanId":"{span.parent_id}",' if span.parent_id else ""
    status = f'{{"code":{int(span.status)}}}' if span.status else "{}"
    return (
        f'{{"traceId":"{span.trace_id}","spanId":"{span.span_id}",{parent}'
        f'"name":{quoted(span.name)},"kind":{int(span.kind)},'
        f'"startTimeUnixNano":"{span.start_ns}","endTimeUnixNano":"{span.end_ns}",'
        f'"attributes":{_attributes(span.attributes)},"status":{status}}}'
    )


def encode_line(resource: Mapping[str, AttributeValue], encoded_spans: Sequence[str]) -> str:
    """Return one line: an ExportTraceServiceRequest with the spans given."""
    scope = json.dumps(_SCOPE, separators=(",", ":"))
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":{_attributes(resource)}}},'
        f'"scopeSpans":[{{"scope":{scope},"spans":[{",".join(encoded_spans)}]}}]}}]}}\n'
    )


def _attributes(attributes: Mapping[str, AttributeValue]) -> str:
    pairs = (
        f'{{"key":{quoted(key)},"value":{_value(value)}}}'
        for key, value in attributes.items()
        if value is not None
    )
    return f"[{','.join(pairs)}]"


def _value(value: AttributeValue | Sequence[AttributeValue]) -> str:
    if isinstance(value, bool):
        return f'{{"boolValue":{"true" if value else "false"}}}'
    if isinstance(value, str):
        return f'{{"stringValue":{quoted(value)}}}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{json.dumps(value)}}}'
    return f'{{"arrayValue":{{"values":[{_items(value or ())}]}}}}'


def _items(values: Iterable[AttributeValue]) -> str:
    items = list(values)
    kinds = set(map(type, items))
    if kinds == {int}:
        joined = '"},{"intValue":"'.join(map(str, items))
        return f'{{"intValue":"{joined}"}}'
    if kinds == {str}:
        joined = '},{"stringValue":'.join(map(quoted, items))  # type: ignore[arg-type]
        return f'{{"stringValue":{joined}}}'
    return ",".join(map(_value, items))
