"""Calls that take longer the more of them go on: a pool, or a peer that queues.

How long a call takes is fitted as a law that no load changes. Where that is not so, forecasts
beyond the recorded load are too good, and have to say so.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.observed import signature, walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import Programs

FloatArray = npt.NDArray[np.float64]

LEAST_CALLS = 100
SURE = 4.0
"""Standard errors by which calls among many must be longer."""
MUCH = 1.1
"""How many times as long they must be."""


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


def slower_calls(requests: RequestSet, programs: Programs) -> tuple[SlowerCalls, ...]:
    """Find waits that take longer while more of the same kind go on.

    Their own queueing for the event loop is taken out as far as it is known. Calls are compared
    with those of the same place in the same program, in the order of their lengths: a peer that
    is slower for some requests than for others is not meant.
    """
    waits: dict[str, list[tuple[float, float, int]]] = {}
    places: dict[tuple[object, ...], int] = {}
    origin = int(requests.start_ns.min())
    for row, steps in programs.items():
        start_s = (int(requests.start_ns[row]) - origin) / 1e9
        kind = (int(requests.endpoint[row]), signature(steps))
        for number, step in enumerate(walk(steps)):
            if step.do == "wait":
                place = places.setdefault((*kind, number), len(places))
                took_s = step.wall_s - (step.bound_s + step.late_s) / 2.0
                waits.setdefault(step.label, []).append((start_s + step.start_s, took_s, place))
    found = []
    for label, calls in sorted(waits.items()):
        if len(calls) >= LEAST_CALLS:
            begin, length, place_of = np.array(calls).T
            ratio = _ratio(begin, length, place_of)
            if ratio is not None:
                found.append(SlowerCalls(label, ratio))
    return tuple(found)


def _ratio(begin: FloatArray, length: FloatArray, place: FloatArray) -> float | None:
    """Return how much longer calls among many take; None for no more than by chance."""
    going_on = np.searchsorted(np.sort(begin), begin, "left")
    going_on -= np.searchsorted(np.sort(begin + length), begin, "right")
    rank = np.zeros(len(length))
    many = np.zeros(len(length), np.bool_)
    for number in np.unique(place):
        own = place == number
        rank[own] = np.argsort(np.argsort(length[own])) / max(own.sum() - 1, 1)
        many[own] = going_on[own] > np.median(going_on[own])
    few = ~many
    if min(many.sum(), few.sum()) < LEAST_CALLS // 4:
        return None
    # Ranks are evenly spread over 0 to 1, whatever the law.
    error = np.sqrt((1.0 / many.sum() + 1.0 / few.sum()) / 12.0)
    ratio = float(length[many].mean() / length[few].mean())
    longer = float(rank[many].mean() - rank[few].mean()) > SURE * error
    return ratio if longer and ratio > MUCH else None
