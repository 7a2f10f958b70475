"""What was disturbed is taken again, once, and left out where enough else is left."""

from collections.abc import Iterator

import numpy as np
import pytest

from fastsim.demo.turns import MOST_REPEATS, Measured, Turn, inside, undisturbed
from fastsim.twin.doubt import MUCH_TAKEN


def turn(taken: float | None, *, late: bool = False, begin: int = 0) -> Turn[int]:
    return Turn(0, begin, begin + 10, taken, late)


def take(*attempts: Turn[int]) -> tuple[Turn[int], int]:
    waiting: Iterator[Turn[int]] = iter(attempts)
    found = Measured()
    return found.take(lambda: next(waiting)), found.repeated


@pytest.mark.parametrize("quiet", [turn(0.0), turn(MUCH_TAKEN), turn(None)])
def test_what_nobody_disturbed_is_taken_once(quiet: Turn[int]) -> None:
    assert take(quiet) == (quiet, 0)


@pytest.mark.parametrize("disturbed", [turn(0.4), turn(0.0, late=True), turn(None, late=True)])
def test_what_was_disturbed_is_taken_again(disturbed: Turn[int]) -> None:
    assert take(disturbed, turn(0.02)) == (turn(0.02), 1)


def test_the_better_of_two_disturbed_ones_is_kept() -> None:
    assert take(turn(0.4), turn(0.3)) == (turn(0.3), 1)
    assert take(turn(0.3), turn(0.4)) == (turn(0.3), 1)


def test_a_machine_that_is_never_quiet_is_not_waited_for() -> None:
    found = Measured()
    for _ in range(MOST_REPEATS + 5):
        found.take(lambda: turn(0.5))
    assert found.repeated == MOST_REPEATS


def test_what_was_disturbed_is_left_out_where_enough_is_left() -> None:
    quiet, loud = turn(0.0), turn(0.5)
    assert undisturbed([quiet, loud, quiet, loud]) == [quiet, quiet]
    assert undisturbed([quiet, loud, loud]) == [quiet, loud, loud]


def test_moments_are_told_apart_by_the_turn_they_lie_in() -> None:
    moments = np.array([5, 10, 11, 25, 40])
    found = inside(moments, [turn(0.0), turn(0.0, begin=20)])
    assert found.tolist() == [True, True, False, True, False]
