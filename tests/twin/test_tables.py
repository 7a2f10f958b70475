"""Tables: the laws' own quantiles, alike for one number and for many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.distributions import cdf, mean, quantile
from fastsim.model import (
    Constant,
    Counts,
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
from fastsim.twin.tables import Table, choice_of, table_of

LAWS: list[Distribution] = [
    Constant(value=0.003),
    Expon(mean=0.01, shift=0.002),
    Gamma(mean=0.01, shape=0.5),
    Gamma(mean=0.01, shape=9.0),
    Lognorm(median=0.01, sigma=1.2, shift=0.001),
    Weibull(scale=0.01, shape=0.6),
    InvGauss(mean=0.01, shape=2.0),
    Pareto(scale=0.01, tail=0.6),
    Pareto(scale=0.01, tail=0.0),
    Empirical(
        probabilities=[0.0, 0.5, 0.5, 1.0],
        values=[0.001, 0.002, 0.004, 0.01],
        tail_share=0.02,
        tail=Pareto(scale=0.01, tail=0.3),
    ),
    Mixture(weights=[0.3, 0.0, 0.7], parts=[Expon(mean=0.01), Expon(mean=9.0), Constant(value=1)]),
]
INSIDE = st.floats(2.0**-53, 1.0 - 2.0**-53)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.family)
def test_values_are_those_of_the_law(law: Distribution) -> None:
    u = (np.arange(20_000) + 0.5) / 20_000
    found, true = table_of(law).many(u), quantile(law, u)
    # Between two entries the line is off by at most 1e-3 of a value, in the mean by 1e-4.
    assert found == pytest.approx(true, rel=2e-3, abs=1e-9)
    assert found.mean() == pytest.approx(true.mean(), rel=1e-4)
    many = np.random.default_rng(1).random(400_000)
    assert table_of(law).many(many).mean() == pytest.approx(mean(law), rel=0.03)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(LAWS), st.lists(INSIDE, min_size=1, max_size=30))
def test_one_and_many_are_the_same_bits(law: Distribution, numbers: list[float]) -> None:
    table = table_of(law)
    assert [table.one(u) for u in numbers] == table.many(np.array(numbers)).tolist()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(LAWS[:-1]), INSIDE, INSIDE)
def test_larger_numbers_give_no_smaller_values(law: Distribution, a: float, b: float) -> None:
    low, high = sorted((a, b))
    table: Table = table_of(law)
    assert table.one(low) <= table.one(high)


def test_a_shift_below_zero_gives_no_negative_time() -> None:
    table = table_of(Expon(mean=0.01, shift=-0.005))
    assert table.one(0.01) == 0.0
    assert table.one(0.9) > 0.0


def test_choices_come_as_often_as_they_weigh() -> None:
    choice = choice_of(Counts(values=[0, 3, 7, 9], weights=[1.0, 2.0, 1.0, 0.0]))
    u = (np.arange(4_000) + 0.5) / 4_000
    found = choice.many(u)
    assert [int((found == value).sum()) for value in (0, 3, 7, 9)] == [1_000, 2_000, 1_000, 0]
    assert [choice.one(float(one)) for one in u] == found.tolist()


def test_a_mixture_in_order_has_the_same_law() -> None:
    law = Mixture(
        weights=[0.7, 0.3],
        parts=[Lognorm(median=0.01, sigma=0.3), Gamma(mean=0.012, shape=1.0)],
        shift=0.001,
    )
    u = (np.arange(40_000) + 0.5) / 40_000
    values = table_of(law, in_order=True).many(u)
    assert (np.diff(values) >= 0.0).all()
    # Both put the same share of all values below every time.
    assert np.abs(cdf(law, values) - u).max() < 1e-3
    one_by_one = table_of(law).many(u)
    assert values == pytest.approx(np.sort(one_by_one), rel=5e-3)
