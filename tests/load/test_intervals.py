import math

import numpy as np
import pytest

from fastsim.load.intervals import (
    _binomial_ranks,
    effective_size,
    latency_estimates,
    mean_estimate,
    quantile_estimate,
    rate_estimate,
)


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (20, 0.5), (100, 0.95), (3000, 0.999)])
def test_ranks_are_the_tightest_with_the_stated_coverage(n: int, p: float) -> None:
    mass = [
        math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(p)
            + (n - k) * math.log1p(-p)
        )
        for k in range(n + 1)
    ]
    less = np.concatenate([[0.0], np.cumsum(mass)])
    low, high = _binomial_ranks(n, p)
    assert less[low] <= 0.025
    assert less[low + 1] > 0.025
    assert high == n + 1 or less[high] >= 0.975
    assert less[high - 1] < 0.975


def test_repeating_values_tenfold_counts_them_once() -> None:
    """Mean correlation time of 40 series; 1 and 10 are exact.

    One estimate varies by about 22 % (Sokal), their mean by 3.5 %: 15 % is 4 standard errors.
    """
    rng = np.random.default_rng(1)
    series = rng.standard_normal((40, 400))
    alone = np.mean([400 / effective_size(values) for values in series])
    tenfold = np.mean([4000 / effective_size(np.repeat(values, 10)) for values in series])
    assert 1.0 <= alone < 1.15
    assert 8.5 < tenfold < 11.5


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_intervals_cover_the_truth(memory: float) -> None:
    """AR(1) values; 95 % nominal, 200 trials: below 86 % has probability < 1e-6 if all is right.

    The bound leaves room for the known small-sample bias of estimated correlation times.
    """
    rng = np.random.default_rng(2)
    hits = np.zeros(3)
    for _ in range(200):
        noise = rng.standard_normal(2500) * math.sqrt(1 - memory**2)
        x = np.empty(2500)
        x[0] = rng.standard_normal()
        for i in range(1, 2500):
            x[i] = memory * x[i - 1] + noise[i]
        found = [mean_estimate(x), quantile_estimate(x, 0.5), quantile_estimate(x, 0.95)]
        for k, (e, truth) in enumerate(zip(found, (0.0, 0.0, 1.644854), strict=True)):
            assert e.low is not None
            assert e.high is not None
            hits[k] += e.low <= truth <= e.high
    assert hits.min() >= 0.86 * 200


def test_a_bound_beyond_the_data_is_absent() -> None:
    values = np.random.default_rng(1).random(300)
    p999 = quantile_estimate(values, 0.999)
    assert p999.high is None
    assert p999.low is not None
    assert quantile_estimate(values[:1], 0.5).low is None


def test_constant_values_have_a_point_interval() -> None:
    latency = latency_estimates(np.full(100, 0.02))
    assert latency is not None
    assert (latency.p50.low, latency.p50.value, latency.p50.high) == (0.02, 0.02, 0.02)
    assert latency_estimates(np.array([])) is None


def test_rate_counts_only_the_measured_time() -> None:
    done_s = np.arange(-5.0, 25.0, 0.1) + 0.05
    estimate = rate_estimate(done_s, 0.0, 20.0)
    assert estimate.value == pytest.approx(10.0)
    assert estimate.unit == "/s"
    assert rate_estimate(done_s, 0.0, 0.0).value == 0.0
