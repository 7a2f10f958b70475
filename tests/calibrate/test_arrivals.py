"""How requests arrived."""

import numpy as np
import numpy.typing as npt
import pytest

from fastsim.calibrate.arrivals import Arrivals, describe_arrivals
from fastsim.load.arrivals import Jumps, Rates
from fastsim.load.course import course_of
from fastsim.model import Burst
from fastsim.phases import parse_phases

FloatArray = npt.NDArray[np.float64]


def arrival_times(
    rate_per_s: float, duration_s: float, seed: int, burst: Burst | None = None
) -> FloatArray:
    rates = Rates.of(rate_per_s, duration_s)
    rng = np.random.default_rng(seed)
    if burst is not None:
        rates = rates.jumping(Jumps.of(rate_per_s, burst), rng)
    return rates.arrivals(rng)


def described(times: FloatArray, **more: float) -> Arrivals:
    return describe_arrivals(times, np.zeros(len(times), np.int64), **more)


def test_poisson_arrivals_are_called_so() -> None:
    # 300 recordings; three tests of 1 in 1000 each: more than 4 alarms by chance once in 400.
    alarms = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(150, 3000))
        times = np.cumsum(rng.exponential(1.0 / rng.uniform(5.0, 200.0), n))
        found = describe_arrivals(times, rng.integers(0, 4, n))
        alarms += found.pattern != "poisson" or found.mix_changed
    assert alarms <= 4


def test_even_arrivals() -> None:
    found = described(np.arange(500) / 20.0)
    assert found.pattern == "regular"
    assert found.burst is None


@pytest.mark.parametrize("seed", range(5))
def test_a_rate_that_changes(seed: int) -> None:
    course, rate = course_of(parse_phases("30s 20/s, 30s 60/s"), None)
    varying = Rates.of(rate, course.duration_s, course=course)
    found = described(varying.arrivals(np.random.default_rng(seed)))
    assert found.pattern == "varying"
    rates = np.array([window.rate for window in found.curve])
    half = len(rates) // 2
    assert rates[: half - 1].mean() == pytest.approx(20.0, rel=0.15)
    assert rates[half + 1 :].mean() == pytest.approx(60.0, rel=0.15)


@pytest.mark.parametrize(("dispersion", "memory"), [(4.0, 0.5), (10.0, 0.2), (3.0, 1.0)])
def test_bursts(dispersion: float, memory: float) -> None:
    burst = Burst(dispersion=dispersion, memory=memory)
    found = [described(arrival_times(40.0, 300.0, seed, burst=burst)) for seed in range(20)]
    assert {each.pattern for each in found} == {"bursty"}
    middle = float(np.median([each.burst.dispersion for each in found if each.burst]))
    assert middle == pytest.approx(dispersion, rel=0.2)
    middle = float(np.median([each.burst.memory for each in found if each.burst]))
    assert middle == pytest.approx(memory, rel=0.5)  # windows are not long against it


def test_a_sample_is_scaled_back() -> None:
    burst = Burst(dispersion=9.0, memory=0.4)
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        times = arrival_times(100.0, 300.0, seed, burst=burst)
        found.append(described(times[rng.random(len(times)) < 0.25], sampled=0.25))
    middle = float(np.median([each.burst.dispersion for each in found if each.burst]))
    assert middle == pytest.approx(9.0, rel=0.25)


def test_a_mix_that_changes() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.exponential(0.02, 2000))
    endpoint = (rng.random(2000) < np.where(np.arange(2000) < 1000, 0.2, 0.5)).astype(np.int64)
    found = describe_arrivals(times, endpoint)
    assert found.mix_changed
    assert found.pattern == "poisson"


def test_few_arrivals_say_nothing() -> None:
    assert described(np.arange(99) / 10.0).pattern == "poisson"
    assert described(np.zeros(500)).pattern == "poisson"
