"""Runs of code on the loop, with what arrivals ask of it when they begin.

One entry for each run of each step: its CPU over the mean of its step, how idle the loop was, and
the code that other requests asked for lately.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.observed import walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import ColdCost
from fastsim.spans import RECENT_NS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LASTING_S = 0.1
"""Over which time arrivals are added up, exponentially weighted, to tell what a load changes
(decision 0023)."""
_WILD_RATIO = 3.0
_FEWEST_OF_A_STEP = 20
_STEADIEST = 0.01
"""Code steadier than 1 % counts no more than that: clocks and rounding end there."""


@dataclass(frozen=True, slots=True)
class CodeRuns:
    """Runs of code on the loop, one entry each, of all steps that ran often enough."""

    at_s: FloatArray
    """Begin, seconds from the first request."""
    request: IntArray
    """Row of the request."""
    step: IntArray
    """Which step of the service it is a run of."""
    reached: FloatArray
    """Part of the step's code that idleness makes dearer: its first ``ColdCost.reach``."""
    ratio: FloatArray
    """CPU over the step's own mean."""
    idle: FloatArray
    """Share of the last 20 ms that the loop slept."""
    warm: FloatArray
    """How much of the code was still in the caches."""
    demand: FloatArray
    """Code per time that other arrivals of the last 20 ms ask for, however long it took."""
    lasting: FloatArray
    """The same of the last ``LASTING_S``."""
    weight: FloatArray
    """How much a run says: the step's mean CPU over its variance."""

    @classmethod
    def none(cls) -> "CodeRuns":
        """Return those of a recording without code."""
        count, value = np.zeros(0, np.int64), np.zeros(0)
        return cls(value, count, count, *[value] * 7)

    def __len__(self) -> int:
        return len(self.at_s)


def code_runs(requests: RequestSet, endpoints: list[ObservedEndpoint]) -> CodeRuns:
    """Collect the runs of every step; wild ones, which hold a stop of the loop, are left out."""
    origin = int(requests.start_ns.min())
    usual_s = _code_per_request(requests, endpoints)
    reach_s = ColdCost().reach
    columns: list[tuple[FloatArray, ...]] = []
    for variant in (variant for endpoint in endpoints for variant in endpoint.variants):
        if variant.pooled:
            continue
        for steps, rows in variant.columns():
            if steps[0].do != "cpu" or len(steps) < _FEWEST_OF_A_STEP:
                continue
            cpu = np.array([step.cpu_s for step in steps])
            tame = cpu < _WILD_RATIO * max(float(np.median(cpu)), 1e-12)
            mean = float(cpu[tame].mean()) if tame.any() else 0.0
            if mean <= 0.0:
                continue
            ratio = cpu[tame] / mean
            spread = max(float(ratio.std()), _STEADIEST)
            begun = (requests.start_ns[list(rows)] - origin) / 1e9
            start = np.array([step.start_s for step in steps])
            columns.append(
                (
                    (begun + start)[tame],
                    np.array(rows, np.float64)[tame],
                    np.full(len(ratio), float(len(columns))),
                    np.full(len(ratio), min(reach_s / mean, 1.0)),
                    ratio,
                    np.array([step.idle_share for step in steps])[tame],
                    np.array([step.warm for step in steps])[tame],
                    np.full(len(ratio), mean / spread**2),
                )
            )
    if not columns:
        return CodeRuns.none()
    at_s, row, number, reached, ratio, idle, warm, weight = map(
        np.concatenate, zip(*columns, strict=True)
    )
    request, step = row.astype(np.int64), number.astype(np.int64)
    demand, lasting = np.zeros(len(at_s)), np.zeros(len(at_s))
    arrived_s = (requests.start_ns - origin) / 1e9
    for instance in range(len(requests.instances)):
        own = requests.instance[request] == instance
        of_it = requests.instance == instance
        for memory_s, asked in ((RECENT_NS / 1e9, demand), (LASTING_S, lasting)):
            of_all = recent_demand(arrived_s[of_it], usual_s[of_it], at_s[own], memory_s)
            of_itself = _own_demand(arrived_s, usual_s, request[own], at_s[own], memory_s)
            asked[own] = of_all - of_itself
    return CodeRuns(at_s, request, step, reached, ratio, idle, warm, demand, lasting, weight)


def _code_per_request(requests: RequestSet, endpoints: list[ObservedEndpoint]) -> FloatArray:
    """Return the mean CPU of each request's endpoint, seconds."""
    usual_s = np.zeros(len(requests))
    for endpoint in endpoints:
        rows = [row for variant in endpoint.variants for row in variant.indices]
        spent = sum(
            step.cpu_s
            for variant in endpoint.variants
            for steps in variant.requests
            for step in walk(steps)
            if step.do in {"cpu", "stream"}
        )
        usual_s[rows] = spent / max(len(rows), 1)
    return usual_s


def _own_demand(
    arrived_s: FloatArray,
    code_s: FloatArray,
    request: IntArray,
    at_s: FloatArray,
    memory_s: float,
) -> FloatArray:
    """Return what the request itself has added to the demand that its code meets."""
    gone_s = at_s - arrived_s[request]
    added: FloatArray = np.exp(-np.maximum(gone_s, 0.0) / memory_s) * code_s[request] / memory_s
    return np.where(gone_s > 0.0, added, 0.0)


def recent_demand(
    arrived_s: FloatArray, code_s: FloatArray, at_s: FloatArray, memory_s: float
) -> FloatArray:
    """Return the code per time that recent arrivals ask for, exponentially weighted.

    Parameters
    ----------
    arrived_s, code_s
        When requests came and the code they were going to run, seconds.
    at_s
        Moments asked for, seconds.
    memory_s
        Time after which an arrival counts for ``1/e``.
    """
    if not len(arrived_s):
        return np.zeros(len(at_s))
    order = np.argsort(arrived_s, kind="stable")
    came_s = arrived_s[order]
    kept = np.exp(-np.diff(came_s, prepend=came_s[0]) / memory_s)
    pairs = zip(kept.tolist(), code_s[order].tolist(), strict=True)
    sums = itertools.accumulate(pairs, lambda total, one: total * one[0] + one[1], initial=0.0)
    asked = np.fromiter(sums, np.float64, len(came_s) + 1)
    before = np.searchsorted(came_s, at_s, side="left")
    gone_s = at_s - came_s[np.maximum(before - 1, 0)]
    found: FloatArray = asked[before] * np.exp(-np.maximum(gone_s, 0.0) / memory_s) / memory_s
    return found
