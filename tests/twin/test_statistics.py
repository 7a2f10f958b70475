"""Intervals on data whose truth is known."""

import math

import numpy as np
import pytest

from fastsim.result import Latency
from fastsim.twin.statistics import (
    METRICS,
    Floats,
    counting_half,
    latency_statistics,
    replicated_estimate,
    replicated_latency,
    stretches,
    student_quantile,
)

TRIALS = 400
# Of 400 trials with 95 % each, fewer than 363 or more than 394 hits have a probability of
# 2e-4 each (binomial): the false-alarm rate of each counting test below on a fresh seed.
FEWEST, MOST = 363, 394

TAIL_TRIALS = 60


def test_statistics_are_mean_and_quantiles() -> None:
    values = np.arange(1001.0)
    assert latency_statistics(values) == pytest.approx([500, 500, 900, 950, 990, 999])
    assert np.isnan(latency_statistics(np.zeros(0))).all()


def test_intervals_hold_the_truth_in_95_percent() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(TRIALS):
        runs = rng.lognormal(0.0, 0.3, 8)  # the centre of the logarithms is 0: truth 1
        estimate = replicated_estimate(float(np.exp(np.log(runs).mean())), runs)
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low < 1.0 < estimate.high
    assert FEWEST <= hits <= MOST


def test_intervals_of_pooled_means_hold_the_truth_in_95_percent() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(TRIALS):
        samples = rng.exponential(0.1, (8, 200))
        found = replicated_latency(
            latency_statistics(samples.ravel()),
            np.array([latency_statistics(row) for row in samples]),
        )
        assert found is not None
        assert found.mean.low is not None
        assert found.mean.high is not None
        hits += found.mean.low < 0.1 < found.mean.high
    assert FEWEST <= hits <= MOST


def test_bounds_of_latencies_are_positive_and_of_differences_need_not_be() -> None:
    skewed = replicated_estimate(0.01, np.array([0.001, 0.1, 0.01]))
    assert skewed.low is not None
    assert skewed.low > 0.0
    with_zero = replicated_estimate(0.01, np.array([0.0, 0.02, 0.01]), unit="ratio")
    assert with_zero.low is not None
    assert with_zero.low < 0.0


def test_an_interval_needs_two_replications() -> None:
    assert replicated_estimate(1.0, np.array([1.0])).low is None
    assert replicated_estimate(1.0, np.array([1.0, math.nan])).low is None
    assert replicated_estimate(1.0, np.array([1.0, 1.2, math.nan])).low is not None


def test_counting_explains_what_it_does_in_99_percent() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(TRIALS):
        twin = float(rng.binomial(10_000, 0.03)) / 10_000
        live = int(rng.binomial(500, 0.03))
        hits += abs(twin - live / 500) <= counting_half(live, 500, twin, 10_000)
    # Fewer than 386 of 400 have a probability of 1e-4 at 99 %.
    assert hits >= 386


def test_counting_explains_something_when_nobody_saw_an_error() -> None:
    assert 0.001 <= counting_half(1, 1000, 0.0, 20_000) <= 0.01


def test_student_quantiles_are_those_of_the_tables() -> None:
    assert student_quantile(7) == pytest.approx(2.3646, abs=1e-4)
    assert student_quantile(39, 0.99) == pytest.approx(2.7079, abs=1e-4)


def waits(
    rng: np.random.Generator, load: float, requests: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Sojourn times of M/M/1 with mean service 1, after a warm-up (Lindley's recursion)."""
    n = requests + requests // 4
    gaps, service = rng.exponential(1.0 / load, n), rng.exponential(1.0, n)
    drift = np.concatenate([[0.0], np.cumsum(service[:-1] - gaps[1:])])
    found = drift - np.minimum.accumulate(drift) + service
    return found[n - requests :]


def summary(runs: list[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> tuple[Latency, Floats]:
    """What replications say together, and on how many stretches each statistic rests."""
    pooled = latency_statistics(np.concatenate(runs))
    beyond: Floats = np.sum([stretches(run, pooled) for run in runs], axis=0)
    found = replicated_latency(pooled, np.array([latency_statistics(run) for run in runs]), beyond)
    assert found is not None
    return found, beyond


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("requests", [500, 2000, 8000])
@pytest.mark.parametrize("metric", ["p90", "p95", "p99"])
def test_tails_have_an_interval_that_holds_or_none(load: float, requests: int, metric: str) -> None:
    rng = np.random.default_rng(31)
    index, p = METRICS.index(metric), float(metric[1:]) / 100.0
    truth = -math.log(1.0 - p) / (1.0 - load)
    given = wrong = 0
    for _ in range(TAIL_TRIALS):
        found, beyond = summary([waits(rng, load, requests) for _ in range(8)])
        estimate = getattr(found, metric)
        if estimate.low is None:
            assert beyond[index] < 15
            continue
        given += 1
        wrong += not estimate.low < truth < estimate.high
    # Wrong in 5 % if the interval were exact; 10 % is what is promised, of all runs.
    assert wrong <= 0.10 * TAIL_TRIALS + 3.0 * math.sqrt(0.09 * TAIL_TRIALS)
    if load == 0.5 and requests == 8000:
        assert given == TAIL_TRIALS


def test_stretches_are_told_apart_by_a_return_to_the_median() -> None:
    pooled = latency_statistics(np.arange(100.0))
    high, low, middle = 99.5, 1.0, 60.0
    together = np.array([high, high, middle, high, low])
    apart = np.array([high, low, high, low, middle, high])
    assert stretches(together, pooled)[METRICS.index("p95")] == 1
    assert stretches(apart, pooled)[METRICS.index("p95")] == 3
    assert stretches(apart, pooled)[METRICS.index("mean")] == 3


@pytest.mark.parametrize("load", [0.8, 0.95])
@pytest.mark.parametrize("metric", ["mean", "p50"])
def test_means_of_short_runs_reach_up_to_the_truth(load: float, metric: str) -> None:
    """Few queues are met in 500 requests, so most replications are below the truth."""
    rng = np.random.default_rng(37)
    truth = (1.0 if metric == "mean" else math.log(2.0)) / (1.0 - load)
    wrong = 0
    for _ in range(300):
        found, _ = summary([waits(rng, load, 500) for _ in range(8)])
        estimate = getattr(found, metric)
        wrong += not estimate.low < truth < estimate.high
    # 5 % is promised; beyond 29 has a probability below 1e-3 (binomial). Student's: up to 60.
    assert wrong <= 29
