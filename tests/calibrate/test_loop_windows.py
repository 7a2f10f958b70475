"""What the loop loses to others than its own threads."""

from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.loop_windows import LoopWindows, stolen_per_request_s
from fastsim.model import ColdCost


def windows(stolen_s: float, by_threads_s: float, count: int = 400) -> LoopWindows:
    """Requests of nine waits; of those that wake the loop, threads take nothing."""
    rng = np.random.default_rng(7)
    requests = rng.poisson(6.0, count).astype(float)
    waits = 9.0 * requests + rng.integers(-4, 5, count)
    sleeps = rng.binomial(np.maximum(waits, 0.0).astype(int), 0.4).astype(float)
    lost_s = stolen_s * requests + by_threads_s * (waits - sleeps)
    lost_s += 20e-6 * rng.standard_normal(count)
    nothing = np.zeros(count)
    return LoopWindows(requests, waits, waits, sleeps, nothing + 0.5, nothing, lost_s)


@pytest.mark.parametrize("stolen_s", [0.0, 150e-6])
@pytest.mark.parametrize("by_threads_s", [0.0, 40e-6])
def test_what_threads_take_is_told_from_what_others_take(
    stolen_s: float, by_threads_s: float
) -> None:
    found = stolen_per_request_s(windows(stolen_s, by_threads_s))
    # Four standard errors.
    assert found == pytest.approx(stolen_s, abs=20e-6)


def test_few_windows_tell_nothing() -> None:
    assert stolen_per_request_s(windows(150e-6, 0.0, count=19)) == 0.0


def test_no_more_is_taken_than_was_lost() -> None:
    some = windows(150e-6, 40e-6)
    gained = replace(some, lost_s=-some.lost_s)
    assert stolen_per_request_s(gained) == 0.0


def test_counts_are_those_of_a_busy_loop() -> None:
    some = windows(0.0, 0.0)
    counts = some.counts(ColdCost(extra=0.8))
    assert counts[:, 0] == pytest.approx(some.requests * (1.0 + 0.8 * 0.5**3))
