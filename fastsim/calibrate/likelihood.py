"""Maximum likelihood of one family on binned times, some known only as an interval.

Nearby exact times share one density and all interval ends lie on one grid, so the cost of
a step of the search hardly grows with the number of observations.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from fastsim.calibrate.families import Family
from fastsim.model import Distribution

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_GRID = 192
"""Interval ends are moved to the nearest of so many quantiles of themselves."""

_WHOLE = 600
"""So few exact times are not binned."""

_ENDS = 48
"""Smallest and largest exact times that stay single: tails and shifts hang on them."""

_LEAST = 1e-280
_BAD = 1e12
_STEP, _DIFFERENCE = 2e-3, 1e-8
"""Steps of numerical derivatives, of errors and of the search; parameters are logarithms."""


@dataclass(frozen=True, slots=True)
class Binned:
    """Observations as weighted exact times and weighted pairs of grid points, seconds."""

    exact_s: FloatArray
    exact_weight: FloatArray
    grid_s: FloatArray
    low: IntArray
    high: IntArray
    weight: FloatArray
    near: int
    """The first so many pairs begin at or below the typical time; sorted by ``low``."""
    typical_s: FloatArray
    n: int


def bin_observations(low_s: FloatArray, high_s: FloatArray, exact: npt.NDArray[np.bool_]) -> Binned:
    """Bin times in ``[low_s, high_s]``; where ``exact``, both are equal.

    All arrays have shape (n,), n >= 1.
    """
    known, weight = _bin_exact(np.sort(high_s[exact]))
    low, high = low_s[~exact], high_s[~exact]
    grid = np.zeros(1)
    pairs, counts = np.zeros(0, np.intp), np.zeros(0)
    if len(low):
        steps = np.linspace(0.0, 1.0, _GRID + 1)
        grid = np.unique(np.quantile(np.concatenate([low, high]), steps))
        first, last = _nearest(grid, low), _nearest(grid, high)
        # An interval inside one cell is as good as exact.
        narrow = first == last
        known = np.concatenate([known, (low[narrow] + high[narrow]) / 2.0])
        weight = np.concatenate([weight, np.ones(int(narrow.sum()))])
        pairs, found = np.unique((first * len(grid) + last)[~narrow], return_counts=True)
        counts = found.astype(np.float64)
    # Starting values from exact times if there are enough, else from interval middles.
    enough = exact.sum() >= max(8, 0.1 * len(high_s))
    typical = high_s[exact] if enough else (low_s + high_s) / 2.0
    begins = pairs // len(grid)
    return Binned(
        exact_s=known,
        exact_weight=weight,
        grid_s=grid,
        low=begins,
        high=pairs % len(grid),
        weight=counts,
        near=int(np.searchsorted(grid[begins], float(np.median(typical)), side="right")),
        typical_s=typical if len(typical) <= 2000 else typical[:: len(typical) // 1000],
        n=len(high_s),
    )


def _bin_exact(ordered: FloatArray) -> tuple[FloatArray, FloatArray]:
    if len(ordered) <= _WHOLE:
        return ordered, np.ones(len(ordered))
    middle = ordered[_ENDS:-_ENDS]
    logs = np.log(np.maximum(middle, 1e-12))
    # A tenth of the narrowest decile: fine for the tighter of two components, too.
    gaps = np.diff(np.quantile(logs, np.linspace(0.0, 1.0, 11)))
    width = max(float(gaps[gaps > 0.0].min(initial=1.0)) / 10.0, 1e-5)
    _, cell, count = np.unique(
        np.floor((logs - logs[0]) / width), return_inverse=True, return_counts=True
    )
    mean = np.bincount(cell, weights=middle) / count
    ends = np.ones(_ENDS)
    return (
        np.concatenate([ordered[:_ENDS], mean, ordered[-_ENDS:]]),
        np.concatenate([ends, count, ends]),
    )


def _nearest(grid: FloatArray, values: FloatArray) -> IntArray:
    return np.searchsorted((grid[1:] + grid[:-1]) / 2.0, values)


_FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class Candidate:
    """One family at its best."""

    distribution: Distribution
    score: float
    """AICc; smaller is better."""
    fitted: "_Loss"
    parameters: FloatArray

    def quantile_covariance(self, quantiles_s: FloatArray) -> FloatArray | None:
        """Return the covariance of estimated quantiles, seconds squared; shape (m, m).

        By the curvature of the likelihood at its maximum and the delta method; None when
        the maximum is not clear. The choice of family and shift is taken as certain.

        Parameters
        ----------
        quantiles_s
            Shape (m,), the fitted quantiles, shift included.
        """
        with np.errstate(all="ignore"):
            curve = self.fitted.curvature(self.parameters)
            slope = self.fitted.quantile_slope(self.parameters, quantiles_s)
        usable = np.isfinite(curve).all() and np.isfinite(slope).all()
        if not usable:
            return None
        values = np.linalg.eigvalsh(curve)
        # Flat in one direction as far as floats can tell: no maximum, and nothing to solve.
        if values[0] <= _FLAT * max(values[-1], 0.0):
            return None
        return np.asarray(slope @ np.linalg.solve(curve, slope.T), np.float64)


class _Loss:
    """Minus the log-likelihood per observation of one family at one shift."""

    def __init__(self, family: Family, data: Binned, shift_s: float) -> None:
        self.family = family
        self.data = data
        self.shift_s = shift_s
        self.scale_s = max(float(np.median(data.typical_s)) - shift_s, 1e-9)
        self._exact = (data.exact_s - shift_s) / self.scale_s
        self._grid = np.maximum((data.grid_s - shift_s) / self.scale_s, 0.0)

    def __call__(self, parameters: FloatArray) -> float:
        data, total = self.data, 0.0
        with np.errstate(all="ignore"):
            if len(self._exact):
                total += float(data.exact_weight @ self.family.log_density(parameters, self._exact))
            if len(data.weight):
                total += self._intervals(parameters)
        value = -total / data.n
        return value if abs(value) < _BAD else _BAD

    def _intervals(self, parameters: FloatArray) -> float:
        data, near = self.data, self.data.near
        below = self.family.below(parameters, self._grid)
        inside = below[data.high] - below[data.low]
        if near < len(inside):
            # Far out both ends are nearly 1 and their difference is noise.
            above = self.family.above(parameters, self._grid)
            inside[near:] = above[data.low[near:]] - above[data.high[near:]]
        return float(data.weight @ np.log(np.maximum(inside, _LEAST)))

    def with_slope(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        """Return the loss and its slope, by differences that stay within the limits.

        The optimizer would do the same with so much care that it takes longer than the losses.
        """
        value, slope = self(parameters), np.empty(len(parameters))
        for number, (_, high) in enumerate(self.family.limits):
            moved = parameters.copy()
            moved[number] += -_DIFFERENCE if moved[number] + _DIFFERENCE > high else _DIFFERENCE
            slope[number] = (self(moved) - value) / (moved[number] - parameters[number])
        return value, slope

    def start(self) -> FloatArray:
        typical = np.maximum((self.data.typical_s - self.shift_s) / self.scale_s, 1e-9)
        low, high = np.array(self.family.limits).T
        return np.clip(self.family.start(typical), low, high)

    def build(self, parameters: FloatArray) -> Distribution:
        return self.family.build(parameters, self.scale_s, self.shift_s)

    def curvature(self, parameters: FloatArray) -> FloatArray:
        """Return the second derivatives of minus the log-likelihood, shape (k, k)."""
        k = len(parameters)
        moves = np.eye(k) * _STEP
        curve = np.empty((k, k))
        for i in range(k):
            for j in range(i + 1):
                a, b = moves[i], moves[j]
                corners = (
                    self(parameters + a + b)
                    - self(parameters + a - b)
                    - self(parameters - a + b)
                    + self(parameters - a - b)
                )
                curve[i, j] = curve[j, i] = corners * self.data.n / (4.0 * _STEP * _STEP)
        return curve

    def quantile_slope(self, parameters: FloatArray, quantiles_s: FloatArray) -> FloatArray:
        """Return how quantiles move with each parameter, seconds; shape (m, k).

        A quantile stays where the distribution function keeps its value, so it moves by the
        change of that function over the density.
        """
        times = np.maximum((quantiles_s - self.shift_s) / self.scale_s, 1e-12)
        density = np.exp(self.family.log_density(parameters, times))
        moves = np.eye(len(parameters)) * _STEP
        risen = [
            self.family.below(parameters + move, times)
            - self.family.below(parameters - move, times)
            for move in moves
        ]
        return np.asarray(-np.array(risen).T / (2.0 * _STEP * density[:, None]) * self.scale_s)


def maximise(family: Family, data: Binned, shift_s: float = 0.0) -> Candidate | None:
    """Return the family's most likely member; None when the search finds none.

    Parameters
    ----------
    shift_s
        Seconds, below every exact time and every interval's upper end.
    """
    loss = _Loss(family, data, shift_s)
    result = optimize.minimize(
        loss.with_slope, loss.start(), jac=True, method="L-BFGS-B", bounds=family.limits,
        options={"maxiter": 80, "ftol": 1e-9, "gtol": 1e-5},
    )  # fmt: skip
    n, k = data.n, len(result.x) + (shift_s > 0.0)
    if not result.fun < _BAD or n <= k + 1:
        return None
    try:
        distribution = loss.build(result.x)
    except (ValueError, OverflowError):
        return None
    # Densities were taken per unit of ``scale_s``; per second they are smaller by it.
    per_second = float(data.exact_weight.sum()) * float(np.log(loss.scale_s))
    log_likelihood = -float(result.fun) * n - per_second
    score = 2.0 * k - 2.0 * log_likelihood + 2.0 * k * (k + 1) / (n - k - 1)
    return Candidate(distribution, score, loss, np.asarray(result.x, np.float64))
