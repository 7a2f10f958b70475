import inspect

import pytest

from fastsim import errors
from fastsim.errors import (
    AnswerError,
    FastSimError,
    FileFormatError,
    InputError,
    StoreError,
    UnknownNameError,
)

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, FastSimError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_an_exit_code_and_a_place_in_the_tree(kind: type[FastSimError]) -> None:
    expected = {InputError: 2, AnswerError: 3, StoreError: 2}
    codes = [code for base, code in expected.items() if issubclass(kind, base)]
    assert kind.exit_code == (codes[0] if codes else 70)
    assert kind.__name__ in str(errors.__doc__)


def test_a_report_has_message_place_and_help() -> None:
    error = FileFormatError("x.json is empty", hint="record again", where="x.json")
    assert error.report() == "error: x.json is empty\n  --> x.json\nhelp: record again"
    assert str(error) == "x.json is empty"


def test_a_report_leaves_out_what_is_not_known() -> None:
    assert FastSimError("it broke").report() == "error: it broke"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    assert UnknownNameError("endpoint", "GET /itms", ["GET /items"]).hint == (
        "did you mean 'GET /items'?"
    )


def test_an_unknown_name_far_from_all_is_answered_with_the_list() -> None:
    assert UnknownNameError("pool", "qqq", ["redis", "db"]).hint == "known: db, redis"
    assert UnknownNameError("pool", "qqq", []).hint == "known: none"
