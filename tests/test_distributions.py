"""Quantiles, distribution functions and means of every family agree with each other."""

import numpy as np
import pytest
from scipy import stats

from fastsim.distributions import cdf, mean, median, percentile, quantile, scaled
from fastsim.laws import Fit
from fastsim.model import (
    Constant,
    Distribution,
    Empirical,
    Expon,
    Gamma,
    InvGauss,
    Lognorm,
    Mixture,
    Pareto,
    Weibull,
)

LAWS: list[Distribution] = [
    Expon(mean=0.02),
    Gamma(mean=0.02, shape=2.5),
    Gamma(mean=0.02, shape=0.6, shift=0.01),
    Lognorm(median=0.02, sigma=0.4),
    Weibull(scale=0.02, shape=1.5),
    InvGauss(mean=0.02, shape=3.0),
    Pareto(scale=0.02, tail=0.2),
    Pareto(scale=0.02, tail=0.0, shift=0.003),
    Empirical(probabilities=[0.0, 0.5, 1.0], values=[0.01, 0.02, 0.05]),
    Empirical(
        probabilities=[0.0, 0.5, 1.0],
        values=[0.01, 0.02, 0.05],
        tail_share=0.1,
        tail=Pareto(scale=0.01, tail=0.2),
    ),
    Mixture(
        weights=[0.3, 0.7],
        parts=[Lognorm(median=0.001, sigma=0.2), Lognorm(median=0.03, sigma=0.3)],
        shift=0.001,
    ),
]
U = np.linspace(0.001, 0.999, 997)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.family)
def test_percentile_inverts_the_distribution_function(law: Distribution) -> None:
    found = np.array([percentile(law, p) for p in U[::50]])
    assert cdf(law, found) == pytest.approx(U[::50], abs=1e-9)
    assert median(law) == percentile(law, 0.5)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.family)
def test_draws_follow_the_law(law: Distribution) -> None:
    # 100,000 even points: their mean and distribution are the law's up to discretisation.
    draws = quantile(law, (np.arange(100_000) + 0.5) / 100_000)
    assert draws.mean() == pytest.approx(mean(law), rel=0.01)
    assert np.abs(cdf(law, np.sort(draws)) - np.linspace(0, 1, 100_000)).max() < 1e-3


@pytest.mark.parametrize(
    ("law", "reference"),
    [
        (Gamma(mean=0.02, shape=2.5), stats.gamma(2.5, scale=0.008)),
        (Lognorm(median=0.02, sigma=0.4), stats.lognorm(0.4, scale=0.02)),
        (Weibull(scale=0.02, shape=1.5), stats.weibull_min(1.5, scale=0.02)),
        (Pareto(scale=0.02, tail=0.2), stats.genpareto(0.2, scale=0.02)),
        (InvGauss(mean=0.02, shape=3.0), stats.invgauss(1 / 3.0, scale=0.06)),
    ],
    ids=lambda value: getattr(value, "family", ""),
)
def test_parameters_mean_what_the_model_says(
    law: Distribution, reference: "stats.rv_frozen"
) -> None:
    many = np.linspace(1e-5, 1.0 - 1e-5, 9001)
    assert quantile(law, many) == pytest.approx(reference.ppf(many), rel=2e-3)
    assert mean(law) == pytest.approx(reference.mean(), rel=1e-9)


def test_a_constant_is_always_the_same() -> None:
    law = Constant(value=0.004, shift=0.001)
    assert set(quantile(law, U)) == {0.005}
    assert mean(law) == median(law) == 0.005
    assert cdf(law, np.array([0.0049, 0.005])).tolist() == [0.0, 1.0]


def test_the_largest_random_number_gives_a_finite_time() -> None:
    for law in LAWS:
        assert np.isfinite(quantile(law, np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("law", [*LAWS, Constant(value=0.004)], ids=lambda law: law.family)
def test_scaling_scales_every_value(law: Distribution) -> None:
    assert quantile(scaled(law, 1.5), U) == pytest.approx(1.5 * quantile(law, U))


def test_what_is_known_of_a_law_is_scaled_with_it() -> None:
    fit = Fit(n=5, quantiles=[0.001, 0.004], median=(0.001, 0.002), p99=(0.003, 0.004))
    found = scaled(Expon(mean=0.002, fit=fit), 2.0).fit
    assert found is not None
    assert found.quantiles == pytest.approx([0.002, 0.008])
    assert found.median == pytest.approx((0.002, 0.004))
    assert found.p99 == pytest.approx((0.006, 0.008))
    assert found.p95 is None
    assert found.n == 5
