"""The distribution function of interval-censored values, with no family assumed.

Turnbull's self-consistent estimate by expectation-maximisation, on a fixed grid.
B. W. Turnbull, The empirical distribution function with arbitrarily grouped, censored
and truncated data, J. R. Statist. Soc. B 38 (1976).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CELLS = 300
ROUNDS = 300
_CLOSE = 1e-5


@dataclass(frozen=True, slots=True)
class Curve:
    """Distribution function at the upper edges of the cells."""

    edges_s: FloatArray
    """Shape (k + 1,), seconds, increasing."""
    cumulative: FloatArray
    """Shape (k + 1,); 0 at the first edge, 1 at the last."""

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
    pairs, weights = np.unique(first * cells + last, return_counts=True)
    first, last = pairs // cells, pairs % cells
    mass = np.full(cells, 1.0 / cells)
    for _ in range(ROUNDS):
        cumulative = np.concatenate([[0.0], np.cumsum(mass)])
        share = weights / np.maximum(cumulative[last + 1] - cumulative[first], 1e-300)
        # Every pair adds its share to all its cells: a difference array sums them at once.
        steps = np.zeros(cells + 1)
        np.add.at(steps, first, share)
        np.subtract.at(steps, last + 1, share)
        updated = mass * np.maximum(np.cumsum(steps[:-1]), 0.0)
        updated /= updated.sum()
        done = np.abs(np.cumsum(updated - mass)).max() < _CLOSE
        mass = updated
        if done:
            break
    cumulative = np.concatenate([[0.0], np.cumsum(mass)])
    return Curve(edges, cumulative / cumulative[-1])


def _grid(low_s: FloatArray, high_s: FloatArray) -> FloatArray:
    """Edges at quantiles of all end points, so that cells are fine where data are."""
    points = np.concatenate([low_s, high_s])
    edges = np.unique(np.quantile(points, np.linspace(0.0, 1.0, CELLS + 1)))
    if len(edges) < 2:
        width = max(abs(float(edges[0])) * 1e-6, 1e-12)
        edges = np.array([edges[0] - width, edges[0]])
    else:
        # Exact values on the lowest edge need a cell below it.
        edges = np.concatenate([[edges[0] - (edges[1] - edges[0]) * 1e-3], edges])
    return edges
