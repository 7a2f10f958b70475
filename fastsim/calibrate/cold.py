"""How much more code costs on an idle loop than on a busy one.

The same code costs more when the loop has slept most of the last 20 ms; the ratio of each run
to its step's own mean grows with a power of that share, mostly about the cube. Recent idleness
predicts better, and more alike over loads, than the last idle gap (docs/decisions/0004).

How idle the loop was cannot be taken as it is for a cause: a machine that is slow for a moment
makes code dear and the loop busy at once, which hides most of what idleness costs. When requests
arrive is not the machine's doing; nor is when others do what the request is like, whose own size
may make both its waits and its code long. So idleness counts as far as arrivals of others explain
it (two-stage least squares, their demand being the instrument: docs/decisions/0011), in contrasts
of runs of the same step within short windows of time, so that the machine's changing speed cannot
pass for it, nor it for that. Steady code counts for more than code whose length varies by itself.
How well the slope is known goes into the model: short recordings know little of it.
"""

import itertools
import math
from collections.abc import Sequence
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
WINDOW_S = 2.0
"""Only runs so close in time are compared."""
BLOCK_S = 0.5
"""Runs so close in time may err together, by the machine's mood."""
SHORT_WINDOW_S = 0.2
"""The same for arrivals of the last 20 ms, and for how steeply code gets dearer."""
SHORT_IS_NOT_LASTING = 0.5
"""How far what a load changes is from what short arrivals tell, relative to that: root mean square
of nineteen processes (decisions 0011 and 0023)."""
LEAST_SAMPLES = 200
LEAST_RANGE = 0.1
"""Idle shares must differ by so much to say anything."""
USUAL = 0.6
"""Scale of what may be expected before looking: 60 to 85 % were measured (decision 0011)."""
MOST_EXTRA = 2.0
BETWEEN_LOADS = 0.1
"""How far the cost over two loads may be from the fit at the lower one, relative to the fit: more
than eleven processes needed (decision 0023)."""

USUAL_FACTOR = 2.0
"""By so much other powers than the usual one are usual, too: one standard deviation."""
POWERS = tuple(ColdCost().power * USUAL_FACTOR ** (step / 2.0) for step in range(-4, 7))
"""Powers of the idle share that are tried, alike to both sides (decision 0020)."""
_PLAUSIBLE = 0.02
"""Share of the weight below which a power is not looked at."""

_BUSIEST = 0.05
"""Quantile of the idle share: so busy was the loop at times, and hardly ever busier."""
_WILD_RATIO = 3.0
_FEWEST_OF_A_STEP = 20
_ROUNDS = 4
_TRIED = 2001
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
        return cls(value, count, count, value, value, value, value, value, value)

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
                    np.full(len(ratio), mean / spread**2),
                )
            )
    if not columns:
        return CodeRuns.none()
    at_s, row, number, reached, ratio, idle, weight = map(
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
    return CodeRuns(at_s, request, step, reached, ratio, idle, demand, lasting, weight)


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


def fit_cold(runs: CodeRuns, powers: Sequence[float] | None = None) -> ColdCost:
    """Fit the cost of idleness; its error is of chance and of what differs between loads.

    The value is the most likely one, given the contrasts and that it is not below 0 and seldom
    above ``USUAL``. A recording that says nothing gives none, with the error of not knowing.

    Parameters
    ----------
    powers
        Of the idle share, to choose from; the usual one and ``POWERS`` by default.
    """
    usual_power = ColdCost().power
    unknown = ColdCost(error=USUAL, seen=_mean_asleep(runs, usual_power))
    if len(runs) < LEAST_SAMPLES or float(np.ptp(runs.idle)) < LEAST_RANGE:
        return unknown
    weights = _steepness(runs, POWERS if powers is None else powers)
    power = math.exp(sum(weight * math.log(each) for each, weight in weights.items()))
    found = _cost(runs, power)
    if found is None:
        return unknown
    extra, chance = found
    mean = _mean_asleep(runs, power)
    # What a loop costs that is busier than any that was seen, nobody has seen.
    unseen = USUAL * float(np.quantile(runs.idle, _BUSIEST)) ** usual_power
    steep = _busy_loop_sd(runs, weights) * (1.0 + extra * mean) / max(mean, 1e-12)
    return ColdCost(
        extra=extra,
        power=power,
        error=min(math.hypot(chance, BETWEEN_LOADS * extra, unseen, steep), USUAL),
        seen=mean,
    )


def _cost(runs: CodeRuns, power: float) -> tuple[float, float] | None:
    """Return the extra cost with one power, and its standard error; None if nothing tells."""
    lasting = slope_of(runs, power, runs.lasting, WINDOW_S)
    short = slope_of(runs, power, runs.demand, SHORT_WINDOW_S)
    if lasting is None or short is None:
        return None
    dearer, variance = short
    short = dearer, variance + (SHORT_IS_NOT_LASTING * dearer) ** 2
    # Ratios are to the mean, which holds the mean idleness already.
    return _most_likely((lasting, short), _mean_asleep(runs, power))


def _busy_loop_sd(runs: CodeRuns, weights: dict[float, float]) -> float:
    """Return how differently powers say what code costs on a busy loop, of its mean."""
    logs, of = [], []
    for power, weight in weights.items():
        found = _cost(runs, power) if weight >= _PLAUSIBLE else None
        if found is not None:
            logs.append(math.log1p(found[0] * _mean_asleep(runs, power)))
            of.append(weight)
    if not logs:
        return 0.0
    mean = float(np.average(logs, weights=of))
    return math.sqrt(float(np.average((np.array(logs) - mean) ** 2, weights=of)))


def slope_of(
    runs: CodeRuns, power: float, asked: FloatArray, window_s: float
) -> tuple[float, float] | None:
    """Return what idleness adds, over the mean, as far as ``asked`` explains it, and its variance.

    Runs of one request share what the request is like, those of one moment what the machine is
    like: errors are added up first. Blocks of time may be few, and then seem to err too little.
    """
    within = _Contrasts.of(runs, window_s)
    ratio, idle = within(runs.ratio), within(runs.idle**power * runs.reached)
    root = np.sqrt(runs.weight)
    told = np.stack([within(asked), within(asked**2)], axis=1)
    explained = told @ np.linalg.lstsq(told * root[:, None], idle * root, rcond=None)[0]
    information = float(runs.weight @ (explained * idle))
    if information <= 0.0:
        return None
    slope = float(runs.weight @ (explained * ratio)) / information
    score = runs.weight * explained * (ratio - slope * idle)
    square = 0.0
    for group in (runs.request, np.floor(runs.at_s / BLOCK_S)):
        _, number = np.unique(group, return_inverse=True)
        together = np.bincount(number, score)
        square = max(square, float(together @ together))
    return slope, square / information**2


def _most_likely(slopes: Sequence[tuple[float, float]], mean: float) -> tuple[float, float]:
    """Return the extra cost that explains slopes best, and its standard error.

    Ratios are to the mean, which holds the mean idleness already: an extra cost ``e`` makes a slope
    of ``e / (1 + e mean)``, which hardly changes with a large one. What is expected before looking
    is of the cost itself, so that a slope that chance made steep does not become a cost of twice
    the code.

    Parameters
    ----------
    slopes
        And their variances.
    """
    tried = np.linspace(0.0, MOST_EXTRA, _TRIED)
    weights = [1.0 / max(variance, 1e-12) for _, variance in slopes]
    pairs = zip(slopes, weights, strict=True)
    misfit = sum(
        weight * (slope - tried / (1.0 + tried * mean)) ** 2 for (slope, _), weight in pairs
    )
    extra = float(tried[np.argmin(misfit + (tried / USUAL) ** 2)])
    steepness = 1.0 / (1.0 + extra * mean) ** 2
    return extra, 1.0 / math.sqrt(steepness**2 * sum(weights) + 1.0 / USUAL**2)


def _mean_asleep(runs: CodeRuns, power: float) -> float:
    """Return the mean of what multiplies the extra cost, by how much each run says; 0 for none."""
    if not len(runs):
        return 0.0
    return float(np.average(runs.idle**power * runs.reached, weights=runs.weight))


def _steepness(runs: CodeRuns, powers: Sequence[float]) -> dict[float, float]:
    """Return how likely each power of the idle share is, by contrasts within short windows.

    Between shares that are all near 1 code may get dearer by much more than a cube does, and a
    cube would then be carried on to busy loops on which no code is so cheap. How much better one
    power describes the contrasts than another differs from block of time to block: that says how
    sure it is (Vuong's test); a likelihood of single runs is sure of anything.
    """
    within = _Contrasts.of(runs, SHORT_WINDOW_S)
    ratio = within(runs.ratio)
    _, block = np.unique(np.floor(runs.at_s / BLOCK_S), return_inverse=True)
    left: dict[float, FloatArray] = {}
    for power in powers:
        idle = within(runs.idle**power * runs.reached)
        squares = float(runs.weight @ idle**2)
        slope = max(float(runs.weight @ (idle * ratio)) / squares, 0.0) if squares > 0.0 else 0.0
        squared = runs.weight * (ratio - slope * idle) ** 2
        left[power] = np.asarray(np.bincount(block, squared), np.float64)
    best = min(left, key=lambda power: float(left[power].sum()))
    usual = ColdCost().power
    found: dict[float, float] = {}
    for power, of_blocks in left.items():
        worse = of_blocks - left[best]
        square = float(worse.sum() ** 2 / max(worse @ worse, 1e-300))
        unusual = (math.log(power / usual) / math.log(USUAL_FACTOR)) ** 2
        found[power] = math.exp(-(square + unusual) / 2.0)
    total = sum(found.values())
    return {power: weight / total for power, weight in found.items()}


@dataclass(frozen=True, slots=True)
class _Contrasts:
    """Takes out of values the means of the same step, and those of the same window of time."""

    weight: FloatArray
    groups: tuple[tuple[IntArray, FloatArray], ...]
    """To which group each value belongs, and the weight of each group."""

    @classmethod
    def of(cls, runs: CodeRuns, window_s: float) -> "_Contrasts":
        _, window = np.unique(np.floor(runs.at_s / window_s), return_inverse=True)
        _, step = np.unique(runs.step, return_inverse=True)
        totals = (np.maximum(np.bincount(each, runs.weight), 1e-300) for each in (step, window))
        return cls(runs.weight, tuple(zip((step, window), totals, strict=True)))

    def __call__(self, values: FloatArray) -> FloatArray:
        for _ in range(_ROUNDS):  # in turns, because the groups cross
            for group, total in self.groups:
                values = values - (np.bincount(group, self.weight * values) / total)[group]
        return values


def cold_factor(cold: ColdCost, idle_share: FloatArray) -> FloatArray:
    """Return how many times its busy-loop cost short code takes at the given idle shares."""
    return 1.0 + cold.extra * idle_share**cold.power


def on_a_busy_loop(cold: ColdCost, cpu_s: FloatArray, idle_share: FloatArray) -> FloatArray:
    """Return the CPU that code would have taken on a busy loop, seconds."""
    factor = cold_factor(cold, idle_share)
    return np.maximum(cpu_s / factor, cpu_s - cold.reach * (factor - 1.0))
