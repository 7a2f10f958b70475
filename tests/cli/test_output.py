import json
import math
from pathlib import Path

import pytest

from fastsim.cli.output import print_json, progress, refuse_existing, save_text, stdout_console
from fastsim.errors import StoreError
from fastsim.result import Estimate


def test_json_keeps_the_order_of_keys(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": 1, "a": "µ"})
    assert capsys.readouterr().out == '{\n  "b": 1,\n  "a": "µ"\n}\n'
    print_json(Estimate(value=1.5))
    assert list(json.loads(capsys.readouterr().out)) == ["value", "low", "high", "unit", "doubt"]


def test_json_never_says_nan(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"x": math.nan})
    print_json(Estimate(value=math.inf))
    assert json.loads(capsys.readouterr().out)["value"] is None


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("counting", total=3) as move:
        for done in range(4):
            move(done, f"step {done}")
    assert capsys.readouterr() == ("", "")


def test_tables_in_a_pipe_are_plain_and_wide(capsys: pytest.CaptureFixture[str]) -> None:
    stdout_console().print("x" * 150, style="red")
    assert capsys.readouterr().out == "x" * 150 + "\n"


def test_a_saved_file_is_told_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    save_text(path, "{}", force=False)
    assert capsys.readouterr() == ("", f"wrote {path}\n")
    with pytest.raises(StoreError):
        save_text(path, "[]", force=False)
    assert path.read_text() == "{}"


def test_what_cannot_be_saved_is_told_before_the_work(tmp_path: Path) -> None:
    refuse_existing(tmp_path / "new", force=False)
    (tmp_path / "old").write_text("")
    refuse_existing(tmp_path / "old", force=True)
    with pytest.raises(StoreError, match="exists"):
        refuse_existing(tmp_path / "old", force=False)
    with pytest.raises(StoreError, match="does not exist"):
        refuse_existing(tmp_path / "none" / "new", force=False)
