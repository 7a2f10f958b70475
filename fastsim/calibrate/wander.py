"""How much the machine's speed wandered while recording.

On shared machines the same code takes 15 % more or less time from one fifth of a second to
the next, for all requests alike. That makes queues which no single step explains. Every
step's CPU over its own mean, averaged in short windows, shows it; what is left within windows
is the step's own law.

Means of windows differ by chance, too, and more so where the runs of one request resemble each
other (a large order is slow in all its steps). How much is found by dealing the requests out
to other windows at random: only what exceeds all such shuffles is wandering.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.code_runs import CodeRuns
from fastsim.calibrate.cold import cost_of
from fastsim.calibrate.requests import RequestSet
from fastsim.model import ColdCost, SpeedDoubt, Wander

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WINDOW_S = 0.2
LEAST_WINDOWS = 25
SHUFFLES = 60
STRETCHES = (4, 8, 16)
SURE = 4.0
"""Standard deviations of the shuffles that wandering must exceed them by."""
_MOST_SIGMA = 0.6


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """The speed of the machine by window, and the law it follows."""

    law: Wander
    doubt: SpeedDoubt
    """How well the recording knows the mean."""
    _origin_ns: int
    _factor: FloatArray

    @classmethod
    def steady(cls) -> "MachineSpeed":
        """Return a speed that does not change."""
        return cls(Wander(), SpeedDoubt(), 0, np.ones(1))

    def factors(
        self, requests: RequestSet, rows: tuple[int, ...], start_s: FloatArray
    ) -> FloatArray:
        """Return how many times its typical CPU code took at those moments.

        Parameters
        ----------
        rows
            Requests, by row.
        start_s
            Offset of the code from the start of each request, seconds.
        """
        at = (requests.start_ns[list(rows)] - self._origin_ns) / 1e9 + start_s
        window = np.clip((at / self.law.window).astype(np.int64), 0, len(self._factor) - 1)
        return self._factor[window]


def fit_wander(requests: RequestSet, runs: CodeRuns, cold: ColdCost) -> MachineSpeed:
    """Measure the machine's speed over the recording; constant where it cannot be told."""
    if not len(runs):
        return MachineSpeed.steady()
    origin = int(requests.start_ns.min())
    pieces = CodePieces.of_runs(runs, cold)
    doubt = fit_speed_doubt(pieces)
    flat = MachineSpeed(Wander(), doubt, origin, np.ones(1))
    total, mean = pieces.windows(pieces.window)
    used = total > 0.1 * total.mean()
    if int(used.sum()) < LEAST_WINDOWS:
        return flat
    found = _variance(total[used], mean[used])
    rng = np.random.default_rng(0)
    chance = np.array([pieces.shuffled(rng) for _ in range(SHUFFLES)])
    true = found - float(chance.mean())
    if found <= chance.max() or true <= SURE * float(chance.std(ddof=1)):
        return flat
    # Windows with few runs are drawn towards no change, as far as their chance asks.
    noise = float(chance.mean()) * total.mean() / np.maximum(total, 1e-300)
    factor = np.where(used, 1.0 + mean * true / (true + noise), 1.0)
    sigma = min(float(np.sqrt(true)), _MOST_SIGMA)
    correlation = min(_correlation(mean[used], true), _most_correlation(sigma, doubt))
    law = Wander(sigma=sigma, window=WINDOW_S, correlation=correlation)
    return MachineSpeed(law, doubt, origin, np.maximum(factor, 0.2))


def fit_speed_doubt(pieces: "CodePieces") -> SpeedDoubt:
    """Measure how well the recording knows the mean speed; no doubt where it is too short.

    The recording is cut into few long stretches of equal length, rests left out; the standard
    error of its mean is that of their means (batch means). Slow changes show in long stretches
    only, which are few: the largest error of several lengths is taken. What chance does to those
    means is taken off: the laws that are fitted to the same code say it of themselves.
    """
    windows, order = np.unique(pieces.window, return_inverse=True)
    if len(windows) < LEAST_WINDOWS:
        return SpeedDoubt()
    found = []
    for count in STRETCHES:
        parts = replace(pieces, window=order * count // len(windows))
        found.append((_variance(*parts.windows(parts.window)) / (count - 1), count, parts))
    square, count, parts = max(found, key=lambda each: each[0])
    rng = np.random.default_rng(0)
    chance = float(np.mean([parts.shuffled(rng) for _ in range(SHUFFLES)])) / (count - 1)
    drift = min(math.sqrt(max(square - chance, 0.0)), 1.0)
    return SpeedDoubt(error=drift, drift=drift, over=len(windows) * WINDOW_S)


@dataclass(frozen=True, slots=True)
class CodePieces:
    """The code of one request in one window, one entry each."""

    window: IntArray
    weight: FloatArray
    sum: FloatArray
    """Weighted sum of how far its runs were from their means."""

    @classmethod
    def of(
        cls, window: IntArray, request: IntArray, weight: FloatArray, away: FloatArray
    ) -> "CodePieces":
        """Add up the runs of each request in each window."""
        keys, piece = np.unique(np.stack([window, request]), axis=1, return_inverse=True)
        piece = piece.ravel()
        return cls(keys[0], _sum(piece, weight), _sum(piece, weight * away))

    @classmethod
    def of_runs(cls, runs: CodeRuns, cold: ColdCost) -> "CodePieces":
        """Take what idleness costs out of runs of code, of which there must be some."""
        cost = cost_of(runs, cold)
        away = runs.ratio / (cost / np.average(cost, weights=runs.weight)) - 1.0
        away -= np.average(away, weights=runs.weight)
        window = np.maximum(runs.at_s / WINDOW_S, 0.0).astype(np.int64)
        return cls.of(window, runs.request, runs.weight, away)

    def windows(self, window: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return weight and mean of each window, given the window of each piece."""
        total = _sum(window, self.weight)
        return total, _sum(window, self.sum) / np.maximum(total, 1e-300)

    def shuffled(self, rng: np.random.Generator) -> float:
        """Return the variance between windows that hold other pieces, as many as before."""
        total, mean = self.windows(rng.permutation(self.window))
        used = total > 0.1 * total.mean()
        return _variance(total[used], mean[used])


def _sum(group: IntArray, values: FloatArray) -> FloatArray:
    return np.bincount(group, values).astype(np.float64)


def _variance(total: FloatArray, mean: FloatArray) -> float:
    center = np.average(mean, weights=total)
    return float(np.average((mean - center) ** 2, weights=total))


def _most_correlation(sigma: float, doubt: SpeedDoubt) -> float:
    """Return the correlation of windows from which means of stretches would vary more than they do.

    What resembles its neighbour may yet not last: a law that only knew the neighbours would wander
    for seconds. The mean of ``n`` windows has the variance ``sigma^2 (1 + c) / ((1 - c) n)``, which
    is what ``twin.doubt`` takes off for it.
    """
    if doubt.over <= 0.0:
        return 1.0
    shown = doubt.drift**2 * doubt.over / (sigma**2 * WINDOW_S)
    return max(0.0, (shown - 1.0) / (shown + 1.0))


def _correlation(change: FloatArray, true: float) -> float:
    lagged = float(np.mean(change[1:] * change[:-1])) / true
    return float(np.clip(lagged, 0.0, 0.95))
