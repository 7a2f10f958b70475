"""OTLP protobuf: TracesData or ExportTraceServiceRequest, whole or in frames.

The message has had the same dozen fields since version 1.0, so it is decoded here: reading a
file then needs no protobuf runtime in a matching version. Field numbers are those of
opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto. Frames are the 4-byte
big-endian lengths of the collector's file exporter, or protobuf's own varint lengths.
"""

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.otlp_values import nested_text, of_tail_sampling, typed_list
from fastsim.calibrate.readers.spans_from import MAX_NS, instance_of
from fastsim.errors import FileFormatError
from fastsim.spans import Attributes, AttributeValue, Span, SpanKind, StatusCode

NAME = "OTLP protobuf"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RESOURCE_SPANS = 0x0A  # field 1, bytes
_IN_RESOURCE_SPANS = (0x0A, 0x12, 0x1A)
_MOST_BYTES = 1 << 30
_DEEPEST = 50


class _Field(NamedTuple):
    number: int
    wire: int
    value: int | bytes


class _WireError(Exception):
    """Bytes that are no protobuf message."""


def sniff(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is OTLP protobuf."""
    return _starts_message(head) or _frame_of(head) is not None


def _starts_message(head: bytes) -> bool:
    if len(head) < 3 or head[0] != _RESOURCE_SPANS:
        return False
    try:
        length, at = _varint(head, 1)
    except _WireError:
        return False
    return 0 < length < _MOST_BYTES and at < len(head) and head[at] in _IN_RESOURCE_SPANS


def _frame_of(head: bytes) -> str | None:
    if len(head) < 8:
        return None
    (length,) = struct.unpack_from(">I", head)
    if 4 < length < _MOST_BYTES and _starts_message(head[4:]):
        return "fixed"
    try:
        length, at = _varint(head, 0)
    except _WireError:
        return None
    if 4 < length < _MOST_BYTES and _starts_message(head[at:]):
        inner, begin = _varint(head, at + 1)
        # The first block must lie within the frame, else the length is something else.
        return "varint" if begin + inner <= at + length else None
    return None


def read(stream: io.BufferedReader, account: FileAccount) -> Iterator[Span]:
    """Read spans one resource at a time.

    Raises
    ------
    FileFormatError
        When the file cannot be decoded from its very beginning.
    """
    head = stream.peek(1 << 16)
    frame = None if _starts_message(head) else _frame_of(head)
    found = 0
    try:
        for message in _messages(stream, frame):
            found += 1
            yield from _resource_spans(message, account)
    except _WireError:
        if not found:
            raise FileFormatError(
                f"{account.name} is damaged: it begins like OTLP protobuf, but cannot be decoded",
                where=account.name,
            ) from None
        account.skip(Skip.TORN)


def _messages(stream: io.BufferedReader, frame: str | None) -> Iterator[bytes]:
    """Yield the ResourceSpans messages of a stream."""
    if frame is None:
        while tag := stream.read(1):
            if tag[0] & 7 != _BYTES:
                raise _WireError
            block = _exactly(stream, _stream_varint(stream))
            if tag[0] == _RESOURCE_SPANS:
                yield block
        return
    while True:
        if frame == "fixed":
            prefix = stream.read(4)
            if not prefix:
                return
            if len(prefix) < 4:
                raise _WireError
            length = struct.unpack(">I", prefix)[0]
        elif stream.peek(1):
            length = _stream_varint(stream)
        else:
            return
        for field in _fields(_exactly(stream, length)):
            if field.number == 1 and isinstance(field.value, bytes):
                yield field.value


def _exactly(stream: io.BufferedReader, length: int) -> bytes:
    if length > _MOST_BYTES:
        raise _WireError
    block = stream.read(length)
    if len(block) < length:
        raise _WireError
    return block


def _stream_varint(stream: io.BufferedReader) -> int:
    value = shift = 0
    while shift < 70:
        byte = stream.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    raise _WireError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _WireError


def _fields(data: bytes) -> Iterator[_Field]:
    at, size = 0, len(data)
    while at < size:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == _BYTES:
            length, at = _varint(data, at)
            if at + length > size:
                raise _WireError
            value = data[at : at + length]
            at += length
        elif wire == _VARINT:
            value, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            width = 8 if wire == _FIXED64 else 4
            if at + width > size:
                raise _WireError
            value = int.from_bytes(data[at : at + width], "little")
            at += width
        else:
            raise _WireError
        yield _Field(number, wire, value)


def _parts(data: bytes, number: int) -> list[bytes]:
    return [f.value for f in _fields(data) if f.number == number and isinstance(f.value, bytes)]


# --- messages ------------------------------------------------------------------------------


def _resource_spans(data: bytes, account: FileAccount) -> Iterator[Span]:
    resource: Attributes = {}
    groups: list[bytes] = []
    for field in _fields(data):
        if not isinstance(field.value, bytes):
            continue
        if field.number == 1:
            resource = _attributes(_parts(field.value, 1), account)
        elif field.number in (2, 1000):  # 1000: instrumentation_library_spans of old versions
            groups.append(field.value)
    service = str(resource.get("service.name") or "")
    instance = instance_of(resource)
    for group in groups:
        scope, kept_by = _scope(group, account)
        for raw in _parts(group, 2):
            try:
                span = _span(raw, account)
            except _WireError:
                account.skip(Skip.MALFORMED)
                continue
            if span is not None:
                span.service, span.instance = service, instance
                span.scope, span.resource = scope, resource
                span.attributes.update(kept_by)
                yield span


def _scope(group: bytes, account: FileAccount) -> tuple[str, Attributes]:
    """Return the name of a scope, and what a collector that samples whole traces noted with it."""
    name, kept_by = "", Attributes()
    for raw in _parts(group, 1):
        name += "".join(map(_text, _parts(raw, 1)[:1]))
        if pairs := _parts(raw, 3):
            kept_by |= of_tail_sampling(_attributes(pairs, account))
    return name, kept_by


def _span(data: bytes, account: FileAccount) -> Span | None:
    ids = {1: b"", 2: b"", 4: b""}
    times = {7: -1, 8: -1}
    name, kind, status = "", SpanKind.UNSPECIFIED, StatusCode.UNSET
    state = ""
    attributes: list[bytes] = []
    for number, _, value in _fields(data):
        if isinstance(value, int):
            if number in times:
                times[number] = value
            elif number == 6 and value <= max(SpanKind):
                kind = SpanKind(value)
        elif number in ids:
            ids[number] = value
        elif number == 3:
            state = _text(value)
        elif number == 5:
            name = _text(value)
        elif number == 9:
            attributes.append(value)
        elif number == 15:
            codes = [f.value for f in _fields(value) if f.number == 3]
            if codes and isinstance(codes[-1], int) and codes[-1] <= max(StatusCode):
                status = StatusCode(codes[-1])
    if not any(ids[1]) or not any(ids[2]):
        account.skip(Skip.NO_IDS)
        return None
    if not 0 < times[7] <= times[8] <= MAX_NS:
        account.skip(Skip.BAD_TIMES)
        return None
    return Span(
        trace_id=ids[1].hex(),
        span_id=ids[2].hex(),
        parent_id=ids[4].hex() if any(ids[4]) else None,
        kind=kind,
        name=name,
        start_ns=times[7],
        end_ns=times[8],
        attributes=_attributes(attributes, account),
        status=status,
        trace_state=state,
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _attributes(pairs: list[bytes], account: FileAccount) -> Attributes:
    attributes: Attributes = {}
    for pair in pairs:
        try:
            key, value = _key_value(pair, 0)
            attributes[key] = _attribute(value)
        except _WireError:
            account.skip(Skip.ATTRIBUTE)
    return attributes


def _attribute(value: object) -> AttributeValue:
    if isinstance(value, list):
        return typed_list(value)
    if isinstance(value, dict):
        return nested_text(value)
    return value  # type: ignore[return-value]


def _key_value(pair: bytes, depth: int) -> tuple[str, object]:
    key, value = "", None
    for field in _fields(pair):
        if isinstance(field.value, bytes):
            if field.number == 1:
                key = _text(field.value)
            elif field.number == 2:
                value = _any_value(field.value, depth)
    return key, value


def _any_value(data: bytes, depth: int) -> object:
    if depth > _DEEPEST:
        raise _WireError
    found: object = None
    for number, wire, raw in _fields(data):
        if isinstance(raw, int):
            if number == 2 and wire == _VARINT:
                found = bool(raw)
            elif number == 3 and wire == _VARINT:
                found = raw - (1 << 64) if raw >= 1 << 63 else raw
            elif number == 4 and wire == _FIXED64:
                found = struct.unpack("<d", raw.to_bytes(8, "little"))[0]
        elif number == 1:
            found = _text(raw)
        elif number == 5:
            found = [_any_value(item, depth + 1) for item in _parts(raw, 1)]
        elif number == 6:
            found = dict(_key_value(item, depth + 1) for item in _parts(raw, 1))
        elif number == 7:
            found = raw.hex()
    return found
