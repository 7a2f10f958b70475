"""``fastsim compare`` with what other load tools measured.

The live run is one of the twin's own, with another seed: what a perfect twin is compared with.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastsim.model import ServiceModel
from fastsim.scenario import TrafficPlan
from fastsim.twin.forecast import forecast_run
from fastsim.twin.metrics import Measures
from fastsim.yaml_source import parse_yaml
from tests.cli.running import run

Capture = pytest.CaptureFixture[str]
MODEL = """\
version: 1
loop: {}
endpoints:
  GET /items/{id}: {share: 60%, steps: [cpu: 2ms, db: {expon: {mean: 10ms}}]}
  POST /items: {share: 40%, steps: [cpu: 3ms]}
"""
SECONDS = 20.0
PATHS = {"GET /items/{id}": "/items/7", "POST /items": "/items"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    return path


def measured(slower: float = 1.0) -> Measures:
    """20 s at 200/s of a service whose code takes so many times as long."""
    text = MODEL.replace("cpu: 2ms", f"cpu: {2 * slower}ms")
    _, found = forecast_run(
        parse_yaml(text, ServiceModel),
        traffic=TrafficPlan(rate=200.0, duration=SECONDS),
        replications=1,
        seed=99,
    )
    return found.runs[0]


def vegeta(live: Measures) -> str:
    lines = []
    for at_s, endpoint, latency_s in zip(live.at_s, live.endpoint, live.client_s, strict=True):
        method = live.endpoints[endpoint].split(" ")[0]
        path = PATHS[live.endpoints[endpoint]]
        lines.append(
            {
                "attack": "",
                "code": 200,
                "timestamp": f"2026-11-27T12:00:{at_s:09.6f}Z",
                "latency": round(latency_s * 1e9),
                "method": method,
                "url": f"http://h{path}",
            }
        )
    return "\n".join(map(json.dumps, lines))


def locust(live: Measures) -> str:
    shares = [0.5, 0.9, 0.95, 0.99]
    head = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,90%,95%,99%"
    rows = [head]
    for name in [*live.endpoints, None]:
        latency = live.latency_s(name) * 1e3
        values = [round(float(np.quantile(latency, share))) for share in shares]
        kind, _, path = ("", "", "Aggregated") if name is None else name.partition(" ")
        path = path.replace("{id}", "[id]")
        cells = [
            kind,
            path,
            len(latency),
            0,
            float(latency.mean()),
            len(latency) / SECONDS,
            *values,
        ]
        rows.append(",".join(map(str, cells)))
    return "\n".join(rows)


def prometheus(live: Measures) -> str:
    """A scrape whose buckets are 1 ms, 2 ms, 4 ms and so on."""
    bounds = [*(0.001 * 2.0**n for n in range(9)), np.inf]
    lines = []
    for name in live.endpoints:
        latency_s = live.latency_s(name, "server")
        method, _, path = name.partition(" ")
        for bound in bounds:
            le = "+Inf" if np.isinf(bound) else f"{bound:g}"
            count = int((latency_s <= bound).sum())
            labels = f'handler="{path}",method="{method}",le="{le}"'
            lines.append(f"http_request_duration_seconds_bucket{{{labels}}} {count}")
        labels = f'handler="{path}",method="{method}"'
        lines.append(f"http_request_duration_seconds_sum{{{labels}}} {latency_s.sum()}")
    return "\n".join(lines)


def test_metrics_tell_the_mean_and_percentiles_to_their_buckets(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    live = tmp_path / "metrics.prom"
    live.write_text(prometheus(measured()))
    assert run("compare", model, live) == 2
    assert "--over 10min" in capsys.readouterr().err
    over = ("--over", "20s", "--json", "--tolerance", "mean=10%")
    assert run("compare", model, live, *over) in {0, 3}
    answer = json.loads(capsys.readouterr().out)
    assert "server view" in answer["title"]
    rows = {(row["endpoint"], row["metric"]): row for row in answer["rows"]}
    assert rows["total", "throughput"]["live"] == pytest.approx(200.0, rel=0.03)
    assert rows["total", "mean"]["error"] == pytest.approx(0.0, abs=0.06)
    # Between 4 and 8 ms, and no better known.
    p50 = rows["POST /items", "p50"]
    assert p50["error_high"] - p50["error_low"] > 0.5
    live.write_text(prometheus(measured(1.5)))
    assert run("compare", model, live, *over) == 1


@pytest.mark.parametrize("write", [vegeta, locust])
def test_a_perfect_twin_is_not_off_and_a_slow_one_is(
    write: Callable[[Measures], str], model: Path, tmp_path: Path, capsys: Capture
) -> None:
    for slower, codes in ((1.0, {0, 3}), (1.5, {1})):
        live = tmp_path / "live"
        live.write_text(write(measured(slower)))
        code = run("compare", model, live, "--json", "--tolerance", "mean=10%")
        answer = json.loads(capsys.readouterr().out)
        assert code in codes, answer["verdict"]
        rows = {(row["endpoint"], row["metric"]): row for row in answer["rows"]}
        assert ("GET /items/{id}", "p95") in rows
        assert ("POST /items", "p50") in rows
        if slower == 1.0:
            assert rows["total", "mean"]["error"] == pytest.approx(0.0, abs=0.06)


def test_what_the_tool_could_not_see_is_said(model: Path, tmp_path: Path, capsys: Capture) -> None:
    live = tmp_path / "stats.csv"
    live.write_text(locust(measured()))
    run("compare", model, live)
    out = " ".join(capsys.readouterr().out.split())
    assert "Locust waits for an answer before it sends the next request" in out
    assert run("compare", model, live, "--mode", "arrivals") == 2
    assert "does not say when requests came" in capsys.readouterr().err


def test_a_tool_that_names_nothing(model: Path, tmp_path: Path, capsys: Capture) -> None:
    live = tmp_path / "hey.csv"
    rows = ["response-time,status-code,offset"]
    rows += [f"{0.003 + 0.0001 * (n % 7)},200,{n / 50}" for n in range(500)]
    live.write_text("\n".join(rows))
    assert run("compare", model, live) == 2
    assert "--endpoint 'GET /items/{id}'" in capsys.readouterr().err
    assert run("compare", model, live, "--endpoint", "POST /items", "--json") in {0, 1, 3}
    answer = json.loads(capsys.readouterr().out)
    assert {row["endpoint"] for row in answer["rows"]} <= {"POST /items", "total"}
    assert run("compare", model, live, "--endpoint", "GET /nothing/here") == 2


def test_rounded_percentiles_do_not_make_a_twin_wrong(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    # Locust writes whole milliseconds: a p50 of 2.4 ms reads 2, which is 17 % off by itself.
    live = tmp_path / "stats.csv"
    text = locust(measured())
    live.write_text(text)
    run("compare", model, live, "--json")
    rows = json.loads(capsys.readouterr().out)["rows"]
    [p50] = [r for r in rows if (r["endpoint"], r["metric"]) == ("POST /items", "p50")]
    assert p50["verdict"] != "off"
    assert p50["error_high"] - p50["error_low"] > 0.2


def test_endpoints_that_the_twin_does_not_have_are_left_out(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    live = tmp_path / "stats.csv"
    live.write_text(locust(measured()).replace("POST,/items", "POST,/x"))
    run("compare", model, live, "--json")
    answer = json.loads(capsys.readouterr().out)
    assert any("does not know POST /x" in text for text in answer["warnings"])
    latencies = {r["endpoint"] for r in answer["rows"] if r["metric"] == "p95"}
    assert latencies == {"GET /items/{id}"}
