"""Turn a line of OTLP/JSON into the protobuf bytes of the same ExportTraceServiceRequest.

Protobuf needs nothing but numbered fields for this, so it is written here rather than
asking services to install the protobuf runtime. Field numbers are those of
opentelemetry/proto/trace/v1/trace.proto; ``tests/collector/test_otlp.py`` compares with
the published definitions.
"""

import json
import struct
from typing import Any

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def line_to_protobuf(line: bytes) -> bytes:
    """Return the request in protobuf's wire format."""
    content = json.loads(line)
    return b"".join(_message(1, _resource_spans(group)) for group in content["resourceSpans"])


def _resource_spans(group: dict[str, Any]) -> bytes:
    resource = b"".join(_attributes(1, group["resource"]["attributes"]))
    scopes = (_message(2, _scope_spans(item)) for item in group["scopeSpans"])
    return _message(1, resource) + b"".join(scopes)


def _scope_spans(item: dict[str, Any]) -> bytes:
    scope = _text(1, item["scope"]["name"]) + _text(2, item["scope"].get("version", ""))
    return _message(1, scope) + b"".join(_message(2, _span(span)) for span in item["spans"])


def _span(span: dict[str, Any]) -> bytes:
    status, parent = span.get("status", {}), span.get("parentSpanId", "")
    return b"".join(
        (
            _message(1, bytes.fromhex(span["traceId"])),
            _message(2, bytes.fromhex(span["spanId"])),
            _message(4, bytes.fromhex(parent)) if parent else b"",
            _text(5, span["name"]),
            _number(6, int(span["kind"])),
            _fixed(7, int(span["startTimeUnixNano"])),
            _fixed(8, int(span["endTimeUnixNano"])),
            *_attributes(9, span["attributes"]),
            _message(15, _number(3, int(status.get("code", 0)))),
        )
    )


def _attributes(field: int, attributes: list[dict[str, Any]]) -> list[bytes]:
    return [
        _message(field, _text(1, item["key"]) + _message(2, _value(item["value"])))
        for item in attributes
    ]


def _value(value: dict[str, Any]) -> bytes:
    [(kind, content)] = value.items()
    if kind == "stringValue":
        return _message(1, content.encode())
    if kind == "boolValue":
        return _tag(2, _VARINT) + _varint(int(content))
    if kind == "intValue":
        return _tag(3, _VARINT) + _varint(int(content))
    if kind == "doubleValue":
        return _tag(4, _FIXED64) + struct.pack("<d", float(content))
    items = b"".join(_message(1, _value(item)) for item in content["values"])
    return _message(5, items)


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(number: int) -> bytes:
    number &= 0xFFFF_FFFF_FFFF_FFFF  # negative numbers as 64-bit two's complement
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(field: int, content: bytes) -> bytes:
    return _tag(field, _BYTES) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode()) if text else b""


def _number(field: int, number: int) -> bytes:
    return _tag(field, _VARINT) + _varint(number) if number else b""


def _fixed(field: int, number: int) -> bytes:
    return _tag(field, _FIXED64) + struct.pack("<Q", number)
