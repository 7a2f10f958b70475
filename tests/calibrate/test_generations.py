"""Generations of a busy period: divisions that add up, as likely as they should be."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.calibrate.generations import LONGEST, generations

LENGTHS = st.lists(st.floats(0.0, 1e7), min_size=1, max_size=2 * LONGEST)


@given(LENGTHS, st.integers(0, 3))
def test_every_stretch_is_in_one_generation_and_the_first_is_alone(
    lengths: list[float], seed: int
) -> None:
    edges = generations(lengths, random.Random(seed))
    assert edges[0] == 0
    assert edges[-1] == len(lengths)
    assert all(a < b for a, b in pairwise(edges))
    assert edges[1] == 1


def test_divisions_are_as_frequent_as_things_become_ready_by_chance() -> None:
    # After 3 came 1 and 1: both while the 3 ran (3**2 / 2), or one after the other (3 * 1).
    rng = random.Random(5)
    draws = 6_000
    together = sum(generations([3.0, 1.0, 1.0], rng) == [0, 1, 3] for _ in range(draws))
    # 4.5 / 7.5, four standard deviations of 6,000 draws.
    assert together / draws == pytest.approx(0.6, abs=4 * (0.24 / draws) ** 0.5)


def test_what_came_during_a_long_stretch_is_one_generation() -> None:
    assert generations([500.0] + [1.0] * 5, random.Random(1)) == [0, 1, 6]
    many = LONGEST + 20
    assert generations([5_000.0] + [1.0] * many, random.Random(1))[2] > many / 2
