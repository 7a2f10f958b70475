"""Laws as tables: from a uniform number to a value, alike for one and for many.

``fastsim.distributions`` computes quantiles exactly, but a value must not depend on how many are
drawn at once or by which engine. A table is read with exact arithmetic only (comparisons, halves,
one multiplication and one addition), so that a float of Python, an array of numpy and compiled
code find the same bits.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from math import frexp
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastsim.distributions import percentiles, quantile
from fastsim.model import Constant, Counts, Distribution, Empirical, Mixture, Simple

FloatArray = npt.NDArray[np.float64]

CELLS = 32
"""Cells of each halving of the distance to 0 or 1: values are off by less than 2e-3 of themselves,
a mean by less than 1e-4."""
HALVINGS = 30
"""The last one ends at 2**-30; what lies beyond is drawn once in a thousand million times."""


class Table(Protocol):
    """A law that turns uniform numbers, above 0 and below 1, into values."""

    def one(self, u: float) -> float:
        """Return the value of one number."""

    def many(self, u: FloatArray) -> FloatArray:
        """Return the values of many, each the same as by itself."""


class Fixed:
    """Always the same value."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def one(self, _u: float) -> float:
        """Return the value."""
        return self.value

    def many(self, u: FloatArray) -> FloatArray:
        """Return as many of it."""
        return np.full(len(u), self.value)


class Smooth:
    """A quantile function, linear in cells that get finer towards both ends.

    Half of the cells lies below the median and counts from 0, the other half counts from 1. A
    halving of the distance to the end holds ``CELLS`` cells of equal length.
    """

    __slots__ = ("_array", "_values")

    def __init__(self, values: FloatArray) -> None:
        self._array = values
        self._values: list[float] | None = None

    def one(self, u: float) -> float:
        """Return the value of one number."""
        if u < 0.5:
            fraction, exponent = frexp(u)
            side = 0
        else:
            fraction, exponent = frexp(1.0 - u)
            side = _SIDE
        place = (fraction - 0.5) * (2 * CELLS)
        cell = int(place)
        at = side + min(-exponent, HALVINGS - 1) * (CELLS + 1) + cell
        values = self._values
        if values is None:
            values = self._values = self._array.tolist()
        low = values[at]
        return low + (place - cell) * (values[at + 1] - low)

    def many(self, u: FloatArray) -> FloatArray:
        """Return the values of many, each the same as by itself."""
        below = u < 0.5
        fraction, exponent = np.frexp(np.where(below, u, 1.0 - u))
        place = (fraction - 0.5) * (2 * CELLS)
        cell = place.astype(np.int64)
        at = np.where(below, 0, _SIDE) + np.minimum(-exponent, HALVINGS - 1) * (CELLS + 1) + cell
        low = self._array[at]
        found: FloatArray = low + (place - cell) * (self._array[at + 1] - low)
        return found


_SIDE = HALVINGS * (CELLS + 1)


@lru_cache(maxsize=1)
def _places() -> FloatArray:
    """Return the uniform number of every entry of a smooth table."""
    halving = np.repeat(np.arange(HALVINGS), CELLS + 1)
    cell = np.tile(np.arange(CELLS + 1), HALVINGS)
    from_end = np.ldexp(0.5 + cell / (2.0 * CELLS), -halving)
    # The last entry of a halving is the first of the one before; only the first can be the median.
    return np.concatenate([from_end, 1.0 - from_end])


class Curve:
    """Straight lines between points, and another law for what lies above the last."""

    __slots__ = ("_above", "_body", "_last", "_points", "_slopes", "_values")

    def __init__(
        self, points: FloatArray, values: FloatArray, *, body: float, above: Table | None
    ) -> None:
        width = np.diff(points)
        steep = np.divide(np.diff(values), width, out=np.zeros(len(width)), where=width > 0.0)
        self._points: list[float] = points.tolist()
        self._values: list[float] = values.tolist()
        self._slopes: list[float] = steep.tolist()
        self._last = len(points) - 2
        self._body = body
        self._above = above

    def one(self, u: float) -> float:
        """Return the value of one number."""
        if self._above is not None and u > self._body:
            return self._values[-1] + self._above.one((u - self._body) / (1.0 - self._body))
        share = u / self._body
        at = min(bisect_right(self._points, share) - 1, self._last)
        return self._values[at] + (share - self._points[at]) * self._slopes[at]

    def many(self, u: FloatArray) -> FloatArray:
        """Return the values of many, each the same as by itself."""
        points, values = np.array(self._points), np.array(self._values)
        share = u / self._body
        at = np.minimum(np.searchsorted(points, share, side="right") - 1, self._last)
        found: FloatArray = values[at] + (share - points[at]) * np.array(self._slopes)[at]
        if self._above is not None:
            beyond = u > self._body
            excess = self._above.many((u[beyond] - self._body) / (1.0 - self._body))
            found[beyond] = values[-1] + excess
        return found


class Parts:
    """One of several laws, chosen by the number itself; what is left of it draws the value."""

    __slots__ = ("_edges", "_parts")

    def __init__(self, weights: Sequence[float], parts: Sequence[Table]) -> None:
        self._edges: list[float] = [0.0, *_edges(weights)]
        self._parts = list(parts)

    def one(self, u: float) -> float:
        """Return the value of one number."""
        at = bisect_right(self._edges, u) - 1
        low, high = self._edges[at], self._edges[at + 1]
        return self._parts[at].one((u - low) / (high - low))

    def many(self, u: FloatArray) -> FloatArray:
        """Return the values of many, each the same as by itself."""
        found = np.zeros(len(u))
        chosen = np.searchsorted(self._edges, u, side="right") - 1
        for at in np.unique(chosen):
            mine = chosen == at
            low, high = self._edges[at], self._edges[at + 1]
            found[mine] = self._parts[at].many((u[mine] - low) / (high - low))
        return found


class Choice:
    """One of several numbers: how often, how many, which way."""

    __slots__ = ("_edges", "_values")

    def __init__(self, weights: Sequence[float], values: Sequence[float]) -> None:
        self._edges = _edges(weights)
        self._values = list(values)

    def one(self, u: float) -> float:
        """Return the value of one number."""
        return self._values[bisect_right(self._edges, u)]

    def many(self, u: FloatArray) -> FloatArray:
        """Return the values of many, each the same as by itself."""
        found: FloatArray = np.array(self._values)[np.searchsorted(self._edges, u, side="right")]
        return found


def _edges(weights: Sequence[float]) -> list[float]:
    """Return the shares up to and with each weight; nothing is beyond the last that has any."""
    total = np.cumsum(np.asarray(weights, np.float64))
    edges = total / total[-1]
    edges[total >= total[-1]] = 1.0
    return [float(edge) for edge in edges]


def table_of(law: Distribution, *, in_order: bool = False) -> Table:
    """Return the table of a law of times, seconds; nothing is below 0.

    Parameters
    ----------
    in_order
        Whether larger numbers have to give larger values also of a mixture, which takes longer.
    """
    if in_order and isinstance(law, Mixture):
        return Smooth(np.maximum(percentiles(law, _places()), 0.0))
    if isinstance(law, Constant):
        return Fixed(max(law.shift + law.value, 0.0))
    if isinstance(law, Mixture):
        shifted = [part.model_copy(update={"shift": part.shift + law.shift}) for part in law.parts]
        return Parts(law.weights, [table_of(part) for part in shifted])
    if isinstance(law, Empirical):
        above = None if law.tail is None else table_of(law.tail)
        values = np.maximum(np.array(law.values) + law.shift, 0.0)
        points = np.array(law.probabilities)
        return Curve(points, values, body=1.0 - law.tail_share, above=above)
    scale: float = getattr(law, _SCALE[law.family])
    shape: float = getattr(law, _SHAPE.get(law.family, "shift"))
    return Smooth(np.maximum(law.shift + scale * _unit(type(law), shape), 0.0))


_SCALE = {
    "expon": "mean",
    "gamma": "mean",
    "invgauss": "mean",
    "lognorm": "median",
    "pareto": "scale",
    "weibull": "scale",
}
_SHAPE = {
    "gamma": "shape",
    "invgauss": "shape",
    "lognorm": "sigma",
    "pareto": "tail",
    "weibull": "shape",
}


@lru_cache(maxsize=1024)
def _unit(family: type[Simple], shape: float) -> FloatArray:
    """Return the quantiles of a law in units of its scale; some take long to find."""
    name = family.model_fields["family"].default
    parameters = {_SCALE[name]: 1.0, _SHAPE.get(name, "shift"): shape if name in _SHAPE else 0.0}
    found = quantile(family(**parameters), _places())
    found.setflags(write=False)
    return found


def choice_of(counts: Counts) -> Choice:
    """Return the table of a law of whole numbers, in their order."""
    pairs = sorted(zip(counts.values, counts.weights, strict=True))
    return Choice([weight for _, weight in pairs], [float(value) for value, _ in pairs])
