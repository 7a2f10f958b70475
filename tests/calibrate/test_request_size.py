"""Sizes that steps share are found where they are, and nowhere else."""

import numpy as np
import pytest

from fastsim.calibrate.request_size import (
    CHANCE,
    Scores,
    exact_scores,
    interval_scores,
    shared_sizes,
)
from fastsim.laws import Lognorm

LAW = Lognorm(median=0.01, sigma=0.5)


def normal(loadings: list[float], requests: int, seed: int) -> np.ndarray:
    """Normal scores of steps that follow one size, shape (steps, requests)."""
    rng = np.random.default_rng(seed)
    size = rng.standard_normal(requests)
    own = rng.standard_normal((len(loadings), requests))
    table = np.array(loadings)[:, None]
    return table * size + np.sqrt(1.0 - table**2) * own


def times(z: np.ndarray) -> np.ndarray:
    return LAW.median * np.exp(LAW.sigma * z)


def exact(z: np.ndarray) -> Scores:
    return Scores(exact_scores(times(z)), float(times(z).std()))


def test_sizes_are_those_that_made_the_times() -> None:
    found = shared_sizes([exact(z) for z in normal([0.9, 0.6, 0.0, -0.5], 2_000, 1)])
    # A correlation of 2,000 pairs is known to 0.02, a loading from three of them to about 0.04.
    assert found == pytest.approx([0.9, 0.6, 0.0, -0.5], abs=0.12)
    assert found[2] == 0.0


def test_two_steps_share_what_they_have_in_common() -> None:
    first, second = shared_sizes([exact(z) for z in normal([0.8, 0.8], 1_000, 2)])
    assert first == second == pytest.approx(0.8, abs=0.06)
    first, second = shared_sizes([exact(z) for z in normal([0.8, -0.8], 1_000, 2)])
    assert first == -second


def test_steps_with_nothing_in_common_have_no_size() -> None:
    """By chance one path in 10,000 has; of 300 none, but with a probability of 3 %."""
    assert CHANCE == 1e-4
    for seed in range(300):
        scores = [exact(z) for z in normal([0.0] * 4, 100, seed)]
        assert shared_sizes(scores) == [0.0] * 4


def test_steps_that_hardly_vary_decide_nothing() -> None:
    """Code of microseconds has a size of its own; what matters has none."""
    table = normal([0.0, 0.0, 0.9, 0.9, 0.9], 1_000, 3)
    scores = [exact(z) for z in table[:2]]
    scores += [Scores(exact_scores(z), 1e-6) for z in table[2:]]
    assert shared_sizes(scores) == [0.0] * 5


def test_a_handful_of_requests_tells_nothing() -> None:
    scores = [exact(z) for z in normal([0.9, 0.9], 50, 4)]
    assert shared_sizes(scores) == [0.0, 0.0]
    assert shared_sizes([]) == []
    assert shared_sizes([None, scores[0]]) == [0.0, 0.0]


@pytest.mark.parametrize("late", [0.3, 1.0])
def test_waits_known_as_intervals_have_the_size_that_they_have(late: float) -> None:
    """Noticed late by a random time, up to once the median: correlations seen are less."""
    rng = np.random.default_rng(5)
    table = times(normal([0.8, 0.8, 0.8], 4_000, 5))
    bound = rng.exponential(late * LAW.median, table.shape)
    before = rng.random(table.shape) * bound
    low, high = np.maximum(table - before, 0.0), table + bound - before
    scores = [
        Scores(interval_scores(LAW, a, b), float(t.std()))
        for a, b, t in zip(low, high, table, strict=True)
    ]
    if late == 1.0:
        seen = np.corrcoef([score.scores for score in scores])[0, 1]
        assert seen < 0.9 * 0.64
    assert shared_sizes(scores) == pytest.approx([0.8] * 3, abs=0.06)


def test_scores_of_intervals_are_those_of_what_they_hold() -> None:
    narrow = np.array([0.005, 0.01, 0.02])
    exactly = interval_scores(LAW, narrow, narrow)
    assert exactly == pytest.approx(np.log(narrow / LAW.median) / LAW.sigma, abs=1e-6)
    whole = interval_scores(LAW, np.array([0.0]), np.array([10.0]))
    assert whole == pytest.approx([0.0], abs=1e-6)
    upper = interval_scores(LAW, np.array([LAW.median]), np.array([10.0]))
    assert upper == pytest.approx([np.sqrt(2.0 / np.pi)], rel=1e-4)
