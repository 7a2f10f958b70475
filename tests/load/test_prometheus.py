"""Metrics of Prometheus: scrapes and queries, as percentiles that are known to their buckets."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.errors import FastSimError, FileFormatError, InputError
from fastsim.load.tools import ToolSummary, read_tool
from fastsim.load.tools.prometheus import Histogram, read_metrics, read_prometheus
from fastsim.load.tools.prometheus_series import is_prometheus

HEAD = """\
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total {cpu}
process_start_time_seconds 1.79e+09
# HELP http_requests_total Total number of requests by method, status and handler.
# TYPE http_requests_total counter
http_requests_total{{handler="/items/{{id}}",method="GET",status="2xx"}} {ok}
http_requests_total{{handler="/items/{{id}}",method="GET",status="5xx"}} {failed}
# HELP http_request_duration_seconds Duration of requests.
# TYPE http_request_duration_seconds histogram
"""


def buckets(counts: list[float], *, handler: str = "/items/{id}", total_s: float = 0.0) -> str:
    """Buckets up to 10 ms, 20 ms, 50 ms, and above, as cumulated counts."""
    labels = f'handler="{handler}",method="GET"'
    name = "http_request_duration_seconds"
    lines = [
        f'{name}_bucket{{{labels},le="{le}"}} {count}'
        for le, count in zip(("0.01", "0.02", "0.05", "+Inf"), counts, strict=True)
    ]
    return "\n".join([*lines, f"{name}_sum{{{labels}}} {total_s}", ""])


def scrape(counts: list[float], *, cpu: float, total_s: float, failed: int = 0) -> str:
    head = HEAD.format(cpu=cpu, ok=counts[-1] - failed, failed=failed)
    return head + buckets(counts, total_s=total_s)


TWO = scrape([50, 90, 99, 100], cpu=3.0, total_s=1.5) + scrape(
    [550, 1050, 1199, 1200], cpu=13.0, total_s=19.1, failed=11
)


def test_what_happened_is_what_two_scrapes_differ_by() -> None:
    found = read_metrics(TWO, "m.prom", 110.0)
    [(name, histogram)] = found.endpoints.items()
    assert name == "GET /items/{id}"
    assert histogram.counts == [500, 460, 140, 0]
    assert histogram.failed == 11
    assert found.rate_per_s == pytest.approx(10.0)
    assert found.cpu_s == pytest.approx(10.0)
    summary = read_prometheus(TWO, "m.prom", 110.0)
    measured = summary.endpoints[name]
    assert (measured.requests, measured.failed) == (1100, 11)
    assert measured.latency_s["mean"] == pytest.approx(0.016)
    # The 550th of 1,100 is a ninth into the second bucket; the 1,045th 85 of 140 into the third.
    assert measured.latency_s["p50"] == pytest.approx(0.01 + 0.01 * 50 / 460)
    assert measured.latency_s["p95"] == pytest.approx(0.02 + 0.03 * 85 / 140)
    assert measured.within["p95"] == pytest.approx(math.log(measured.latency_s["p95"] / 0.02))
    assert (summary.view, summary.closed, summary.tool) == ("server", False, "Prometheus")


def test_a_single_scrape_counts_everything_and_says_nothing_of_time() -> None:
    one = scrape([50, 90, 99, 100], cpu=3.0, total_s=1.5)
    assert read_metrics(one, "m", 10.0).total.requests == 100
    with pytest.raises(InputError) as raised:
        read_metrics(one, "m")
    assert raised.value.where == "--over"


def test_times_in_the_file_say_how_long() -> None:
    lines = [
        f'http_request_duration_seconds_bucket{{method="GET",path="/a",le="{le}"}} {n} {at}'
        for at, counts in ((1_795_000_000_000, (0, 0)), (1_795_000_060_000, (30, 60)))
        for le, n in zip(("0.1", "+Inf"), counts, strict=True)
    ]
    found = read_metrics("\n".join(lines), "m")
    assert found.over_s == 60.0
    assert found.rate_per_s == pytest.approx(1.0)
    since_start = f"process_start_time_seconds 1.79499997e+09\n{lines[3]}\n"
    found = read_metrics(since_start, "m")
    assert found.over_s == pytest.approx(90.0)
    assert "since the process began" in found.remarks[0]


def test_the_answer_of_a_query_is_a_difference_already() -> None:
    result = [
        {
            "metric": {
                "http_route": "/a", "http_request_method": "GET", "le": le,
                "http_response_status_code": status,
            },
            "value": [1_795_000_000.0, value],
        }
        for status, values in (("200", ("90", "95")), ("503", ("0", "5")))
        for le, value in zip(("0.1", "+Inf"), values, strict=True)
    ]  # fmt: skip
    text = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})
    assert is_prometheus(text)
    found = read_metrics(text, "q.json", 600.0)
    assert found.endpoints["GET /a"].requests == 100
    assert found.endpoints["GET /a"].failed == 5
    assert found.cpu_s is None


def test_milliseconds_are_told_by_the_name() -> None:
    name = "http_server_duration_milliseconds_bucket"
    text = "\n".join(
        f'{name}{{http_route="/a",http_method="GET",le="{le}"}} 10' for le in ("5", "+Inf")
    )
    assert read_metrics(text, "m", 1.0).total.upper_s == [0.005, math.inf]


def test_all_requests_are_as_fine_as_any_histogram_of_them() -> None:
    fine = "\n".join(
        f'http_request_duration_highr_seconds_bucket{{le="{le}"}} {n}'
        for le, n in (("0.005", 10), ("0.01", 50), ("0.015", 80), ("0.02", 90), ("0.05", 99),
                      ("+Inf", 100))
    )  # fmt: skip
    text = scrape([50, 90, 99, 100], cpu=1.0, total_s=1.0) + fine
    found = read_metrics(text, "m", 1.0)
    assert len(found.total.upper_s) == 6
    assert len(found.endpoints["GET /items/{id}"].upper_s) == 4
    # Of other requests, it says nothing.
    more = text + "\n" + buckets([400, 400, 400, 400], handler="/b")
    assert len(read_metrics(more, "m", 1.0).total.upper_s) == 4


def test_labels_may_hold_anything() -> None:
    label = r"/a\"b\\c{x}"
    text = f'requests_bucket{{path="{label}",method="get",le="+Inf"}} 3 # {{trace_id="x"}} 0.1'
    [name] = read_metrics(text, "m", 1.0).endpoints
    assert name == 'GET /a"b\\c{x}'
    assert is_prometheus(text)


def test_a_counter_that_went_back_is_refused() -> None:
    text = scrape([50, 90, 99, 100], cpu=3.0, total_s=1.5)
    again = scrape([5, 9, 9, 10], cpu=0.3, total_s=0.1)
    with pytest.raises(FileFormatError, match="went back"):
        read_metrics(text + again, "m", 10.0)


@pytest.mark.parametrize(
    "text",
    ["# HELP python_info x\n# TYPE python_info gauge\npython_info 1\n", "", "{}", '{"data": 3}'],
)
def test_what_holds_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(FileFormatError):
        read_metrics(text, "m", 1.0)


def test_no_request_is_refused() -> None:
    with pytest.raises(FileFormatError, match="counts no request"):
        read_metrics(buckets([0, 0, 0, 0]), "m", 1.0)


def test_percentiles_beyond_the_last_bucket_are_not_known() -> None:
    found = Histogram([0.1, math.inf], [90.0, 10.0])
    median = found.percentile(0.5)
    assert median is not None
    assert median[0] == pytest.approx(0.1 * 50 / 90)
    # Of the first bucket hardly anything is known: a tenth of its bound is as possible.
    assert median[1] == pytest.approx(math.log(median[0] / 0.01))
    assert found.percentile(0.95) is None


def test_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    path.write_text(TWO)
    found = read_tool(path, 110.0)
    assert isinstance(found, ToolSummary)
    assert found.rate_per_s == pytest.approx(10.0)


@given(st.data())
def test_damage_gives_less_or_a_message(data: st.DataObject) -> None:
    text = TWO
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        cut = data.draw(st.integers(0, 30))
        text = text[:at] + data.draw(st.text(max_size=5)) + text[at + cut :]
    try:
        found = read_prometheus(text, "m", 10.0)
    except FastSimError:
        return
    assert found.total.requests > 0
    assert all(value > 0.0 for value in found.total.latency_s.values())
