"""Pools that spans do not show, found by the calls that never are more at a time."""

from collections.abc import Sequence

import numpy as np
import pytest

from fastsim.calibrate.gaps import program
from fastsim.calibrate.hidden_pools import HiddenPool, Line, find_pools, slot_uses, with_asks
from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.spans import StepKind
from tests.calibrate.pool_story import MS, requests


def found(layouts: list[Layout]) -> list[tuple[HiddenPool, Line]]:
    return find_pools(layouts, [0] * len(layouts), [0] * len(layouts))


@pytest.mark.parametrize("slots", [5, 6, 8])
def test_a_pool_is_found_with_its_slots(slots: int) -> None:
    [(pool, line)] = found(requests(slots))
    assert (pool.capacity, pool.label, pool.name) == (slots, "postgresql", "postgresql pool")
    assert f"a pool of {slots}" in pool.sentence()
    waited = (line.begin_ns > line.asked_ns).sum()
    assert waited >= pool.waits >= 12


@pytest.mark.parametrize("seed", range(40))
def test_calls_without_a_pool_are_no_pool(seed: int) -> None:
    assert found(requests(np.inf, seed=seed, count=1_000)) == []


@pytest.mark.parametrize("seed", range(10))
def test_waits_that_nobody_sees_are_no_pool(seed: int) -> None:
    """Gaps of 1 ms of code and, in every third request, 15 ms of something without a span."""
    rng = np.random.default_rng(seed)
    layouts = []
    for layout in requests(np.inf, seed=seed, count=1_000):
        [(begin, over, [call])] = layout.groups
        more = int(rng.gamma(4.0, 15.0 / 4.0) * MS) if rng.random() < 1 / 3 else 0
        later = Wait(call.kind, call.label, begin + more, over + more)
        layouts.append(layout_of(layout.start_ns, layout.respond_ns + more, [later]))
    assert found(layouts) == []


def test_a_pool_that_never_was_full_is_not_seen() -> None:
    assert found(requests(40)) == []


@pytest.mark.parametrize("users", [1, 5])
def test_users_who_wait_for_answers_are_no_pool(users: int) -> None:
    """There are never more calls than users, but nobody asks while all of them are at it."""
    rng = np.random.default_rng(1)
    layouts = []
    for _ in range(users):
        now = 0.0
        for _ in range(300):
            call = now + rng.gamma(9.0, 1.0 / 9.0)
            over = call + rng.gamma(4.0, 5.0)
            wait = Wait(StepKind.DB, "postgresql", round(call * MS), round(over * MS))
            layouts.append(layout_of(round(now * MS), round((over + 0.5) * MS), [wait]))
            now = over + 0.5 + rng.exponential(1.0)
    layouts.sort(key=lambda layout: layout.start_ns)
    assert found(layouts) == []


def test_how_long_a_slot_is_held_is_seen() -> None:
    calls = (5.0, 5.0, 5.0)
    [(each, _)] = found(requests(4, calls=calls))
    assert (each.holding, each.capacity) == ("call", 4)
    [(all_of_them, _)] = found(requests(5, calls=calls, holding="calls", after=15.0))
    assert (all_of_them.holding, all_of_them.capacity) == ("calls", 5)
    [(whole, _)] = found(requests(8, calls=calls, holding="request", after=15.0))
    assert (whole.holding, whole.capacity) == ("request", 8)


def test_waits_for_slots_are_no_code_and_no_call() -> None:
    layouts = requests(5)
    pools = found(layouts)
    slots = slot_uses(pools, len(layouts))
    asked = with_asks(layouts, slots)
    programs = [
        program(
            layout,
            [(float(end - begin), 0.0) for begin, end in layout.gaps()],
            [0.0] * len(layout.groups),
            None,
            slots[n],
        )
        for n, layout in enumerate(asked)
    ]
    kinds = {tuple(step.do for step in steps if step.do != "cpu") for steps in programs}
    assert kinds == {("acquire", "wait", "release", "respond")}
    waits_s = [step.wall_s for steps in programs for step in steps if step.do == "acquire"]
    code_s = [steps[0].wall_s for steps in programs]
    assert max(waits_s) > 0.005
    assert float(np.mean(code_s)) == pytest.approx(0.001, rel=0.15)
    for layout, steps in zip(asked, programs, strict=True):
        # Steps tile the time of a request.
        total = sum(step.wall_s for step in steps)
        assert total == pytest.approx((layout.end_ns - layout.start_ns) / 1e9, abs=2e-6)


def with_checkouts(layouts: list[Layout], pools: Sequence[str]) -> list[Layout]:
    """The same requests with a span from 0.7 ms after their begin until the first call begins."""
    found = []
    for layout in layouts:
        [(begin, _, [call])] = layout.groups
        since = min(layout.start_ns + 7 * MS // 10, begin - MS // 10)
        taken = Wait(StepKind.POOL, call.label, since, begin - MS // 20)
        found.append(layout_of(layout.start_ns, layout.respond_ns, [taken, call], pools=pools))
    return found


def test_spans_of_taking_a_slot_show_how_long_it_took() -> None:
    layouts = with_checkouts(requests(5), ["postgresql"])
    assert [len(layout.groups) for layout in layouts[:3]] == [1, 1, 1]
    [(pool, line)] = found(layouts)
    assert pool.capacity == 5
    spans = np.array(
        [layout.checkouts[0].end_ns - layout.checkouts[0].start_ns for layout in layouts]
    )
    waited = line.begin_ns - line.asked_ns
    # Less what taking a free one takes, 0.25 ms.
    np.testing.assert_allclose(waited[waited > 0], spans[waited > 0] - 0.25 * MS, atol=0.1 * MS)
    assert waited.max() > 5 * MS


def test_taking_a_connection_that_nothing_limits_is_a_call() -> None:
    calls = with_checkouts(requests(np.inf), [])
    assert calls[0].labels() == ("db postgresql", "db postgresql")
    assert calls[0].checkouts == ()


def test_each_process_has_its_own() -> None:
    """Of 5 slots each; taken together, calls would be up to 10 at a time."""
    first, second = requests(5, seed=1), requests(5, seed=2)
    layouts = [*first, *second]
    instances = [0] * len(first) + [1] * len(second)
    [(pool, _)] = find_pools(layouts, [0] * len(layouts), instances)
    assert pool.capacity == 5
    # Processes that differ have no one number of slots.
    other = [*first, *requests(6, seed=2)]
    assert find_pools(other, [0] * len(other), instances) == []
