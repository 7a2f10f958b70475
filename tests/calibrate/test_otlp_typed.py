"""Lines read at once say what the patient reader finds in them, and the same is left out."""

import io
import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.calibrate.readers import otlp_json
from fastsim.calibrate.readers.account import FileAccount
from fastsim.calibrate.readers.otlp_typed import export_of
from fastsim.spans import Span

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ODD: list[Any] = [
    None, "", 0, -1, 1, 1.5, True, 2**64, 10**30, "x", "é", "\ud800", [], {}, ["a"], {"a": 1},
]  # fmt: skip
IDS = [TRACE, TRACE.upper(), SPAN, "00" * 8, "0" * 32, "t6qrzYQTPQ==", "CvdlGRbNQ92EQ+shHIAxnA=="]
TIMES = ["1700000000000000000", 1_700_000_000_000_000_000, "1700000000000000900", "1.5", 1.7e18]
VALUES = [
    {"stringValue": "GET"},
    {"stringValue": "naïve"},
    {"intValue": "200"},
    {"intValue": 200},
    {"boolValue": True},
    {"doubleValue": 0.5},
    {"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "2"}]}},
    {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}},
    {"stringValue": "a", "intValue": 1},
    {"string_value": "snake"},
    {"unheardOf": 1},
    *ODD,
]
FIELDS: dict[str, list[Any]] = {
    "traceId": IDS,
    "spanId": IDS,
    "parentSpanId": [*IDS, ""],
    "name": ["GET /", "é"],
    "kind": [1, 2, 3, "SPAN_KIND_SERVER", "2"],
    "startTimeUnixNano": TIMES,
    "endTimeUnixNano": TIMES,
    "status": [{}, {"code": 2}, {"code": "STATUS_CODE_ERROR", "message": "no"}],
    "traceState": ["ot=th:8", ""],
    "flags": [1, 257],
    "events": [[], [{"name": "exception"}]],
    "unknown": [1],
    "trace_id": IDS,
}
pairs = st.builds(
    lambda key, value: {"key": key, "value": value},
    st.sampled_from(["http.route", "é", "k"]) | st.sampled_from(ODD),
    st.sampled_from(VALUES),
) | st.sampled_from([{"key": "alone"}, {"value": {"intValue": 1}}, "no pair", None])
usual = {name: st.sampled_from(values) for name, values in FIELDS.items()}
odd = {name: st.sampled_from([*values, *ODD]) for name, values in FIELDS.items()}


def spans(fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return spans with some of their fields, and attributes."""
    always = ("traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano")
    rest = {name: values for name, values in fields.items() if name not in always}
    return st.fixed_dictionaries(
        {name: fields[name] for name in always},
        optional=rest | {"attributes": st.lists(pairs, max_size=3)},
    )


exports = st.builds(
    lambda found, scope, resource: {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": found}]}]
    },
    st.lists(spans(usual) | spans(odd), max_size=3),
    st.sampled_from([{"name": "lib"}, {}, {"name": 5}, {"attributes": [{"key": "a"}]}]),
    st.sampled_from([{"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}]),
)


def found_in(text: str) -> tuple[list[Span], FileAccount]:
    account = FileAccount("file")
    stream = io.BufferedReader(io.BytesIO(text.encode("utf-8", "surrogatepass")))
    return list(otlp_json.read(cast("io.BufferedReader", stream), account)), account


@given(st.lists(exports, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_both_ways_find_the_same(documents: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(document) + "\n" for document in documents)
    quickly, quick_account = found_in(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(otlp_json, "export_of", lambda _text: None)
        patiently, account = found_in(text)
    assert quickly == patiently
    assert quick_account == account


def test_what_exporters_write_is_read_at_once() -> None:
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": SPAN,
        "traceState": "",
        "flags": 257,
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000000000000001",
        "attributes": [{"key": "k", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}}],
        "droppedAttributesCount": 0,
        "events": [{"timeUnixNano": "1", "name": "e", "attributes": []}],
        "droppedEventsCount": 0,
        "links": [{"traceId": TRACE, "spanId": SPAN}],
        "droppedLinksCount": 0,
        "status": {"code": 1, "message": ""},
    }
    scope = {"scope": {"name": "lib", "version": "1"}, "schemaUrl": "s", "spans": [span]}
    batch = {"resource": {"attributes": []}, "scopeSpans": [scope], "schemaUrl": "s"}
    assert export_of(json.dumps({"resourceSpans": [batch]})) is not None
    assert export_of(json.dumps({"resourceSpans": [batch]}) + ",") is None
    assert export_of(json.dumps({"resourceLogs": []})) is None
