"""Code of branches, where no gap shows it."""

import heapq

import numpy as np
import pytest

from fastsim.calibrate.branch_code import branch_code
from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.spans import StepKind

MS = 1_000_000


def gathering(requests: int, code_ms: float, seed: int, every_ms: float = 8.0) -> list[Layout]:
    """Serve requests of three calls side by side on one loop; each has code after its call."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(every_ms, requests))
    pending = [(at, n, "") for n, at in enumerate(arrivals.tolist())]
    start, begun, over = [0.0] * requests, [0.0] * requests, [0.0] * requests
    ends: list[list[float]] = [[] for _ in range(requests)]
    free = 0.0
    while pending:
        at, n, step = heapq.heappop(pending)
        begin = max(at, free)
        if not step:
            start[n], begun[n] = begin, begin + 0.5
            for _ in range(3):
                heapq.heappush(pending, (begin + 0.5 + rng.gamma(3.0, 4.0), n, "call"))
            free = begun[n]
        else:
            ends[n].append(begin)
            free = over[n] = begin + code_ms + 0.001
    return [
        layout_of(
            round(start[n] * MS),
            round(over[n] * MS),
            [Wait(StepKind.HTTP, "peer", round(begun[n] * MS), round(e * MS)) for e in ends[n]],
        )
        for n in range(requests)
    ]


@pytest.mark.parametrize("code_ms", [0.4, 1.0, 2.0])
def test_the_code_after_calls_is_found_from_what_does_not_happen(code_ms: float) -> None:
    layouts = gathering(1_500, code_ms, seed=1)
    zeros = [0] * len(layouts)
    found = branch_code(layouts, zeros, zeros)
    assert found[5] == found[50]
    assert found[5][0] / MS == pytest.approx(code_ms, rel=0.05)


def test_loops_of_different_loads_are_looked_at_apart() -> None:
    busy, idle = gathering(1_500, 0.4, seed=1), gathering(1_500, 0.4, seed=2, every_ms=16.0)
    instances = [0] * len(busy) + [1] * len(idle)
    found = branch_code([*busy, *idle], [0] * len(instances), instances)
    assert found[5] == found[-5]
    assert found[5][0] / MS == pytest.approx(0.4, rel=0.12)


def test_without_code_next_to_none_is_found() -> None:
    found = []
    for seed in range(1, 9):
        layouts = gathering(1_500, 0.0, seed=seed)
        zeros = [0] * len(layouts)
        found.append(branch_code(layouts, zeros, zeros)[5][0] / MS)
    assert max(found) < 0.05


def test_calls_one_after_the_other_have_gaps_instead() -> None:
    one = layout_of(0, 30 * MS, [Wait(StepKind.DB, "db", 5 * MS, 10 * MS)])
    assert branch_code([one] * 40, [0] * 40, [0] * 40) == [[0.0]] * 40
