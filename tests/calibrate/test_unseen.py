"""Requests that sampling left out are put back when, and as often as, they came."""

import numpy as np
import pytest

from fastsim.calibrate.unseen import MOST, with_unseen


def poisson(rate: float, count: int, seed: int = 1) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, count))


def test_without_sampling_nothing_is_added() -> None:
    at_s = poisson(10.0, 100)
    found = with_unseen(at_s, np.zeros(100, np.int64), np.ones(100), seed=1)
    assert found.at_s is at_s
    assert found.of.tolist() == list(range(100))


def test_as_many_as_each_stands_for_and_for_the_same() -> None:
    at_s = poisson(10.0, 2_000)
    endpoint = np.arange(2_000) % 2
    stand_for = np.where(endpoint == 0, 2.0, 8.0)
    found = with_unseen(at_s, endpoint, stand_for, seed=3)
    assert (np.diff(found.at_s) >= 0.0).all()
    recorded = found.of >= 0
    assert found.at_s[recorded] == pytest.approx(at_s)
    assert (found.endpoint[recorded] == endpoint).all()
    others = np.bincount(found.endpoint[~recorded])
    # 1,000 and 7,000 in the mean.
    assert others.tolist() == pytest.approx([1_000, 7_000], rel=0.15)


def test_a_sample_of_chance_arrivals_becomes_chance_arrivals() -> None:
    """Variance over mean of counts: 1. By the counts of the sample alone it would be about 4."""
    at_s = poisson(10.0, 4_000)
    dispersion = []
    for seed in range(5):
        found = with_unseen(at_s, np.zeros(4_000, np.int64), np.full(4_000, 10.0), seed=seed)
        counts = np.histogram(found.at_s, np.arange(0.0, at_s[-1], 2.0))[0]
        dispersion.append(counts.var() / counts.mean())
    assert 0.8 < np.mean(dispersion) < 1.5


def test_a_rate_that_changes_is_followed_and_rests_stay_rests() -> None:
    slow, fast = poisson(5.0, 500), poisson(50.0, 5_000, seed=2)
    at_s = np.concatenate([slow, slow[-1] + 60.0 + fast])
    found = with_unseen(at_s, np.zeros(5_500, np.int64), np.full(5_500, 4.0), seed=5)
    early = found.at_s <= slow[-1]
    late = found.at_s >= slow[-1] + 60.0
    assert (early | late).all(), "somebody came while nothing was recorded"
    assert early.sum() / slow[-1] == pytest.approx(20.0, rel=0.25)
    assert late.sum() / fast[-1] == pytest.approx(200.0, rel=0.05)


def test_those_that_stand_for_themselves_alone_add_nobody() -> None:
    """Rounding may leave them a hair below 1."""
    at_s = poisson(10.0, 100)
    stand_for = np.where(np.arange(100) < 50, 1.0 - 1e-12, 5.0)
    found = with_unseen(at_s, np.arange(100) // 50, stand_for, seed=2)
    assert set(found.endpoint[found.of < 0].tolist()) == {1}


def test_few_of_very_many_are_replayed_all_the_same() -> None:
    at_s = poisson(1.0, 100)
    found = with_unseen(at_s, np.zeros(100, np.int64), np.full(100, 1e4), seed=2)
    assert (found.of >= 0).sum() == 20


def test_much_is_replayed_in_part() -> None:
    at_s = poisson(10.0, 3_000)
    found = with_unseen(at_s, np.zeros(3_000, np.int64), np.full(3_000, 100.0), seed=1)
    mine = found.of[found.of >= 0]
    assert len(mine) == MOST // 100
    assert mine.tolist() == list(range(mine[0], mine[0] + len(mine)))
    assert len(found.at_s) == pytest.approx(MOST, rel=0.02)
