"""When requests arrive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.load.arrivals import Jumps, Rates
from fastsim.load.course import Course, course_of
from fastsim.model import Burst
from fastsim.phases import parse_phases


def course(text: str) -> tuple[Course, float]:
    return course_of(parse_phases(text), 10.0)


def test_a_ramp_has_the_arrivals_that_its_area_says() -> None:
    ramp, rate = course("10s 0/s..20/s")
    rates = Rates.of(rate, ramp.duration_s, course=ramp)
    # Half of 100 arrivals have come when the square of the time is half of 100 s^2.
    assert rates.when(np.array([25.0, 50.0, 100.0])) == pytest.approx([5.0, 50**0.5, 10.0])


def test_a_pause_is_skipped_and_the_last_rate_goes_on() -> None:
    phases, rate = course("2s 10/s, 5s 0/s, 2s 10/s")
    rates = Rates.of(rate, 20.0, course=phases, warmup_s=1.0)
    at = rates.when(np.array([0.0, 29.9, 30.1, 50.0, 60.0]))
    assert at == pytest.approx([0.0, 2.99, 8.01, 10.0, 11.0])


@given(st.integers(0, 10_000), st.floats(0.0, 3.0), st.floats(0.1, 5.0), st.floats(0.1, 5.0))
def test_the_inverse_of_the_cumulative_rate(
    seed: int, warmup_s: float, begin: float, end: float
) -> None:
    phases, rate = course(f"3s x{begin}..x{end}, 4s x{end}, 1s x0.5")
    rates = Rates.of(rate, phases.duration_s, warmup_s=warmup_s, course=phases)
    at = rates.arrivals(np.random.default_rng(seed))
    edges = rates.edges_s
    assert np.all(np.diff(at) >= 0.0)
    assert np.all((at >= 0.0) & (at <= edges[-1]))
    place = np.minimum(np.searchsorted(edges, at, side="right") - 1, len(edges) - 2)
    since = at - edges[place]
    slope = ((rates.end_per_s - rates.begin_per_s) / np.diff(edges))[place]
    counts = rates.expected()[place] + rates.begin_per_s[place] * since + slope * since**2 / 2.0
    assert rates.when(counts) == pytest.approx(at, abs=1e-6)


def test_another_rate_is_the_same_chance_at_another_speed() -> None:
    slow = Rates.of(10.0, 60.0).arrivals(np.random.default_rng(1))
    fast = Rates.of(20.0, 30.0).arrivals(np.random.default_rng(1))
    assert fast == pytest.approx(slow / 2.0)


def test_even_arrivals() -> None:
    at = Rates.of(4.0, 2.0).arrivals(np.random.default_rng(1), evenly=True)
    assert at == pytest.approx(np.arange(8) / 4.0)


def test_jumps_keep_the_mean_and_have_the_dispersion() -> None:
    # Counts over far longer than the memory: variance over mean is the burst's, here 11.
    rate, length = 100.0, 20.0
    jumps = Jumps.of(rate, Burst(dispersion=11.0, memory=0.5))
    counts = np.array(
        [
            len(Rates.of(rate, length).jumping(jumps, rng).arrivals(rng))
            for rng in map(np.random.default_rng, range(600))
        ]
    )
    assert counts.mean() == pytest.approx(rate * length, rel=0.01)
    # 600 counts tell a dispersion to 6 % (a standard deviation); short of 11 by memory / length.
    assert counts.var() / counts.mean() == pytest.approx(11.0, rel=0.2)


def test_jumps_at_another_rate_are_as_high() -> None:
    jumps = Jumps.of(50.0, Burst(dispersion=6.0, memory=1.0))
    usual = jumps.high_share * jumps.high + (1.0 - jumps.high_share) * jumps.low
    assert usual == pytest.approx(1.0)
    phases, rate = course("10s 100/s..200/s")
    rates = Rates.of(rate, 10.0, course=phases).jumping(jumps, np.random.default_rng(3))
    middle = (rates.edges_s[1:] + rates.edges_s[:-1]) / 2.0
    factor = (rates.begin_per_s + rates.end_per_s) / 2.0 / (100.0 + 10.0 * middle)
    assert set(np.round(factor, 9)) == {round(jumps.high, 9), round(jumps.low, 9)}
