"""A new model beside an older one and beside another recording, in virtual time."""

import random
from pathlib import Path

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from fastsim.cli.main import app
from fastsim.errors import FastSimError
from fastsim.result import Comparison
from tests.virtual.loop import answer, burn
from tests.virtual.services import gamma
from tests.virtual.serving import poisson, serve


def service(query_s: float, seed: int) -> FastAPI:
    draw = random.Random(seed)
    made = FastAPI(title="laboratory")

    async def handler() -> dict[str, int]:
        burn(gamma(draw, 0.001, 8.0))
        await answer(gamma(draw, query_s, 8.0))
        burn(gamma(draw, 0.0005, 8.0))
        return {"ok": 1}

    made.add_api_route("/", handler, methods=["GET"], response_model=None)
    return made


def record(path: Path, query_s: float, seed: int) -> Path:
    arrivals = poisson({"/": 1.0}, rate_per_s=250.0, requests=900, seed=seed)
    serve(service(query_s, seed), arrivals, record=path)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two of one service, and one whose query takes half as long again."""
    root = tmp_path_factory.mktemp("recordings")
    found = {
        "before": record(root / "before", 0.010, 1),
        "again": record(root / "again", 0.010, 2),
        "slower": record(root / "slower", 0.015, 3),
    }
    result = calibrate(found["before"], root / "before.yaml")
    assert result.exit_code == 0, result.output
    return {**found, "model": root / "before.yaml"}


def calibrate(traces: Path, output: Path, *options: str) -> Result:
    command = ["calibrate", str(traces), "-o", str(output), "--no-check", "--skip-first", "0.2s"]
    return CliRunner().invoke(app, [*command, *options])


def said(result: Result) -> str:
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    return " ".join(result.stdout.split())


def test_a_step_that_drifted_is_named(recordings: dict[str, Path], tmp_path: Path) -> None:
    older = str(recordings["model"])
    text = said(calibrate(recordings["slower"], tmp_path / "m.yaml", "--diff", older))
    assert "changed since" in text
    assert "answer median" in text
    assert (
        "+5" in text.split("answer median")[1][:40] or "+4" in text.split("answer median")[1][:40]
    )
    assert "GET / cpu" not in text.split("Drift")[1].split("Model")[0]


def test_chance_is_no_drift(recordings: dict[str, Path], tmp_path: Path) -> None:
    older = str(recordings["model"])
    assert "Drift none of" in said(
        calibrate(recordings["again"], tmp_path / "m.yaml", "--diff", older)
    )


def test_a_model_foretells_another_recording_or_does_not(
    recordings: dict[str, Path], tmp_path: Path
) -> None:
    text = said(
        calibrate(recordings["before"], tmp_path / "m.yaml", "--against", str(recordings["slower"]))
    )
    assert "NO: the twin differs from live" in text
    text = said(
        calibrate(recordings["before"], tmp_path / "n.yaml", "--against", str(recordings["again"]))
    )
    assert "NO:" not in text.split("Against")[1]


def test_the_json_is_the_model_and_what_changed_is_said_beside(
    recordings: dict[str, Path], tmp_path: Path
) -> None:
    result = calibrate(
        recordings["slower"], tmp_path / "m.yaml", "--diff", str(recordings["model"]), "--json"
    )
    assert result.exit_code == 0
    assert result.stdout.lstrip().startswith("{")
    assert "changed since" in result.stderr


def test_an_older_model_that_is_none_is_refused_before_anything_is_fitted(
    recordings: dict[str, Path], tmp_path: Path
) -> None:
    for wrong in (tmp_path / "nothing.yaml", recordings["before"]):
        result = calibrate(recordings["again"], tmp_path / "m.yaml", "--diff", str(wrong))
        assert isinstance(result.exception, FastSimError)
        assert not (tmp_path / "m.yaml").exists()


def test_a_comparison_that_is_off_says_which_step_differs(recordings: dict[str, Path]) -> None:
    command = ["compare", str(recordings["model"]), str(recordings["slower"])]
    result = CliRunner().invoke(app, [*command, "--replications", "20", "--json"])
    assert result.exit_code == 1
    found = Comparison.model_validate_json(result.stdout)
    assert any("answer: median" in reason and "live" in reason for reason in found.reasons)
    text = CliRunner().invoke(app, [*command, "--replications", "20"]).stdout
    assert "Why" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_comparison_that_is_not_off_gives_no_reasons(recordings: dict[str, Path]) -> None:
    command = ["compare", str(recordings["model"]), str(recordings["again"]), "--json"]
    result = CliRunner().invoke(app, [*command, "--replications", "20"])
    assert Comparison.model_validate_json(result.stdout).reasons == []
