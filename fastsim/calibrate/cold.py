"""How much more code costs on an idle loop than on a busy one.

The same code costs more when the loop has slept most of the last 20 ms; the ratio of each run
to its step's own mean grows with the cube of that share. Recent idleness predicts better, and
more alike over loads, than the last idle gap (docs/decisions/0004).

The slope is found from contrasts within short windows of time, so that the machine's changing
speed cannot pass for it, nor it for that; and steady code counts for more than code whose length
varies by itself. How well it is known goes into the model: short recordings know little of it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import ColdCost

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WINDOW_S = 0.2
LEAST_SAMPLES = 200
LEAST_RANGE = 0.1
"""Idle shares must differ by so much to say anything."""
USUAL = 0.4
"""Scale of what may be expected before looking: 11 to 45 % were measured (decision 0004)."""
MOST_EXTRA = 1.0

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
    ratio: FloatArray
    """CPU over the step's own mean."""
    idle: FloatArray
    """Share of the last 20 ms that the loop slept."""
    weight: FloatArray
    """How much a run says: the step's mean CPU over its variance."""

    def __len__(self) -> int:
        return len(self.at_s)


def code_runs(requests: RequestSet, endpoints: list[ObservedEndpoint]) -> CodeRuns:
    """Collect the runs of every step; wild ones, which hold a stop of the loop, are left out."""
    origin = int(requests.start_ns.min())
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
                    ratio,
                    np.array([step.idle_share for step in steps])[tame],
                    np.full(len(ratio), mean / spread**2),
                )
            )
    if not columns:
        return CodeRuns(*(np.zeros(0),) * 5)  # type: ignore[arg-type]
    at_s, row, ratio, idle, weight = (np.concatenate(each) for each in zip(*columns, strict=True))
    return CodeRuns(at_s, row.astype(np.int64), ratio, idle, weight)


def fit_cold(runs: CodeRuns) -> ColdCost:
    """Fit the cost of idleness, with its standard error.

    The value is the most likely one, given the contrasts and that it is not below 0 and seldom
    above ``USUAL``. A recording that says nothing gives none, with the error of not knowing.
    """
    power = ColdCost().power
    idle_power = runs.idle**power
    # Ratios are to the mean, which holds the mean idleness already.
    mean = float(np.average(idle_power, weights=runs.weight)) if len(runs) else 0.0
    unknown = ColdCost(error=USUAL, seen=mean)
    if len(runs) < LEAST_SAMPLES or float(np.ptp(runs.idle)) < LEAST_RANGE:
        return unknown
    _, window = np.unique(np.floor(runs.at_s / WINDOW_S), return_inverse=True)
    total = np.maximum(np.bincount(window, runs.weight), 1e-300)

    def within(values: FloatArray) -> FloatArray:
        return values - (np.bincount(window, runs.weight * values) / total)[window]

    idle, ratio = within(idle_power), within(runs.ratio)
    information = float(runs.weight @ idle**2)
    if information <= 0.0:
        return unknown
    slope = float(runs.weight @ (idle * ratio)) / information
    left = ratio - slope * idle
    # Runs of one request share what the request is like: their errors are added up first.
    _, request = np.unique(runs.request, return_inverse=True)
    scores = np.bincount(request, runs.weight * idle * left)
    variance = float(scores @ scores) / information**2
    kept = USUAL**2 / (USUAL**2 + variance)
    likely = max(slope * kept, 0.0)
    base = max(1.0 - likely * mean, 1e-3)
    return ColdCost(
        extra=min(likely / base, MOST_EXTRA),
        # d(likely / base) = d(likely) / base**2
        error=min(math.sqrt(kept * variance) / base**2, USUAL),
        seen=mean,
    )


def cold_factor(cold: ColdCost, idle_share: FloatArray) -> FloatArray:
    """Return how many times its busy-loop cost code takes at the given recent idle shares."""
    return 1.0 + cold.extra * idle_share**cold.power
