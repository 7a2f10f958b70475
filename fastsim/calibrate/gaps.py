"""What requests did, from spans alone: calls, and gaps between them.

Spans say how long a call took on the clock. What filled the gaps between calls, code or a wait
that nobody instrumented, is found from what else happened meanwhile (``gap_evidence``); where
that cannot tell, all of a gap is *assumed* to be code, or as much as fits into the time there was.
How long the loop kept ended calls waiting is bounded by what it ran then (``span_queues``).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastsim.calibrate.hidden_pools import SlotUse
from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.layouts import Group, Layout
from fastsim.calibrate.observed import UNKNOWN, ObservedStep
from fastsim.calibrate.span_queues import BusyChains
from fastsim.spans import StepKind, Via

_SHORTEST_S = 1e-6


def program(
    layout: Layout,
    code_ns: Sequence[tuple[float, float]],
    branch_ns: Sequence[float],
    loop: BusyChains | None = None,
    slots: Sequence[SlotUse] = (),
) -> tuple[ObservedStep, ...]:
    """Return the steps of one request: its calls in order, and code or waits between them.

    Calls that overlap become branches side by side. What begins after the answer is work in the
    background.

    Parameters
    ----------
    code_ns
        How much code each gap begins and ends with, nanoseconds; between is a wait.
    branch_ns
        Code after each call of a group that overlaps, nanoseconds.
    loop
        What the event loop ran, which bounds how long the ends of calls had to wait for it; None
        if nobody knows: not at all.
    slots
        What it took of pools that have no spans.
    """
    steps: list[ObservedStep] = []
    start_ns, gaps = layout.start_ns, layout.gaps()
    idle = [0.0] * len(gaps)
    if loop is not None:
        idle = loop.idle_at(np.array([begin for begin, _ in gaps])).tolist()
    ends = [[min(call.end_ns, over) for call in calls] for _, over, calls in layout.groups]
    flat = [end for group in ends for end in group]
    low, high = flat, flat
    if loop is not None and flat:
        low, high = (found.tolist() for found in loop.ready(np.array(flat)))
    ended = iter(zip(flat, low, high, strict=True))
    answered = False
    for number, (whole, end) in enumerate(gaps):
        first, last = code_ns[number]
        at = begin = whole
        if number and len(layout.groups[number - 1][2]) > 1:
            # The code of the branch that was over last is the first of this gap.
            at = begin = min(whole + int(branch_ns[number - 1]), end)
            first = max(first - branch_ns[number - 1], 0.0)
        if not answered and end >= layout.respond_ns:
            answered, at = True, max(layout.respond_ns, begin)
            # What follows the answer has its code after its waits.
            before = min(first, at - begin)
            steps += _gap(begin - start_ns, at - begin, (before, 0.0), idle[number])
            steps.append(ObservedStep(do="respond", start_s=(at - start_ns) / 1e9))
            first -= before
        if at != layout.end_ns:
            steps += _gap(at - start_ns, end - at, (first, last), idle[number])
        if number < len(layout.groups):
            of_calls = list(itertools.islice(ended, len(ends[number])))
            group = layout.groups[number]
            mine = [use for use in slots if use.group == number]
            if len(group[2]) > 1:
                # A slot that a call waited for while others went on is its own branch's.
                calls = _Calls(start_ns, end, group, of_calls, mine)
                steps.append(_parallel(calls, branch_ns[number]))
                continue
            steps += [_acquired(start_ns, use) for use in mine]
            steps.append(_wait(start_ns, group[0], group[2][0], of_calls[0]))
            steps += [
                ObservedStep("release", (group[1] - start_ns) / 1e9, resource=use.pool)
                for use in reversed(slots)
                if use.until == number
            ]
    at_end = (gaps[-1][1] - start_ns) / 1e9
    steps += [
        ObservedStep("release", at_end, resource=use.pool)
        for use in reversed(slots)
        if use.until is None
    ]
    return tuple(steps)


def _gap(
    offset_ns: int, length_ns: int, code_ns: tuple[float, float], idle_share: float
) -> list[ObservedStep]:
    start_s, length_s = offset_ns / 1e9, max(length_ns, 0) / 1e9
    first_s, last_s = (spent / 1e9 for spent in code_ns)
    wait_s = length_s - first_s - last_s
    if wait_s <= _SHORTEST_S:
        return [_code(start_s, length_s, idle_share)]
    wait = ObservedStep(
        do="wait",
        start_s=start_s + first_s,
        wall_s=wait_s,
        kind=StepKind.IO,
        via=Via.SOCKET,
        label=UNKNOWN,
    )
    return [
        _code(start_s, first_s, idle_share),
        wait,
        _code(start_s + first_s + wait_s, last_s, idle_share),
    ]


def _code(start_s: float, length_s: float, idle_share: float) -> ObservedStep:
    return ObservedStep(
        do="cpu", start_s=start_s, wall_s=length_s, cpu_s=length_s, idle_share=idle_share
    )


def _acquired(start_ns: int, use: SlotUse) -> ObservedStep:
    return ObservedStep(
        "acquire",
        (use.asked_ns - start_ns) / 1e9,
        wall_s=(use.begin_ns - use.asked_ns) / 1e9,
        resource=use.pool,
    )


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls that overlap."""

    start_ns: int
    """When the request began."""
    asked_ns: int
    """When the first of them was asked for."""
    group: Group
    ended: Sequence[tuple[int, int, int]]
    """When each ended, and when at the earliest and at the latest it was over."""
    slots: Sequence[SlotUse]
    """Slots that they took."""


def _parallel(found: _Calls, branch_ns: float) -> ObservedStep:
    """Describe calls as branches side by side."""
    start_ns, (begin, over, calls) = found.start_ns, found.group
    branches = []
    left = list(found.slots)
    for call, ended in zip(calls, found.ended, strict=True):
        use = next((each for each in left if each.begin_ns == max(call.start_ns, begin)), None)
        # Without a slot, a call that began later than the first is a branch that waits its turn.
        wait = _wait(start_ns, begin if use is None else use.begin_ns, call, ended)
        steps = [wait]
        if use is not None:
            left.remove(use)
            done = ObservedStep("release", (ended[0] - start_ns) / 1e9, resource=use.pool)
            steps = [_acquired(start_ns, use), wait, done]
        branches.append((*steps, *_after(wait, branch_ns)))
    return ObservedStep(
        do="parallel",
        start_s=(found.asked_ns - start_ns) / 1e9,
        wall_s=(over - found.asked_ns + int(branch_ns)) / 1e9,
        kind=StepKind.IO,
        label="parallel",
        branches=tuple(branches),
    )


def _after(wait: ObservedStep, code_ns: float) -> list[ObservedStep]:
    if code_ns < 1.0:
        return []
    return [_code(wait.start_s + wait.wall_s, int(code_ns) / 1e9, 0.0)]


def _wait(start_ns: int, begin: int, wait: Wait, ended_ns: tuple[int, int, int]) -> ObservedStep:
    """Describe a call by its end, and when at the earliest and at the latest it was over."""
    end, early, late = ended_ns
    most, least = end - early, end - late
    wall_s = max((end - begin) / 1e9, _SHORTEST_S)
    return ObservedStep(
        do="wait",
        start_s=(begin - start_ns) / 1e9,
        wall_s=wall_s,
        bound_s=min(most / 1e9, wall_s),
        late_s=min(least / 1e9, wall_s - _SHORTEST_S),
        kind=wait.kind,
        via=Via.SOCKET,
        label=wait.label,
        tokens=wait.tokens,
    )
