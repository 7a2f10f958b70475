"""Encode spans as OTLP/JSON, one export request per line.

Hex ids, integer enums, nanoseconds as decimal strings, as the OTLP specification
asks of JSON. Only writing; reading is ``fastsim.calibrate.readers``.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted

from fastsim import __version__
from fastsim.spans import AttributeValue, Span

_SCOPE = {"name": "fastsim", "version": __version__}
_REMEMBERED = 5000


def encode_span(span: Span, further: str = "") -> str:
    """Return one span as an OTLP/JSON object; ``further`` are attributes encoded already."""
    # Written by hand: a timeline holds hundreds of numbers, and a dictionary for each of
    # them costs the service several times the time of this (benchmarks/collector_overhead.py).
    parent = f'"parentSpanId":"{span.parent_id}",' if span.parent_id else ""
    status = f'{{"code":{int(span.status)}}}' if span.status else "{}"
    return (
        f'{{"traceId":"{span.trace_id}","spanId":"{span.span_id}",{parent}'
        f'"name":{quoted(span.name)},"kind":{int(span.kind)},'
        f'"startTimeUnixNano":"{span.start_ns}","endTimeUnixNano":"{span.end_ns}",'
        f'"attributes":[{_joined(encode_attributes(span.attributes), further)}],"status":{status}}}'
    )


def encode_line(resource: Mapping[str, AttributeValue], encoded_spans: Sequence[str]) -> str:
    """Return one line: an ExportTraceServiceRequest with the spans given."""
    scope = json.dumps(_SCOPE, separators=(",", ":"))
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{encode_attributes(resource)}]}},'
        f'"scopeSpans":[{{"scope":{scope},"spans":[{",".join(encoded_spans)}]}}]}}]}}\n'
    )


def _joined(*attributes: str) -> str:
    return ",".join(filter(None, attributes))


def encode_attributes(attributes: Mapping[str, AttributeValue]) -> str:
    """Return attributes as they stand in a list of them; none of those without a value."""
    pairs = []
    for key, value in attributes.items():
        kind = type(value)
        if kind is int:
            pairs.append(f'{_heads[key]}{{"intValue":"{value}"}}}}')
        elif kind is list:
            pairs.append(
                f'{_heads[key]}{{"arrayValue":{{"values":[{_items(value)}]}}}}}}'  # type: ignore[arg-type]
            )
        elif value is not None:
            pairs.append(f"{_heads[key]}{_value(value)}}}")
    return ",".join(pairs)


def _value(value: AttributeValue | Sequence[AttributeValue]) -> str:
    if isinstance(value, bool):
        return f'{{"boolValue":{"true" if value else "false"}}}'
    if isinstance(value, str):
        return f'{{"stringValue":{quoted(value)}}}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{_double(value)}}}'
    return f'{{"arrayValue":{{"values":[{_items(value or ())}]}}}}'


def _double(value: float) -> str:
    # JSON has no such numbers; protobuf's JSON form writes them as strings.
    if value != value or value in {math.inf, -math.inf}:  # noqa: PLR0124  not a number
        return {math.inf: '"Infinity"', -math.inf: '"-Infinity"'}.get(value, '"NaN"')
    return repr(value)


def _items(values: Iterable[AttributeValue]) -> str:
    items = list(values)
    kinds = set(map(type, items))
    if kinds == {int}:
        joined = '"},{"intValue":"'.join(map(str, items))
        return f'{{"intValue":"{joined}"}}'
    if kinds == {str}:
        joined = '},{"stringValue":'.join([_known[item] for item in items])  # type: ignore[index]
        return f'{{"stringValue":{joined}}}'
    return ",".join(map(_value, items))


class _Remembered(dict[str, str]):
    """Encoded strings that come back with every request: names, kinds, places in the code."""

    def __init__(self, encode: Callable[[str], str]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, text: str) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        encoded = self[text] = self._encode(text)
        return encoded


_heads = _Remembered(lambda key: f'{{"key":{quoted(key)},"value":')
_known = _Remembered(quoted)
