"""Python of the user's own: found, run, and its mistakes said with their line."""

from pathlib import Path

import pytest

from fastsim.errors import InputError
from fastsim.own_code import check_own, file_and_name, load_own, own_failed

HINT = "write it like quota.py:Quota"


@pytest.fixture
def place(tmp_path: Path) -> str:
    path = tmp_path / "quota.py"
    path.write_text("class Quota:\n    most = 3\n\ndef arrivals():\n    return 1 / 0\n")
    return f"{path}:Quota"


def test_what_a_file_defines_is_found(place: str) -> None:
    assert load_own(place, called="class", hint=HINT).most == 3
    check_own(place, called="class", hint=HINT)
    assert file_and_name(place, called="class", hint=HINT)[1] == "Quota"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("quota.py", "names no class in a file"),
        ("nowhere.py:Quota", "there is no Python file nowhere.py"),
        ("quota.py:a-b", "names no class in a file"),
    ],
)
def test_what_is_not_there_is_said(written: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_own(written, called="class", hint=HINT)


def test_a_check_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("raise SystemExit(9)\ndef arrivals(rate, duration, random): ...\n")
    check_own(f"{path}:arrivals", called="function", hint=HINT)
    with pytest.raises(InputError, match="defines no class arrivals"):
        check_own(f"{path}:arrivals", called="class", hint=HINT)
    path.write_text("def arrivals(:\n")
    with pytest.raises(InputError, match="SyntaxError"):
        check_own(f"{path}:arrivals", called="function", hint=HINT)


def test_the_line_that_failed_is_named(place: str) -> None:
    place = place.replace("Quota", "arrivals")
    arrivals = load_own(place, called="function", hint=HINT)
    with pytest.raises(ZeroDivisionError) as raised:
        arrivals()
    found = own_failed(place, raised.value, hint=HINT)
    assert "ZeroDivisionError" in found.message
    assert found.where == f"{place.rpartition(':')[0]}:5"
