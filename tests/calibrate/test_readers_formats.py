"""Formats of other tools: the same traces come out of each."""

import gzip
import io
import json
import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsim.calibrate.readers import Account, Skip, open_traces, parse_columns, read_spans
from fastsim.calibrate.requests import collect_requests
from fastsim.errors import FastSimError, FileFormatError, InputError
from fastsim.spans import Span, SpanKind, StatusCode, StepKind
from tests.calibrate import trace_formats as formats
from tests.calibrate.test_readers_fuzz import ODD

Told = tuple[object, ...]


def told(span: Span) -> Told:
    """What a span says, ids by their numbers: formats differ in their digits."""
    numbers = [
        int(part.rpartition(":")[2], 10 if len(part) < 16 else 16) if part else 0
        for part in (span.span_id, span.parent_id or "")
    ]
    return (*numbers, span.kind, span.name, span.start_ns, span.end_ns, span.service, span.status)


def read(path: Path, content: str | bytes, **more: object) -> tuple[list[Span], Account]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    account = Account()
    return list(read_spans([path], account)), account


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_span_comes_out_as_it_was(name: str, tmp_path: Path) -> None:
    wanted = formats.trace()
    found, account = read(tmp_path / "file", formats.FORMATS[name](wanted))
    assert account.files[0].format == name
    assert sorted(map(told, found), key=str) == sorted(map(told, wanted), key=str)
    assert account.spans_read == len(wanted)
    assert not account.skipped


@pytest.mark.parametrize("name", formats.FORMATS)
def test_requests_and_their_calls_are_found(name: str, tmp_path: Path) -> None:
    found, _ = read(tmp_path / "file", formats.FORMATS[name](formats.trace()))
    requests = collect_requests(found, skip_first_s=0.0)
    assert requests.endpoints == ("GET /items/{id}",)
    assert requests.failed.tolist() == [False, False, False, True, False, False]
    for row, waits in enumerate(requests.waits):
        begin = int(requests.start_ns[row])
        # The driver's span lies inside the query's: one wait, not two.
        assert [(w.kind, w.label, (w.start_ns - begin) // formats.MS) for w in waits] == [
            (StepKind.DB, "postgresql", 5),
            (StepKind.HTTP, "prices", 18),
        ]


# --- dialects ------------------------


def test_jaeger_dialects(tmp_path: Path) -> None:
    wanted = sorted(map(told, formats.trace(2)), key=str)
    traces = formats.jaeger_traces(formats.trace(2))
    old = json.loads(json.dumps(traces))
    for trace in old:
        for span in trace["spans"]:
            [reference] = span.pop("references") or [{"spanID": ""}]
            span["parentSpanID"] = reference["spanID"]
    inline = json.loads(json.dumps(traces))
    for trace in inline:
        for span in trace["spans"]:
            span["process"] = trace["processes"][span.pop("processID")]
        del trace["processes"]
    lines = "\n".join(json.dumps(trace) for trace in traces)
    follows = json.dumps({"data": traces}).replace("CHILD_OF", "FOLLOWS_FROM")
    for text in (json.dumps(traces), json.dumps(old), json.dumps({"data": inline}), lines, follows):
        assert sorted(map(told, read(tmp_path / "f", text)[0]), key=str) == wanted
    [first, _] = traces
    assert len(read(tmp_path / "f", json.dumps(first))[0]) == 5
    assert len(read(tmp_path / "f", json.dumps({"data": first}))[0]) == 5


def test_jaeger_parents_in_other_traces_are_none(tmp_path: Path) -> None:
    [trace] = formats.jaeger_traces(formats.trace(1))
    trace["spans"][0]["references"] = [
        {"refType": "CHILD_OF", "traceID": "elsewhere", "spanID": "77"}
    ]
    found, _ = read(tmp_path / "f", json.dumps(trace))
    assert found[0].parent_id is None


def test_zipkin_lists_of_lists_and_shared_ids(tmp_path: Path) -> None:
    spans = [formats.zipkin_span(span) for span in formats.trace(1)]
    callee = spans[4] | {
        "kind": "SERVER",
        "shared": True,
        "localEndpoint": {"serviceName": "prices"},
    }
    found, account = read(tmp_path / "f", json.dumps([spans, [callee]]))
    assert len(found) == 6
    assert {span.service for span in found} == {"shop", "prices"}
    assert not account.skipped


def test_zipkin_spans_without_times_are_counted(tmp_path: Path) -> None:
    spans = [formats.zipkin_span(span) for span in formats.trace(1)]
    spans[1]["timestamp"] = 0
    del spans[2]["duration"]
    found, account = read(tmp_path / "f", json.dumps(spans))
    assert len(found) == 3
    assert account.skipped == {Skip.BAD_TIMES: 2}


def test_console_output_among_log_lines(tmp_path: Path) -> None:
    wanted = formats.trace(2)
    pieces = formats.console(wanted).splitlines()
    text = ["INFO:     Started server process [7]"]
    for line in pieces:
        text.append(line)
        if line == "}":
            text.append('INFO:     127.0.0.1:5 - "GET /items/7 HTTP/1.1" 200 OK')
    found, account = read(tmp_path / "f", "\n".join(text))
    assert list(map(told, found)) == list(map(told, wanted))
    assert account.skipped == {Skip.NOT_JSON: 1 + len(wanted)}
    prefixed = "\n".join(f"api-1  | {line}" for line in text)
    assert list(map(told, read(tmp_path / "f", prefixed)[0])) == list(map(told, wanted))
    # Another process prints into the middle of an object.
    broken_into = "\n".join([*pieces[:4], "WARNING: something", *pieces[4:]])
    assert list(map(told, read(tmp_path / "f", broken_into)[0])) == list(map(told, wanted))


def test_console_objects_cut_off_are_counted(tmp_path: Path) -> None:
    text = formats.console(formats.trace(1))
    found, account = read(tmp_path / "f", text[: len(text) - 60])
    assert len(found) == 4
    assert account.skipped == {Skip.TORN: 1}


def test_protobuf_in_frames(tmp_path: Path) -> None:
    wanted = list(map(told, formats.trace()))
    halves = [formats.protobuf(formats.trace()[:13]), formats.protobuf(formats.trace()[13:])]
    fixed = b"".join(struct.pack(">I", len(half)) + half for half in halves)
    varint = b"".join(formats._number(len(half)) + half for half in halves)
    for content in (b"".join(halves), fixed, varint, gzip.compress(fixed)):
        assert list(map(told, read(tmp_path / "f", content)[0])) == wanted
    found, account = read(tmp_path / "f", fixed[:-20])
    assert len(found) == 13
    assert account.skipped == {Skip.TORN: 1}


def test_protobuf_is_what_the_published_definition_reads(tmp_path: Path) -> None:
    published = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    message = published.TracesData()
    message.ParseFromString(formats.protobuf(formats.trace(2)))
    [block] = message.resource_spans
    again = message.SerializeToString()
    assert len(block.scope_spans[0].spans) == 10
    span = block.scope_spans[0].spans[0]
    span.attributes.add(key="list").value.array_value.values.add(int_value=-5)
    span.attributes.add(key="map").value.kvlist_value.values.add(key="a").value.double_value = 0.5
    span.attributes.add(key="flag").value.bool_value = True
    found, _ = read(tmp_path / "f", message.SerializeToString())
    assert found[0].attributes["list"] == [-5]
    assert found[0].attributes["map"] == '{"a": 0.5}'
    assert found[0].attributes["flag"] is True
    assert found[0].scope == "scope"
    assert list(map(told, read(tmp_path / "f", again)[0])) == list(map(told, formats.trace(2)))


def test_tables_with_other_columns(tmp_path: Path) -> None:
    wanted = sorted(map(told, formats.trace(2)), key=str)
    renamed = formats.csv_table(formats.trace(2)).replace("Duration_ms", "Took", 1)
    path = tmp_path / "f"
    with pytest.raises(FileFormatError, match="its columns are not those of spans"):
        read(path, renamed)
    source = open_traces([path], parse_columns("duration=Took:ms"))
    assert sorted(map(told, source), key=str) == wanted
    assert sorted(map(told, read(path, formats.json_table(formats.trace(2)))[0]), key=str) == wanted
    tabs = formats.csv_table(formats.trace(2)).replace(",", "\t")
    assert sorted(map(told, read(path, tabs)[0]), key=str) == wanted
    with pytest.raises(FileFormatError, match="lacks columns"):
        list(open_traces([path], parse_columns("trace=Nothing")))


@pytest.mark.parametrize("text", ["trace", "colour=red", "start=Start:hours"])
def test_columns_that_make_no_sense(text: str) -> None:
    with pytest.raises(InputError, match="does not name a column"):
        parse_columns(text)


@pytest.mark.parametrize(
    "moment",
    [
        "2025-10-09T08:53:20Z",
        1_760_000_000,
        1_760_000_000_000,
        1_760_000_000_000_000,
        START := 1_760_000_000_000_000_000,
    ],
)
def test_moments_in_tables_tell_their_unit_by_their_size(moment: object, tmp_path: Path) -> None:
    row = {"trace_id": "a", "span_id": "b", "start": moment, "duration_ms": 5}
    [span], _ = read(tmp_path / "f", json.dumps(row))
    assert span.start_ns == START
    assert span.end_ns == START + 5_000_000


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # type: ignore[import-untyped]

    rows = [
        dict(zip(formats.HEADER, row, strict=True)) for row in formats.table_rows(formats.trace(2))
    ]
    for row in rows:
        row["http.status_code"] = str(row["http.status_code"])
    content = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), content)
    found, account = read(tmp_path / "f", content.getvalue())
    assert sorted(map(told, found), key=str) == sorted(map(told, formats.trace(2)), key=str)
    assert account.files[0].format == "table"
    with pytest.raises(FileFormatError, match="damaged"):
        read(tmp_path / "f", content.getvalue()[:-40])


def test_zstd(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    content = formats.jaeger(formats.trace()).encode()
    packed = zstandard.ZstdCompressor().compress(content)
    assert len(read(tmp_path / "f", packed)[0]) == 30
    with pytest.raises(FileFormatError):
        read(tmp_path / "f", packed[: len(packed) // 2])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("name", ["Jaeger JSON", "Zipkin JSON", "OpenTelemetry console", "table"])
def test_text_in_other_encodings(name: str, encoding: str, tmp_path: Path) -> None:
    content = formats.FORMATS[name](formats.trace(2))
    assert isinstance(content, str)
    assert len(read(tmp_path / "f", content.encode(encoding))[0]) == 10


# --- damage ------------------------


def damaged_value(value: object, rng: random.Random) -> object:
    """Drop, duplicate, shuffle or replace something somewhere in a JSON value."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        copy = dict(value)
        if rng.random() < 0.2:
            del copy[key]
        else:
            copy[key] = damaged_value(value[key], rng)
        return copy
    if isinstance(value, list) and value and rng.random() < 0.9:
        items = list(value)
        place = rng.randrange(len(items))
        what = rng.random()
        if what < 0.15:
            del items[place]
        elif what < 0.3:
            items.append(items[place])
        elif what < 0.4:
            rng.shuffle(items)
        else:
            items[place] = damaged_value(items[place], rng)
        return items
    return rng.choice(ODD)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["Jaeger JSON", "Zipkin JSON", "Datadog"]))
def test_damaged_json_gives_less_or_a_message(seed: int, name: str, tmp_path: Path) -> None:
    rng = random.Random(seed)
    value = json.loads(formats.FORMATS[name](formats.trace(2)))
    for _ in range(rng.randrange(1, 6)):
        value = damaged_value(value, rng)
    survives(tmp_path / "f", json.dumps(value).encode())


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(list(formats.FORMATS)))
def test_damaged_bytes_give_less_or_a_message(seed: int, name: str, tmp_path: Path) -> None:
    rng = random.Random(seed)
    content = formats.FORMATS[name](formats.trace(2))
    data = bytearray(content.encode() if isinstance(content, str) else content)
    for _ in range(rng.randrange(1, 8)):
        place = rng.randrange(len(data))
        what = rng.random()
        if what < 0.4:
            data[place] = rng.randrange(256)
        elif what < 0.6:
            del data[place : place + rng.randrange(1, 40)]
        elif what < 0.8:
            data[place:place] = data[place : place + rng.randrange(1, 40)]
        else:
            del data[max(place, 10) :]
        if not data:
            break
    survives(tmp_path / "f", bytes(data))


def survives(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    account = Account()
    found: list[Span] = []
    try:
        for span in read_spans([path], account):
            found.append(span)
            assert isinstance(span.kind, SpanKind)
            assert isinstance(span.status, StatusCode)
            assert 0 <= span.start_ns <= span.end_ns
        if found:
            collect_requests(found)
    except FastSimError as error:
        message = error.message
    else:
        message = "read"
    assert message
    assert account.spans_kept >= len(found)
    assert account.spans_read == account.spans_kept + account.files[0].spans_skipped
