"""Code or wait: what else happens during a gap tells."""

import heapq

import numpy as np
import pytest

from fastsim.calibrate.gap_evidence import GapEvidence, weigh_gaps
from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.spans import StepKind

MS = 1_000_000


def one_loop(requests: int, *, unseen_ms: float, seed: int) -> list[Layout]:
    """Serve requests on one loop, first come, first served: code, a call, code, a wait without
    a span, code."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(6.0, requests))
    pending = [(at, n, 0) for n, at in enumerate(arrivals.tolist())]
    begun: list[list[float]] = [[] for _ in range(requests)]
    ended: list[list[float]] = [[] for _ in range(requests)]
    free = 0.0
    while pending:
        at, n, step = heapq.heappop(pending)
        begin = max(at, free)
        free = begin + rng.gamma(4.0, 0.25)
        begun[n].append(begin)
        ended[n].append(free)
        if step < 2:
            waits = rng.gamma(2.0, 5.0) if step == 0 else unseen_ms * rng.gamma(2.0, 0.5)
            heapq.heappush(pending, (free + waits, n, step + 1))
    return [
        layout_of(
            round(begin[0] * MS),
            round(end[2] * MS),
            [Wait(StepKind.DB, "db", round(end[0] * MS), round(begin[1] * MS))],
        )
        for begin, end in zip(begun, ended, strict=True)
    ]


def code_ms(found: GapEvidence) -> tuple[float, float]:
    """Return the mean code of the two gaps of all requests."""
    both = np.array(found.of_requests(int(found.request.max()) + 1)).sum(axis=2) / MS
    return float(both[:, 0].mean()), float(both[:, 1].mean())


@pytest.mark.parametrize("unseen_ms", [5.0, 20.0])
def test_a_gap_in_which_others_begin_and_end_is_a_wait_but_for_its_ends(unseen_ms: float) -> None:
    found = weigh_gaps(one_loop(3_000, unseen_ms=unseen_ms, seed=1), [0] * 3_000, [0] * 3_000)
    code, mixed = code_ms(found)
    assert code == pytest.approx(1.0, abs=0.04)
    # Where waits are short, code of half a wait and more is taken for some of the wait.
    assert mixed == pytest.approx(2.0, abs=0.2 if unseen_ms > 10.0 else 0.4)


def test_spans_of_several_loops_say_the_same_if_it_is_known() -> None:
    loops = 3
    layouts = [
        layout for seed in range(loops) for layout in one_loop(1_000, unseen_ms=20.0, seed=seed)
    ]
    zeros = [0] * len(layouts)
    code, _ = code_ms(weigh_gaps(layouts, zeros, zeros, workers=loops))
    assert code == pytest.approx(1.0, abs=0.04)
    taken_for_one, _ = code_ms(weigh_gaps(layouts, zeros, zeros))
    assert taken_for_one < 0.6


def test_a_tenth_of_the_requests_says_it_too() -> None:
    layouts = one_loop(20_000, unseen_ms=20.0, seed=2)
    kept = np.random.default_rng(1).random(len(layouts)) < 0.1
    chosen = [layout for layout, keep in zip(layouts, kept, strict=True) if keep]
    zeros = [0] * len(chosen)
    code, mixed = code_ms(weigh_gaps(chosen, zeros, zeros))
    assert code == pytest.approx(1.0, abs=0.05)
    assert mixed == pytest.approx(2.0, abs=1.5)


def test_where_nothing_else_happened_nothing_tells() -> None:
    alone = [
        layout_of(at, at + 30 * MS, [Wait(StepKind.DB, "db", at + 5 * MS, at + 20 * MS)])
        for at in range(0, 100_000 * MS, 1_000 * MS)
    ]
    found = weigh_gaps(alone, [0] * 100, [0] * 100)
    assert not found.told.any()
    assert not found.code_ns.any()


def test_rare_programs_are_told_by_what_their_gaps_are_between() -> None:
    layouts = one_loop(600, unseen_ms=20.0, seed=4)
    endpoints = [n % 15 for n in range(600)]  # each of which is rare
    found = weigh_gaps(layouts, endpoints, [0] * 600)
    assert found.told.all()
    code, _ = code_ms(found)
    assert code == pytest.approx(1.0, abs=0.1)
