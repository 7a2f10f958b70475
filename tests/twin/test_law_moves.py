"""Laws are moved to where they are asked to go, and stay laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.distributions import percentile, quantile
from fastsim.laws import (
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
from fastsim.twin.law_moves import moved

LAWS = [
    Expon(mean=0.01),
    Gamma(mean=0.01, shape=2.5),
    Gamma(mean=0.01, shape=0.4, shift=0.003),
    Lognorm(median=0.02, sigma=0.7, shift=0.001),
    Weibull(scale=0.02, shape=1.5),
    InvGauss(mean=0.02, shape=3.0),
    Pareto(scale=0.005, tail=0.3),
    Empirical(
        probabilities=[0.0, 0.5, 0.95, 1.0],
        values=[0.001, 0.01, 0.03, 0.05],
        tail_share=0.04,
        tail=Pareto(scale=0.02, tail=0.2),
    ),
    Mixture(
        weights=[0.9, 0.1],
        parts=[Lognorm(median=0.002, sigma=0.3), Lognorm(median=0.05, sigma=0.4)],
    ),
]


def spread_of(law: Distribution) -> float:
    bare = law.model_copy(update={"shift": 0.0})
    return math.log(percentile(bare, 0.95) / percentile(bare, 0.5))


def median_of(law: Distribution) -> float:
    return percentile(law, 0.5) - law.shift


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.family} {law.shift}")
def test_median_and_spread_go_where_they_are_moved(law: Distribution) -> None:
    # A median of a mixture is that of neither part, and a curve of few points is straight between.
    close = 0.06 if isinstance(law, (Mixture, Empirical)) else 2e-3
    other = moved(law, 0.2, 1.1)
    assert median_of(other) == pytest.approx(median_of(law) * math.exp(0.2), rel=close)
    assert spread_of(other) == pytest.approx(spread_of(law) * 1.1, rel=close)
    assert other.shift == law.shift


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.family} {law.shift}")
def test_a_law_that_is_not_moved_stays(law: Distribution) -> None:
    at = np.array([0.001, 0.1, 0.5, 0.9, 0.999])
    assert quantile(moved(law, 0.0, 1.0), at) == pytest.approx(quantile(law, at), rel=1e-9)


@given(
    law=st.sampled_from(LAWS),
    level=st.floats(-3.0, 3.0),
    widen=st.floats(0.05, 20.0),
    us=st.lists(st.floats(0.001, 0.999), min_size=2, max_size=5),
)
def test_every_move_gives_a_law_of_the_same_order(
    law: Distribution, level: float, widen: float, us: list[float]
) -> None:
    if isinstance(law, Mixture):
        return  # its quantile is not in order across parts
    values = quantile(moved(law, level, widen), np.array(sorted(us)))
    assert np.isfinite(values).all()
    assert (np.diff(values) >= 0.0).all()
    assert values[0] >= 0.0


def test_no_time_at_all_stays() -> None:
    assert moved(Constant(value=0.0), 1.0, 2.0) == Constant(value=0.0)
    assert moved(Constant(value=0.01), math.log(2.0), 3.0) == Constant(value=0.02)
