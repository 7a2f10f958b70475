import json
from pathlib import Path

import pytest

from fastsim.cli.main import main
from tests.model_file import MODEL, SCENARIO


def check(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["check", *map(str, arguments)])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "model.yaml").write_text(MODEL)
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    return tmp_path


def test_valid_files_are_named_with_their_kind(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(files / "model.yaml", files / "scenario.yaml") == 0
    assert capsys.readouterr().out == (
        f"{files / 'model.yaml'}: valid model\n{files / 'scenario.yaml'}: valid scenario\n"
    )


def test_every_problem_of_every_file_is_told(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "model.yaml").write_text(MODEL.replace("share: 60%", "share: 0.6"))
    (files / "other.yaml").write_text("kind: banana")
    assert check(files / "model.yaml", files / "other.yaml", files / "none.yaml") == 2
    output = capsys.readouterr()
    assert output.out == ""
    for message in ("0.6 is not a percentage", "a banana file", "does not exist"):
        assert message in output.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("GET /items/{id}: errors", "GET /itms/{id}: errors", "unknown endpoint 'GET /itms/{id}'"),
        ("db:", "dbb:", "unknown resource 'dbb'"),
        ("p95 < 100ms", "p95 < 100", "is not a duration"),
        ("model: model.yaml", "model: none.yaml", "does not exist"),
        ("duration: 30s}", "duration: 30s, mix: {GET /x: 100%}}", "unknown endpoint 'GET /x'"),
        ("duration: 30s}", "source: none.jsonl x2}", "none.jsonl does not exist"),
        ("duration: 30s}", "source: own.py:arrivals}", "there is no Python file"),
    ],
)
def test_a_scenario_is_checked_against_its_model(
    old: str, new: str, message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in SCENARIO
    (files / "scenario.yaml").write_text(SCENARIO.replace(old, new))
    assert check(files / "scenario.yaml") == 2
    assert message in capsys.readouterr().err


def test_findings_as_json_carry_line_and_column(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "model.yaml").write_text(MODEL.replace("service: shop", "service: 7"))
    assert check(files / "model.yaml", files / "scenario.yaml", "--json") == 2
    value = json.loads(capsys.readouterr().out)
    assert value["valid"] is False
    assert value["files"][0]["problems"] == [
        {
            "line": 4,
            "column": 10,
            "key": "service",
            "message": "7 is not text",
            "hint": "put it in quotes",
        }
    ]


def test_the_traffic_of_the_example_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[2] / "examples" / "shop" / "traffic.yaml"
    assert check(example) == 0
    assert "valid traffic" in capsys.readouterr().out


def test_a_class_of_ones_own_is_looked_for_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model.yaml"
    model.write_text(
        "version: 1\nendpoints: {GET /: [limit: api]}\nlimits: {api: {station: quota.py:Quota}}\n"
    )
    assert check(model) == 2
    assert "there is no Python file quota.py" in capsys.readouterr().err
    quota = tmp_path / "quota.py"
    quota.write_text("class Quto: ...\n")
    assert check(model) == 2
    assert "quota.py defines no class Quota" in capsys.readouterr().err
    quota.write_text("class Quota\n")
    assert check(model) == 2
    assert "quota.py:Quota cannot be used: SyntaxError" in capsys.readouterr().err
    quota.write_text("raise RuntimeError('only run this when asked')\nclass Quota: ...\n")
    assert check(model) == 0
