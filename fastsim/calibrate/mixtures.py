"""Two-component mixtures of simple families: a cache hit and a miss under one label.

A mixture is a family like any other to the optimiser; its parameters are the logit of the
first weight, then those of both parts.
"""

import numpy as np
import numpy.typing as npt
from scipy import special

from fastsim.calibrate.families import FAMILIES, TINY, Family
from fastsim.model import Distribution, Mixture

FloatArray = npt.NDArray[np.float64]

_FEWEST_SHARE = 0.02
"""A smaller group is a tail, not a component, when the search begins."""


def two_of(name: str, part: Family) -> Family:
    """Return the mixture of two members of one family."""
    width = len(part.limits)

    def split(p: FloatArray) -> tuple[FloatArray, FloatArray]:
        return p[1 : 1 + width], p[1 + width :]

    def log_density(p: FloatArray, t: FloatArray) -> FloatArray:
        first, second = split(p)
        return np.asarray(
            np.logaddexp(
                special.log_expit(p[0]) + part.log_density(first, t),
                special.log_expit(-p[0]) + part.log_density(second, t),
            ),
            np.float64,
        )

    def below(p: FloatArray, t: FloatArray) -> FloatArray:
        (first, second), weight = split(p), float(special.expit(p[0]))
        return weight * part.below(first, t) + (1.0 - weight) * part.below(second, t)

    def above(p: FloatArray, t: FloatArray) -> FloatArray:
        (first, second), weight = split(p), float(special.expit(p[0]))
        return weight * part.above(first, t) + (1.0 - weight) * part.above(second, t)

    def start(times: FloatArray) -> FloatArray:
        lower, upper = two_groups(times)
        weight = float(np.clip(len(lower) / len(times), _FEWEST_SHARE, 1.0 - _FEWEST_SHARE))
        return np.concatenate([[special.logit(weight)], part.start(lower), part.start(upper)])

    def build(p: FloatArray, scale: float, shift: float) -> Distribution:
        (first, second), weight = split(p), float(special.expit(p[0]))
        # Model files carry six figures; rounded here so that both weights add up to 1.
        return Mixture.model_validate(
            {
                "shift": shift,
                "weights": [round(weight, 6), round(1.0 - round(weight, 6), 6)],
                "parts": [part.build(first, scale, 0.0), part.build(second, scale, 0.0)],
            }
        )

    limits = ((-6.0, 6.0), *part.limits, *part.limits)
    return Family(name, log_density, below, above, start, build, limits)


def two_groups(times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split times where the logarithms of two groups differ most (one-dimensional 2-means)."""
    ordered = np.sort(times)
    logs = np.log(np.maximum(ordered, TINY))
    n = len(logs)
    if n < 2:
        return ordered, ordered
    sizes = np.arange(1, n)
    sums = np.cumsum(logs)
    lower, upper = sums[:-1] / sizes, (sums[-1] - sums[:-1]) / (n - sizes)
    cut = int(np.argmax(sizes * (n - sizes) * (upper - lower) ** 2)) + 1
    return ordered[:cut], ordered[cut:]


MIXTURES: tuple[Family, ...] = (
    two_of("lognorm+lognorm", FAMILIES["lognorm"]),
    two_of("gamma+gamma", FAMILIES["gamma"]),
)
