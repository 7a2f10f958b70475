"""Ctrl-C in a place where Python cannot raise it."""

import signal
import sys
import time
from collections.abc import Iterator

import pytest

from fastsim.cli.interrupts import heard


class Dying:
    """Gets Ctrl-C while it is finalised."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Failing:
    """Raises something else then."""

    def __del__(self) -> None:
        raise ValueError("on the way out")


@pytest.fixture
def in_the_foreground() -> Iterator[None]:
    """Have Ctrl-C raise, which a shell prevents for what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_the_foreground")
def test_an_interrupt_in_a_finaliser_is_heard_after_it() -> None:
    dying, went_on, heard_it = Dying(), False, False
    with heard():
        try:
            del dying
            went_on = True
            time.sleep(60.0)
        except KeyboardInterrupt:
            heard_it = True
    assert went_on
    assert heard_it


def test_other_failures_of_finalisers_go_where_they_went(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))
    failing = Failing()
    with heard():
        del failing
    assert seen == [ValueError]
    failing = Failing()
    del failing
    assert seen == [ValueError, ValueError]
