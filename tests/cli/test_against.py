"""``--against``: every answer says how the twin did against what was measured live."""

import json
from pathlib import Path

import pytest

from fastsim.report.json import to_json
from fastsim.scenario import TrafficPlan
from fastsim.twin.forecast import forecast_run
from fastsim.yaml_source import dump_yaml
from tests.cli.running import run
from tests.twin.replication_story import shop

Capture = pytest.CaptureFixture[str]
BRIEF = ("--duration", "4s", "--replications", "2")
LONG = TrafficPlan(rate=100.0, duration=5.0, warmup=1.0)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("model.yaml")
    path.write_text(dump_yaml(shop()))
    return path


def measured(path: Path, *, times: float = 1.0) -> Path:
    """A twin's run that says it was measured, of code that takes so many times as long."""
    service = shop(cpu=0.001 * times, query=0.010 * times)
    found, _ = forecast_run(service, traffic=LONG, replications=1, seed=1234, with_table=True)
    path.write_text(to_json(found.model_copy(update={"source": "live"})))
    return path


def test_a_run_says_what_the_twin_is_worth(model: Path, capsys: Capture) -> None:
    live = measured(Path("live.json"))
    slow = measured(Path("slow.json"), times=2.0)
    assert run("run", model, "--rate", "120/s", *BRIEF, "--against", live) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Against {live} at " in text
    assert "/s: NO" not in text
    assert run("run", model, "--rate", "120/s", *BRIEF, "--against", slow) == 0
    assert "/s: NO, the twin differs from live" in " ".join(capsys.readouterr().out.split())


def test_what_was_changed_is_not_held_against_what_was_measured(
    model: Path, capsys: Capture
) -> None:
    live = measured(Path("live.json"))
    arguments = ("run", model, "--rate", "100/s", *BRIEF, "--against", live, "--json")
    assert run(*arguments) == 0
    usual = json.loads(capsys.readouterr().out)
    assert run(*arguments, "--slow", "db=3x", "--set", "deployment.workers=3") == 0
    changed = json.loads(capsys.readouterr().out)
    assert changed["total"] != usual["total"]
    assert usual["provenance"]["inputs"].keys() == {str(model), str(live)}
    assert changed["provenance"]["against"] == usual["provenance"]["against"] != ""


@pytest.mark.parametrize(
    "question",
    [
        ("limit", "--replications", "2", "--slo", "p95 < 60ms"),
        ("size", "--rate", "100/s", "--slo", "p95 < 90ms", "--vary", "deployment.workers=1,2"),
        ("sweep", "--duration", "4s", "--replications", "2", "--vary", "rate=50/s,100/s"),
    ],
    ids=lambda question: question[0],
)
@pytest.mark.parametrize("form", ["text", "markdown", "json", "html"])
def test_every_question_takes_it(
    question: tuple[str, ...], form: str, model: Path, capsys: Capture
) -> None:
    live = measured(Path("live.json"))
    name, *options = question
    page = Path("page.html")
    asked = ("--html", page) if form == "html" else ("--format", form)
    assert run(name, model, *options, "--against", live, *asked) in {0, 1}
    printed = page.read_text() if form == "html" else capsys.readouterr().out
    assert "live.json at 100/s: " in " ".join(printed.replace("\\", "").split())


def test_a_file_that_measures_nothing_is_refused_first(model: Path, capsys: Capture) -> None:
    assert run("run", model, "--rate", "50/s", "--against", "nothing.json") == 2
    assert "nothing.json" in capsys.readouterr().err
