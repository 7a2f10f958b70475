"""What other load tools measured."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.errors import FileFormatError
from fastsim.load.tools import READERS, ToolRequests, ToolSummary, read_tool
from fastsim.load.tools.found import matched
from fastsim.load.tools.prometheus_series import read_series

LOCUST = """\
Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,\
Min Response Time,Max Response Time,Average Content Size,Requests/s,Failures/s,\
50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%
GET,/items/[id],300,3,20,25.5,1,140,8,15.0,0.1,20,25,30,33,50,62,80,95,130,140,140
POST,/items,100,0,30,31.0,29,60,2,5.0,0,30,31,32,33,35,36,40,50,60,60,60
,Aggregated,400,3,23,26.9,1,140,6.5,20.0,0.1,23,27,31,34,42,57,73,88,130,140,140
"""
HISTORY = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%\n1,1,,Aggregated,0,0,5\n"
K6_POINTS = "\n".join(
    json.dumps(value)
    for value in (
        {"type": "Metric", "data": {"type": "trend"}, "metric": "http_req_duration"},
        {
            "metric": "http_req_duration",
            "type": "Point",
            "data": {
                "time": "2026-11-27T12:00:01.500000000+01:00",
                "value": 500.0,
                "tags": {"method": "GET", "name": "http://h:1/items/7", "status": "200"},
            },
        },
        {"metric": "vus", "type": "Point", "data": {"time": "x", "value": 1, "tags": None}},
        {
            "metric": "http_req_duration",
            "type": "Point",
            "data": {
                "time": "2026-11-27T11:00:03.25Z",
                "value": 250.0,
                "tags": {
                    "method": "POST",
                    "name": "/items",
                    "status": "500",
                    "expected_response": "false",
                },
            },
        },
    )
)
K6_SUMMARY = json.dumps(
    {
        "metrics": {
            "http_reqs": {"values": {"count": 600, "rate": 20.0}},
            "http_req_failed": {"values": {"rate": 0.05}},
            "http_req_duration": {"values": {"avg": 30.0, "med": 20.0, "p(90)": 60, "p(95)": 80}},
        }
    }
)
VEGETA = "\n".join(
    json.dumps(
        {
            "attack": "",
            "seq": number,
            "code": code,
            "timestamp": f"2026-11-27T12:00:0{number}.000000001Z",
            "latency": 20_000_000 * (number + 1),
            "error": "",
            "method": "GET",
            "url": "http://127.0.0.1:8000/items/3?x=1",
        }
    )
    for number, code in enumerate((200, 503, 200))
)
VEGETA_REPORT = json.dumps(
    {
        "latencies": {"mean": 25e6, "50th": 20e6, "90th": 50e6, "95th": 60e6, "99th": 9e7},
        "bytes_in": {"total": 1},
        "duration": 30e9,
        "requests": 3000,
        "rate": 100.0,
        "success": 0.99,
    }
)
OHA = json.dumps(
    {
        "summary": {"successRate": 1, "total": 10.0, "average": 0.02, "requestsPerSec": 50.0},
        "latencyPercentiles": {"p50": 0.015, "p90": 0.04, "p95": 0.05, "p99": 0.1, "p99.9": None},
        "statusCodeDistribution": {"200": 480, "500": 15},
        "errorDistribution": {"timeout": 5},
    }
)
OHA_CSV = (
    "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status\n"
    "0.5,0,0,0.01,0.02,10,200\n0.1,0,0,0.01,0.03,10,500\n"
)
HEY = (
    "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    "0.0044,0.0007,0,0.0002,0.0033,0.0002,200,0.0002\n"
    "0.0084,0.0003,0,0.0002,0.0077,0.0001,404,0.0107\n"
)
JMETER = (
    "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,"
    "failureMessage,bytes,sentBytes,grpThreads,allThreads,URL,Latency,IdleTime,Connect\n"
    "1700000001000,40,Get,200,OK,T 1,text,true,,1,1,1,1,http://h/items/4,39,0,1\n"
    "1700000000500,60,Get,500,no,T 1,text,false,,1,1,1,1,http://h/items/5,59,0,1\n"
)
HDR = """\
Running 30s test @ http://127.0.0.1:8000/items/1
  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       1.500     0.000000            1         1.00
      20.000     0.500000         1500         2.00
      40.000     0.900000         2700        10.00
      55.000     0.950000         2850        20.00
      90.000     0.990625         2972       106.67
     140.000     1.000000         3000          inf
#[Mean    =       24.500, StdDeviation   =        9.000]
Requests/sec:    100.00
"""

FILES = {
    "Locust statistics": LOCUST,
    "k6 points": K6_POINTS,
    "k6 summary": K6_SUMMARY,
    "vegeta results": VEGETA,
    "vegeta report": VEGETA_REPORT,
    "oha summary": OHA,
    "oha requests": OHA_CSV,
    "hey requests": HEY,
    "JMeter results": JMETER,
    "HdrHistogram": HDR,
}


def read(tmp_path: Path, text: str) -> ToolRequests | ToolSummary:
    path = tmp_path / "measured"
    path.write_text(text, encoding="utf-8")
    found = read_tool(path)
    assert found is not None
    return found


def summary(tmp_path: Path, text: str) -> ToolSummary:
    found = read(tmp_path, text)
    assert isinstance(found, ToolSummary)
    return found


def requests(tmp_path: Path, text: str) -> ToolRequests:
    found = read(tmp_path, text)
    assert isinstance(found, ToolRequests)
    return found


def test_every_reader_is_tried_here() -> None:
    assert set(FILES) == set(READERS)


def test_locust(tmp_path: Path) -> None:
    found = summary(tmp_path, LOCUST)
    assert (found.tool, found.rate_per_s, found.duration_s) == ("Locust", 20.0, 20.0)
    assert found.closed
    assert found.rounded
    assert list(found.endpoints) == ["GET /items/[id]", "POST /items"]
    get = found.endpoints["GET /items/[id]"]
    assert (get.requests, get.failed) == (300, 3)
    assert get.latency_s == pytest.approx(
        {"p50": 0.02, "p90": 0.05, "p95": 0.062, "p99": 0.095, "p999": 0.13, "mean": 0.0255}
    )
    assert found.total.requests == 400
    with pytest.raises(FileFormatError, match="history"):
        read(tmp_path, HISTORY)


def test_k6(tmp_path: Path) -> None:
    found = requests(tmp_path, K6_POINTS)
    assert found.endpoints == ("GET /items/7", "POST /items")
    assert found.at_s == pytest.approx([0.0, 2.0])
    assert found.latency_s == pytest.approx([0.5, 0.25])
    assert found.ok.tolist() == [True, False]
    whole = summary(tmp_path, K6_SUMMARY)
    assert whole.duration_s == pytest.approx(30.0)
    assert whole.total.failed == 30
    assert whole.total.latency_s == pytest.approx(
        {"mean": 0.03, "p50": 0.02, "p90": 0.06, "p95": 0.08}
    )
    exported = json.loads(K6_SUMMARY)
    flat = {name: metric["values"] for name, metric in exported["metrics"].items()}
    assert summary(tmp_path, json.dumps({"metrics": flat})) == whole


def test_vegeta(tmp_path: Path) -> None:
    found = requests(tmp_path, VEGETA)
    assert found.endpoints == ("GET /items/3?x=1",)
    assert found.at_s == pytest.approx([0.0, 1.0, 2.0])
    assert found.latency_s == pytest.approx([0.02, 0.04, 0.06])
    assert found.ok.tolist() == [True, False, True]
    assert found.closed is False
    report = summary(tmp_path, VEGETA_REPORT)
    assert (report.rate_per_s, report.duration_s, report.total.failed) == (100.0, 30.0, 30)
    assert report.total.latency_s["p95"] == pytest.approx(0.06)


def test_oha_and_hey(tmp_path: Path) -> None:
    whole = summary(tmp_path, OHA)
    assert (whole.total.requests, whole.total.failed, whole.rate_per_s) == (500, 20, 50.0)
    assert "p999" not in whole.total.latency_s
    found = requests(tmp_path, OHA_CSV)
    assert found.at_s == pytest.approx([0.0, 0.4])
    assert found.latency_s == pytest.approx([0.03, 0.02])
    assert found.ok.tolist() == [False, True]
    hey = requests(tmp_path, HEY)
    assert hey.closed
    assert hey.endpoints == ("",)
    assert hey.at_s == pytest.approx([0.0, 0.0105])


def test_jmeter(tmp_path: Path) -> None:
    found = requests(tmp_path, JMETER)
    assert found.endpoints == ("GET /items/5", "GET /items/4")
    assert found.at_s == pytest.approx([0.0, 0.5])
    assert found.latency_s == pytest.approx([0.06, 0.04])
    assert found.ok.tolist() == [False, True]


def test_hdr_histogram(tmp_path: Path) -> None:
    found = summary(tmp_path, HDR)
    assert found.rate_per_s == 100.0
    assert found.duration_s == pytest.approx(30.0)
    assert found.total.latency_s == pytest.approx(
        {"p50": 0.02, "p90": 0.04, "p95": 0.055, "p99": 0.09, "p999": 0.14, "mean": 0.0245}
    )
    with pytest.raises(FileFormatError, match="how many requests a second"):
        read(tmp_path, HDR.replace("Requests/sec", "Requests"))


def test_other_files_are_of_no_tool(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"kind": "run"}')
    assert read_tool(path) is None
    assert read_tool(tmp_path) is None
    assert read_tool(tmp_path / "absent") is None


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_damaged_files_are_read_or_refused(text: str, tmp_path: Path) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(text)), st.integers(0, 30), st.text(max_size=6))
    def damaged(at: int, length: int, instead: str) -> None:
        path = tmp_path / "measured"
        path.write_text(text[:at] + instead + text[at + length :], "utf-8", "replace")
        try:
            found = read_tool(path)
        except FileFormatError:
            return
        if isinstance(found, ToolRequests):
            assert np.all(np.diff(found.at_s) >= 0.0)
            assert np.all(found.latency_s >= 0.0)
        elif found is not None:
            assert found.rate_per_s > 0.0
            assert found.total.requests > 0

    damaged()


@pytest.mark.parametrize("number", [".20.000", "1.2.3", ".", "..5"])
def test_what_only_looks_like_a_number_is_none(number: str, tmp_path: Path) -> None:
    path = tmp_path / "measured"
    good = FILES["HdrHistogram"]
    path.write_text(re.sub(r"(?m)^(\s*)[\d.]+(\s+[\d.]+\s+\d+)", rf"\g<1>{number}\g<2>", good))
    with pytest.raises(FileFormatError, match="no percentiles"):
        read_tool(path)
    assert read_series(f'a_bucket{{le="1"}} {number}\nb 1 {number}\nc 2\n', "m")[0].name == "c"


TEMPLATES = ["GET /items/{id}", "GET /items/new", "POST /items", "GET /{path}/x"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GET /items/7", "GET /items/{id}"),
        ("GET /items/[id]", "GET /items/{id}"),
        ("GET /items/:id", "GET /items/{id}"),
        ("GET http://h:80/items/7?a=b#c", "GET /items/{id}"),
        ("/items/7", "GET /items/{id}"),
        ("GET /items/new", "GET /items/new"),
        ("GET /items/x", None),
        ("POST /items/", "POST /items"),
        ("PUT /items", None),
        ("GET /other/x", "GET /{path}/x"),
        ("login", None),
        ("", None),
    ],
)
def test_names_are_matched_to_routes(name: str, meant: str | None) -> None:
    assert matched(name, TEMPLATES) == meant
