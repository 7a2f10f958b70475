"""From the observed steps of a variant to laws of the model."""

from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.loop_costs import ThreadUse
from fastsim.calibrate.observed import ObservedStep
from fastsim.calibrate.requests import collect_requests
from fastsim.calibrate.steps import StepFitter
from fastsim.calibrate.variants import ObservedVariant
from fastsim.calibrate.wander import WINDOW_S, MachineSpeed
from fastsim.distributions import mean
from fastsim.model import ColdCost, CpuStep, SpeedDoubt, Wander
from tests.calibrate.trace_formats import trace

REQUESTS = 400


def test_a_speed_that_is_known_badly_adds_no_cpu() -> None:
    rng = np.random.default_rng(4)
    requests = collect_requests(trace(3), skip_first_s=0.0)
    start_ns = (np.arange(REQUESTS) * WINDOW_S * 1e9).astype(np.int64)
    # The factors are all error: the code took what it took.
    speed = MachineSpeed(
        Wander(sigma=0.3, window=WINDOW_S), SpeedDoubt(), 0, rng.lognormal(0.0, 0.3, REQUESTS)
    )
    cpu_s = rng.gamma(4.0, 0.001, REQUESTS)
    steps = tuple(
        (ObservedStep(do="cpu", start_s=0.0, wall_s=wall, cpu_s=wall, idle_share=0.5),)
        for wall in cpu_s.tolist()
    )
    cold = ColdCost(extra=0.4, reach=1.0)
    fitter = StepFitter(replace(requests, start_ns=start_ns), cold, speed, ThreadUse(0.0))
    rows = tuple(range(REQUESTS))
    [fitted] = fitter.fit(ObservedVariant(failed=False, requests=steps, indices=rows, share=1.0))
    assert isinstance(fitted, CpuStep)
    assert mean(fitted.time) * (1.0 + 0.4 * 0.5**3) == pytest.approx(cpu_s.mean(), rel=0.005)
