"""Laws with another median and another spread, of the same family as far as there is one."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from fastsim.distributions import FloatArray, percentile, quantile
from fastsim.laws import (
    Constant,
    Distribution,
    Empirical,
    Expon,
    Gamma,
    InvGauss,
    Lognorm,
    Mixture,
    Pareto,
    Simple,
    Weibull,
)


def moved(
    law: Distribution, level: float, widen: float, middle: float | None = None
) -> Distribution:
    """Return a law with another median and another spread.

    A value that is ``r`` times the median, both above the shift, becomes ``r ** widen`` times
    ``exp(level)`` times that median: exactly, or, for a gamma, inverse Gaussian or Pareto law and
    parts of mixtures, the member of the family with that median and 95th percentile.

    Parameters
    ----------
    middle
        The median of ``law`` above its shift, where it is known already.
    """
    own = percentile(law, 0.5) - law.shift if middle is None else middle
    if own <= 0.0:
        return law

    def to(value: float) -> float:
        return own * math.exp(level) * math.pow(max(value, 0.0) / own, widen)

    if isinstance(law, Mixture):
        parts = [_matched(part, to, widen) for part in law.parts]
        return law.model_copy(update={"parts": parts, "fit": None})
    if isinstance(law, Empirical):
        values = [to(value) for value in law.values]
        tail = law.tail
        if tail is not None and law.values[-1] > 0.0:
            scale = tail.scale * values[-1] / law.values[-1]
            tail = tail.model_copy(update={"scale": scale})
        return law.model_copy(update={"values": values, "tail": tail, "fit": None})
    return _matched(law, to, widen)


def _matched(law: Simple, to: Callable[[float], float], widen: float) -> Simple:
    """Return a law whose median and 95th percentile are where they are moved to."""
    bare = law.model_copy(update={"shift": 0.0})
    middle = percentile(bare, 0.5)
    new = to(middle)
    match law:
        case Constant():
            update = {"value": to(law.value)}
        case Lognorm():
            update = {"median": new, "sigma": law.sigma * widen}
        case Weibull():
            update = {"scale": to(law.scale), "shape": law.shape / widen}
        case Expon():
            if widen != 1.0:
                scale = to(law.mean)
                return Weibull(shift=law.shift, scale=scale, shape=1.0 / widen)
            update = {"mean": law.mean * new / middle}
        case Gamma() | InvGauss():
            shape = _shape(type(law), law.shape, widen)
            unit = percentile(bare.model_copy(update={"mean": 1.0, "shape": shape}), 0.5)
            update = {"mean": new / unit, "shape": shape}
        case Pareto():
            tail = _shape(Pareto, law.tail, widen)
            unit = percentile(bare.model_copy(update={"scale": 1.0, "tail": tail}), 0.5)
            update = {"scale": new / unit, "tail": tail}
    return law.model_copy(update={**update, "fit": None})


_Shaped = type[Gamma] | type[InvGauss] | type[Pareto]


def _shape(family: _Shaped, shape: float, widen: float) -> float:
    """Return the shape with which log(p95 / median) is ``widen`` times as large."""
    shapes, widths = _widths(family)
    own = float(np.interp(shape, shapes, widths))
    # Where it falls as the shape grows, from its end.
    order = slice(None) if widths[-1] > widths[0] else slice(None, None, -1)
    found = float(np.interp(own * widen, widths[order], shapes[order]))
    return shape if widen == 1.0 else found


@lru_cache(maxsize=3)
def _widths(family: _Shaped) -> tuple[FloatArray, FloatArray]:
    """Return shapes, and log(p95 / median) of each."""
    at = np.array([0.5, 0.95])
    if family is Pareto:
        shapes = np.linspace(0.0, 0.95, 96)
        laws: list[Distribution] = [Pareto(scale=1.0, tail=float(tail)) for tail in shapes]
    else:
        shapes = np.geomspace(0.02, 60_000.0, 400)
        laws = [family(mean=1.0, shape=float(shape)) for shape in shapes]  # type: ignore[call-arg]
    logs = np.log([quantile(law, at) for law in laws])
    return shapes, logs[:, 1] - logs[:, 0]
