"""Measure again before blaming the code: these machines are shared.

A disturbed machine spoils one recording, or all within half a minute; a fault of ours spoils
every one. A test that holds on none of ``ATTEMPTS`` recordings, each made from new and later after
the one before, fails with what it saw on the last.
"""

import functools
import time
from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar, cast

ATTEMPTS = 5
PAUSE_S = 4.0
"""Before the second recording; twice that before the third, and so on: disturbances pass."""

T = TypeVar("T")
P = ParamSpec("P")


class Attempts(Generic[T]):
    """Recordings of one thing, made when first asked for and shared by the tests of a module."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []

    def __getitem__(self, attempt: int) -> T:
        while len(self._made) <= attempt:
            time.sleep(PAUSE_S * len(self._made))
            self._made.append(self._make())
        return self._made[attempt]


def holds_on_a_recording(
    test: Callable[Concatenate[T, P], None],
) -> Callable[Concatenate[Attempts[T], P], None]:
    """Let ``test``, written for one recording, try ``ATTEMPTS`` of its fixture ``recorded``."""

    @functools.wraps(test)
    def tried(recorded: Attempts[T], *args: P.args, **kwargs: P.kwargs) -> None:
        holds_on_an_attempt(lambda attempt: test(recorded[attempt], *args, **kwargs))

    # pytest passes the fixture by its name, which a Callable cannot say.
    return cast("Callable[Concatenate[Attempts[T], P], None]", tried)


def holds_on_an_attempt(check: Callable[[int], None]) -> None:
    """Call ``check`` with 0, 1, ... until it holds; what it says of the last try is raised."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return check(attempt)
        except AssertionError:
            time.sleep(attempt + 1.0)
    return check(ATTEMPTS - 1)
