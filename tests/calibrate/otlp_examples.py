"""Small OTLP/JSON documents to read, in all dialects."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastsim.calibrate.readers import Account, read_spans
from fastsim.spans import Span

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = "00f067aa0ba902b7"
START_NS = 1_700_000_000_000_000_001

Json = dict[str, Any]


def raw_span(number: int = 0, **changes: object) -> Json:
    span: Json = {
        "traceId": TRACE,
        "spanId": f"{int(SPAN, 16) + number:016x}",
        "parentSpanId": PARENT,
        "name": "GET /items/{id}",
        "kind": 2,
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 5_000_000),
        "attributes": [
            {"key": "http.route", "value": {"stringValue": "/items/{id}"}},
            {"key": "http.response.status_code", "value": {"intValue": "200"}},
            {
                "key": "fastsim.step.wall_ns",
                "value": {"arrayValue": {"values": [{"intValue": "7"}, {"intValue": "8"}]}},
            },
        ],
        "status": {"code": 2},
    }
    span.update(changes)
    return {key: value for key, value in span.items() if value is not ...}


def export(*spans: Any, service: str = "shop") -> Json:
    attributes = [
        {"key": "service.name", "value": {"stringValue": service}},
        {"key": "service.instance.id", "value": {"stringValue": "one"}},
    ]
    scope = {"scope": {"name": "fastsim"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]}


def snake(value: Any) -> Any:
    """Rewrite all keys of OTLP to snake case; attribute keys are values and stay."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if isinstance(value, dict):
        return {
            "".join("_" + c.lower() if c.isupper() else c for c in key): snake(item)
            for key, item in value.items()
        }
    return value


def in_base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def renamed(document: Json, old: str, new: str) -> Json:
    result: Json = json.loads(json.dumps(document).replace(f'"{old}"', f'"{new}"'))
    return result


def read_all(path: Path, account: Account | None = None) -> list[Span]:
    return list(read_spans([path], account))


Write = Callable[..., Path]

TWO_LINES = "".join(json.dumps(export(raw_span(n, name="GET /caf\u00e9"))) + "\n" for n in range(2))
TWO_LINES_RAW = TWO_LINES.replace("\\u00e9", "\u00e9")
