"""Tests that measure real time are repeated when the machine disturbed them.

A disturbed machine spoils one attempt; a fault of ours spoils every one. Tests marked ``timed``
fail with what they saw at the last of three attempts. What is exact is in ``tests/virtual``.
"""

import inspect
from pathlib import Path

import pytest

from tests.collector.pool_numbers import number_from_one
from tests.live.attempts import holds_on_an_attempt


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("timed") is None:
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    given = {name: pyfuncitem.funcargs[name] for name in wanted}

    def attempt(number: int) -> None:
        number_from_one()
        if number and isinstance(path := given.get("tmp_path"), Path):
            given["tmp_path"] = path / f"attempt-{number}"
            (path / f"attempt-{number}").mkdir()
        pyfuncitem.obj(**given)

    holds_on_an_attempt(attempt)
    return True
