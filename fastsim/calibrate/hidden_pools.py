"""Pools that spans do not show, by the calls that never are more at a time.

A connection is waited for before the span of its first call begins: in a gap that looks like any
wait. But of the calls that need one there are never more at once than there are connections, and
who asks while there are as many starts when another one is done. By chance a request that asks at
the highest number ever seen would soon make it one more; a dozen that all wait are a pool.

How long a connection is held is chosen by what explains most of the waiting: for each call, from
the first to the last one of a request, or to the end of the request. A pool that was never full is
not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.layouts import Layout
from fastsim.spans import StepKind

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Holding = Literal["call", "calls", "request"]

LEAST_WAITS = 12
"""Times at which all slots were taken and somebody asked for one, and waited: a number that is the
highest by chance is not come to so often without being passed."""
LEAST_FULL, TIMES_FULL = 0.25, 2.0
"""Part of their waiting in which all slots are taken, alone and over that of all time: a slot that
became free is unused until the event loop runs who waits for it."""
OFTEN_FULL = 0.2
"""Part of all time for which as many calls as ever are made by no chance."""
LONGER = 1.1
"""How many times the waiting a longer holding must explain to be taken for it."""
_OF_AN_INSTANCE = 5
"""Such requests of a process from which its number of slots is known."""
_FREE_ASKS = 20
"""Requests that found a free slot from which the code before a call is known."""


@dataclass(frozen=True, slots=True)
class HiddenPool:
    """Slots that calls of a kind need, and that no span shows."""

    kind: StepKind
    label: str
    capacity: int
    """Of each process."""
    holding: Holding
    """Whether each call takes a slot of its own, all calls of a request one, or the rest of it."""
    waits: int
    """Requests that were seen to wait for one."""

    @property
    def name(self) -> str:
        """What the model calls it."""
        return f"{self.label} pool"

    def sentence(self) -> str:
        """Say for people what was found, and how."""
        held = {
            "call": "each call takes a slot",
            "calls": "a request keeps its slot from its first call to its last",
            "request": "a request keeps its slot until it ends",
        }
        return (
            f"never more than {self.capacity} calls of {self.label} at a time in one process, and "
            f"{self.waits} waited until one was done: a pool of {self.capacity} "
            f"({held[self.holding]})"
        )


@dataclass(frozen=True, slots=True)
class SlotUse:
    """One slot of a hidden pool that a request took."""

    pool: str
    group: int
    """For which group of its calls."""
    asked_ns: int
    """When it began to wait for it; when it got it, if it did not wait."""
    begin_ns: int
    until: int | None
    """After which group it gave the slot back; None at its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """What requests did for the slots of a pool, one entry for each slot that was taken."""

    request: IntArray
    group: IntArray
    asked_ns: IntArray
    begin_ns: IntArray
    until: IntArray
    """As of ``SlotUse``; -1 at the end of the request."""


def find_pools(
    layouts: Sequence[Layout], endpoints: Sequence[int], instances: Sequence[int]
) -> list[tuple[HiddenPool, Line]]:
    """Return the pools that calls wait for, and when.

    Parameters
    ----------
    layouts, endpoints, instances
        One entry per request, all requests of each instance.
    """
    found = []
    calls = _calls(layouts, endpoints, instances)
    for kind, label in sorted(calls):
        best: tuple[float, HiddenPool, Line] | None = None
        for holding in ("call", "calls", "request"):
            slots = _slots(calls[kind, label], holding)
            if slots is None:
                continue
            seen = _weigh(slots, kind, label, holding)
            if seen is not None and (best is None or seen[0] > LONGER * best[0]):
                best = seen
        if best is not None:
            found.append(best[1:])
    return found


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of a kind, request by request, one entry for each."""

    request: IntArray
    group: IntArray
    instance: IntArray
    place: IntArray
    """Which gap of which endpoint."""
    gap_ns: IntArray
    """When the gap before began, or what of it a span of the pool shows."""
    begin_ns: IntArray
    end_ns: IntArray
    over_ns: IntArray
    """When the request was over."""
    beside: IntArray
    """Calls at the same time, itself included."""


@dataclass(frozen=True, slots=True)
class _Slots:
    """Slots that requests took, if calls took any, one entry for each."""

    request: IntArray
    group: IntArray
    until: IntArray
    instance: IntArray
    place: IntArray
    """Which gap of which endpoint."""
    gap_ns: IntArray
    """When the gap before began, or what of it a span of the pool shows."""
    begin_ns: IntArray
    end_ns: IntArray


def _calls(
    layouts: Sequence[Layout], endpoints: Sequence[int], instances: Sequence[int]
) -> dict[tuple[StepKind, str], _Calls]:
    """Return the calls of each kind."""
    rows: dict[tuple[StepKind, str], list[tuple[int, ...]]] = {}
    places: dict[tuple[int, int], int] = {}
    for number, layout in enumerate(layouts):
        gap = layout.start_ns
        for group, (first, over, calls) in enumerate(layout.groups):
            place = places.setdefault((endpoints[number], group), len(places))
            where = (number, group, instances[number], place)
            for call in calls:
                begin = max(call.start_ns, first)
                end = max(min(call.end_ns, over), begin + 1)
                # Of calls at the same time the later ones began to wait with the first.
                asked = _asked(layout, call.label, gap, begin) if layout.checkouts else gap
                row = (*where, asked, begin, end, layout.end_ns, len(calls))
                rows.setdefault((call.kind, call.label), []).append(row)
            gap = over
    return {what: _Calls(*np.array(found, np.int64).T) for what, found in rows.items()}


def _asked(layout: Layout, label: str, gap_ns: int, begin_ns: int) -> int:
    """Return when the part of the gap before a call begins in which it may have waited.

    Where a span shows it, that is so long before the call as the span lasts.
    """
    spans_ns = [
        each.end_ns - each.start_ns
        for each in layout.checkouts
        if each.label == label and gap_ns <= each.start_ns and each.end_ns <= begin_ns
    ]
    return begin_ns - sum(spans_ns) if spans_ns else gap_ns


def _slots(calls: _Calls, holding: Holding) -> _Slots | None:
    """Return the slots that calls would take; None where they cannot share one."""
    first = last = np.arange(len(calls.request))
    if holding != "call":
        if (calls.beside > 1).any():
            return None  # calls at the same time need a slot each
        first = np.unique(calls.request, return_index=True)[1]
        last = np.append(first[1:], len(calls.request)) - 1
    kept = holding == "request"
    return _Slots(
        request=calls.request[first],
        group=calls.group[first],
        until=np.full(len(first), -1, np.int64) if kept else calls.group[last],
        instance=calls.instance[first],
        place=calls.place[first],
        gap_ns=calls.gap_ns[first],
        begin_ns=calls.begin_ns[first],
        end_ns=(calls.over_ns if kept else calls.end_ns)[last],
    )


class _Taken:
    """How many slots of one process are taken, over time."""

    def __init__(self, begin_ns: IntArray, end_ns: IntArray) -> None:
        self._begins, self._ends = np.sort(begin_ns), np.sort(end_ns)
        # Several may begin in the same moment.
        self.most = int(self.before(begin_ns + 1).max())
        edges = np.unique(np.concatenate([begin_ns, end_ns]))
        full = self.before(edges + 1) >= self.most
        self._full_since = edges[full & ~np.concatenate([[False], full[:-1]])]
        self._edges = edges.astype(np.float64)
        self._full_ns = np.concatenate([[0.0], np.cumsum(np.diff(self._edges) * full[:-1])])

    @property
    def watched_ns(self) -> float:
        """How long the process is known."""
        return float(self._edges[-1] - self._edges[0])

    @property
    def full_of_all_ns(self) -> float:
        """For how long of that all slots are taken."""
        return float(self._full_ns[-1])

    def before(self, at_ns: IntArray) -> IntArray:
        """Return how many are taken just before some times."""
        return _before(self._begins, self._ends, at_ns)

    def times_full(self, at_ns: IntArray) -> int:
        """Return how many different times, at which all slots were taken, some moments are of."""
        return len(np.unique(np.searchsorted(self._full_since, at_ns, "right")))

    def full_ns(self, begin_ns: IntArray, end_ns: IntArray) -> FloatArray:
        """Return how much of some stretches of time all slots are taken."""
        at_end = np.interp(end_ns, self._edges, self._full_ns)
        return np.asarray(at_end - np.interp(begin_ns, self._edges, self._full_ns), np.float64)


def _weigh(
    slots: _Slots, kind: StepKind, label: str, holding: Holding
) -> tuple[float, HiddenPool, Line] | None:
    """Return how much waiting a pool explains, nanoseconds, the pool and who waited for it."""
    asked = slots.begin_ns.copy()
    waits: dict[int, int] = {}
    mosts: dict[int, int] = {}
    times, explained, waited, full_ns, watched_ns = 0, 0.0, 0.0, 0.0, 0.0
    for instance in np.unique(slots.instance).tolist():
        own = np.flatnonzero(slots.instance == instance)
        gap, begin, end = slots.gap_ns[own], slots.begin_ns[own], slots.end_ns[own]
        taken = _Taken(begin, end)
        ready = np.minimum(gap + _code_ns(slots.place[own], gap, begin, taken), begin)
        in_line = (taken.before(ready) >= taken.most) & (ready < begin)
        mosts[instance], waits[instance] = taken.most, int(in_line.sum())
        times += taken.times_full(ready[in_line])
        explained += float(taken.full_ns(ready[in_line], begin[in_line]).sum())
        waited += float((begin[in_line] - ready[in_line]).sum())
        full_ns, watched_ns = full_ns + taken.full_of_all_ns, watched_ns + taken.watched_ns
        # Who asks after others that wait, waits too, though a slot was just given back to them.
        asking = _before(np.sort(ready), np.sort(end), ready)
        in_line |= (asking >= taken.most) & (ready < begin)
        asked[own[in_line]] = ready[in_line]
    capacities = {mosts[each] for each, count in waits.items() if count >= _OF_AN_INSTANCE}
    if times < LEAST_WAITS or len(capacities) != 1 or explained < LEAST_FULL * waited:
        return None
    usually = full_ns / max(watched_ns, 1.0)
    if usually < OFTEN_FULL and explained < TIMES_FULL * usually * waited:
        return None
    pool = HiddenPool(kind, label, capacities.pop(), holding, sum(waits.values()))
    line = Line(slots.request, slots.group, asked, slots.begin_ns, slots.until)
    return explained, pool, line


def _before(begins: IntArray, ends: IntArray, at_ns: IntArray) -> IntArray:
    """Return how many stretches of time have begun before some times and are not over.

    Parameters
    ----------
    begins, ends
        Each in order.
    """
    begun = np.searchsorted(begins, at_ns, "left")
    ended = np.searchsorted(ends, at_ns, "right")
    return np.asarray(np.maximum(begun - ended, 0), np.int64)


def _code_ns(place: IntArray, gap_ns: IntArray, begin_ns: IntArray, taken: _Taken) -> IntArray:
    """Return how long the code before calls takes: as where a slot was free all the time."""
    length = (begin_ns - gap_ns).astype(np.float64)
    free = (taken.full_ns(gap_ns, begin_ns) <= 0.0) & (taken.before(gap_ns) < taken.most)
    usual = float(length[free].mean()) if free.any() else 0.0
    found = np.full(len(place), usual)
    for number in np.unique(place[free]).tolist():
        mine = free & (place == number)
        if mine.sum() >= _FREE_ASKS:
            found[place == number] = float(length[mine].mean())
    return np.asarray(np.round(found), np.int64)


def slot_uses(pools: Sequence[tuple[HiddenPool, Line]], requests: int) -> list[list[SlotUse]]:
    """Return the slots that each request took, in the order in which it asked for them."""
    found: list[list[SlotUse]] = [[] for _ in range(requests)]
    for pool, line in pools:
        columns = (line.request, line.group, line.asked_ns, line.begin_ns, line.until)
        for request, group, asked, begin, until in zip(
            *map(np.ndarray.tolist, columns), strict=True
        ):
            use = SlotUse(pool.name, group, asked, begin, until if until >= 0 else None)
            found[request].append(use)
    for uses in found:
        uses.sort(key=lambda use: (use.asked_ns, use.begin_ns))
    return found


def with_asks(layouts: Sequence[Layout], uses: Sequence[Sequence[SlotUse]]) -> list[Layout]:
    """Return the layouts with gaps that end where requests began to wait for a slot."""
    found = []
    for layout, own in zip(layouts, uses, strict=True):
        if not own:
            found.append(layout)
            continue
        asked = [begin for begin, _, _ in layout.groups]
        for use in own:
            asked[use.group] = min(asked[use.group], use.asked_ns)
        found.append(replace(layout, asked_ns=tuple(asked)))
    return found
