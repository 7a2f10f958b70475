"""Runs of code, and what arrivals ask of the loop when they begin."""

import math

import numpy as np
import pytest

from fastsim.calibrate.code_runs import _own_demand, recent_demand


def test_demand_is_what_arrivals_ask_for_lately() -> None:
    arrived_s, code_s = np.array([1.010, 1.0]), np.array([0.004, 0.002])
    at_s = np.array([0.5, 1.0, 1.005, 1.030])
    memory_s = 0.020
    expected = [
        0.0,
        0.0,  # one that comes just now has asked for nothing yet
        0.002 * np.exp(-0.005 / memory_s) / memory_s,
        (0.002 * np.exp(-0.030 / memory_s) + 0.004 * np.exp(-0.020 / memory_s)) / memory_s,
    ]
    assert recent_demand(arrived_s, code_s, at_s, memory_s) == pytest.approx(expected)
    assert recent_demand(np.zeros(0), np.zeros(0), at_s, memory_s).tolist() == [0.0] * 4


def test_what_a_request_asks_for_itself_is_not_what_others_do() -> None:
    arrived = np.array([0.0, 0.010, 0.030])
    code = np.array([0.001, 0.002, 0.003])
    at = np.array([0.030, 0.0])
    request = np.array([1, 0])
    own = _own_demand(arrived, code, request, at, 0.020)
    # 2 ms asked for 20 ms ago, one memory; nothing yet at one's own arrival.
    assert own == pytest.approx([0.002 * math.exp(-1.0) / 0.020, 0.0])
    others = recent_demand(arrived, code, at, 0.020) - own
    assert others == pytest.approx([0.001 * math.exp(-1.5) / 0.020, 0.0])
