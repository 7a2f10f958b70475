"""Twin against live on a machine as fast as live's."""

import numpy as np
import pytest

from fastsim.twin.equal_cpu import FEWEST, at_equal_cpu, within_reach
from fastsim.twin.equivalence import Compared, judge

RUNS = 40
LIVE_S = 0.003


def replications(rng: np.random.Generator, *, runs: int = RUNS) -> tuple[np.ndarray, np.ndarray]:
    """Busy times of machines that differ by 5 %, and latencies that follow them steeply."""
    away = 0.05 * rng.standard_normal(runs)
    latency = np.log(0.02) + 3.0 * away + 20.0 * away**2 + 0.02 * rng.standard_normal(runs)
    return LIVE_S * np.exp(away), latency


def compared(live: float, latency: np.ndarray) -> Compared:
    return Compared(live, float(np.median(latency)), np.log(1.1), twin=latency, log=True)


def test_the_machine_is_taken_out_and_the_rest_is_left() -> None:
    busy_s, latency = replications(np.random.default_rng(1))
    found = at_equal_cpu(compared(np.log(0.02), latency), busy_s, LIVE_S)
    assert found is not None
    assert found.twin is not None
    assert found.centre == pytest.approx(np.log(0.02), abs=0.01)
    assert float(found.twin.std()) == pytest.approx(0.02, rel=0.3)
    assert float(latency.std()) > 0.1
    # On a machine that is 8 % slower the same twin is slower, by what the others say.
    slower = at_equal_cpu(compared(np.log(0.02), latency), busy_s, LIVE_S * np.exp(0.08))
    assert slower is not None
    expected = np.log(0.02) + 3.0 * 0.08 + 20.0 * 0.08**2
    assert slower.centre == pytest.approx(expected, abs=0.04)


def test_a_perfect_twin_is_within_the_interval() -> None:
    """One more of the same replications is live: it may be outside in one case of twenty."""
    missed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        busy_s, latency = replications(rng, runs=RUNS + 1)
        if not within_reach(busy_s[1:], busy_s[0]):
            continue
        value = at_equal_cpu(compared(latency[0], latency[1:]), busy_s[1:], busy_s[0])
        assert value is not None
        [judged] = judge([value])
        missed += abs(judged.error) > judged.half
    # 5 % of 300 are 15; more than 27 happen by chance once in 700.
    assert missed <= 27


def test_beyond_all_replications_nothing_is_read_off() -> None:
    busy_s, latency = replications(np.random.default_rng(1))
    assert within_reach(busy_s, LIVE_S)
    assert not within_reach(busy_s, 1.001 * float(busy_s.max()))
    assert not within_reach(busy_s, 0.999 * float(busy_s.min()))
    assert not within_reach(busy_s[: FEWEST - 1], LIVE_S)
    assert not within_reach(np.full(RUNS, LIVE_S), LIVE_S)
    unknown = latency.copy()
    unknown[3] = np.nan
    assert at_equal_cpu(compared(0.0, unknown), busy_s, LIVE_S) is None
