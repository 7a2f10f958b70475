"""What caches do to code: how much dearer an idle loop makes it, and how much cheaper a warm one.

The same code costs more when the loop has slept most of the last 20 ms; the ratio of each run
to its step's own mean grows with a power of that share, mostly about the cube. Recent idleness
predicts better, and more alike over loads, than the last idle gap (docs/decisions/0004). Code that
ran just now costs less, whatever the loop did before (docs/decisions/0026); how warm a run was,
``fastsim.calibrate.warmth`` tells. Both are found together: each leaves the other's share out.

How idle the loop was cannot be taken as it is for a cause: a machine that is slow for a moment
makes code dear and the loop busy at once, which hides most of what idleness costs. When requests
arrive is not the machine's doing; nor is when others do what the request is like, whose own size
may make both its waits and its code long. So idleness counts as far as arrivals of others explain
it (two-stage least squares, their demand being the instrument: docs/decisions/0011), in contrasts
of runs of the same step within short windows of time, so that the machine's changing speed cannot
pass for it, nor it for that. Steady code counts for more than code whose length varies by itself.
How well the slope is known goes into the model: short recordings know little of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.code_runs import CodeRuns
from fastsim.model import ColdCost

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WINDOW_S = 2.0
"""Only runs so close in time are compared."""
BLOCK_S = 0.5
"""Runs so close in time may err together, by the machine's mood."""
SHORT_WINDOW_S = 0.2
"""The same for arrivals of the last 20 ms, and for how steeply code gets dearer."""
SHORT_IS_NOT_LASTING = 0.5
"""How far what a load changes may be from what short arrivals tell, relative to that: 0.35 is the
root mean square of nineteen processes, nearly always less (decisions 0011 and 0023)."""
LEAST_SAMPLES = 200
LEAST_RANGE = 0.1
"""Idle shares must differ by so much to say anything."""
USUAL = 0.6
"""Scale of what may be expected before looking: 60 to 85 % were measured (decision 0011)."""
MOST_EXTRA = 2.0
MOST_LESS = 0.75
"""Processors that were measured have 0.5 to 0.74 (decision 0026)."""
LEAST_LEFT = 0.1
"""Of what code costs, whatever is taken off."""
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
_ROUNDS = 4
_TRIED = 2001


def fit_cold(runs: CodeRuns, powers: Sequence[float] | None = None) -> ColdCost:
    """Fit the cost of idleness and of warmth; errors are of chance and of what loads differ by.

    The values are the most likely ones, given the contrasts and that they are not below 0 and
    seldom above ``USUAL``. A recording that says nothing gives none, with the error of not knowing.

    Parameters
    ----------
    powers
        Of the idle share, to be weighed; ``POWERS`` by default.
    """
    usual_power = ColdCost().power
    unknown = ColdCost(error=USUAL, seen=_mean_asleep(runs, usual_power))
    if len(runs) < LEAST_SAMPLES or float(np.ptp(runs.idle)) < LEAST_RANGE:
        return unknown
    groups = groups_of(runs)
    short = Told.of(runs, runs.demand, SHORT_WINDOW_S, groups)
    lasting = Told.of(runs, runs.lasting, WINDOW_S, groups)
    weights = _steepness(short, POWERS if powers is None else powers)
    power = math.exp(sum(weight * math.log(each) for each, weight in weights.items()))
    found = _cost(short, lasting, power)
    if found is None:
        return unknown
    if found.less == 0.0 and runs.warm.any():  # warmth saves nothing: idleness is that of all code
        cold = fit_cold(replace(runs, warm=np.zeros(len(runs))), powers)
        return cold.model_copy(update={"warm": found.warm})
    doubtful = math.hypot(found.less_error, BETWEEN_LOADS * found.less) if found.less else 0.0
    # What a loop costs that is busier than any that was seen, nobody has seen.
    unseen = USUAL * float(np.quantile(runs.idle, _BUSIEST)) ** usual_power
    steep = _busy_loop_sd(short, lasting, weights) * found.in_the_mean / max(found.seen, 1e-12)
    error = math.hypot(found.error, BETWEEN_LOADS * found.extra, unseen, steep)
    return found.model_copy(update={"error": min(error, USUAL), "less_error": min(doubtful, USUAL)})


Groups = tuple[IntArray, IntArray]
"""The number of each run's request, and of its block of time: runs of one group err together."""


def groups_of(runs: CodeRuns) -> Groups:
    """Return which runs err together."""
    _, request = np.unique(runs.request, return_inverse=True)
    _, block = np.unique(np.floor(runs.at_s / BLOCK_S), return_inverse=True)
    return request, block


@dataclass(frozen=True, slots=True)
class Told:
    """Contrasts of runs, and what some demand explains of them."""

    runs: CodeRuns
    within: "_Contrasts"
    warm: FloatArray
    """Contrasts of how warm code was, within reach."""
    whole: FloatArray
    """Contrasts of the ratio."""
    ratio: FloatArray
    """What warmth leaves of them, and of those below."""
    asked: FloatArray
    """Contrasts of the demand and of its square on cold code, shape (n, 2)."""
    groups: Groups

    @classmethod
    def of(cls, runs: CodeRuns, asked: FloatArray, window_s: float, groups: Groups) -> "Told":
        """Compare runs within windows of time, and see what ``asked`` explains."""
        within = _Contrasts.of(runs, window_s)
        warm, whole = within(runs.warm * runs.reached), within(runs.ratio)
        on_cold = (asked * (1.0 - runs.warm), asked**2 * (1.0 - runs.warm))
        told = [_beside(warm, within(each), runs.weight) for each in on_cold]
        ratio = _beside(warm, whole, runs.weight)
        return cls(runs, within, warm, whole, ratio, np.stack(told, axis=1), groups)

    def idle(self, power: float) -> FloatArray:
        """Return what warmth leaves of contrasts of what multiplies the extra cost."""
        return _beside(self.warm, self.within(_asleep(self.runs, power)), self.runs.weight)

    def slope(self, power: float) -> tuple[float, float] | None:
        """Return what idleness adds, over the mean, as far as demand explains it; its variance.

        Runs of one request share what the request is like, those of one moment what the machine is
        like: errors are added up first. Blocks may be few, and then seem to err too little.
        """
        weight, idle = self.runs.weight, self.idle(power)
        root = np.sqrt(weight)
        found = np.linalg.lstsq(self.asked * root[:, None], idle * root, rcond=None)[0]
        explained = self.asked @ found
        information = float(weight @ (explained * idle))
        if information <= 0.0:
            return None
        slope = float(weight @ (explained * self.ratio)) / information
        return slope, self._variance(explained, self.ratio - slope * idle) / information**2

    def warm_slope(self, idle_slope: float, power: float) -> tuple[float, float]:
        """Return what warmth takes off, over the mean, beside idleness; its variance."""
        information = float(self.runs.weight @ self.warm**2)
        if information <= 0.0:
            return 0.0, math.inf
        beside = self.whole - idle_slope * self.within(_asleep(self.runs, power))
        slope = -float(self.runs.weight @ (self.warm * beside)) / information
        return slope, self._variance(self.warm, beside + slope * self.warm) / information**2

    def _variance(self, explained: FloatArray, left: FloatArray) -> float:
        """Return the variance of what some contrasts add up to with what is left unexplained."""
        score = self.runs.weight * explained * left
        together = [np.bincount(group, score) for group in self.groups]
        return max(float(each @ each) for each in together)


def _beside(known: FloatArray, values: FloatArray, weight: FloatArray) -> FloatArray:
    """Return what is left of values beside their slope over what is known."""
    total = float(weight @ known**2)
    return values - known * (float(weight @ (known * values)) / total) if total > 0.0 else values


def _cost(short: Told, lasting: Told, power: float) -> ColdCost | None:
    """Return what idleness and warmth cost with one power; None if nothing tells.

    Errors are of chance alone.
    """
    of_short, of_lasting = short.slope(power), lasting.slope(power)
    if of_short is None or of_lasting is None:
        return None
    dearer, variance = of_short
    of_short = dearer, variance + (SHORT_IS_NOT_LASTING * dearer) ** 2
    # Ratios are to the mean, which holds the mean idleness and warmth already.
    seen, warm = _mean_asleep(short.runs, power), _mean(short.runs, short.runs.warm)
    extra = error = less = less_error = warmed = 0.0
    for _ in range(_ROUNDS):
        extra, error = _most_likely((of_lasting, of_short), seen, warmed)
        # The mean cost, of what a busy loop has, if the slope of warmth is as it was.
        mean = (1.0 + extra * seen) / (1.0 + warmed)
        slope, variance = short.warm_slope(extra / mean, power)
        mean = (1.0 + extra * seen) / (1.0 + max(slope, 0.0) * warm)
        told = 1.0 / max(mean**2 * variance, 1e-12)
        known = told + 1.0 / USUAL**2
        less = min(max(slope * mean, 0.0) * told / known, MOST_LESS)
        less_error = 1.0 / math.sqrt(known)
        warmed = less * warm / max(1.0 + extra * seen - less * warm, LEAST_LEFT)
    return ColdCost(
        extra=extra,
        power=power,
        error=error,
        seen=seen,
        less=less,
        less_error=less_error,
        warm=warm,
    )


def _busy_loop_sd(short: Told, lasting: Told, weights: dict[float, float]) -> float:
    """Return how differently powers say what code costs on a busy loop, of its mean."""
    logs, of = [], []
    for power, weight in weights.items():
        found = _cost(short, lasting, power) if weight >= _PLAUSIBLE else None
        if found is not None:
            logs.append(math.log(found.in_the_mean))
            of.append(weight)
    if not logs:
        return 0.0
    mean = float(np.average(logs, weights=of))
    return math.sqrt(float(np.average((np.array(logs) - mean) ** 2, weights=of)))


def _most_likely(
    slopes: Sequence[tuple[float, float]], mean: float, warmed: float
) -> tuple[float, float]:
    """Return the extra cost that explains slopes best, and its standard error.

    Ratios are to the mean, which holds the mean idleness already: an extra cost ``e`` makes a slope
    of ``e / (1 + e mean)``, which hardly changes with a large one. What is expected before looking
    is of the cost itself, so that a slope that chance made steep does not become a cost of twice
    the code.

    Parameters
    ----------
    slopes
        And their variances.
    mean
        What multiplies the extra cost, in the mean.
    warmed
        What warmth took off in the mean, of what was left.
    """
    slopes = [(slope / (1.0 + warmed), square / (1.0 + warmed) ** 2) for slope, square in slopes]
    tried = np.linspace(0.0, MOST_EXTRA, _TRIED)
    weights = [1.0 / max(variance, 1e-12) for _, variance in slopes]
    pairs = zip(slopes, weights, strict=True)
    misfit = sum(
        weight * (slope - tried / (1.0 + tried * mean)) ** 2 for (slope, _), weight in pairs
    )
    extra = float(tried[np.argmin(misfit + (tried / USUAL) ** 2)])
    steepness = 1.0 / (1.0 + extra * mean) ** 2
    return extra, 1.0 / math.sqrt(steepness**2 * sum(weights) + 1.0 / USUAL**2)


def _asleep(runs: CodeRuns, power: float) -> FloatArray:
    """Return what multiplies the extra cost of each run."""
    return runs.idle**power * (1.0 - runs.warm) * runs.reached


def _mean_asleep(runs: CodeRuns, power: float) -> float:
    """Return the mean of what multiplies the extra cost, by how much each run says; 0 for none."""
    return float(np.average(_asleep(runs, power), weights=runs.weight)) if len(runs) else 0.0


def _mean(runs: CodeRuns, values: FloatArray) -> float:
    """Return the mean of values within reach, by how much each run says."""
    return float(np.average(values * runs.reached, weights=runs.weight))


def _steepness(told: Told, powers: Sequence[float]) -> dict[float, float]:
    """Return how likely each power of the idle share is, by contrasts within short windows.

    Between shares that are all near 1 code may get dearer by much more than a cube does, and a
    cube would then be carried on to busy loops on which no code is so cheap. How much better one
    power describes the contrasts than another differs from block of time to block: that says how
    sure it is (Vuong's test); a likelihood of single runs is sure of anything.
    """
    weight, (_, block) = told.runs.weight, told.groups
    left: dict[float, FloatArray] = {}
    for power in powers:
        idle = told.idle(power)
        total = float(weight @ idle**2)
        slope = max(float(weight @ (idle * told.ratio)) / total, 0.0) if total > 0.0 else 0.0
        squares = weight * (told.ratio - slope * idle) ** 2
        left[power] = np.asarray(np.bincount(block, squares), np.float64)
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


def cold_factor(
    cold: ColdCost, idle_share: FloatArray, warm: FloatArray | float = 0.0
) -> FloatArray:
    """Return how many times its busy-loop cost short code takes, by idleness and warmth."""
    warm = warm if cold.less else 0.0
    found: FloatArray = 1.0 + cold.extra * idle_share**cold.power * (1.0 - warm) - cold.less * warm
    return found


def cost_of(runs: CodeRuns, cold: ColdCost) -> FloatArray:
    """Return how many times its busy-loop cost each run took, as far as idleness and warmth go."""
    found: FloatArray = 1.0 + (cold_factor(cold, runs.idle, runs.warm) - 1.0) * runs.reached
    return found


def on_a_busy_loop(
    cold: ColdCost, cpu_s: FloatArray, idle_share: FloatArray, warm: FloatArray | float = 0.0
) -> FloatArray:
    """Return the CPU that code would have taken on a busy loop, not run for long, seconds."""
    factor = cold_factor(cold, idle_share, warm)
    all_of_it, beginning = cpu_s / factor, cpu_s - cold.reach * (factor - 1.0)
    found: FloatArray = np.where(
        factor > 1.0, np.maximum(all_of_it, beginning), np.minimum(all_of_it, beginning)
    )
    return found
