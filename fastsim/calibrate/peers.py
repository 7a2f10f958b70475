"""Peers that serve so many calls at a time, by how long calls take among others.

A peer with so many slots that serves who came first gives itself away: a call whose service cannot
have begun before others ended never ends before that. Of calls that nobody keeps waiting many do:
how many is known from how long calls take, and a dozen that are missing are no chance. With fewer
slots than the peer has, calls end before they begin; so the least number with which none does is
its number. Those that had to wait are then served as fast as those that had not. Where that is not
so (a peer that serves all at once and everybody slower, one that stands still at times), nothing is
made up: that calls take longer is said instead.
"""

import bisect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.exposure import processes_at_a_time
from fastsim.calibrate.observed import ObservedStep
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.slower_calls import (
    LEAST_CALLS,
    MUCH,
    SURE,
    Calls,
    calls_by_name,
    longer,
    slower_calls,
)
from fastsim.calibrate.variants import Programs
from fastsim.limit import Scope
from fastsim.model import Resource
from fastsim.spans import Via

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MISSING = 12.0
"""Calls that would have ended too early by chance, and did not: by chance one in 160,000."""
FALSE = 0.05
"""Part of them that may have done so: some calls nobody recorded."""
LEAST_WAITS = 10
"""Calls of either kind from which those that waited are compared with the others."""
MOST_SLOTS = 1_000
_SHORTEST_S = 1e-6

Starts = dict[int, dict[int, float]]
"""How long calls waited for a slot, seconds, by row and number of the step."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer with a number of slots."""

    label: str
    capacity: int
    scope: Scope
    """Whether each process has so many, or all of them together."""
    processes: int
    """That called it at a time."""
    waited: float
    """Part of the calls that had to wait."""
    wait_s: float
    """How long those did, in the mean, seconds."""

    def sentence(self) -> str:
        """Say for people what was found."""
        whose = "for all processes together" if self.scope == "service" else "for each process"
        if self.processes == 1:
            whose += ", which one process cannot tell from so many for each"
        return (
            f"{self.label}: a peer that serves {self.capacity} calls at a time ({whose}); "
            f"{self.waited:.0%} of the calls waited there, {self.wait_s * 1e3:.3g}ms in the mean"
        )


@dataclass(frozen=True, slots=True)
class Called:
    """What requests call, and what they then do."""

    programs: Programs
    """With slots of peers."""
    resources: dict[str, Resource]
    """The peers."""
    remarks: list[str]
    """What has to be said, for people."""


def called(
    requests: RequestSet, programs: Programs, *, all_seen: bool, taken: Collection[str]
) -> Called:
    """Return what the calls of requests say about who is called.

    Parameters
    ----------
    all_seen
        Whether the programs are of all requests that were served, so that it is known how many
        calls go on at a time.
    taken
        Names of other resources.
    """
    calls = calls_by_name(requests, programs)
    slower = slower_calls(calls)
    found = find_peers(calls, processes_at_a_time(requests)) if all_seen else []
    names = {
        peer.label: f"{peer.label} peer" if peer.label in taken else peer.label for peer, _ in found
    }
    return Called(
        programs=with_peers(programs, [(names[peer.label], starts) for peer, starts in found]),
        resources={
            names[peer.label]: Resource(capacity=peer.capacity, hand_over="peer", scope=peer.scope)
            for peer, _ in found
        },
        remarks=[peer.sentence() for peer, _ in found]
        + [each.sentence() for each in slower if each.label not in names],
    )


def find_peers(calls: Mapping[str, Calls], processes: int) -> list[tuple[Peer, Starts]]:
    """Return the peers that have a number of slots, and who waited how long for one.

    Parameters
    ----------
    calls
        All that were made.
    processes
        That made them, at a time.
    """
    enough = {label: each for label, each in calls.items() if len(each) >= LEAST_CALLS}
    found = (_find(label, each, processes) for label, each in enough.items())
    return [peer for peer in found if peer is not None]


def _find(label: str, calls: Calls, processes: int) -> tuple[Peer, Starts] | None:
    instances = np.unique(calls.instance)
    ways: list[tuple[Scope, list[BoolArray]]] = [("service", [np.ones(len(calls), np.bool_)])]
    if len(instances) > 1:
        ways.append(("worker", [calls.instance == number for number in instances.tolist()]))
    for scope, groups in ways:
        capacities = {_slots(calls.chosen(group)) for group in groups}
        if len(capacities) != 1 or None in capacities:
            continue
        [capacity] = capacities
        assert capacity is not None  # noqa: S101 - looked at above
        waits_s = np.zeros(len(calls))
        for group in groups:
            own = calls.chosen(group)
            waits_s[group] = _begins(own.begin_s, own.end_s, capacity) - own.begin_s
        if not _explained(calls, waits_s):
            continue
        waited = waits_s > 0.0
        peer = Peer(
            label=label,
            capacity=capacity,
            scope=scope,
            processes=processes,
            waited=float(waited.mean()),
            wait_s=float(waits_s[waited].mean()),
        )
        starts: Starts = {}
        for row, number, wait_s in zip(
            calls.row.tolist(), calls.number.tolist(), waits_s.tolist(), strict=True
        ):
            starts.setdefault(row, {})[number] = wait_s
        return peer, starts
    return None


def _slots(calls: Calls) -> int | None:
    """Return the least number of slots with which calls end after they begin to be served.

    None where calls would do so anyway.
    """
    going_on = np.arange(len(calls)) - np.searchsorted(np.sort(calls.end_s), calls.begin_s, "right")
    most = int(going_on.max(initial=0)) + 1
    if most > MOST_SLOTS:
        return None

    usual_s = np.sort(calls.late_s - calls.begin_s)

    def too_early(slots: int) -> tuple[int, float]:
        """Return how many calls end before they begin, and how many would by chance."""
        begins_s = _begins(calls.begin_s, calls.early_s, slots)
        waits_s = (begins_s - calls.begin_s)[begins_s > calls.begin_s]
        by_chance = np.searchsorted(usual_s, waits_s, "right").sum() / len(calls)
        return int(np.sum(calls.late_s <= begins_s)), float(by_chance)

    def possible(slots: int) -> bool:
        seen, by_chance = too_early(slots)
        return by_chance < MISSING or seen <= FALSE * by_chance

    slots = bisect.bisect_left(range(1, most), True, key=possible) + 1
    return slots if too_early(slots)[1] >= MISSING else None


def _begins(begin_s: FloatArray, end_s: FloatArray, slots: int) -> FloatArray:
    """Return when calls begin to be served by so many slots, in the order in which they came.

    Parameters
    ----------
    begin_s
        In order.
    """
    going_on: list[float] = []
    found = []
    for begin, end in zip(begin_s.tolist(), end_s.tolist(), strict=True):
        del going_on[: bisect.bisect_right(going_on, begin)]
        free = len(going_on) < slots
        found.append(begin if free else going_on[len(going_on) - slots])
        bisect.insort(going_on, end)
    return np.array(found)


def _explained(calls: Calls, waits_s: FloatArray) -> bool:
    """Tell whether calls that waited were served as fast as those that did not."""
    waited = waits_s > 0.0
    served_s = calls.end_s - calls.begin_s - waits_s
    ratio, errors = longer(served_s, calls.place, waited, least=LEAST_WAITS)
    return abs(errors) < SURE or 1.0 / MUCH < ratio < MUCH


def with_peers(programs: Programs, peers: Sequence[tuple[str, Starts]]) -> Programs:
    """Return the programs in which calls of peers take a slot and wait for one there.

    Parameters
    ----------
    peers
        What the slots are called in the model, and how long calls waited for them.
    """
    waits: dict[int, dict[int, tuple[str, float]]] = {}
    for name, starts in peers:
        for row, own in starts.items():
            waits.setdefault(row, {}).update((at, (name, wait_s)) for at, wait_s in own.items())
    return {
        row: _with_waits(steps, waits[row], 0)[0] if row in waits else steps
        for row, steps in programs.items()
    }


def _with_waits(
    steps: Sequence[ObservedStep], waits: Mapping[int, tuple[str, float]], number: int
) -> tuple[tuple[ObservedStep, ...], int]:
    """Return steps whose calls take slots, and the number of the step after them."""
    found: list[ObservedStep] = []
    for step in steps:
        known = waits.get(number)
        number += 1
        if known is not None:
            found += _served(step, *known)
            continue
        branches = []
        for branch in step.branches:
            inner, number = _with_waits(branch, waits, number)
            branches.append(inner)
        found.append(replace(step, branches=tuple(branches)) if branches else step)
    return tuple(found), number


def _served(step: ObservedStep, name: str, wait_s: float) -> list[ObservedStep]:
    """Return a call that waits for a slot of its peer, and is served."""
    wait_s = min(wait_s, max(step.wall_s - step.late_s - _SHORTEST_S, 0.0))
    served_s = step.wall_s - wait_s
    slot = ObservedStep(
        do="acquire",
        start_s=step.start_s,
        wall_s=wait_s,
        resource=name,
        via=Via.SOCKET,
        after_response=step.after_response,
    )
    return [
        slot,
        replace(
            step,
            start_s=step.start_s + wait_s,
            wall_s=served_s,
            bound_s=min(step.bound_s, served_s),
        ),
        replace(slot, do="release", start_s=step.start_s + step.wall_s, wall_s=0.0),
    ]
