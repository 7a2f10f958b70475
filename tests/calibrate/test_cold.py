"""What idleness adds to the cost of code, and how well a recording knows it."""

import numpy as np
import pytest

from fastsim.calibrate.cold import USUAL, CodeRuns, cold_factor, fit_cold
from fastsim.model import ColdCost


def runs(requests: int, extra: float, *, noise: float = 0.3, seed: int = 1) -> CodeRuns:
    """Two runs of code a request, 50 requests a second, on a loop that is idle now and then."""
    rng = np.random.default_rng(seed)
    at_s = np.repeat(np.sort(rng.random(requests)) * requests / 50.0, 2)
    idle = rng.beta(2.0, 2.0, 2 * requests)
    cpu = cold_factor(ColdCost(extra=extra), idle) * rng.gamma(
        1.0 / noise**2, noise**2, 2 * requests
    )
    ratio = cpu / cpu.mean()
    weight = np.full(2 * requests, 1.0 / noise**2)
    return CodeRuns(at_s, np.repeat(np.arange(requests), 2), ratio, idle, weight)


def test_the_error_is_that_of_many_recordings() -> None:
    found = [fit_cold(runs(400, 0.3, seed=seed)) for seed in range(60)]
    extra = np.array([each.extra for each in found])
    assert extra.mean() == pytest.approx(0.3, abs=0.05)
    # A standard deviation of 60 is known to 9 %; with three of these a false alarm in 300.
    assert np.mean([each.error for each in found]) == pytest.approx(extra.std(), rel=0.28)


@pytest.mark.parametrize("extra", [0.0, 0.15, 0.4])
def test_the_truth_is_within_the_error(extra: float) -> None:
    missed = 0
    for seed in range(40):
        found = fit_cold(runs(300, extra, seed=seed))
        missed += abs(found.extra - extra) > 2.0 * found.error
    # 5 % are expected; more than 7 of 40 happen by chance once in 700.
    assert missed <= 7


def test_short_recordings_know_less() -> None:
    short, long = (fit_cold(runs(requests, 0.2)) for requests in (120, 3_000))
    assert short.error > 3.0 * long.error
    assert long.extra == pytest.approx(0.2, abs=0.05)


def test_code_is_never_cheaper_when_cold() -> None:
    backwards = runs(2_000, 0.0)
    dearer = CodeRuns(
        backwards.at_s,
        backwards.request,
        backwards.ratio * (1.0 - 0.3 * backwards.idle**3),
        backwards.idle,
        backwards.weight,
    )
    assert fit_cold(dearer).extra == 0.0


def test_a_recording_that_says_nothing_is_not_taken_for_none() -> None:
    steady = runs(500, 0.2)
    same = CodeRuns(steady.at_s, steady.request, steady.ratio, np.full(1_000, 0.6), steady.weight)
    found = fit_cold(same)
    assert (found.extra, found.error) == (0.0, USUAL)
    assert found.seen == pytest.approx(0.6**3)
    nothing = CodeRuns(*(np.zeros(0),) * 5)  # type: ignore[arg-type]
    assert fit_cold(nothing) == ColdCost(error=USUAL)
