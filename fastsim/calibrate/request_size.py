"""Sizes that the steps of a request share: a long list takes the database, the code and the wire.

Drawn one by one, such steps would even each other out, and slow requests would be too rare. Every
step of a path is given normal scores: where each request's time lies in its law, for a wait that is
known as an interval the mean of what that holds. One factor is fitted to their correlations (C.
Spearman, General Intelligence, 1904): step ``i`` follows the size of its request by ``size[i]``, so
that two steps correlate by the product. Steps count by how much their times vary, because what
matters is the spread of their sum. Where chance could have made the correlations, there is no size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from fastsim.distributions import cdf
from fastsim.model import Distribution

FloatArray = npt.NDArray[np.float64]

FEWEST = 60
"""Requests of a path below which correlations are not looked for."""
CHANCE = 1e-4
"""Probability with which steps that have nothing in common are given a size, per path."""
LEAST = 0.15
"""Smaller sizes change nothing that could be seen."""
MINOR = 0.02
"""Steps with less of the standard deviation of all are left alone: they decide nothing."""
_MOST = 0.99
_LEAST_KNOWN = 0.1
"""Part of the variance of the scores from which a step's times are known well enough."""
_ROUNDS = 200
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Scores:
    """One step of a path as all its requests took it."""

    scores: FloatArray
    """Shape (requests,); of mean 0 and, where all is known exactly, variance 1."""
    sd_s: float
    """Standard deviation of its times, seconds."""


def exact_scores(times_s: FloatArray) -> FloatArray:
    """Return the normal scores of times, or of whole numbers, by their rank."""
    ranks = stats.rankdata(times_s)
    return np.asarray(special.ndtri((ranks - 0.5) / len(ranks)), np.float64)


def interval_scores(law: Distribution, low_s: FloatArray, high_s: FloatArray) -> FloatArray:
    """Return the mean normal scores of what lies between two times, by a fitted law."""
    low, high = (np.clip(cdf(law, times), _EDGE, 1.0 - _EDGE) for times in (low_s, high_s))
    a, b = special.ndtri(low), special.ndtri(high)
    width = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (np.exp(-a * a / 2.0) - np.exp(-b * b / 2.0)) / (np.sqrt(2.0 * np.pi) * width)
    # Narrow intervals: the density hardly changes, and the difference above is noise.
    return np.asarray(np.where(width > 1e-4, mean, (a + b) / 2.0), np.float64)


def shared_sizes(steps: Sequence[Scores | None]) -> list[float]:
    """Return how far each step follows the size of its request; 0 for None.

    By the correlations of the scores, each over what censoring leaves of the variance of both.
    """
    sizes = [0.0] * len(steps)
    total_s = sum(step.sd_s for step in steps if step is not None)
    chosen = [
        (place, step)
        for place, step in enumerate(steps)
        if step is not None and step.sd_s > MINOR * total_s and step.scores.var() > _LEAST_KNOWN
    ]
    if len(chosen) < 2 or len(chosen[0][1].scores) < FEWEST:
        return sizes
    table = np.array([step.scores for _, step in chosen])
    correlations = np.corrcoef(table)
    if _by_chance(correlations, table.shape[1]):
        return sizes
    # Of what is known of a step: its score is the mean of what its normal score may have been.
    known = np.sqrt(np.minimum(table.var(axis=1), 1.0))
    true = np.clip(correlations / np.outer(known, known), -_MOST, _MOST)
    weights = np.array([step.sd_s for _, step in chosen])
    for (place, _), size in zip(chosen, _one_factor(true, weights), strict=True):
        sizes[place] = round(float(size), 2) if abs(size) >= LEAST else 0.0
    return sizes if sum(size != 0.0 for size in sizes) > 1 else [0.0] * len(steps)


def _by_chance(correlations: FloatArray, n: int) -> bool:
    """Tell whether steps without anything in common may correlate so (Bartlett's test, 1951)."""
    k = len(correlations)
    sign, logs = np.linalg.slogdet(correlations)
    if sign <= 0.0:
        return False
    statistic = -(n - 1.0 - (2.0 * k + 5.0) / 6.0) * float(logs)
    return float(stats.chi2.sf(statistic, k * (k - 1) // 2)) > CHANCE


def _one_factor(correlations: FloatArray, weights: FloatArray) -> FloatArray:
    """Return loadings whose products come nearest to the correlations, heavy pairs first."""
    k = len(weights)
    if k == 2:
        both = float(np.sqrt(abs(correlations[0, 1])))
        return np.array([both, np.copysign(both, correlations[0, 1])])
    others = 1.0 - np.eye(k)
    values, vectors = np.linalg.eigh(correlations * np.outer(weights, weights))
    loadings = vectors[:, -1] * np.sqrt(max(float(values[-1]), 0.0)) / weights
    loadings = np.clip(loadings, -_MOST, _MOST)
    for _ in range(_ROUNDS):
        for i in range(k):
            shares = others[i] * weights**2
            below = float(shares @ loadings**2)
            if below > 0.0:
                best = float(shares @ (correlations[i] * loadings)) / below
                loadings[i] = float(np.clip(best, -_MOST, _MOST))
    # The factor has no sign of its own: the heaviest step follows it.
    return np.asarray(loadings * np.sign(loadings[int(np.argmax(weights * abs(loadings)))] or 1.0))
