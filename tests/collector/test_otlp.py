"""What we write is OTLP by the published definitions, as JSON and as protobuf."""

import json
import math

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from fastsim.collector.export import encode_request
from fastsim.collector.otlp import encode_attributes, encode_line, encode_span
from fastsim.collector.otlp_binary import line_to_protobuf
from fastsim.collector.timeline import RequestRecord
from fastsim.collector.wait_names import number_of
from fastsim.spans import Attributes, AttributeValue, Span, SpanKind, StatusCode
from fastsim.step_columns import unpack_rows, unpack_steps
from tests.collector.otlp_published import from_json

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def line_of(*spans: Span, resource: Attributes | None = None) -> bytes:
    return encode_line(
        resource or {"service.name": "shöp"}, [encode_span(s) for s in spans]
    ).encode()


def a_span(attributes: Attributes) -> Span:
    return Span(
        *(TRACE, SPAN, PARENT, SpanKind.SERVER, "GET /”q\n", 1, 2),
        attributes=attributes,
        status=StatusCode.ERROR,
    )


def recorded() -> str:
    record = RequestRecord({"method": "GET", "path": "/products/7"})
    start = record.start_clock
    record.end_clock = start + 10_000_000
    wait = number_of("db", "socket", "asyncpg", "shop.py:product")
    for number in range(6):
        begin = start + number
        record.rows += (wait, 0, begin, begin + 5, -1, 0, begin + 2, begin + 4, -1, 0, 0, 0)
    record.events.append(("pool\tof\nall", "acquire", 5, 10))
    record.thread_calls.append((0, start + 1, 2, 3, 4))
    return encode_request(record, encode_attributes({"fastsim.requests_seen": 1, "absent": None}))


def line_of_recorded(resource: Attributes | None = None, *before: str) -> bytes:
    return encode_line(resource or {"service.name": "shöp"}, [*before, recorded()]).encode()


def test_a_recorded_request_is_what_the_definitions_say() -> None:
    [group] = from_json(line_of_recorded()).resource_spans
    assert [item.value.string_value for item in group.resource.attributes] == ["shöp"]
    [span] = group.scope_spans[0].spans
    assert (len(span.trace_id), len(span.span_id), span.parent_span_id) == (16, 8, b"")
    assert span.kind == trace_pb2.Span.SPAN_KIND_SERVER
    values = {item.key: item.value for item in span.attributes}
    names = [value.string_value for value in values["fastsim.step.names"].array_value.values]
    steps = unpack_steps(
        values["fastsim.steps"].string_value, names, values["fastsim.start_clock_ns"].int_value
    )
    assert steps.start_ns == list(range(6))
    assert steps.wall_ns == [5] * 6
    assert (steps.bound_ns, steps.late_ns) == ([3] * 6, [1] * 6)
    assert set(steps.where) == {"shop.py:product"}
    assert values["fastsim.resource.events"].string_value == "acquire\tpool of all\t5\t10"
    assert list(unpack_rows(values["fastsim.thread.calls"].string_value, 4)) == [1, 2, 3, 4]
    assert "absent" not in values  # None is left out, not written as something


def test_ids_status_and_text_arrive_as_they_were() -> None:
    [group] = from_json(line_of(a_span({}))).resource_spans
    [span] = group.scope_spans[0].spans
    assert span.trace_id.hex() == TRACE
    assert (span.span_id.hex(), span.parent_span_id.hex()) == (SPAN, PARENT)
    assert span.name == "GET /”q\n"
    assert span.status.code == trace_pb2.Status.STATUS_CODE_ERROR


def test_an_unknown_field_would_be_noticed() -> None:
    content = json.loads(line_of(a_span({})))
    content["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["durationNano"] = "1"
    with pytest.raises(json_format.ParseError):
        from_json(json.dumps(content))


SCALARS = st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = (
    SCALARS
    | st.lists(st.text())
    | st.lists(st.booleans())
    | st.lists(st.integers(-(2**63), 2**63 - 1))
    | st.lists(st.floats(allow_nan=False))
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_json_and_protobuf_say_the_same(attributes: dict[str, AttributeValue]) -> None:
    line = line_of_recorded({"a": 1, **attributes}, encode_span(a_span(attributes)))
    published = from_json(line)
    assert ExportTraceServiceRequest.FromString(line_to_protobuf(line)) == published
    [span, _] = published.resource_spans[0].scope_spans[0].spans
    assert {item.key: read(item.value) for item in span.attributes} == attributes


def read(value: object) -> object:
    kind = value.WhichOneof("value")  # type: ignore[attr-defined]
    content = getattr(value, kind)
    return [read(item) for item in content.values] if kind == "array_value" else content


def test_what_is_no_number_is_said_as_protobuf_does() -> None:
    line = line_of(a_span({"x": math.nan, "y": math.inf, "z": -math.inf}))
    for request in (from_json(line), ExportTraceServiceRequest.FromString(line_to_protobuf(line))):
        [span] = request.resource_spans[0].scope_spans[0].spans
        x, y, z = (item.value.double_value for item in span.attributes)
        assert math.isnan(x)
        assert (y, z) == (math.inf, -math.inf)
