"""Reading OTLP/JSON: every dialect and encoding gives the same spans."""

import gzip
import io
import json
import sys

import pytest

from fastsim.calibrate.readers import Account, Skip, read_spans
from fastsim.spans import SpanKind, StatusCode
from tests.calibrate.otlp_examples import (
    PARENT,
    SPAN,
    START_NS,
    TRACE,
    TWO_LINES,
    TWO_LINES_RAW,
    Json,
    Write,
    export,
    in_base64,
    raw_span,
    read_all,
    renamed,
    snake,
)

# --- dialects ------------------------

BASE64_IDS = raw_span(
    traceId=in_base64(TRACE), spanId=in_base64(SPAN), parentSpanId=in_base64(PARENT)
)
DIALECTS = {
    "plain": export(raw_span()),
    "snake case": snake(export(raw_span())),
    "upper-case ids": export(raw_span(traceId=TRACE.upper(), spanId=SPAN.upper())),
    "base64 ids": export(BASE64_IDS),
    "base64 without padding": export(raw_span(traceId=in_base64(TRACE).rstrip("="))),
    "kind by name": export(raw_span(kind="SPAN_KIND_SERVER")),
    "kind by short name": export(raw_span(kind="SERVER")),
    "times as numbers": export(
        raw_span(startTimeUnixNano=START_NS, endTimeUnixNano=START_NS + 5_000_000)
    ),
    "status by name": export(raw_span(status={"code": "STATUS_CODE_ERROR"})),
    "integers as numbers": json.loads(
        json.dumps(export(raw_span()))
        .replace('"intValue": "', '"intValue": 0.0, "x": "')
        .replace('"intValue": 0.0, "x": "200"', '"intValue": 200')
        .replace('"intValue": 0.0, "x": "7"', '"intValue": 7')
        .replace('"intValue": 0.0, "x": "8"', '"intValue": 8')
    ),
    "instrumentation library": renamed(
        renamed(export(raw_span()), "scopeSpans", "instrumentationLibrarySpans"),
        "scope",
        "instrumentationLibrary",
    ),
    "Tempo": renamed(export(raw_span()), "resourceSpans", "batches"),
    "Tempo version 2": {"trace": export(raw_span())},
    "Jaeger version 3": {"result": export(raw_span())},
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_dialect_gives_the_same_span(dialect: str, indent: int | None, write: Write) -> None:
    (span,) = read_all(write(json.dumps(DIALECTS[dialect], indent=indent)))
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, PARENT)
    assert span.kind is SpanKind.SERVER
    assert (span.start_ns, span.end_ns) == (START_NS, START_NS + 5_000_000)
    assert (span.service, span.instance, span.scope) == ("shop", "one", "fastsim")
    assert span.attributes == {
        "http.route": "/items/{id}",
        "http.response.status_code": 200,
        "fastsim.step.wall_ns": [7, 8],
    }
    assert span.status is StatusCode.ERROR


@pytest.mark.parametrize("status", [{}, ..., None, {"code": 0}, {"code": "STATUS_CODE_UNSET"}])
def test_absent_status_is_unset(status: object, write: Write) -> None:
    (span,) = read_all(write(export(raw_span(status=status))))
    assert span.status is StatusCode.UNSET


@pytest.mark.parametrize("parent", [..., "", None, "0000000000000000"])
def test_roots_have_no_parent(parent: object, write: Write) -> None:
    (span,) = read_all(write(export(raw_span(parentSpanId=parent))))
    assert span.parent_id is None


@pytest.mark.parametrize("odd", ["1", "not hex at all", "0af7651916cd43dd"])
def test_ids_of_other_systems_stay_as_they_are(odd: str, write: Write) -> None:
    (span,) = read_all(write(export(raw_span(traceId=odd))))
    assert span.trace_id == odd


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ({"boolValue": True}, True),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "Infinity"}, float("inf")),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"bytesValue": "AAEC"}, "AAEC"),
        ({}, None),
        ({"arrayValue": {}}, []),
        ({"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}, ["a", "b"]),
        ({"arrayValue": {"values": [{"boolValue": True}, {"boolValue": False}]}}, [True, False]),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"doubleValue": 2.5}]}}, [1.0, 2.5]),
        ({"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "b"}]}}, ["1", "b"]),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}, '{"a": 1}'),
        ({"arrayValue": {"values": [{"arrayValue": {"values": [{"intValue": "1"}]}}]}}, ["[1]"]),
        ({"arrayValue": {"values": [{"kvlistValue": {"values": []}}, {}]}}, ["{}", "null"]),
    ],
)
def test_attribute_values(value: Json, decoded: object, write: Write) -> None:
    span = raw_span(attributes=[{"key": "it", "value": value}])
    (read,) = read_all(write(export(span)))
    assert read.attributes == {"it": decoded}
    assert type(read.attributes["it"]) is type(decoded)


@pytest.mark.parametrize(
    "bad",
    [{"intValue": "x"}, {"intValue": 1.5}, {"a": 1, "b": 2}, {"no": 1}, 7, {"stringValue": 1}],
)
def test_unreadable_attributes_are_counted(bad: object, write: Write) -> None:
    account = Account()
    (span,) = read_all(write(export(raw_span(attributes=[{"key": "it", "value": bad}]))), account)
    assert span.attributes == {}
    assert account.skipped == {Skip.ATTRIBUTE: 1}


def test_half_a_surrogate_pair_becomes_printable(write: Write) -> None:
    (span,) = read_all(write(json.dumps(export(raw_span(name="a\ud800b"), service="\udc00"))))
    assert (span.name, span.service) == ("a\ufffdb", "\ufffd")


def test_spans_of_equal_resources_share_one_dict(write: Write) -> None:
    lines = [json.dumps(export(raw_span(2 * n), raw_span(2 * n + 1))) for n in range(3)]
    lines.insert(1, json.dumps(export(raw_span(99), service="other")))
    spans = read_all(write("\n".join(lines)))
    assert len({id(span.resource) for span in spans if span.service == "shop"}) == 1
    assert len({id(span.resource) for span in spans}) == 2


# --- encodings and containers ------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings(encoding: str, packed: bool, newline: str, write: Write) -> None:
    content = TWO_LINES_RAW.replace("\n", newline).encode(encoding)
    # The name says nothing: files are told by content.
    spans = read_all(write(gzip.compress(content) if packed else content, "traces.bin"))
    assert [span.name for span in spans] == ["GET /caf\u00e9"] * 2


def test_bytes_that_are_not_utf8_are_replaced(write: Write) -> None:
    content = TWO_LINES_RAW.encode("latin-1")
    assert [span.name for span in read_all(write(content))] == ["GET /caf\ufffd"] * 2


@pytest.mark.parametrize(
    "text",
    [
        "[\n{0},\n{1}\n]\n",
        "[{0},\n{1}]\n",
        "[{0},{1}]",
        "{0}{1}",
        "{0}\n\n\n{1}",
        "\n  {0}\n{1}",
        "{0}\x00\x00\n{1}",
    ],
)
def test_other_arrangements_of_exports(text: str, write: Write) -> None:
    first, second = (json.dumps(export(raw_span(n))) for n in range(2))
    account = Account()
    content = text.replace("{0}", first).replace("{1}", second)
    assert len(read_all(write(content), account)) == 2
    assert not account.skipped


def test_pretty_documents_one_after_the_other(write: Write) -> None:
    content = "\n".join(json.dumps(export(raw_span(n)), indent=1) for n in range(3))
    assert len(read_all(write(content))) == 3


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 7))  # a pipe hands out what it has

    class Stdin:
        buffer = Pipe(gzip.compress(TWO_LINES.encode()))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert len(list(read_spans(["-"]))) == 2


def test_reading_lines_needs_no_more_memory_for_more_lines(write: Write) -> None:
    import tracemalloc

    def peak_bytes(lines: int) -> int:
        spans = (
            json.dumps(export(*(raw_span(20 * n + k) for k in range(20)))) for n in range(lines)
        )
        path = write("\n".join(spans), f"{lines}.jsonl")
        tracemalloc.start()
        for _ in read_spans([path]):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = peak_bytes(30), peak_bytes(300)
    # Only the identities of the latest spans are remembered: 5 400 more at about 100 bytes.
    assert large - small < 5_400 * 200


def test_the_memory_for_duplicates_is_bounded(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastsim.calibrate.readers.DUPLICATE_WINDOW", 10)
    near = [raw_span(n) for n in range(10)] + [raw_span(n) for n in range(10)]
    assert len(read_all(write(export(*near), "near.json"))) == 10
    far = [raw_span(n) for n in range(30)] + [raw_span(0)]
    assert len(read_all(write(export(*far), "far.json"))) == 31
