"""Fitting against known truth, exact and censored."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.calibrate.counts import fit_counts
from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.turnbull import turnbull
from fastsim.distributions import cdf, mean, percentile, quantile
from fastsim.laws import SEEN_AT
from fastsim.model import Constant, Distribution, Empirical, Expon, Pareto
from fastsim.twin.workload import FloatArray

Draw = Callable[[np.random.Generator, int], FloatArray]

TRUTHS: dict[str, Draw] = {
    "expon": lambda rng, n: rng.exponential(0.01, n),
    "gamma": lambda rng, n: rng.gamma(2.0, 0.004, n),
    "lognorm": lambda rng, n: rng.lognormal(np.log(0.02), 0.4, n),
    "weibull": lambda rng, n: 0.01 * rng.weibull(1.7, n),
    "invgauss": lambda rng, n: rng.wald(0.01, 0.03, n),
    "shifted": lambda rng, n: 0.005 + rng.exponential(0.002, n),
    "mixture": lambda rng, n: np.where(
        rng.random(n) < 0.3,
        rng.lognormal(np.log(0.001), 0.2, n),
        rng.lognormal(np.log(0.02), 0.3, n),
    ),
    "short": lambda rng, n: rng.normal(150e-6, 10e-6, n),
}


def off(law: Distribution, truth: FloatArray, p: float) -> float:
    return abs(percentile(law, p) / float(np.quantile(truth, p)) - 1.0)


@pytest.mark.parametrize("name", TRUTHS)
def test_exact_times_give_the_law_back(name: str) -> None:
    truth = TRUTHS[name](np.random.default_rng(1), 4000)
    law = fit_distribution(truth, np.zeros_like(truth))
    assert law.fit is not None
    assert law.fit.censored == 0.0
    assert off(law, truth, 0.5) < 0.03
    assert off(law, truth, 0.95) < 0.05


def on_the_loop(truth: FloatArray, utilisation: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Let waits end on a loop as the recorder sees it on asyncio: pass by pass.

    An idle loop notices at once. A busy one notices at the end of the pass that the wait
    ended in, so the wait is known up to the length of that pass.
    """
    rng = np.random.default_rng(seed)
    busy = rng.random(len(truth)) < utilisation
    # A moment falls into a pass in proportion to its length: exponential passes seen so.
    length = np.where(busy, rng.gamma(2.0, 0.006, len(truth)), 0.0)
    noticed = truth + length * rng.random(len(truth))
    return noticed, np.minimum(length, noticed)


def behind_a_busy_period(
    truth: FloatArray, utilisation: float, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Let waits end at a first-come-first-served server of which only busy periods are seen.

    All that can be recorded on loops whose polls are hidden (uvloop): the queueing, and how
    long the server had been busy when the wait's turn came.
    """
    rng = np.random.default_rng(seed)
    service = 0.004
    arrivals = np.cumsum(rng.exponential(service / utilisation, 3 * len(truth)))
    work = rng.exponential(service, len(arrivals))
    start, since = np.zeros_like(arrivals), np.zeros_like(arrivals)
    free = busy_since = 0.0
    for index, at in enumerate(arrivals):
        busy_since = busy_since if at < free else at
        start[index], since[index] = max(at, free), busy_since
        free = start[index] + work[index]
    chosen = rng.choice(len(arrivals), len(truth), replace=False)
    wall = truth + start[chosen] - arrivals[chosen]
    return wall, np.minimum(start[chosen] - since[chosen], wall)


@pytest.mark.parametrize("utilisation", [0.3, 0.67, 0.85])
@pytest.mark.parametrize("name", ["expon", "gamma", "lognorm", "mixture"])
def test_censored_times_give_the_law_back(name: str, utilisation: float) -> None:
    truth = TRUTHS[name](np.random.default_rng(2), 4000)
    wall, bound = on_the_loop(truth, utilisation, 3)
    censored = fit_distribution(wall, bound)
    naive = fit_distribution(wall, np.zeros_like(wall))
    assert off(censored, truth, 0.5) < 0.05
    assert off(censored, truth, 0.95) < 0.10
    assert off(naive, truth, 0.5) > 2.0 * off(censored, truth, 0.5)


@pytest.mark.parametrize("name", ["gamma", "lognorm"])
def test_busy_periods_alone_say_less_but_more_than_nothing(name: str) -> None:
    # Long busy periods hold mostly waits that ended late in them, which the likelihood does
    # not know: at 67 % it reads some per cent too short, where the naive fit reads far too long.
    truth = TRUTHS[name](np.random.default_rng(2), 4000)
    wall, bound = behind_a_busy_period(truth, 0.67, 3)
    censored = fit_distribution(wall, bound)
    naive = fit_distribution(wall, np.zeros_like(wall))
    assert off(censored, truth, 0.5) < 0.10
    assert off(naive, truth, 0.5) > 3.0 * off(censored, truth, 0.5)


def test_short_waits_are_not_drowned_by_queueing() -> None:
    truth = TRUTHS["short"](np.random.default_rng(4), 4000)
    wall, bound = on_the_loop(truth, 0.67, 5)
    assert np.median(wall) > 0.001
    assert off(fit_distribution(wall, bound), truth, 0.5) < 0.10


def test_what_no_family_describes_is_kept_as_it_is() -> None:
    rng = np.random.default_rng(6)
    truth = np.concatenate([rng.normal(center, 0.0003, 700) for center in (0.01, 0.02, 0.03)])
    law = fit_distribution(truth, np.zeros_like(truth))
    assert isinstance(law, Empirical)
    assert law.fit is not None
    assert not law.fit.accepted
    draws = quantile(law, np.random.default_rng(7).random(5000))
    assert draws.mean() == pytest.approx(truth.mean(), rel=0.02)


def test_a_kept_curve_has_a_tail_as_heavy_as_the_data() -> None:
    rng = np.random.default_rng(16)
    body = np.concatenate([rng.normal(center, 0.0003, 1200) for center in (0.01, 0.02, 0.03)])
    heavy = 0.032 + 0.01 * ((1.0 - rng.random(400)) ** -0.3 - 1.0) / 0.3
    law = fit_distribution(rng.permutation(np.concatenate([body, heavy])), np.zeros(4000))
    assert isinstance(law, Empirical)
    assert law.tail is not None
    true_p999 = 0.032 + 0.01 * (0.01**-0.3 - 1.0) / 0.3
    assert percentile(law, 0.999) == pytest.approx(true_p999, rel=0.3)
    assert percentile(law, 0.9999) > law.values[-1]


def test_a_fit_says_how_far_its_quantiles_can_be_off() -> None:
    truth = TRUTHS["lognorm"](np.random.default_rng(17), 1000)
    fit = fit_distribution(truth, np.zeros_like(truth)).fit
    assert fit is not None
    assert fit.level_error is not None
    assert fit.spread_error is not None
    # Theory: sigma / sqrt(n) for the log median, 1 / sqrt(2 n) for the log of sigma. The doubt
    # about the family and the shift makes them larger.
    assert 0.8 < fit.level_error / (0.4 / np.sqrt(1000)) < 1.6
    assert 0.8 < fit.spread_error * np.sqrt(2000) < 2.5
    for known in (fit.median, fit.p95, fit.p99):
        assert known is not None
        assert 0.0 < known[0] < known[1] < 1.5 * known[0]


def test_half_the_certainty_with_a_quarter_of_the_data() -> None:
    errors = []
    for n in (500, 2000):
        truth = TRUTHS["gamma"](np.random.default_rng(18), n)
        fit = fit_distribution(truth, np.zeros(n), families=("gamma",)).fit
        assert fit is not None
        assert fit.level_error is not None
        errors.append(fit.level_error)
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.15)


def test_times_without_spread_are_constant() -> None:
    assert fit_distribution(np.full(50, 0.01), np.zeros(50)) == Constant(
        value=0.01, fit=fit_distribution(np.full(50, 0.01), np.zeros(50)).fit
    )


def test_the_same_data_give_the_same_law() -> None:
    wall, bound = on_the_loop(TRUTHS["gamma"](np.random.default_rng(8), 1000), 0.5, 9)
    assert fit_distribution(wall, bound) == fit_distribution(wall, bound)


def test_turnbull_is_the_empirical_function_when_all_is_exact() -> None:
    values = np.random.default_rng(10).exponential(1.0, 2000)
    curve = turnbull(values, values)
    observed = np.searchsorted(np.sort(values), curve.edges_s, side="right") / len(values)
    assert np.abs(curve.cumulative - observed).max() < 0.005


@pytest.mark.parametrize("seed", range(2, 5))
def test_no_law_has_a_mean_that_the_data_have_not(seed: int) -> None:
    """A few values near 0 were once a part with a sigma of 7: a mean of a minute, of 0.4 ms."""
    rng = np.random.default_rng(seed)
    most = rng.lognormal(np.log(3.4e-4), 0.6, 2_800)
    few = np.concatenate([np.zeros(3), 10.0 ** rng.uniform(-8.0, -4.5, 9)])
    times_s = np.concatenate([most, few])
    law = fit_distribution(times_s, np.zeros(len(times_s)))
    assert mean(law) == pytest.approx(float(times_s.mean()), rel=0.05)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 10.0)), min_size=1, max_size=60))
def test_any_times_give_a_usable_law_without_a_warning(pairs: list[tuple[float, float]]) -> None:
    wall, bound = (np.array(column) for column in zip(*pairs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        law = fit_distribution(wall, bound)
        draws = quantile(law, np.linspace(0.0, 1.0, 50))
    assert np.isfinite(draws).all()
    assert (draws >= 0.0).all()
    assert ((cdf(law, draws) >= 0.0) & (cdf(law, draws) <= 1.0)).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=300))
def test_counts_keep_their_mean(values: list[int]) -> None:
    counts = fit_counts(np.array(values, np.int64))
    assert len(counts.values) <= 64
    average = np.average(counts.values, weights=counts.weights)
    assert average == pytest.approx(np.mean(values), abs=0.51)


@pytest.mark.parametrize("seed", range(4))
def test_a_law_that_begins_at_its_densest_is_found_with_its_tail(seed: int) -> None:
    """A Pareto time of 6 ms and more: the tail was 13 % short where it had to begin earlier."""
    times = 0.006 * np.random.default_rng(seed).pareto(2.2, 3_000) + 0.006
    law = fit_distribution(times, np.zeros(3_000))
    assert isinstance(law, Pareto)
    assert law.shift == pytest.approx(0.006, rel=1e-3)
    # A tail index of 3,000 times is known to 0.026, the scale to 3 %.
    assert law.tail == pytest.approx(1.0 / 2.2, abs=0.08)
    assert law.scale == pytest.approx(0.006 / 2.2, rel=0.1)


def test_a_law_that_begins_early_is_not_taken_for_one_that_begins_late() -> None:
    times = 0.001 + np.random.default_rng(1).exponential(0.010, 2_000)
    law = fit_distribution(times, np.zeros(2_000))
    assert isinstance(law, Expon)
    assert law.shift == pytest.approx(0.001, abs=1e-4)
    assert law.mean == pytest.approx(0.010, rel=0.07)


def test_a_fit_says_what_was_seen() -> None:
    truth = TRUTHS["lognorm"](np.random.default_rng(19), 1000)
    fit = fit_distribution(truth, np.zeros_like(truth)).fit
    assert fit is not None
    assert fit.quantiles == pytest.approx(np.quantile(truth, SEEN_AT), rel=0.03)
    assert fit.quantiles == sorted(fit.quantiles)
    # Queueing is not part of it: what ended late counts for what it may have been.
    late = np.random.default_rng(20).uniform(0.0, 2.0, 1000) * np.median(truth)
    seen = fit_distribution(truth + late, late).fit
    assert seen is not None
    middle = SEEN_AT.index(0.5)
    assert seen.quantiles[middle] < 0.8 * np.median(truth + late)


def test_what_is_kept_shows_its_ends_alone() -> None:
    few = fit_distribution(np.array([1.0, 2.0, 4.0]), np.zeros(3)).fit
    assert few is not None
    assert few.quantiles == [1.0, 4.0]


def test_code_that_was_interrupted_now_and_then_is_never_seconds_long() -> None:
    rng = np.random.default_rng(11)
    # 20 us, and an interrupt of up to half a millisecond in one of a hundred runs.
    code_s = rng.gamma(25.0, 0.8e-6, 4000) + (rng.random(4000) < 0.01) * rng.random(4000) * 5e-4
    heavy, light = (
        fit_distribution(code_s, np.zeros(4000), families=("gamma", "lognorm"), tail=tail)
        for tail in ("pareto", "light pareto")
    )
    once_in_millions = 1.0 - 1e-7
    assert percentile(heavy, once_in_millions) > 0.5
    assert percentile(light, once_in_millions) < 0.05
    # What was seen is described all the same.
    seen = float(np.quantile(code_s, 0.999))
    assert percentile(light, 0.999) == pytest.approx(seen, rel=0.5)
    assert percentile(light, 0.9) == pytest.approx(float(np.quantile(code_s, 0.9)), rel=0.02)
    assert mean(light) == pytest.approx(float(code_s.mean()), rel=0.1)
