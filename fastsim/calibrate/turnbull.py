"""The distribution function of interval-censored values, with no family assumed.

Turnbull's self-consistent estimate by expectation-maximisation, on a fixed grid.
B. W. Turnbull, The empirical distribution function with arbitrarily grouped, censored
and truncated data, J. R. Statist. Soc. B 38 (1976).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CELLS = 240
ROUNDS = 400
_TAIL_CELLS = 24
_CLOSE = 2e-5


@dataclass(frozen=True, slots=True)
class Curve:
    """Distribution function at the upper edges of the cells."""

    edges_s: FloatArray
    """Shape (k + 1,), seconds, increasing."""
    cumulative: FloatArray
    """Shape (k + 1,); 0 at the first edge, 1 at the last."""
    effective: float
    """Exact observations that would say as much: one known to lie in an interval that holds
    a share ``p`` of all values counts ``1 - p``."""

    def quantile(self, probabilities: FloatArray) -> FloatArray:
        """Return quantiles, linear inside a cell."""
        return np.interp(probabilities, self.cumulative, self.edges_s)


def turnbull(low_s: FloatArray, high_s: FloatArray) -> Curve:
    """Estimate the distribution function of values in ``[low_s, high_s]``.

    Parameters
    ----------
    low_s, high_s
        Shape (n,), n >= 1, seconds, 0 <= low <= high. Equal where known exactly.
    """
    edges = _grid(low_s, high_s)
    cells = len(edges) - 1
    first = np.clip(np.searchsorted(edges, low_s, side="right") - 1, 0, cells - 1)
    last = np.clip(np.searchsorted(edges, high_s, side="left") - 1, first, cells - 1)
    pairs, count = np.unique(first * cells + last, return_counts=True)
    first, last = pairs // cells, pairs % cells
    single = first == last
    # What lies in one cell stays there; only the rest is shared out anew in every round.
    fixed = np.bincount(first[single], weights=count[single], minlength=cells)
    first, last, spread = first[~single], last[~single], count[~single]
    mass = np.full(cells, 1.0 / cells)
    held = np.ones(len(spread))
    for _ in range(ROUNDS):
        cumulative = np.concatenate([[0.0], np.cumsum(mass)])
        held = np.maximum(cumulative[last + 1] - cumulative[first], 1e-300)
        share = spread / held
        # Every pair adds its share to all its cells: a difference array sums them at once.
        steps = np.bincount(first, weights=share, minlength=cells + 1)
        steps -= np.bincount(last + 1, weights=share, minlength=cells + 1)
        updated = fixed + mass * np.maximum(np.cumsum(steps[:-1]), 0.0)
        updated /= updated.sum()
        done = float(np.abs(np.cumsum(updated - mass)).max()) < _CLOSE
        mass = updated
        if done:
            break
    cumulative = np.concatenate([[0.0], np.cumsum(mass)])
    # An interval inside one cell is exact as far as the grid can tell.
    effective = float(fixed.sum()) + float(spread @ np.clip(1.0 - held, 0.0, 1.0))
    return Curve(edges, cumulative / cumulative[-1], effective)


def _grid(low_s: FloatArray, high_s: FloatArray) -> FloatArray:
    """Edges at quantiles of all end points, so that cells are fine where data are."""
    points = np.concatenate([low_s, high_s])
    # The highest cell would hold half the range of a heavy tail: it is cut finer and finer.
    beyond = 1.0 - np.geomspace(1.0 / CELLS, 1.0 / max(len(points), CELLS + 1), _TAIL_CELLS)
    steps = np.concatenate([np.linspace(0.0, 1.0, CELLS + 1), beyond])
    edges = np.unique(np.quantile(points, steps))
    if len(edges) < 2:
        width = max(abs(float(edges[0])) * 1e-6, 1e-12)
        return np.array([edges[0] - width, edges[0]])
    # Exact values on the lowest edge need a cell below it.
    return np.concatenate([[edges[0] - (edges[1] - edges[0]) * 1e-3], edges])
