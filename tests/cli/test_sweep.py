"""``fastsim sweep`` on the command line."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import fastsim.twin.sweep  # noqa: F401 - to be found by its name
from tests.cli.running import run

Capture = pytest.CaptureFixture[str]

MODEL = """\
version: 1
service: shop
loop: {}
process: {cores: 2}
endpoints:
  GET /: [cpu: 4ms, db: 10ms]
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    return path


def swept(model: Path, *more: str) -> int:
    return run("sweep", model, "--duration", "4s", "--replications", "2", *more)


def test_every_combination_has_a_line(model: Path, capsys: Capture) -> None:
    arguments = ("--vary", "rate=50/s,200/s,300/s", "--vary", "deployment.workers=1,2")
    assert swept(model, *arguments, "--slo", "p95 < 100ms") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "5 of 6 settings meet p95 < 100ms; 1 is overloaded" in out
    lines = [line.split() for line in out.splitlines() if "/s  " in line]
    assert [line[:2] for line in lines] == [
        [rate, workers] for rate in ("50/s", "200/s", "300/s") for workers in ("1", "2")
    ]
    assert ["overload" in line for line in lines] == [False] * 4 + [True, False]


def test_parts_of_the_service_vary(model: Path, capsys: Capture) -> None:
    assert swept(model, "--rate", "20/s", "--vary", "slow.db=1x,3x", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["kind"] == "sweep"
    assert [point["settings"] for point in answer["points"]] == [
        {"slow.db": "1x"},
        {"slow.db": "3x"},
    ]
    once, thrice = (point["latency"]["p50"]["value"] for point in answer["points"])
    assert thrice - once == pytest.approx(0.02, rel=0.1)
    assert answer["verdict"] == "none"


def test_phases_are_as_high_as_the_rate_says(model: Path, capsys: Capture) -> None:
    arguments = ("--replications", "2", "--vary", "rate=20/s,60/s", "--phases", "2s x1, 2s x4")
    assert run("sweep", model, *arguments, "--json") == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [point["rate_per_s"] for point in points] == pytest.approx([50.0, 150.0])
    assert run("sweep", model, "--vary", "rate=5/s", "--phases", "2s 5/s") == 2
    assert "nothing for the rate" in capsys.readouterr().err


def test_ctrl_c_leaves_what_has_been_simulated(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    module = sys.modules["fastsim.twin.sweep"]
    simulate, asked = module.forecast_run, []

    def two(*arguments: Any, **more: Any) -> Any:
        asked.append(more)
        if len(asked) > 2:
            raise KeyboardInterrupt
        return simulate(*arguments, **more)

    monkeypatch.setattr(module, "forecast_run", two)
    assert swept(model, "--vary", "rate=20/s,30/s,40/s", "--json") == 130
    answer = json.loads(capsys.readouterr().out)
    assert [point["settings"]["rate"] for point in answer["points"]] == ["20/s", "30/s"]
    assert answer["warnings"][0] == "stopped after 2 of 3 settings"


def test_no_setting_meets_the_goals(model: Path, capsys: Capture) -> None:
    code = swept(model, "--rate", "20/s", "--vary", "deployment.workers=1,2", "--slo", "p50 < 1ms")
    assert code == 1
    assert "none of 2 settings meets p50 < 1ms" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_bytes(model: Path, capsys: Capture) -> None:
    texts = []
    for _ in range(2):
        assert swept(model, "--vary", "rate=20/s,50/s", "--format", "csv") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    rows = list(csv.DictReader(io.StringIO(texts[0])))
    assert [row["rate"] for row in rows] == ["20/s", "50/s"]
    assert 0.01 < float(rows[0]["p50_s"]) < 0.02


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--vary", "nope=1,2"], "unknown key 'nope'"),
        (["--vary", "rate=100,200"], "add a unit (/s)"),
        (["--vary", "slow.dx=2x"], "did you mean 'db'"),
        (["--vary", "rate"], "does not say what varies"),
    ],
)
def test_what_cannot_vary(model: Path, arguments: list[str], says: str, capsys: Capture) -> None:
    assert swept(model, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "--vary" in error
