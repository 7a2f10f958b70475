"""Pools that spans do not show, found by the calls that never are more at a time."""

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np
import pytest

from fastsim.calibrate.gaps import program
from fastsim.calibrate.hidden_pools import HiddenPool, Line, find_pools, slot_uses, with_asks
from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.spans import StepKind

MS = 1_000_000
RATE = 0.2
"""Requests per millisecond."""


def requests(
    slots: float,
    *,
    calls: Sequence[float] = (20.0,),
    holding: str = "call",
    count: int = 2_000,
    seed: int = 1,
    after: float = 0.5,
    label: str = "postgresql",
) -> list[Layout]:
    """Requests of 1 ms of code before each call, all slots given away in turn.

    Parameters
    ----------
    calls
        Mean of each call, milliseconds, gamma.
    after
        Code after the last call, milliseconds.
    """
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1.0 / RATE, count))
    events: list[tuple[float, int, int, int]] = []
    for number, at in enumerate(arrivals.tolist()):
        heappush(events, (at + rng.gamma(9.0, 1.0 / 9.0), 0, number, 0))
    line: list[tuple[int, int]] = []
    spans: list[list[Wait]] = [[] for _ in range(count)]
    ends = [0.0] * count
    free = slots

    def begin(now: float, number: int, which: int) -> None:
        length = float(rng.gamma(4.0, calls[which] / 4.0))
        wait = Wait(StepKind.DB, label, round(now * MS), round((now + length) * MS))
        spans[number].append(wait)
        heappush(events, (now + length, 1, number, which))

    def give_back(now: float) -> None:
        nonlocal free
        if line:
            begin(now, *line.pop(0))
        else:
            free += 1

    while events:
        now, what, number, which = heappop(events)
        if what == 2:
            ends[number] = now
            if holding == "request":
                give_back(now)
        elif what == 1:
            last = which == len(calls) - 1
            later = after if last else float(rng.gamma(9.0, 1.0 / 9.0))
            heappush(events, (now + later, 2 if last else 0, number, which + 1))
            if holding == "call" or (holding == "calls" and last):
                give_back(now)
        elif holding != "call" and which:
            begin(now, number, which)
        elif free > 0:
            free -= 1
            begin(now, number, which)
        else:
            line.append((number, which))
    return [
        layout_of(round(at * MS), round(end * MS), own)
        for at, end, own in zip(arrivals.tolist(), ends, spans, strict=True)
    ]


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
