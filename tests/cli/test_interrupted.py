"""Ctrl-C in a search: what was found by then is said, with exit code 130."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import run

Capture = pytest.CaptureFixture[str]
MODEL = """
version: 1
loop: {}
endpoints:
  GET /: {steps: [cpu: {gamma: {mean: 5ms, shape: 4}}, db: {expon: {mean: 10ms}}]}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    return path


Interrupt = Callable[[str, str, int], None]


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Have a function of a module of the twin interrupted when it is called for the n-th time."""

    def after(module: str, name: str, calls: int) -> None:
        there = importlib.import_module(module)
        inner, asked = getattr(there, name), []

        def counted(*arguments: Any, **more: Any) -> Any:
            asked.append(1)
            if len(asked) > calls:
                raise KeyboardInterrupt
            return inner(*arguments, **more)

        monkeypatch.setattr(there, name, counted)

    return after


def limit(model: Path, *more: str) -> Any:
    return run("limit", model, "--slo", "p95 < 60ms", "--replications", "3", *more)


def test_a_limit_lies_between_two_loads_that_were_tried(
    model: Path, interrupt: Interrupt, capsys: Capture
) -> None:
    assert limit(model, "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    assert not whole["stopped"]
    interrupt("fastsim.twin.limit", "replicate_trial", 8)
    assert limit(model, "--json") == 130
    answer = json.loads(capsys.readouterr().out)
    assert answer["stopped"]
    assert len(answer["points"]) == 8
    assert answer["warnings"][0].startswith("stopped after 8 loads")
    assert answer["rate"]["low"] <= whole["rate"]["value"] <= answer["rate"]["high"]
    assert answer["saturation"]["low"] <= whole["saturation"]["value"]


def test_nothing_known_is_nothing_said(model: Path, interrupt: Interrupt, capsys: Capture) -> None:
    interrupt("fastsim.twin.limit", "replicate_trial", 0)
    assert limit(model) == 130
    assert "interrupted" in capsys.readouterr().err


def size(model: Path, *more: str) -> Any:
    vary = ("--vary", "deployment.workers=1..8", "--set", "deployment.cores=8")
    return run("size", model, "--rate", "500/s", "--slo", "p95 < 60ms", *vary, *more)


def test_the_cheapest_that_was_found_is_said(
    model: Path, interrupt: Interrupt, capsys: Capture
) -> None:
    assert size(model, "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    # The one after the best is not tried any more.
    interrupt("fastsim.twin.size", "_try", whole["simulated"] - 2)
    assert size(model, "--json") == 130
    answer = json.loads(capsys.readouterr().out)
    assert answer["stopped"]
    assert answer["best"]["settings"] == whole["best"]["settings"]
    assert answer["warnings"][0].startswith("stopped when the cheapest was found")


def test_a_search_that_found_nothing_says_nothing(
    model: Path, interrupt: Interrupt, capsys: Capture
) -> None:
    interrupt("fastsim.twin.size", "_try", 1)
    assert size(model) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_forecast_keeps_its_limit(
    model: Path, tmp_path: Path, interrupt: Interrupt, capsys: Capture
) -> None:
    rates = tmp_path / "rates.csv"
    lines = [f"{1_790_000_000 + 3600 * n},{100 + n % 24}" for n in range(21 * 24)]
    rates.write_text("\n".join(["time,rate", *lines]))
    asked = ("forecast", model, "--history", rates, "--slo", "p95 < 60ms", "--replications", "2",
             "--growth", "80%/month", "--horizon", "60d", "--json")  # fmt: skip
    # Once for the deployment as it is; the first change is not looked at to its end.
    interrupt("fastsim.twin.outlook", "find_limit", 1)
    assert run(*asked) == 130
    answer = json.loads(capsys.readouterr().out)
    assert answer["stopped"]
    assert answer["breaks"] is not None
    assert answer["ways"] == []
    assert answer["warnings"][0].startswith("stopped when the limit was known")
