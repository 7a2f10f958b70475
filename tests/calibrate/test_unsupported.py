"""Files that are not traces are named for what they are, the same by every command."""

import json
from pathlib import Path

import pytest

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.readers import read_spans
from fastsim.cli.show import sniff
from fastsim.errors import FileFormatError

LOAD = "load test's result"
FILES: dict[str, tuple[str, str]] = {
    "locust.csv": ("Type,Name,Request Count,Failure Count\nGET,/a,100,0\n", f"Locust.*{LOAD}"),
    "locust_history.csv": ("Timestamp,User Count,Type,Name,Requests/s\n", f"Locust.*{LOAD}"),
    "k6.json": (json.dumps({"metrics": {"http_req_duration": {"avg": 1}}}), f"k6 summary.*{LOAD}"),
    "k6.jsonl": (
        '{"type":"Metric","data":{"name":"http_reqs"},"metric":"http_reqs"}\n',
        f"k6 output.*{LOAD}",
    ),
    "oha.json": (json.dumps({"summary": {"requestsPerSec": 10.0}}), f"oha.*{LOAD}"),
    "vegeta.json": (
        json.dumps({"latencies": {"mean": 1, "99th": 3}, "bytes_in": {"total": 1}}),
        f"vegeta.*{LOAD}",
    ),
    "hdr.txt": ("       Value     Percentile TotalCount 1/(1-Percentile)\n", "HdrHistogram"),
    "scrape.txt": ("# HELP requests_total x\n# TYPE requests_total counter\n", "Prometheus"),
    "signoz.json": (
        json.dumps({"data": {"spans": [{"duration_nano": 1, "serviceName": "x"}]}}),
        "SigNoz",
    ),
    "phoenix.jsonl": (
        json.dumps({"context": {}, "attributes": {"openinference.span.kind": "LLM"}}) + "\n",
        "OpenInference",
    ),
    "search.json": (
        json.dumps({"traces": [{"traceID": "a", "durationMs": 5}]}),
        "Tempo search answer",
    ),
    "nested.json": (
        json.dumps({"root": {"name": "GET /", "children": [{"name": "db"}]}}),
        "nested spans",
    ),
    "own.json": (json.dumps([{"trace_id": "a", "name": "GET /"}]), "spans under names of its own"),
    "page.html": ("<html><body>hello</body></html>", "web page"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_cannot_be_read_is_named_alike_by_calibrate_and_show(
    name: str, tmp_path: Path
) -> None:
    text, pattern = FILES[name]
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FileFormatError, match=pattern) as calibrating:
        list(read_spans([path]))
    with pytest.raises(FileFormatError) as showing:
        sniff(str(path))
    assert showing.value.report() == calibrating.value.report()
    if LOAD in pattern:
        assert "fastsim compare" in str(calibrating.value.hint)


def test_a_search_answer_says_where_the_traces_are(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    path.write_text(FILES["search.json"][0])
    with pytest.raises(FileFormatError) as error:
        list(read_spans([path]))
    assert "/api/traces/" in str(error.value.hint)


def line(first: int, last: int) -> str:
    spans = [
        {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": "GET /a",
            "kind": 2,
            "startTimeUnixNano": str(1_700_000_000 * 10**9 + number * 13_000_000),
            "endTimeUnixNano": str(1_700_000_000 * 10**9 + number * 13_000_000 + 5_000_000),
            "attributes": [{"key": "http.route", "value": {"stringValue": "/a"}}],
        }
        for number in range(first, last)
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})


def test_what_was_not_read_reaches_the_model(tmp_path: Path) -> None:
    lines = [line(20 * k, 20 * k + 20) for k in range(10)]
    torn = [*lines[:4], lines[4][:400], *lines[5:], lines[2]]
    (tmp_path / "torn.jsonl").write_text("\n".join(torn) + "\n")
    (tmp_path / "notes.json").write_text('{"hello": 1}')
    requests = read_requests([tmp_path])
    told = " ".join(requests.reading)
    assert "180 of 200 spans used; skipped 1 line without JSON, 20 spans met before" in told
    assert "left out:" in told
    assert "notes.json" in told
    model = build_model(requests)
    assert [warning for warning in model.warnings if warning.startswith("reading ")]


def test_a_recording_that_is_whole_needs_no_words(tmp_path: Path) -> None:
    (tmp_path / "whole.jsonl").write_text("\n".join(line(k, k + 20) for k in range(0, 200, 20)))
    requests = read_requests([tmp_path])
    assert requests.reading == ()
    assert not [w for w in build_model(requests).warnings if w.startswith("reading")]


def test_plain_spans_are_told_to_be_so_before_there_are_too_few(tmp_path: Path) -> None:
    from fastsim.errors import NotEnoughDataError

    (tmp_path / "few.jsonl").write_text(line(0, 30))
    with pytest.raises(NotEnoughDataError, match=r"30 requests.*recorded without FastSim"):
        build_model(read_requests([tmp_path]))
