"""Fit one distribution to times of which many are known only as an interval.

A wait of length ``wall`` that ended at most ``bound`` before it was noticed truly lasted
between ``wall - bound`` and ``wall``. The likelihood takes the density where the wait is
known exactly and the probability of the interval elsewhere (DESIGN.md 4.3). Families are
compared by AICc and checked against the Turnbull estimate; when none fits, the data's own
quantile curve is kept, with a fitted tail.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.families import FAMILIES, Family
from fastsim.calibrate.intervals import measured_errors, model_errors
from fastsim.calibrate.likelihood import Binned, Candidate, bin_observations, maximise
from fastsim.calibrate.mixtures import MIXTURES
from fastsim.calibrate.turnbull import Curve, turnbull
from fastsim.distributions import cdf, mean
from fastsim.laws import SEEN_AT
from fastsim.model import Constant, Distribution, Empirical, Fit, Pareto

FloatArray = npt.NDArray[np.float64]

RESOLUTION_S = 20e-6
"""Intervals shorter than this (or than 2 % of the time) count as exact."""

MAX_SAMPLES = 4000
FEWEST = 8
"""With fewer observations the data themselves are kept."""

_SHIFTS = (0.0, 0.5, 0.9, 0.98)
"""Shifts tried, as parts of the largest possible one; nearer 1 the likelihood degenerates."""
_STEEP = ("expon", "pareto", "light pareto")
"""Laws whose density is highest, and finite, at their begin: it may be the smallest time itself."""

_SIMPLE = ("expon", "gamma", "lognorm", "weibull", "invgauss", "pareto")
_STEPS = np.unique(np.concatenate([np.linspace(0.0, 1.0, 41), [0.01, 0.99, 0.995, 0.999]]))
_CONSTANT_SPREAD = 0.005
_MORE, _ERRORS = 0.2, 8.0
"""By how much a law's mean may be above that of the data: a part of it, and standard errors."""
_FEWEST_IN_TAIL = 20
_LEAST_TAIL = {"pareto": 0.05, "light pareto": 0.01}
"""Share of the values that are the tail, at least: how heavy it is takes many to tell."""


@dataclass(frozen=True, slots=True)
class _Data:
    low: FloatArray
    high: FloatArray
    exact: npt.NDArray[np.bool_]


def fit_distribution(
    wall_s: FloatArray,
    bound_s: FloatArray,
    *,
    max_samples: int = MAX_SAMPLES,
    families: Sequence[str] = (*_SIMPLE, "mixture"),
    tail: str = "pareto",
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
        Names to choose from; ``mixture`` stands for two parts of one family.
    tail
        The family of the highest values where no other describes all of them.
    """
    n = len(wall_s)
    if n == 0:
        return Constant(value=0.0, fit=Fit(n=0))
    data = _prepare(wall_s, bound_s, max_samples)
    censored = 1.0 - float(data.exact.mean())
    ends = [float(data.low.min()), float(data.high.max())]
    observed = Fit(n=n, censored=censored, quantiles=ends)
    constant = _constant(data)
    if constant is not None:
        return Constant(value=constant, fit=observed)
    curve = turnbull(data.low, data.high)
    if n >= FEWEST:
        longest_s = _longest_mean_s(data.high)
        candidates = [
            candidate
            for candidate in _candidates(data, curve, families)
            if mean(candidate.distribution) <= longest_s
        ]
        best = min(candidates, key=lambda item: item.score, default=None)
        if best is not None:
            distance = _distance(best.distribution, curve)
            if distance <= _acceptable(curve.effective):
                errors = model_errors(candidates, curve)
                middle = np.clip(curve.quantile(np.array(SEEN_AT[1:-1])), ends[0], ends[1]).tolist()
                seen = {"quantiles": [ends[0], *middle, ends[1]], "distance": round(distance, 4)}
                found = observed.model_copy(update=seen | errors)
                return best.distribution.model_copy(update={"fit": found})
    return _kept(curve, observed, n, tail)


def _longest_mean_s(high: FloatArray) -> float:
    """Return what a law's mean may be at most, seconds, given the longest that each time was.

    A part of few values near 0 is described well by one that is sometimes thousands of times as
    long as any that was seen; distance and likelihood hardly notice.
    """
    error = float(high.std()) / float(np.sqrt(len(high)))
    return (1.0 + _MORE) * float(high.mean()) + _ERRORS * error


def _acceptable(effective: float) -> float:
    """Return the distance up to which a fit is kept: 3 %, or what chance alone makes.

    1.6 / sqrt(n) is about the 99 % point of the Kolmogorov distance of n exact values from
    their law. Fitted parameters bring the law nearer, so fewer than 1 in 100 right families
    are refused; intervals count for less than exact values (``Curve.effective``).
    """
    return max(0.03, 1.6 / float(np.sqrt(max(effective, 1.0))))


def _kept(curve: Curve, observed: Fit, n: int, family: str) -> Empirical:
    """Return the data's own quantile curve, with a fitted tail for its highest part."""
    errors = measured_errors(curve) if n >= FEWEST else {}
    fit = observed.model_copy(update={"accepted": False} | errors)
    # A handful of values needs no finer curve than themselves.
    steps = _STEPS if n >= FEWEST else np.linspace(0.0, 1.0, max(n, 2))
    share = float(
        np.clip(2 * _FEWEST_IN_TAIL / max(curve.effective, 1.0), _LEAST_TAIL[family], 0.1)
    )
    tail = _tail(curve, share, family)
    body = steps if tail is None else steps * (1.0 - share)
    values = np.maximum.accumulate(np.maximum(curve.quantile(body), 0.0))
    return Empirical(
        probabilities=steps.tolist(),
        values=values.tolist(),
        tail_share=0.0 if tail is None else round(share, 6),
        tail=tail,
        fit=fit,
    )


def _tail(curve: Curve, share: float, family: str) -> Pareto | None:
    """Fit a generalised Pareto law to the highest ``share`` of the estimate; None if too few.

    The estimate rather than the observations: queueing is already taken out of it.
    """
    count = int(curve.effective * share)
    if count < _FEWEST_IN_TAIL:
        return None
    middles = 1.0 - share * (1.0 - (np.arange(count) + 0.5) / count)
    threshold = float(curve.quantile(np.array([1.0 - share]))[0])
    excess = curve.quantile(middles) - threshold
    if not excess[0] >= 0.0 or not excess[-1] > 0.0:
        return None
    data = bin_observations(excess, excess, np.ones(count, np.bool_))
    found = maximise(FAMILIES[family], data)
    law = None if found is None else found.distribution
    return law if isinstance(law, Pareto) else None


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


def _candidates(data: _Data, curve: Curve, families: Sequence[str]) -> list[Candidate]:
    """Fit the simple families, and mixtures where no simple one describes the data well."""
    binned = bin_observations(data.low, data.high, data.exact)
    shifts = _shifts(data, binned)
    simple = [FAMILIES[name] for name in families if name != "mixture"]
    found = [maximise(family, binned, shift) for family in simple for shift in shifts]
    begin = _begin(data, binned)
    if begin is not None:
        steep = [family for family in simple if family.name in _STEEP]
        found += [maximise(family, binned, begin) for family in steep]
    candidates = [candidate for candidate in found if candidate is not None]
    best = min(candidates, key=lambda item: item.score, default=None)
    good = 0.5 * _acceptable(curve.effective)
    if "mixture" in families and (best is None or _distance(best.distribution, curve) > good):
        at = {0.0, best.distribution.shift if best is not None else 0.0}
        candidates += _mixtures(MIXTURES, binned, sorted(at))
    return candidates


def _mixtures(
    families: Sequence[Family], binned: Binned, shifts: Sequence[float]
) -> list[Candidate]:
    found = [maximise(family, binned, shift) for family in families for shift in shifts]
    return [candidate for candidate in found if candidate is not None]


def _shifts(data: _Data, binned: Binned) -> list[float]:
    """Return the shifts worth trying: none, and some large enough to matter."""
    shortest, middle = float(data.high.min()), float(np.median(binned.typical_s))
    tried = [part * shortest for part in _SHIFTS]
    return [shift for shift in tried if shift == 0.0 or shift >= 0.05 * middle]


def _begin(data: _Data, binned: Binned) -> float | None:
    """Return where a law may begin whose density is highest there; None if that is near 0.

    The smallest of ``n`` times lies above it by a part of about ``1 / n`` of their spread.
    """
    shortest, middle = float(data.high.min()), float(np.median(binned.typical_s))
    begin = shortest - (middle - shortest) / len(data.high)
    return begin if begin >= 0.05 * middle and begin < shortest else None


def _distance(distribution: Distribution, curve: Curve) -> float:
    """Return the largest gap between a fitted and the estimated distribution function."""
    return float(np.abs(cdf(distribution, curve.edges_s) - curve.cumulative).max())
