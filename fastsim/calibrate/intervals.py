"""How far fitted quantiles can be off: what ``Fit`` keeps for people and for the twin.

The 90 % intervals hold the doubt about parameters and about the choice of family and shift:
each candidate counts with its Akaike weight, and its distance from the best adds to its
own variance (K. P. Burnham, D. R. Anderson, Model Selection and Multimodel Inference, 2002,
4.3.2).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.likelihood import Candidate
from fastsim.calibrate.turnbull import Curve
from fastsim.distributions import percentile
from fastsim.model import Distribution

FloatArray = npt.NDArray[np.float64]
Fields = dict[str, object]
"""Values of fields of ``Fit``."""

PROBABILITIES = (0.5, 0.95, 0.99)
_NAMES = ("median", "p95", "p99")
_Z90 = 1.6449
_UNLIKELY = 10.0
"""Candidates whose AICc is this much above the best weigh less than 1 %."""


def model_errors(candidates: Sequence[Candidate], curve: Curve) -> Fields:
    """Return intervals and errors of the best of the candidates.

    Where its likelihood has no clear maximum they are those of the data themselves.
    """
    best = min(candidates, key=lambda item: item.score)
    quantiles = _quantiles(best.distribution)
    covariance = np.zeros((3, 3))
    total = 0.0
    for candidate in candidates:
        behind = candidate.score - best.score
        if behind > _UNLIKELY:
            continue
        own = quantiles if candidate is best else _quantiles(candidate.distribution)
        around = candidate.quantile_covariance(own)
        if around is None:
            if candidate is best:
                return measured_errors(curve)
            continue
        weight = float(np.exp(-0.5 * behind))
        off = own - quantiles
        covariance += weight * (around + np.outer(off, off))
        total += weight
    return _fields(quantiles, covariance / total, best.distribution.shift)


def measured_errors(curve: Curve) -> Fields:
    """Return intervals and errors of the quantiles of the data, with no family assumed.

    By the binomial number of values below a quantile, and half a sample at either end.
    """
    at = np.array(PROBABILITIES)
    spread = _Z90 * np.sqrt(at * (1.0 - at) / max(curve.effective, 1.0))
    low, middle, high = (
        np.maximum(curve.quantile(np.clip(at + move, 0.0, 1.0)), 0.0)
        for move in (-spread, 0.0 * spread, spread)
    )
    fields = _named(low, high)
    if not middle[0] > 0.0 or not middle[1] > middle[0] or not low[0] > 0.0:
        return fields
    fields["level_error"] = _short(np.log(high[0] / low[0]) / (2.0 * _Z90))
    p95_error = (high[1] - low[1]) / (2.0 * _Z90 * middle[1])
    fields["spread_error"] = _short(p95_error / np.log(middle[1] / middle[0]))
    return fields


def _quantiles(distribution: Distribution) -> FloatArray:
    return np.array([percentile(distribution, p) for p in PROBABILITIES])


def _fields(quantiles: FloatArray, covariance: FloatArray, shift_s: float) -> Fields:
    if not quantiles[0] > 0.0 or not np.isfinite(covariance).all():
        return {}
    # On the logarithm, where the error of a time is nearly normal.
    factor = np.exp(np.minimum(_Z90 * np.sqrt(np.diag(covariance)) / quantiles, 50.0))
    fields = _named(quantiles / factor, quantiles * factor)
    above = quantiles[:2] - shift_s
    if not 0.0 < above[0] < above[1]:
        return fields
    width = float(np.log(above[1] / above[0]))
    # Rows: the logarithm of the median, and the relative change of log(p95 / median).
    slope = np.array([[1.0 / above[0], 0.0], [-1.0 / (above[0] * width), 1.0 / (above[1] * width)]])
    errors = slope @ covariance[:2, :2] @ slope.T
    level, spread = np.sqrt(np.maximum(np.diag(errors), 0.0))
    fields["level_error"], fields["spread_error"] = _short(level), _short(spread)
    if level * spread > 0.0:
        together = float(np.clip(errors[0, 1] / (level * spread), -1.0, 1.0))
        fields["level_spread_correlation"] = round(together, 3)
    return fields


def _named(low: FloatArray, high: FloatArray) -> Fields:
    pairs = zip(low.tolist(), high.tolist(), strict=True)
    return dict(zip(_NAMES, pairs, strict=True))


def _short(value: float) -> float:
    """Round to three figures: an error needs no more, and the file stays readable."""
    return float(f"{value:.3g}")
