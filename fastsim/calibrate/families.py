"""The families that waits and code are fitted with: densities, limits, starting values.

Each family works on times already shifted and scaled to a typical size near 1, with its
parameters as logarithms, so that one optimiser serves all. Formulas as in scipy.stats.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from fastsim.distributions import invgauss_below
from fastsim.model import Distribution, Expon, Gamma, InvGauss, Lognorm, Mixture, Weibull

FloatArray = npt.NDArray[np.float64]

_TINY = 1e-12
_HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True)
class Family:
    """One family of distributions of a positive time."""

    name: str
    log_density: Callable[[FloatArray, FloatArray], FloatArray]
    """(log parameters, times) -> log density."""
    below: Callable[[FloatArray, FloatArray], FloatArray]
    """(log parameters, times) -> distribution function."""
    start: Callable[[FloatArray], FloatArray]
    """Typical times -> log parameters to start from."""
    build: Callable[[FloatArray, float, float], Distribution]
    """(log parameters, scale in seconds, shift in seconds) -> the model's distribution."""


def _moments(times: FloatArray) -> tuple[float, float]:
    mean = max(float(times.mean()), _TINY)
    return mean, max(float(times.std()) / mean, 0.02)


def _log_moments(times: FloatArray) -> tuple[float, float]:
    logs = np.log(np.maximum(times, _TINY))
    return float(np.median(logs)), max(float(logs.std()), 0.02)


# --- exponential -------------------------------------------------------------------------------


def _expon_density(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(-p[0] - t * np.exp(-p[0]), np.float64)


def _expon_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(-np.expm1(-t * np.exp(-p[0])), np.float64)


# --- gamma: log shape, log scale ---------------------------------------------------------------


def _gamma_density(p: FloatArray, t: FloatArray) -> FloatArray:
    shape = np.exp(p[0])
    scaled = t * np.exp(-p[1])
    logs = np.log(np.maximum(scaled, _TINY))
    return np.asarray((shape - 1.0) * logs - scaled - special.gammaln(shape) - p[1], np.float64)


def _gamma_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(special.gammainc(np.exp(p[0]), t * np.exp(-p[1])), np.float64)


def _gamma_start(times: FloatArray) -> FloatArray:
    mean, variation = _moments(times)
    return np.asarray(np.log([variation**-2, mean * variation**2]), np.float64)


# --- log-normal: log median, log sigma ---------------------------------------------------------


def _lognorm_density(p: FloatArray, t: FloatArray) -> FloatArray:
    logs = np.log(np.maximum(t, _TINY))
    z = (logs - p[0]) * np.exp(-p[1])
    return np.asarray(-0.5 * z * z - p[1] - logs - _HALF_LOG_2PI, np.float64)


def _lognorm_below(p: FloatArray, t: FloatArray) -> FloatArray:
    z = (np.log(np.maximum(t, _TINY)) - p[0]) * np.exp(-p[1])
    return np.asarray(special.ndtr(z), np.float64)


def _lognorm_start(times: FloatArray) -> FloatArray:
    center, sigma = _log_moments(times)
    return np.asarray(np.array([center, np.log(sigma)]), np.float64)


# --- Weibull: log shape, log scale -------------------------------------------------------------


def _weibull_density(p: FloatArray, t: FloatArray) -> FloatArray:
    shape = np.exp(p[0])
    logs = np.log(np.maximum(t, _TINY)) - p[1]
    return np.asarray(p[0] - p[1] + (shape - 1.0) * logs - np.exp(np.minimum(shape * logs, 700.0)), np.float64)


def _weibull_below(p: FloatArray, t: FloatArray) -> FloatArray:
    logs = np.log(np.maximum(t, _TINY)) - p[1]
    return np.asarray(-np.expm1(-np.exp(np.minimum(np.exp(p[0]) * logs, 700.0))), np.float64)


def _weibull_start(times: FloatArray) -> FloatArray:
    center, sigma = _log_moments(times)
    return np.asarray(np.array([np.log(1.28 / sigma), center + 0.37 * sigma]), np.float64)


# --- inverse Gaussian: log shape (mean squared over variance), log mean ------------------------


def _invgauss_density(p: FloatArray, t: FloatArray) -> FloatArray:
    scaled = np.maximum(t * np.exp(-p[1]), _TINY)
    shape = np.exp(p[0])
    bend = shape * (scaled - 1.0) ** 2 / (2.0 * scaled)
    return np.asarray(0.5 * p[0] - _HALF_LOG_2PI - 1.5 * np.log(scaled) - bend - p[1], np.float64)


def _invgauss_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return invgauss_below(float(np.exp(p[0])), np.maximum(t * np.exp(-p[1]), _TINY))


def _invgauss_start(times: FloatArray) -> FloatArray:
    mean, variation = _moments(times)
    return np.asarray(np.log([variation**-2, mean]), np.float64)


# --- two log-normals: logit of the first weight, then both -------------------------------------


def _mixture_density(p: FloatArray, t: FloatArray) -> FloatArray:
    first = special.log_expit(p[0]) + _lognorm_density(p[1:3], t)
    second = special.log_expit(-p[0]) + _lognorm_density(p[3:5], t)
    return np.asarray(np.logaddexp(first, second), np.float64)


def _mixture_below(p: FloatArray, t: FloatArray) -> FloatArray:
    weight = float(special.expit(p[0]))
    return np.asarray(weight * _lognorm_below(p[1:3], t) + (1.0 - weight) * _lognorm_below(p[3:5], t), np.float64)


def _mixture_start(times: FloatArray) -> FloatArray:
    """Split the logarithms where two groups differ most (one-dimensional 2-means)."""
    logs = np.sort(np.log(np.maximum(times, _TINY)))
    n = len(logs)
    sizes = np.arange(1, n)
    lower = np.cumsum(logs)[:-1] / sizes
    upper = (logs.sum() - np.cumsum(logs)[:-1]) / (n - sizes)
    between = sizes * (n - sizes) * (upper - lower) ** 2
    cut = int(np.argmax(between)) + 1 if n > 1 else 1
    groups = (logs[:cut], logs[cut:] if cut < n else logs)
    weight = min(max(cut / n, 0.02), 0.98)
    spreads = [np.log(max(float(group.std()), 0.05)) for group in groups]
    centers = [float(np.median(group)) for group in groups]
    return np.asarray(np.array([special.logit(weight), centers[0], spreads[0], centers[1], spreads[1]]), np.float64)


def _build_mixture(p: FloatArray, scale: float, shift: float) -> Distribution:
    weight = float(special.expit(p[0]))
    return Mixture(
        shift=shift,
        weights=[round(weight, 5), round(1.0 - weight, 5)],
        parts=[
            Lognorm(median=scale * float(np.exp(p[1])), sigma=float(np.exp(p[2]))),
            Lognorm(median=scale * float(np.exp(p[3])), sigma=float(np.exp(p[4]))),
        ],
    )


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "expon",
            _expon_density,
            _expon_below,
            lambda times: np.log([max(float(times.mean()), _TINY)]),
            lambda p, scale, shift: Expon(shift=shift, mean=scale * float(np.exp(p[0]))),
        ),
        Family(
            "gamma",
            _gamma_density,
            _gamma_below,
            _gamma_start,
            lambda p, scale, shift: Gamma(
                shift=shift, mean=scale * float(np.exp(p[0] + p[1])), shape=float(np.exp(p[0]))
            ),
        ),
        Family(
            "lognorm",
            _lognorm_density,
            _lognorm_below,
            _lognorm_start,
            lambda p, scale, shift: Lognorm(
                shift=shift, median=scale * float(np.exp(p[0])), sigma=float(np.exp(p[1]))
            ),
        ),
        Family(
            "weibull",
            _weibull_density,
            _weibull_below,
            _weibull_start,
            lambda p, scale, shift: Weibull(
                shift=shift, scale=scale * float(np.exp(p[1])), shape=float(np.exp(p[0]))
            ),
        ),
        Family(
            "invgauss",
            _invgauss_density,
            _invgauss_below,
            _invgauss_start,
            lambda p, scale, shift: InvGauss(
                shift=shift, mean=scale * float(np.exp(p[1])), shape=float(np.exp(p[0]))
            ),
        ),
        Family("mixture", _mixture_density, _mixture_below, _mixture_start, _build_mixture),
    )
}
