"""``fastsim report``: stored results in, text or one HTML file out."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fastsim.cli.report import report
from fastsim.errors import FastSimError, FileFormatError, InputError
from fastsim.report import render_comparison, render_run, to_json
from fastsim.yaml_source import dump_yaml
from tests.report import results


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    contents = {
        "twin.json": to_json(results.run("twin")),
        "live.json": to_json(results.run("live")),
        "compared.json": to_json(results.comparison()),
        "model.yaml": dump_yaml(results.service_model()),
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return [tmp_path / name for name in contents]


def call(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(report)
    answer = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)
    if isinstance(answer.exception, FastSimError):
        raise answer.exception
    assert answer.exit_code == 0
    return answer.stdout


def test_prints_each_result_as_its_own_command_would(files: list[Path]) -> None:
    text = call(*files)
    assert text.startswith(render_comparison(results.comparison()))
    assert render_run(results.run("live")) in text
    assert text.endswith("300/s is an extrapolation (×2).\n")


def test_writes_one_html_file_and_keeps_stdout_empty(files: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert call(*files, "--html", page, "--title", "Friday", "--note", "two cores") == ""
    text = page.read_text(encoding="utf-8")
    assert "<h1>Friday</h1>" in text
    assert "<li>two cores</li>" in text
    assert "The twin differs from live" in text


def test_an_existing_file_stays_as_it_is(files: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("mine")
    with pytest.raises(FastSimError, match="exists"):
        call(*files, "--html", page)
    assert page.read_text() == "mine"
    call(*files, "--html", page, "--force")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("version: 1\nkind: scenario\nmodel: model.yaml\n")
    with pytest.raises(FileFormatError, match="a report shows results"):
        call(scenario)


def test_two_models_are_refused(files: list[Path]) -> None:
    with pytest.raises(InputError, match="2 models were given"):
        call(files[3], files[3])
