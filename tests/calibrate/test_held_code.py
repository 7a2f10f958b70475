"""What holds the loop without a core is told from what is taken away now and then."""

import numpy as np
import pytest

from fastsim.calibrate.held_code import BLOCKING_LEAST_S, held


def test_code_that_always_waits_is_blocking() -> None:
    wall, cpu = np.array([0.010, 0.011, 0.012]), np.array([0.002, 0.002, 0.002])
    times, share = held(wall, cpu)
    assert times.tolist() == wall.tolist()
    assert share == pytest.approx(0.009 / 0.011)


def test_a_processor_taken_away_now_and_then_is_not() -> None:
    wall, cpu = np.array([0.002, 0.002, 0.012]), np.array([0.002, 0.002, 0.002])
    times, share = held(wall, cpu)
    assert times.tolist() == cpu.tolist()
    assert share == 0.0


def test_a_little_beside_much_code_is_not() -> None:
    cpu = np.full(5, 0.020)
    assert held(cpu + 1.5 * BLOCKING_LEAST_S, cpu)[1] == 0.0
    assert held(np.full(5, 0.9 * BLOCKING_LEAST_S), np.zeros(5))[1] == 0.0
