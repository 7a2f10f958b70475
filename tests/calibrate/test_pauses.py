"""Stops of the whole loop are told apart from the code they fall into."""

import numpy as np
import pytest

from fastsim.calibrate.observed import ObservedStep
from fastsim.calibrate.pauses import fit_pauses, is_pause, without_pauses
from fastsim.calibrate.variants import ObservedEndpoint, ObservedVariant
from fastsim.distributions import median


def endpoint(cpu_s: list[float]) -> ObservedEndpoint:
    requests = tuple((ObservedStep(do="cpu", start_s=0.0, wall_s=s, cpu_s=s),) for s in cpu_s)
    variant = ObservedVariant(False, requests, tuple(range(len(cpu_s))), 1.0)
    return ObservedEndpoint("GET /", len(cpu_s), (variant,))


def test_stops_are_counted_and_measured() -> None:
    found = fit_pauses([endpoint([0.002] * 396 + [0.102, 0.112, 0.122, 0.108])])
    assert found.per_request == pytest.approx(0.01)
    assert found.time is not None
    assert median(found.time) == pytest.approx(0.108, rel=0.1)


def test_one_stop_is_no_habit_and_slow_code_is_no_stop() -> None:
    assert fit_pauses([endpoint([0.002] * 400 + [0.102])]).per_request == 0.0
    assert fit_pauses([endpoint([0.050] * 300 + [0.080] * 100)]).time is None


def test_code_is_fitted_without_them() -> None:
    cpu = np.array([0.002, 0.003, 0.0025, 0.110])
    assert is_pause(cpu).tolist() == [False, False, False, True]
    assert without_pauses(cpu).max() == 0.003
