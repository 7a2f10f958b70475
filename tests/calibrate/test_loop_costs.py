import numpy as np
import pytest

from fastsim.calibrate.loop_costs import fit_overhead

# Of a request, a wait, a turn.
TRUTH = np.array([100e-6, 4e-6, 15e-6])


def windows(rng: np.random.Generator, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Requests, waits and turns in 80 windows; turns per request fall with the load."""
    requests = rng.poisson(25.0, 80).astype(float)
    waits = 6.0 * requests + rng.integers(-3, 4, 80)
    turns = 500.0 * (1.0 - np.exp(-requests / 25.0))
    design = np.stack([requests, waits, turns], axis=1)
    return design, design @ TRUTH * np.exp(spread * rng.standard_normal(80))


def test_exact_windows_give_exact_costs() -> None:
    design, overhead = windows(np.random.default_rng(1), 0.0)
    assert fit_overhead(design, overhead, None) == pytest.approx(TRUTH.tolist(), rel=1e-3)


def test_a_turn_costs_no_more_than_the_way_out_of_sleep_that_contains_it() -> None:
    # Where the machine wanders, counts that rise together share the cost as chance has it.
    found = [fit_overhead(*windows(np.random.default_rng(seed), 0.3), 16e-6) for seed in range(50)]
    assert max(per_pass for _, _, per_pass in found) <= 16e-6 * 1.001
    free = [fit_overhead(*windows(np.random.default_rng(seed), 0.3), None) for seed in range(50)]
    assert max(per_pass for _, _, per_pass in free) > 20e-6


def test_nothing_is_negative() -> None:
    design, _ = windows(np.random.default_rng(2), 0.0)
    costs = fit_overhead(design, design @ np.array([-1e-4, 0.0, 2e-5]), None)
    assert min(costs) >= 0.0
