"""Read OTLP/JSON by the published protobuf definitions, refusing what they do not know."""

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_IDS = ("traceId", "spanId", "parentSpanId")


def from_json(line: bytes | str) -> ExportTraceServiceRequest:
    """Parse one export request; ids are hex in OTLP/JSON, but base64 in protobuf's own JSON.

    Raises
    ------
    google.protobuf.json_format.ParseError
        When a field is unknown or has the wrong type.
    """
    content = json.loads(line)
    for group in content["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                _ids_to_base64(span)
    request = ExportTraceServiceRequest()
    json_format.ParseDict(content, request, ignore_unknown_fields=False)
    return request


def _ids_to_base64(span: dict[str, Any]) -> None:
    for name in _IDS:
        if name in span:
            raw = bytes.fromhex(span[name])
            assert len(raw) == (16 if name == "traceId" else 8)
            span[name] = base64.b64encode(raw).decode()
