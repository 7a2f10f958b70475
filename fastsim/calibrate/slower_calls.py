"""Calls that take longer the more of them go on: a pool, or a peer that queues.

How long a call takes is fitted as a law that no load changes. Where that is not so, forecasts
beyond the recorded load are too good: a peer that serves so many at a time is made part of the
model (``fastsim.calibrate.peers``), anything else has to be said.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.observed import UNKNOWN, signature, walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import Programs
from fastsim.spans import Via

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LEAST_CALLS = 100
SURE = 4.0
"""Standard errors by which calls among many must be longer."""
MUCH = 1.1
"""How many times as long they must be."""
MINOR = 0.2
"""Waits of a place whose median is a smaller part of that of the longest place are no calls, but
what else a library waits for: a connection, the end of a body."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one name, one entry for each, in the order of their begins."""

    row: IntArray
    """Of the request set."""
    number: IntArray
    """Which of the steps of its request, as ``walk`` counts them."""
    place: IntArray
    """Which step of which program: calls of one place are alike."""
    instance: IntArray
    begin_s: FloatArray
    early_s: FloatArray
    late_s: FloatArray
    """When the answer came, at the earliest and at the latest."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def end_s(self) -> FloatArray:
        """When the answer came, as far as that is known."""
        return (self.early_s + self.late_s) / 2.0

    def chosen(self, mask: BoolArray) -> "Calls":
        """Return some of the calls."""
        columns = {name: getattr(self, name)[mask] for name in self.__slots__}
        return replace(self, **columns)


@dataclass(frozen=True, slots=True)
class SlowerCalls:
    """What is slower with more of it."""

    label: str
    ratio: float
    """Mean length of the calls begun while more than usual went on, over that of the others."""

    def sentence(self) -> str:
        """Say what it means."""
        return (
            f"{self.label}: calls take {self.ratio:.1f} times as long while more of them than "
            "usual go on (a pool, or a peer that queues?); the model takes their time as it was "
            "recorded, so beyond that load its latencies are too good"
        )


def calls_by_name(requests: RequestSet, programs: Programs) -> dict[str, Calls]:
    """Return the calls of the requests by whom they are for, or else where they are made."""
    rows: dict[str, list[tuple[int, int, int, int]]] = {}
    times: dict[str, list[tuple[float, float, float]]] = {}
    places: dict[tuple[object, ...], int] = {}
    origin = int(requests.start_ns.min())
    for row, steps in programs.items():
        start_s = (int(requests.start_ns[row]) - origin) / 1e9
        kind = (int(requests.endpoint[row]), signature(steps))
        instance = int(requests.instance[row])
        for number, step in enumerate(walk(steps)):
            name = step.label or step.where
            if step.do == "wait" and step.via is Via.SOCKET and name not in {"", UNKNOWN}:
                place = places.setdefault((*kind, number), len(places))
                begin_s = start_s + step.start_s
                end_s = begin_s + step.wall_s
                rows.setdefault(name, []).append((row, number, place, instance))
                times.setdefault(name, []).append(
                    (begin_s, end_s - step.bound_s, end_s - step.late_s)
                )
    found = {}
    for label in sorted(rows):
        begin_s, early_s, late_s = np.array(times[label], np.float64).T
        order = np.argsort(begin_s, kind="stable")
        row, number_of, place_of, instance_of = np.array(rows[label], np.int64)[order].T
        calls = Calls(
            row=row,
            number=number_of,
            place=place_of,
            instance=instance_of,
            begin_s=begin_s[order],
            early_s=early_s[order],
            late_s=late_s[order],
        )
        found[label] = calls.chosen(_weighty(calls))
    return found


def _weighty(calls: Calls) -> BoolArray:
    """Tell which calls are of places that wait for more than a moment."""
    length_s = calls.end_s - calls.begin_s
    typical_s = np.zeros(len(calls))
    for place in np.unique(calls.place).tolist():
        own = calls.place == place
        typical_s[own] = np.median(length_s[own])
    return np.asarray(typical_s >= MINOR * typical_s.max(initial=0.0), np.bool_)


def slower_calls(calls: dict[str, Calls]) -> tuple[SlowerCalls, ...]:
    """Find calls that take longer while more of the same name go on.

    Their own queueing for the event loop is taken out as far as it is known. Calls are compared
    with those of the same place in the same program, in the order of their lengths: a peer that
    is slower for some requests than for others is not meant.
    """
    found = []
    for label, each in calls.items():
        if len(each) >= LEAST_CALLS:
            going_on = np.searchsorted(each.begin_s, each.begin_s, "left")
            going_on -= np.searchsorted(np.sort(each.end_s), each.begin_s, "right")
            many = np.zeros(len(each), np.bool_)
            for number in np.unique(each.place):
                own = each.place == number
                many[own] = going_on[own] > np.median(going_on[own])
            ratio, errors = longer(each.end_s - each.begin_s, each.place, many)
            if ratio > MUCH and errors > SURE:
                found.append(SlowerCalls(label, ratio))
    return tuple(found)


def longer(
    length_s: FloatArray, place: IntArray, some: BoolArray, *, least: int = LEAST_CALLS // 4
) -> tuple[float, float]:
    """Return how much longer some calls take than the others, and by how many standard errors.

    Their ranks among those of their place are compared, which are evenly spread over 0 to 1,
    whatever the law. With fewer than ``least`` of either kind nothing differs.
    """
    rest = ~some
    if min(some.sum(), rest.sum()) < least:
        return 1.0, 0.0
    rank = np.zeros(len(length_s))
    for number in np.unique(place):
        own = place == number
        rank[own] = np.argsort(np.argsort(length_s[own])) / max(own.sum() - 1, 1)
    error = np.sqrt((1.0 / some.sum() + 1.0 / rest.sum()) / 12.0)
    ratio = float(length_s[some].mean() / length_s[rest].mean())
    return ratio, float(rank[some].mean() - rank[rest].mean()) / float(error)
