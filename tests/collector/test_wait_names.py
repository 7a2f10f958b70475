"""Waits by number, and the table of the numbers that a span uses."""

import json

import pytest

from fastsim.collector import wait_names
from fastsim.collector.wait_names import encode_names, number_of


def table(*numbers: int) -> list[str]:
    attribute = json.loads(encode_names(numbers))
    assert attribute["key"] == "fastsim.step.names"
    return [value["stringValue"] for value in attribute["value"]["arrayValue"]["values"]]


def test_the_same_name_has_the_same_number() -> None:
    one = number_of("db", "socket", "asyncpg", "a.py:1 f")
    other = number_of("db", "socket", "asyncpg", "a.py:2 f")
    assert one != other
    assert number_of("db", "socket", "asyncpg", "a.py:1 f") == one


def test_a_span_names_what_it_uses_once() -> None:
    number = number_of("db", "socket", "asyncpg", "a.py:1 f")
    assert table(0, number, 0, number) == [f"{number}\tdb\tsocket\tasyncpg\ta.py:1 f"]
    assert table(0) == []


def test_names_without_end_are_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait_names, "MOST_NAMES", len(wait_names._names) + 5)
    numbers = {number_of("io", "socket", f"step {number}", "") for number in range(50)}
    assert len(numbers) <= 6
    assert number_of("io", "socket", "step 999", "") == number_of("io", "socket", "", "")
