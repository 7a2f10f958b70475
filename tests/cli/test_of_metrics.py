"""``fastsim calibrate metrics.prom``: a coarse model of who has no traces, and what it refuses."""

from pathlib import Path

import pytest

from fastsim.model import ServiceModel
from fastsim.yaml_source import parse_yaml
from tests.cli.running import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """600 requests, 60 s of a process that used 3 s of CPU."""
    name = 'http_request_duration_seconds_{}{{handler="/items/{{id}}",method="GET"{}}} {}'
    counts = zip(("0.01", "0.025", "0.05", "0.1", "+Inf"), (60, 300, 510, 588, 600), strict=True)
    lines = [name.format("bucket", f',le="{le}"', count) for le, count in counts]
    lines += [name.format("sum", "", 19.2), "process_cpu_seconds_total 3.0"]
    path = tmp_path / "shop.prom"
    path.write_text("\n".join(lines))
    return path


def test_metrics_become_a_model_that_answers(
    metrics: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = tmp_path / "model.yaml"
    assert run("calibrate", metrics, "--over", "60s", "-o", model) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "shop: 1 endpoint fitted at 10/s, event loop 5% busy" in said
    assert "from metrics alone" in said
    found = parse_yaml(model.read_text(), ServiceModel, name="model.yaml")
    assert [endpoint.name for endpoint in found.endpoints] == ["GET /items/{id}"]
    short = ("--set", "traffic.duration=20s")
    assert run("run", model, "--rate", "100/s", "--slo", "p95 < 1s", *short) == 0
    # Nothing is overwritten unasked.
    assert run("calibrate", metrics, "--over", "60s", "-o", model) == 2


def test_what_metrics_lack_is_asked_for(metrics: Path, tmp_path: Path, capsys: Capture) -> None:
    model = tmp_path / "model.yaml"
    assert run("calibrate", metrics, "-o", model) == 2
    assert "--over 10min" in capsys.readouterr().err
    assert run("calibrate", metrics, "--over", "10min", "-o", tmp_path / "as_hinted.yaml") == 0
    text = metrics.read_text().replace("process_cpu_seconds_total 3.0", "")
    metrics.write_text(text)
    assert run("calibrate", metrics, "--over", "60s", "-o", model) == 2
    assert "--busy 40%" in capsys.readouterr().err
    assert not model.exists()
    assert run("calibrate", metrics, "--over", "60s", "--busy", "5%", "-o", model) == 0


@pytest.mark.parametrize(
    "option", [("--sampled", "10%"), ("--assume-cpu", "50%"), ("--skip-first", "1s")]
)
def test_what_is_of_traces_is_refused(
    option: tuple[str, str], metrics: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run("calibrate", metrics, "--over", "60s", *option, "-o", tmp_path / "m.yaml") == 2
    assert f"{option[0]} does nothing to metrics" in capsys.readouterr().err


def test_traces_are_counted_over_no_time(tmp_path: Path, capsys: Capture) -> None:
    traces = tmp_path / "traces.jsonl"
    traces.write_text('{"resourceSpans": []}\n')
    assert run("calibrate", traces, "--over", "10min", "-o", tmp_path / "m.yaml") == 2
    assert "only metrics" in capsys.readouterr().err
