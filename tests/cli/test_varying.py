"""Values that vary."""

import pytest

from fastsim.cli.varying import combinations, parse_varied
from fastsim.errors import InputError


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("1..4", ["1", "2", "3", "4"]),
        ("5,10, 20", ["5", "10", "20"]),
        ("10..50:20", ["10", "30", "50"]),
        ("100/s..300/s:100/s", ["100/s", "200/s", "300/s"]),
        ("100/s..300/s:100", ["100/s", "200/s", "300/s"]),
        ("x1..x2:x0.5", ["x1", "x1.5", "x2"]),
        ("0.5..1:0.25", ["0.5", "0.75", "1"]),
        ("1x,2x,2x", ["1x", "2x"]),
        ("round robin,random", ["round robin", "random"]),
    ],
)
def test_lists_and_ranges(spec: str, values: list[str]) -> None:
    assert parse_varied([f"path={spec}"]) == {"path": values}


@pytest.mark.parametrize(
    "text",
    ["path", "=1", "path=", "path=1,,2", "path=1..b", "path=5..1", "path=1/s..5ms", "p=1..9:0"],
)
def test_what_does_not_say_what_varies(text: str) -> None:
    with pytest.raises(InputError, match="does not say what varies"):
        parse_varied([text])


def test_a_path_varies_once() -> None:
    with pytest.raises(InputError, match="varies twice"):
        parse_varied(["a=1", "a=2"])


def test_too_many_values() -> None:
    with pytest.raises(InputError, match="more than 1000"):
        parse_varied([f"a=1..{10**30}"])
    with pytest.raises(InputError, match="1200 combinations"):
        combinations({"a": ["1"] * 40, "b": ["1"] * 30})


def test_the_last_field_changes_first() -> None:
    found = combinations({"a": ["1", "2"], "b": ["x", "y"]})
    assert found == [
        {"a": "1", "b": "x"},
        {"a": "1", "b": "y"},
        {"a": "2", "b": "x"},
        {"a": "2", "b": "y"},
    ]
