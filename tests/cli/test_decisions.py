"""``fastsim limit`` and ``fastsim size`` on the command line."""

import json
from pathlib import Path

import pytest

from fastsim.cli import output
from fastsim.errors import StoreError
from tests.cli.running import run

Capture = pytest.CaptureFixture[str]

MODEL = """\
version: 1
kind: model
service: shop
process: {cores: 8}
resources:
  db: {capacity: 5}
endpoints:
- name: GET /
  share: 100%
  variants:
  - steps:
    - {do: cpu, time: {family: gamma, mean: 4ms, shape: 4}}
    - {do: acquire, resource: db}
    - {do: wait, kind: db, time: {family: expon, mean: 10ms}}
    - {do: release, resource: db}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    return path


def test_limit_says_what_holds_and_what_breaks(model: Path, capsys: Capture) -> None:
    assert run("limit", model, "--slo", "p95 < 100ms", "--replications", "3") == 0
    text = capsys.readouterr().out
    assert "Holds up to" in text
    assert "with p95 < 100ms" in text


def test_limit_as_json_and_file(model: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "limit.json"
    arguments = ("limit", model, "--slo", "p95 < 100ms", "--replications", "3", "-o", output)
    assert run(*arguments, "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value == json.loads(output.read_text())
    assert value["kind"] == "limit"
    assert 150.0 < value["rate"]["value"] < value["saturation"]["value"] < 260.0
    assert value["rate"]["unit"] == "/s"
    assert run(*arguments) == 2
    assert "limit.json" in capsys.readouterr().err


def test_an_answer_as_a_page(model: Path, tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "limit.html"
    arguments = ("limit", model, "--slo", "p95 < 100ms", "--replications", "2", "--html", page)
    assert run(*arguments) == 0
    assert "Holds up to" in capsys.readouterr().out
    text = page.read_text()
    assert "shop: limit" in text
    assert '"title":"p95"' in text
    assert run(*arguments) == 2
    assert "limit.html exists" in capsys.readouterr().err


def test_two_formats_are_refused_before_the_work(model: Path, capsys: Capture) -> None:
    assert run("limit", model, "--json", "--format", "csv") == 2
    assert "exclude each other" in capsys.readouterr().err


def test_an_answer_that_cannot_be_saved_is_printed(
    model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(output, "save_text", full)
    arguments = ("limit", model, "--replications", "2", "-o", tmp_path / "limit.json")
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert "Saturates at" in said.out
    assert "no space left" in said.err


def test_limit_that_no_load_meets_is_a_no(model: Path, capsys: Capture) -> None:
    assert run("limit", model, "--slo", "p50 < 2ms", "--replications", "2") == 1
    assert "Never" in capsys.readouterr().out


def test_size_names_the_cheapest(model: Path, capsys: Capture) -> None:
    code = run("size", model, "--rate", "500/s", "--slo", "p95 < 100ms",
               "--vary", "deployment.workers=1..5", "--price", "deployment.workers=25")  # fmt: skip
    assert code == 0
    text = capsys.readouterr().out
    assert "Cheapest that works  workers 3 at a cost of 75" in text
    assert "nothing cheaper does" in text


def test_size_as_json(model: Path, capsys: Capture) -> None:
    code = run("size", model, "--rate", "500/s", "--slo", "p95 < 100ms", "--json",
               "--vary", "deployment.workers=2,3", "--vary",
               "deployment.resources.db.capacity=4..8:4")  # fmt: skip
    assert code == 0
    value = json.loads(capsys.readouterr().out)
    assert value["kind"] == "size"
    assert value["considered"] == 4
    assert value["best"]["settings"]["deployment.workers"] == 3.0


def test_size_without_anything_that_works_is_a_no(model: Path, capsys: Capture) -> None:
    code = run("size", model, "--rate", "900/s", "--slo", "p95 < 100ms",
               "--vary", "deployment.workers=1..2")  # fmt: skip
    assert code == 1
    assert "None works" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--vary", "deployment.workers"], "does not say what varies"),
        (["--vary", "deployment.workers=a..b"], "does not say what varies"),
        (["--vary", "deployment.workers=0..2"], "does not say what varies"),
        (["--vary", "deployment.workers=1..100000"], "give a step"),
        (["--vary", f"deployment.workers=1..{10**30}"], "give a step"),
        (["--vary", "deployment.workers=9..1:-2"], "does not say what varies"),
        (["--vary", "deployment.wrokers=1..2"], "deployment.workers"),
        (
            ["--vary", "deployment.workers=1..2", "--vary", "deployment.workers=3"],
            "varies twice",
        ),
        (["--vary", "deployment.workers=1", "--price", "deployment.workers=x"], "not a price"),
        (["--vary", "deployment.workers=1", "--price", "deployment.workers=-1"], "not a price"),
        (["--vary", "deployment.workers=1", "--price", "=1"], "not a price"),
        (
            ["--vary", "deployment.workers=1"] + 2 * ["--price", "deployment.workers=1"],
            "has two prices",
        ),
        (["--vary", "deployment.workers=1", "--slo", "p95 quick"], "is not a goal"),
    ],
)
def test_size_refuses_what_makes_no_sense(
    arguments: list[str], says: str, model: Path, capsys: Capture
) -> None:
    assert run("size", model, "--rate", "10/s", "--slo", "p95 < 100ms", *arguments) == 2
    assert says in capsys.readouterr().err


def test_size_without_goals(model: Path, capsys: Capture) -> None:
    assert run("size", model, "--rate", "10/s", "--vary", "deployment.workers=1..2") == 2
    assert "there is no goal" in capsys.readouterr().err
