import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fastsim.cli.against import hash_of
from fastsim.cli.main import app
from fastsim.errors import FastSimError
from fastsim.loop_costs import RecorderCost
from fastsim.report.json import to_json
from fastsim.result import Comparison, Run
from fastsim.scenario import TrafficPlan
from fastsim.twin.compare import TOTAL
from fastsim.twin.forecast import forecast_run
from fastsim.yaml_source import dump_yaml
from tests.twin.replication_story import shop

FEW = ("--replications", "20")
TRAFFIC = TrafficPlan(rate=100.0, duration=40.0, warmup=1.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(dump_yaml(shop()))
    return path


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A twin's run that says it was measured."""
    run, _ = forecast_run(shop(), traffic=TRAFFIC, replications=1, seed=1234, with_table=True)
    path = tmp_path / "live.json"
    path.write_text(to_json(run.model_copy(update={"source": "live"})))
    return path


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """The same requests as server spans of a recording, OTLP/JSON."""
    run, _ = forecast_run(shop(), traffic=TRAFFIC, replications=1, seed=1234, with_table=True)
    assert run.table is not None
    table = run.table
    spans = [
        {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": table.endpoints[endpoint],
            "kind": 2,
            "startTimeUnixNano": str(round((1_700_000_000 + at_s) * 1e9)),
            "endTimeUnixNano": str(round((1_700_000_000 + at_s + latency_s) * 1e9)),
            "attributes": [
                {"key": "http.request.method", "value": {"stringValue": name.split()[0]}},
                {"key": "http.route", "value": {"stringValue": name.split()[1]}},
                {"key": "http.response.status_code", "value": {"intValue": "200"}},
            ],
        }
        for number, (endpoint, at_s, latency_s) in enumerate(
            zip(table.endpoint, table.scheduled_s, table.latency_s, strict=True)
        )
        for name in [table.endpoints[endpoint]]
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    batch = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(batch) + "\n")
    return path


def fastsim_compare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def problem(*arguments: object) -> FastSimError:
    result = fastsim_compare(*arguments)
    assert isinstance(result.exception, FastSimError), result.output
    return result.exception


def test_a_model_agrees_with_a_live_run_of_the_same_service(model: Path, live: Path) -> None:
    # Off in at most 5 % of seeds: the verdict's own false-alarm rate.
    result = fastsim_compare(
        model, live, *FEW, "--tolerance", "p50=25%", "--tolerance", "p95=40%", "--json"
    )
    found = Comparison.model_validate_json(result.stdout)
    assert (found.mode, found.verdict) == ("free", "agrees")
    assert result.exit_code == 0, result.output
    assert {"GET /items", "POST /search", "total"} == {row.endpoint for row in found.rows}


def test_a_slower_model_is_off_with_exit_code_1(model: Path, live: Path) -> None:
    model.write_text(dump_yaml(shop(cpu=0.0013, query=0.014)))
    result = fastsim_compare(model, live, *FEW, "--mode", "arrivals")
    assert result.exit_code == 1
    assert "arrival replay" in result.stdout
    assert "off" in result.stdout


def test_what_cannot_be_told_has_exit_code_3_and_says_what_would(
    model: Path, tmp_path: Path
) -> None:
    short = TrafficPlan(rate=100.0, duration=4.0, warmup=1.0)
    run, _ = forecast_run(shop(), traffic=short, replications=1, seed=1234, with_table=True)
    path = tmp_path / "short.json"
    path.write_text(to_json(run.model_copy(update={"source": "live"})))
    result = fastsim_compare(model, path, *FEW)
    assert result.exit_code == 3
    assert result.stdout.startswith("CANNOT TELL")
    assert "would tell" in " ".join(result.stdout.split())


def test_all_values_are_shown_when_asked_for(model: Path, live: Path) -> None:
    result = fastsim_compare(model, live, *FEW, "--all")
    assert "throughput" in result.stdout
    assert "Not shown" not in result.stdout


def test_settings_change_what_is_simulated(model: Path, live: Path) -> None:
    starved = ("--set", "deployment.resources.db.capacity=1")
    assert fastsim_compare(model, live, *FEW, *starved).exit_code == 1


def test_traces_are_the_server_view_without_their_warm_up(
    model: Path, live: Path, traces: Path
) -> None:
    result = fastsim_compare(model, traces, *FEW, "--json")
    found = Comparison.model_validate_json(result.stdout)
    assert "server view" in found.title
    assert {row.endpoint for row in found.rows} == {"GET /items", "POST /search", "total"}
    table = Run.model_validate_json(live.read_text()).table
    assert table is not None
    at_s, span_s = np.array(table.scheduled_s), np.array(table.latency_s)
    warm = at_s - at_s[0] >= 0.05 * (at_s[-1] - at_s[0])  # the share calibrate leaves out
    total = next(row for row in found.rows if (row.endpoint, row.metric) == ("total", "mean"))
    assert total.requests == int(warm.sum())
    assert total.live == pytest.approx(float(span_s[warm].mean()), rel=1e-6)


def test_a_live_run_under_the_recorder_is_compared_with_its_cost(
    live: Path, tmp_path: Path
) -> None:
    """The model holds what recording cost; the live run here had none of it."""
    recorder = RecorderCost(accept=0.002)
    watched = shop().model_copy(
        update={"loop": shop().loop.model_copy(update={"recorder": recorder})}
    )
    path = tmp_path / "watched.yaml"
    path.write_text(dump_yaml(watched))

    def p50(*options: str) -> float:
        result = fastsim_compare(path, live, *FEW, "--json", *options)
        rows = Comparison.model_validate_json(result.stdout).rows
        return next(row.twin for row in rows if (row.endpoint, row.metric) == (TOTAL, "p50"))

    without = p50()
    assert p50("--not-recorded") == without
    # Every request takes the loop 2 ms more, and waits for others that do.
    assert p50("--recorded") > without + 0.002


def test_a_stored_result_is_compared_without_simulating(live: Path, tmp_path: Path) -> None:
    run, _ = forecast_run(shop(), traffic=TRAFFIC, replications=20)
    stored = tmp_path / "run.json"
    stored.write_text(to_json(run))
    result = fastsim_compare(
        stored, live, "--tolerance", "p50=25%", "--tolerance", "p95=60%", "--json"
    )
    assert Comparison.model_validate_json(result.stdout).verdict == "agrees"
    assert result.exit_code == 0, result.output
    assert problem(stored, live, "--mode", "arrivals").where == "--mode"
    assert problem(stored, live, "--set", "seed=1").where == "--set"


def test_a_tolerance_makes_its_metric_count(model: Path, live: Path) -> None:
    result = fastsim_compare(model, live, *FEW, "--tolerance", "mean=15%", "--json")
    assert Comparison.model_validate_json(result.stdout).tolerance["mean"] == 0.15
    for wrong in ("p95", "p95=10", "p59=10%"):
        assert problem(model, live, "--tolerance", wrong).where == "--tolerance"


def test_an_unknown_metric_is_refused_before_anything_is_simulated(
    model: Path, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "fastsim.twin.live.simulate_live", lambda *_, **__: pytest.fail("simulated")
    )
    found = problem(model, live, "--tolerance", "p51=5%")
    assert found.where == "--tolerance"
    assert found.exit_code == 2


def test_a_sample_of_the_traces_is_compared_at_the_rate_of_all(
    model: Path, traces: Path, tmp_path: Path
) -> None:
    document = json.loads(traces.read_text())
    batch = document["resourceSpans"][0]["scopeSpans"][0]
    batch["spans"] = batch["spans"][::4]
    sampled = tmp_path / "sampled.jsonl"
    sampled.write_text(json.dumps(document))
    found = Comparison.model_validate_json(
        fastsim_compare(model, sampled, *FEW, "--sampled", "25%", "--json").stdout
    )
    [throughput] = [row for row in found.rows if row.metric == "throughput"]
    assert throughput.live == pytest.approx(TRAFFIC.rate, rel=0.15)
    assert found.verdict != "off"
    assert found.warnings[0].startswith("live are 25% of all requests, as asked")
    told = fastsim_compare(model, sampled, *FEW, "--json").stdout
    [alone] = [
        row for row in Comparison.model_validate_json(told).rows if row.metric == "throughput"
    ]
    assert alone.live == pytest.approx(throughput.live / 4.0)
    refused = problem(model, sampled, *FEW, "--sampled", "25%", "--mode", "arrivals")
    assert "are a sample" in refused.message


def test_only_metrics_are_counted_over_a_time(model: Path, live: Path, traces: Path) -> None:
    for measured in (live, traces):
        assert problem(model, measured, "--over", "10min").where == "--over"
    assert problem(model, live, "--over", "10").where == "--over"


def test_only_traces_are_sampled(model: Path, live: Path) -> None:
    assert problem(model, live, "--sampled", "25%").where == "--sampled"
    assert "no part of all" in problem(model, live, "--sampled", "0%").message


def test_the_view_must_be_what_the_file_holds(model: Path, live: Path, traces: Path) -> None:
    assert problem(model, live, "--view", "server").where == "--view"
    assert problem(model, traces, "--view", "client").where == "--view"


def test_the_result_is_written_and_not_overwritten(model: Path, live: Path, tmp_path: Path) -> None:
    target = tmp_path / "comparison.json"
    fastsim_compare(model, live, *FEW, "-o", target)
    inputs = Comparison.model_validate_json(target.read_text()).provenance.inputs
    assert inputs.keys() == {str(model), str(live)}
    assert inputs[str(live)] == hashlib.sha256(live.read_bytes()).hexdigest()
    assert problem(model, live, *FEW, "-o", target).exit_code == 2


def test_a_pipe_is_not_read_again_for_its_hash(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert hash_of(pipe) == ""


def test_files_that_cannot_be_compared_are_refused(model: Path, live: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.json"
    torn.write_text(live.read_text()[:2000])
    no_table = tmp_path / "no_table.json"
    value = json.loads(live.read_text())
    no_table.write_text(json.dumps({**value, "table": None}))
    for wrong in (torn, no_table, tmp_path / "missing.json"):
        assert problem(model, wrong).exit_code == 2
    assert problem(tmp_path / "missing.yaml", live).exit_code == 2
    assert problem(torn, live).exit_code == 2
