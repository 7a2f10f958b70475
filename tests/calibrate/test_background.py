"""Work of no request, as the recorder's spans of the loop tell it."""

import numpy as np
import pytest

from fastsim import spans
from fastsim.calibrate.background import fit_background
from fastsim.calibrate.loop_series import LoopSeries, read_loop_series
from fastsim.model import Constant
from fastsim.spans import Attributes


def second(runs: int, each_ms: float, length_s: float = 1.0, name: str = "tick") -> Attributes:
    """One span of a loop, about a second long, in which a job ran so often."""
    found: Attributes = {
        spans.LOOP_AT_NS: [0],
        spans.LOOP_WINDOW_NS: [round(length_s * 1e9)],
        spans.LOOP_LAG_MEAN_NS: [0],
        spans.LOOP_LAG_MAX_NS: [0],
        spans.LOOP_IN_FLIGHT: [0],
    }
    if runs:
        found |= {
            spans.BACKGROUND_NAME: [name],
            spans.BACKGROUND_LOOP_NS: [round(runs * each_ms * 1e6)],
            spans.BACKGROUND_RUNS: [runs],
            spans.BACKGROUND_SQUARE_US2: [round(runs * (each_ms * 1e3) ** 2)],
        }
    return found


def series(*seconds: Attributes) -> LoopSeries:
    return read_loop_series(seconds)


def test_a_steady_job_is_told_from_one_by_chance() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.uniform(0.5, 1.5, 60)
    steady = series(*(second(round(20 * float(s)), 2.0, float(s)) for s in lengths))
    chance = series(*(second(int(rng.poisson(20 * s)), 2.0, float(s)) for s in lengths))
    for found, regular in ((steady, True), (chance, False)):
        [work] = fit_background(found)
        assert (work.name, work.regular) == ("tick", regular)
        assert work.time == Constant(value=0.002)
        assert work.every == pytest.approx(0.05, rel=0.1)


def test_few_long_runs_among_many_short_ones_stay_long() -> None:
    merged = second(10, 0.0)
    merged[spans.BACKGROUND_LOOP_NS] = [round(50e6 + 9 * 0.1e6)]
    merged[spans.BACKGROUND_SQUARE_US2] = [50_000**2 + 9 * 100**2]
    [work] = fit_background(series(*[merged] * 10))
    assert isinstance(work.time, Constant)
    # As much work, and as long to wait for: E[S^2] / E[S] of ten runs, one of 50 ms.
    assert work.time.value == pytest.approx(0.0491, rel=0.01)
    assert work.time.value / work.every == pytest.approx(0.0509, rel=0.01)


def test_what_is_hardly_there_is_left_out() -> None:
    assert fit_background(series(*[second(1, 0.1)] * 20)) == []
    assert fit_background(series()) == []


def test_recordings_without_squares_have_equal_runs() -> None:
    old = {k: v for k, v in second(5, 4.0).items() if k != spans.BACKGROUND_SQUARE_US2}
    [work] = fit_background(series(*[old] * 10))
    assert work.time == Constant(value=0.004)
