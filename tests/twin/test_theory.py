"""The engine against queueing theory.

Fixed seeds. Every interval is Student's at 99.9 % from batch means, so one of these tests
would fail by chance for about one seed in a thousand.
"""

from math import factorial

import numpy as np
import pytest
from scipy.stats import t as student

from fastsim.twin.engine import simulate
from fastsim.twin.workload import FloatArray, Outcome, Workload
from tests.twin.programs import ACQUIRE, FREE, RELEASE, cpu, deployment, wait, workload

BATCHES = 40
CONFIDENCE = 0.999


def interval(values: FloatArray) -> tuple[float, float]:
    """Mean of correlated values with its interval, the first tenth left out as warm-up."""
    steady = values[len(values) // 10 :]
    means = np.array([batch.mean() for batch in np.array_split(steady, BATCHES)])
    half = student.ppf(0.5 + CONFIDENCE / 2, BATCHES - 1) * means.std(ddof=1) / np.sqrt(BATCHES)
    return float(means.mean() - half), float(means.mean() + half)


def single_server(service: FloatArray, rate: float, seed: int) -> tuple[Workload, Outcome]:
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, len(service)))
    drawn = workload(arrivals, [[cpu(float(seconds))] for seconds in service])
    return drawn, simulate(drawn, deployment(), FREE)


def latency(drawn: Workload, outcome: Outcome) -> FloatArray:
    return outcome.respond_s - drawn.arrival_s


def test_mm1_mean_time_in_system() -> None:
    service = np.random.default_rng(1).exponential(0.007, 60_000)
    low, high = interval(latency(*single_server(service, 100.0, 2)))
    assert low <= 0.007 / (1.0 - 0.7) <= high


def test_md1_mean_time_in_system() -> None:
    low, high = interval(latency(*single_server(np.full(60_000, 0.008), 100.0, 3)))
    assert low <= 0.008 + 0.8 * 0.008 / (2.0 * (1.0 - 0.8)) <= high


def test_mg1_mean_wait_is_pollaczek_khinchine() -> None:
    sigma, mean = 0.8, 0.006
    service = np.random.default_rng(4).lognormal(np.log(mean) - sigma**2 / 2, sigma, 80_000)
    second_moment = mean**2 * np.exp(sigma**2)
    low, high = interval(latency(*single_server(service, 100.0, 5)))
    assert low <= mean + 100.0 * second_moment / (2.0 * (1.0 - 0.6)) <= high


def test_one_station_follows_lindley_request_by_request() -> None:
    service = np.random.default_rng(6).gamma(2.0, 0.004, 5_000)
    drawn, outcome = single_server(service, 110.0, 7)
    waited = 0.0
    expected = []
    gaps = np.diff(drawn.arrival_s, append=drawn.arrival_s[-1])
    for seconds, gap in zip(service, gaps, strict=True):
        expected.append(waited + seconds)
        waited = max(waited + seconds - gap, 0.0)
    assert latency(drawn, outcome) == pytest.approx(expected, abs=1e-9)


def erlang_c(servers: int, offered: float) -> float:
    last = offered**servers / factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


def pooled(servers: int, rate: float, n: int) -> tuple[Workload, Outcome]:
    rng = np.random.default_rng(8)
    arrivals = np.cumsum(rng.exponential(1.0 / rate, n))
    held = rng.exponential(0.04, n)
    drawn = workload(arrivals, [[ACQUIRE, wait(float(s)), RELEASE] for s in held])
    return drawn, simulate(drawn, deployment(pool=servers), FREE)


def test_pool_wait_is_erlang_c() -> None:
    _, outcome = pooled(5, 95.0, 60_000)
    offered = 95.0 * 0.04
    low, high = interval(outcome.pool_wait_s)
    assert low <= erlang_c(5, offered) * 0.04 / (5 - offered) <= high


def test_littles_law_holds_for_pool_and_system() -> None:
    drawn, outcome = pooled(5, 95.0, 40_000)
    in_system = latency(drawn, outcome)
    moments = np.random.default_rng(9).uniform(10.0, drawn.arrival_s[-1] - 10.0, 20_000)
    present = np.searchsorted(drawn.arrival_s, moments, side="right") - np.searchsorted(
        np.sort(outcome.respond_s), moments, side="right"
    )
    rate = len(drawn) / drawn.arrival_s[-1]
    low, high = interval(in_system)
    seen = float(present.mean())
    assert low * rate * 0.98 <= seen <= high * rate * 1.02
    held_s = sum(drawn.program.code.value)
    assert outcome.resource_busy_s[0] == pytest.approx(held_s, rel=1e-9)


def test_waits_without_a_limit_are_mg_infinity() -> None:
    rng = np.random.default_rng(10)
    held = rng.lognormal(np.log(0.05), 1.0, 40_000)
    drawn = workload(np.cumsum(rng.exponential(0.01, len(held))), [[wait(float(s))] for s in held])
    outcome = simulate(drawn, deployment(), FREE)
    assert latency(drawn, outcome) == pytest.approx(held, abs=1e-9)
