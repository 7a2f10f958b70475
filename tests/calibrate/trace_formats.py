"""One small service's traces, written in every format that can be read."""

import csv
import io
import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastsim.spans import Span, SpanKind, StatusCode

START_NS = 1_760_000_000_000_000_000
MS = 1_000_000
Json = Any


def request(number: int) -> list[Span]:
    """A request of 30 ms: a query from 5 to 15, inside it a driver's span, a call from 18 to 28."""
    at = START_NS + number * 100 * MS

    def span(
        own: int, parent: int | None, kind: SpanKind, begin: int, end: int, **more: Any
    ) -> Span:
        attributes = more.pop("attributes")
        return Span(
            trace_id=f"{number + 0xABC:032x}",
            span_id=f"{number * 16 + own:016x}",
            parent_id=None if parent is None else f"{number * 16 + parent:016x}",
            kind=kind,
            name=more["name"],
            start_ns=at + begin * MS,
            end_ns=at + end * MS,
            service="shop",
            attributes=attributes,
            resource={"service.name": "shop"},
            status=StatusCode.ERROR if more.get("error") else StatusCode.UNSET,
        )

    http = {"http.request.method": "GET", "http.route": "/items/{id}"}
    served = http | {"http.response.status_code": 500 if number == 3 else 200}
    database = {"db.system": "postgresql"}
    call = {"http.method": "GET", "net.peer.name": "prices"}
    return [
        span(1, None, SpanKind.SERVER, 0, 30, name="GET /items/{id}", attributes=served,
             error=number == 3),
        span(2, 1, SpanKind.INTERNAL, 4, 16, name="load", attributes={}),
        span(3, 2, SpanKind.CLIENT, 5, 15, name="select", attributes=database),
        span(4, 3, SpanKind.CLIENT, 6, 14, name="driver", attributes=database),
        span(5, 1, SpanKind.CLIENT, 18, 28, name="GET", attributes=call),
    ]  # fmt: skip


def trace(requests: int = 6) -> list[Span]:
    return [span for number in range(requests) for span in request(number)]


def jaeger(spans: Sequence[Span]) -> str:
    return json.dumps({"data": jaeger_traces(spans), "total": 0, "errors": None})


def jaeger_traces(spans: Sequence[Span]) -> list[Json]:
    traces: dict[str, Json] = {}
    for span in spans:
        found = traces.setdefault(
            span.trace_id,
            {"traceID": span.trace_id.lstrip("0"), "spans": [],
             "processes": {"p1": {"serviceName": span.service, "tags": []}}},
        )  # fmt: skip
        tags = [{"key": key, "type": "string", "value": v} for key, v in span.attributes.items()]
        tags.append({"key": "span.kind", "type": "string", "value": span.kind.name.lower()})
        if span.status is StatusCode.ERROR:
            tags.append({"key": "error", "type": "bool", "value": True})
        parent = {"refType": "CHILD_OF", "traceID": found["traceID"],
                  "spanID": (span.parent_id or "").lstrip("0")}  # fmt: skip
        found["spans"].append(
            {
                "traceID": found["traceID"],
                "spanID": span.span_id.lstrip("0"),
                "operationName": span.name,
                "references": [parent] if span.parent_id else [],
                "startTime": span.start_ns // 1000,
                "duration": (span.end_ns - span.start_ns) // 1000,
                "tags": tags,
                "logs": [],
                "processID": "p1",
                "warnings": None,
            }
        )
    return list(traces.values())


def zipkin(spans: Sequence[Span]) -> str:
    return json.dumps([zipkin_span(span) for span in spans])


def zipkin_span(span: Span) -> Json:
    raw: Json = {
        "traceId": span.trace_id,
        "id": span.span_id,
        "name": span.name,
        "timestamp": span.start_ns // 1000,
        "duration": (span.end_ns - span.start_ns) // 1000,
        "localEndpoint": {"serviceName": span.service},
        "tags": {key: str(value) for key, value in span.attributes.items()},
    }
    if span.parent_id:
        raw["parentId"] = span.parent_id
    if span.kind is not SpanKind.INTERNAL:
        raw["kind"] = span.kind.name
    if span.status is StatusCode.ERROR:
        raw["tags"]["error"] = "true"
    return raw


def iso(time_ns: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    return moment.isoformat().replace("+00:00", "Z")


def console(spans: Sequence[Span]) -> str:
    return "".join(json.dumps(console_span(span), indent=4) + "\n" for span in spans)


def console_span(span: Span) -> Json:
    return {
        "name": span.name,
        "context": {
            "trace_id": f"0x{span.trace_id}",
            "span_id": f"0x{span.span_id}",
            "trace_state": "[]",
        },
        "kind": f"SpanKind.{span.kind.name}",
        "parent_id": f"0x{span.parent_id}" if span.parent_id else None,
        "start_time": iso(span.start_ns),
        "end_time": iso(span.end_ns),
        "status": {"status_code": span.status.name},
        "attributes": span.attributes,
        "events": [],
        "links": [],
        "resource": {"attributes": span.resource, "schema_url": ""},
    }


def datadog(spans: Sequence[Span]) -> str:
    traces: dict[str, list[Json]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(
            {
                "name": span.name,
                "service": span.service,
                "resource": span.name,
                "trace_id": int(span.trace_id, 16),
                "span_id": int(span.span_id, 16),
                "parent_id": int(span.parent_id or "0", 16),
                "error": int(span.status is StatusCode.ERROR),
                "meta": {key: str(value) for key, value in span.attributes.items()}
                | {"span.kind": span.kind.name.lower()},
                "metrics": {"process_id": 7.0},
                "start": span.start_ns,
                "duration": span.end_ns - span.start_ns,
            }
        )
    return json.dumps(list(traces.values()))


HEADER = ["TraceID", "SpanID", "ParentID", "Name", "Kind", "Service", "StartTimeUnixNano",
          "Duration_ms", "http.request.method", "http.route", "http.status_code", "db.system",
          "net.peer.name", "http.method", "error"]  # fmt: skip


def table_rows(spans: Sequence[Span]) -> list[Json]:
    rows = []
    for span in spans:
        known = span.attributes
        rows.append(
            [span.trace_id, span.span_id, span.parent_id or "root", span.name, span.kind.name,
             span.service, span.start_ns, (span.end_ns - span.start_ns) / 1e6,
             known.get("http.request.method", ""), known.get("http.route", ""),
             known.get("http.response.status_code", ""), known.get("db.system", ""),
             known.get("net.peer.name", ""), known.get("http.method", ""),
             "true" if span.status is StatusCode.ERROR else ""]
        )  # fmt: skip
    return rows


def csv_table(spans: Sequence[Span]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows(table_rows(spans))
    return text.getvalue()


def json_table(spans: Sequence[Span]) -> str:
    rows = (dict(zip(HEADER, row, strict=True)) for row in table_rows(spans))
    return "".join(json.dumps(row) + "\n" for row in rows)


def _number(number: int) -> bytes:
    out = bytearray()
    while True:
        out.append(number & 0x7F | (0x80 if number > 0x7F else 0))
        number >>= 7
        if not number:
            return bytes(out)


def _block(field: int, data: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(data)) + data


def _any(value: object) -> bytes:
    if isinstance(value, bool):
        return _number(2 << 3) + _number(int(value))
    if isinstance(value, int):
        return _number(3 << 3) + _number(value & (1 << 64) - 1)
    if isinstance(value, float):
        return _number(4 << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, list):
        return _block(5, b"".join(_block(1, _any(item)) for item in value))
    return _block(1, str(value).encode())


def _pairs(field: int, attributes: dict[str, Any]) -> bytes:
    return b"".join(
        _block(field, _block(1, key.encode()) + _block(2, _any(value)))
        for key, value in attributes.items()
    )


def protobuf(spans: Sequence[Span]) -> bytes:
    encoded = b""
    for span in spans:
        raw = _block(1, bytes.fromhex(span.trace_id)) + _block(2, bytes.fromhex(span.span_id))
        if span.parent_id:
            raw += _block(4, bytes.fromhex(span.parent_id))
        if span.trace_state:
            raw += _block(3, span.trace_state.encode())
        raw += _block(5, span.name.encode()) + _number(6 << 3) + _number(int(span.kind))
        raw += _number(7 << 3 | 1) + struct.pack("<Q", span.start_ns)
        raw += _number(8 << 3 | 1) + struct.pack("<Q", span.end_ns)
        raw += _pairs(9, span.attributes)
        if span.status:
            raw += _block(15, _number(3 << 3) + _number(int(span.status)))
        encoded += _block(2, raw)
    resource = _block(1, _pairs(1, spans[0].resource))
    return _block(1, resource + _block(2, _block(1, _block(1, b"scope")) + encoded))


FORMATS: dict[str, Callable[[Sequence[Span]], str | bytes]] = {
    "Jaeger JSON": jaeger,
    "Zipkin JSON": zipkin,
    "OpenTelemetry console": console,
    "Datadog": datadog,
    "OTLP protobuf": protobuf,
    "table": csv_table,
}
