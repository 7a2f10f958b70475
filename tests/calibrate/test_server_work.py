"""What the server does outside spans, from the breaks between stretches of code."""

import numpy as np
import pytest

from fastsim.calibrate.gap_evidence import GapEvidence
from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.calibrate.server_work import server_work_s
from fastsim.spans import StepKind

US = 1_000


def served(
    requests: int, before_us: float, after_us: float, *, asleep_us: float = 0.0
) -> tuple[list[Layout], GapEvidence]:
    """Requests of 1 ms of code, a call, 1 ms of code on a loop that is seldom idle."""
    rng = np.random.default_rng(2)
    order: list[tuple[int, int]] = []
    for n in range(requests):
        order.insert(rng.integers(max(len(order) - 6, 0), len(order) + 1), (n, 0))
        order.append((n, 1))
    at, edges = 0.0, np.zeros((requests, 4))
    for n, part in order:
        at += (0.0 if asleep_us else 30.0) + (before_us if part == 0 else 0.0)
        at += rng.exponential(asleep_us * (2.0 if part == 0 else 1.0) if asleep_us else 3.0)
        edges[n, 2 * part : 2 * part + 2] = at, at + 1_000.0
        at += 1_000.0 + (after_us if part == 1 else 0.0)
    at_ns = (edges * US).astype(np.int64)
    layouts = [
        layout_of(int(a), int(d), [Wait(StepKind.DB, "db", int(b), int(c))]) for a, b, c, d in at_ns
    ]
    begin, end = at_ns[:, ::2].ravel(), at_ns[:, 1::2].ravel()
    length = (end - begin).astype(np.float64)
    zeros = np.zeros(len(begin))
    request = np.repeat(np.arange(requests), 2)
    told = np.ones(len(begin), np.bool_)
    return layouts, GapEvidence(request, begin, end, length, zeros, zeros, told, 1.0)


@pytest.mark.parametrize(("before_us", "after_us"), [(0.0, 0.0), (150.0, 80.0), (0.0, 200.0)])
def test_reading_and_answering_are_found(before_us: float, after_us: float) -> None:
    layouts, evidence = served(400, before_us, after_us)
    found_s = server_work_s(layouts, evidence, [0] * len(layouts))
    assert found_s * 1e6 == pytest.approx(before_us + after_us, abs=3.0)


def test_sleep_is_no_work() -> None:
    """Breaks that end with a request are longer where requests are rarer than answers."""
    layouts, evidence = served(400, 0.0, 0.0, asleep_us=300.0)
    assert server_work_s(layouts, evidence, [0] * len(layouts)) * 1e6 < 10.0


def test_of_a_few_requests_nothing_is_claimed() -> None:
    layouts, evidence = served(20, 150.0, 80.0)
    assert server_work_s(layouts, evidence, [0] * len(layouts)) == 0.0
