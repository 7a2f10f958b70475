"""What spans say about the event loop: when it was busy, and since when it had been."""

import math

import numpy as np
import pytest

from fastsim.calibrate.gap_evidence import GapEvidence
from fastsim.calibrate.span_queues import SHORT_NS, BusyChains, busy_chains
from fastsim.spans import RECENT_NS

MS = 1_000_000


def chains(*stretches: tuple[float, float]) -> BusyChains:
    begin, end = np.array(stretches).T * MS
    return BusyChains(begin.astype(np.int64), end.astype(np.int64))


def ready(loop: BusyChains, *at_ms: float) -> list[tuple[float, float]]:
    low, high = loop.ready(np.array([round(at * MS) for at in at_ms]))
    return [(a / MS, b / MS) for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def busy_ns(loop: BusyChains) -> int:
    """Return how long stretches that do not overlap are together."""
    return int((loop._until - loop._begin).sum())


def test_what_woke_the_loop_was_ready_then() -> None:
    assert ready(chains((5, 7), (20, 21)), 5, 20) == [(5, 5), (20, 20)]


def test_what_ran_next_became_ready_while_the_first_ran() -> None:
    assert ready(chains((5, 7), (7, 8)), 7) == [(5, 7)]


def test_in_a_long_busy_period_it_was_while_a_generation_before_ran() -> None:
    loop = chains((0, 4), (4, 5), (5, 6), (6, 7))
    for at, (low, high) in zip((4, 5, 6), ready(loop, 4, 5, 6), strict=True):
        assert 0 <= low < high <= at


def test_an_end_without_code_of_its_own_waits_for_what_runs() -> None:
    loop = chains((5, 7), (20, 21))
    assert ready(loop, 7, 12) == [(5, 7), (12, 12)]


def test_without_code_nothing_is_known() -> None:
    loop = BusyChains(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert ready(loop, 3) == [(3, 3)]
    assert loop.idle_at(np.array([3 * MS])).tolist() == [1.0]


def test_recent_idleness_is_that_of_the_last_20_ms() -> None:
    loop = chains((100, 110))
    recent = RECENT_NS / MS
    at = np.array([99, 100, 110, 125]) * MS
    after = math.exp(-10 / recent)
    slept = 1 - (1 - after) * math.exp(-15 / recent)
    assert loop.idle_at(at) == pytest.approx([1.0, 1.0, after, slept])


def breaks(rng: np.random.Generator, idle_ms: float, between_ms: float) -> BusyChains:
    """Stretches of 1 ms; half follow what the server does, half end a sleep."""
    pauses = np.where(
        rng.random(4_000) < 0.5, between_ms * rng.uniform(0.6, 1.4, 4_000),
        rng.exponential(idle_ms, 4_000),
    )  # fmt: skip
    begin = np.cumsum(pauses + 1.0)
    return chains(*zip(begin.tolist(), (begin + 1.0).tolist(), strict=True))


@pytest.mark.parametrize("idle_ms", [0.4, 3.0])
def test_what_the_server_does_between_stretches_is_no_sleep(idle_ms: float) -> None:
    rng = np.random.default_rng(3)
    assert breaks(rng, idle_ms, 0.1).short_ns in {120_000, 160_000}
    assert breaks(rng, idle_ms, 0.0).short_ns == SHORT_NS[0]


def test_the_code_at_both_ends_of_a_gap_is_a_stretch_each() -> None:
    begin = np.array([0, 10, 20]) * MS
    evidence = GapEvidence(
        request=np.arange(3),
        begin_ns=begin,
        end_ns=begin + 5 * MS,
        first_ns=np.array([5.0, 1.0, 5.0]) * MS,
        last_ns=np.array([0.0, 2.0, 0.0]) * MS,
        more_ns=np.zeros(3),
        told=np.ones(3, np.bool_),
        purest=1.0,
    )
    found = busy_chains(evidence, [0, 0, 1])
    assert busy_ns(found[0]) == 8 * MS
    assert ready(found[0], 13) == [(13, 13)]
    assert busy_ns(found[1]) == 5 * MS
