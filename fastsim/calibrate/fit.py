"""Fit one distribution to times of which many are known only as an interval.

A wait of length ``wall`` that ended at most ``bound`` before it was noticed truly lasted
between ``wall - bound`` and ``wall``. The likelihood takes the density where the wait is
known exactly and the probability of the interval elsewhere (DESIGN.md 4.3). Families are
compared by AICc and checked against the Turnbull estimate; when none fits, the data's own
quantile curve is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from fastsim.calibrate.families import FAMILIES, Family
from fastsim.calibrate.turnbull import Curve, turnbull
from fastsim.distributions import cdf
from fastsim.model import Constant, Counts, Distribution, Empirical, Fit

FloatArray = npt.NDArray[np.float64]

RESOLUTION_S = 20e-6
"""Intervals shorter than this (or than 2 % of the time) count as exact."""

MAX_SAMPLES = 4000
FEWEST = 8
"""With fewer observations the data themselves are kept."""

_SHIFTS = (0.0, 0.5, 0.9, 0.98)
"""Shifts tried, as parts of the largest possible one; nearer 1 the likelihood degenerates."""

_SIMPLE = ("expon", "gamma", "lognorm", "weibull", "invgauss")
_STEPS = np.unique(
    np.concatenate([np.linspace(0.0, 1.0, 41), [0.01, 0.99, 0.995, 0.999]])
)
_CONSTANT_SPREAD = 0.005
_MAX_SUPPORT = 64
_BAD = 1e15


@dataclass(frozen=True, slots=True)
class _Data:
    low: FloatArray
    high: FloatArray
    exact: npt.NDArray[np.bool_]

    @property
    def typical(self) -> FloatArray:
        """Values to start from: the exact ones if there are enough, else interval middles."""
        if self.exact.sum() >= max(FEWEST, 0.1 * len(self.high)):
            return self.high[self.exact]
        return (self.low + self.high) / 2.0


@dataclass(frozen=True, slots=True)
class _Candidate:
    distribution: Distribution
    score: float
    """AICc; smaller is better."""


def fit_distribution(
    wall_s: FloatArray,
    bound_s: FloatArray,
    *,
    max_samples: int = MAX_SAMPLES,
    families: Sequence[str] = (*_SIMPLE, "mixture"),
) -> Distribution:
    """Fit the law of the true times.

    Parameters
    ----------
    wall_s
        Shape (n,), seconds, >= 0: the longest each time can have been.
    bound_s
        Shape (n,), seconds, >= 0: by how much it can have been shorter; 0 if exact.
    max_samples
        More observations than this are thinned evenly.
    families
        Names to choose from.
    """
    n = len(wall_s)
    if n == 0:
        return Constant(value=0.0, fit=Fit(n=0))
    data = _prepare(wall_s, bound_s, max_samples)
    censored = 1.0 - float(data.exact.mean())
    observed = Fit(n=n, censored=censored, low=float(data.low.min()), high=float(data.high.max()))
    constant = _constant(data)
    if constant is not None:
        return Constant(value=constant, fit=observed)
    curve = turnbull(data.low, data.high)
    if n >= FEWEST:
        best = _choose(data, curve, families)
        if best is not None:
            distance = _distance(best, curve)
            if distance <= _acceptable(len(data.high)):
                return best.model_copy(
                    update={"fit": observed.model_copy(update={"distance": round(distance, 4)})}
                )
    # A handful of values needs no finer curve than themselves.
    steps = _STEPS if n >= FEWEST else np.linspace(0.0, 1.0, max(n, 2))
    return Empirical(
        probabilities=steps.tolist(),
        values=np.maximum.accumulate(np.maximum(curve.quantile(steps), 0.0)).tolist(),
        fit=observed.model_copy(update={"accepted": False}),
    )


def _acceptable(n: int) -> float:
    """Return the distance up to which a fit is kept: 3 %, or what ``n`` values show by chance.

    1.6 / sqrt(n) is about the 99 % point of the Kolmogorov distance of n exact values.
    """
    return max(0.03, 1.6 / float(np.sqrt(n)))


def _prepare(wall_s: FloatArray, bound_s: FloatArray, max_samples: int) -> _Data:
    high = np.maximum(np.asarray(wall_s, np.float64), 0.0)
    low = np.maximum(high - np.maximum(np.asarray(bound_s, np.float64), 0.0), 0.0)
    if len(high) > max_samples:
        keep = np.linspace(0, len(high) - 1, max_samples).astype(np.int64)
        high, low = high[keep], low[keep]
    exact = high - low <= np.maximum(RESOLUTION_S, 0.02 * high)
    return _Data(np.where(exact, high, low), high, exact)


def _constant(data: _Data) -> float | None:
    values = data.high[data.exact]
    if len(values) < max(3, 0.2 * len(data.high)):
        return None
    middle = float(np.median(values))
    spread = float(np.quantile(values, 0.99) - np.quantile(values, 0.01))
    return middle if spread <= max(_CONSTANT_SPREAD * middle, 1e-9) else None


def _choose(data: _Data, curve: Curve, families: Sequence[str]) -> Distribution | None:
    """Return the best simple family, or a mixture when that is clearly better."""
    simple = [name for name in families if name != "mixture"]
    candidates = [found for name in simple for found in _fits(FAMILIES[name], data)]
    best = min(candidates, key=lambda item: item.score, default=None)
    good = 0.5 * _acceptable(len(data.high))
    if "mixture" in families and (
        best is None or _distance(best.distribution, curve) > good
    ):
        shifts = {0.0, best.distribution.shift if best is not None else 0.0}
        found = [_fit(FAMILIES["mixture"], data, shift) for shift in sorted(shifts)]
        mixtures = [candidate for candidate in found if candidate is not None]
        best = min([*mixtures, *([best] if best else [])], key=lambda x: x.score, default=None)
    return None if best is None else best.distribution


def _fits(family: Family, data: _Data) -> list[_Candidate]:
    shortest = float(data.high.min())
    found = []
    for part in _SHIFTS:
        shift = part * shortest
        if part and shift < 0.05 * float(np.median(data.typical)):
            continue
        candidate = _fit(family, data, shift)
        if candidate is not None:
            found.append(candidate)
    return found


def _fit(family: Family, data: _Data, shift: float) -> _Candidate | None:
    scale = max(float(np.median(data.typical)) - shift, 1e-9)
    exact = (data.high[data.exact] - shift) / scale
    low = np.maximum(data.low[~data.exact] - shift, 0.0) / scale
    high = (data.high[~data.exact] - shift) / scale
    start = family.start(np.maximum((data.typical - shift) / scale, 1e-9))

    def loss(parameters: FloatArray) -> float:
        with np.errstate(all="ignore"):
            value = -float(np.sum(family.log_density(parameters, exact)))
            if len(high):
                inside = family.below(parameters, high) - family.below(parameters, low)
                value -= float(np.sum(np.log(np.maximum(inside, 1e-30))))
        return value if np.isfinite(value) else _BAD

    result = optimize.minimize(
        loss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 0.02, "maxfev": 600}
    )
    if not result.fun < _BAD or np.abs(result.x).max() > 30.0:
        return None
    try:
        distribution = family.build(result.x, scale, shift)
    except (ValueError, OverflowError):
        return None
    n, k = len(data.high), len(result.x) + (shift > 0.0)
    if n <= k + 1:
        return None
    # The density was taken per unit of ``scale``; per second it is smaller by that factor.
    log_likelihood = -float(result.fun) - len(exact) * float(np.log(scale))
    score = 2.0 * k - 2.0 * log_likelihood + 2.0 * k * (k + 1) / (n - k - 1)
    return _Candidate(distribution, score)


def _distance(distribution: Distribution, curve: Curve) -> float:
    """Return the largest gap between a fitted and the estimated distribution function."""
    return float(np.abs(cdf(distribution, curve.edges_s) - curve.cumulative).max())


def fit_counts(values: npt.NDArray[np.int64]) -> Counts:
    """Return the observed distribution of whole numbers, on at most 64 of them.

    Neighbouring counts are joined at their mean, rounded, so the mean stays within one half.
    """
    if len(values) == 0:
        return Counts(values=[0], weights=[1.0])
    support, frequency = np.unique(np.asarray(values, np.int64), return_counts=True)
    if len(support) > _MAX_SUPPORT:
        groups = np.array_split(np.sort(np.asarray(values, np.int64)), _MAX_SUPPORT)
        joined = [(round(float(group.mean())), len(group)) for group in groups]
        support = np.array([value for value, _ in joined])
        frequency = np.array([count for _, count in joined])
    return Counts(
        values=support.tolist(), weights=(frequency / frequency.sum()).round(6).tolist()
    )
