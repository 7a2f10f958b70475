"""The simple families that waits and code are fitted with: densities, limits, starting values.

Each family works on times already shifted and scaled to a typical size near 1, with its
parameters as logarithms, so that one optimiser serves all. Formulas as in scipy.stats.
Mixtures of two of them are in ``mixtures``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from fastsim.distributions import invgauss_below
from fastsim.model import Distribution, Expon, Gamma, InvGauss, Lognorm, Pareto, Weibull

FloatArray = npt.NDArray[np.float64]
Law = Callable[[FloatArray, FloatArray], FloatArray]
"""(parameters, times) -> one number per time."""

TINY = 1e-12
_HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))
_SIZE = (-25.0, 25.0)
"""Limits of the logarithm of a size, in units of the typical time."""


@dataclass(frozen=True, slots=True)
class Family:
    """One family of distributions of a positive time."""

    name: str
    log_density: Law
    below: Law
    """Distribution function."""
    above: Law
    """1 minus the distribution function, without cancellation far out."""
    start: Callable[[FloatArray], FloatArray]
    """Typical times -> parameters to start from."""
    build: Callable[[FloatArray, float, float], Distribution]
    """(parameters, scale in seconds, shift in seconds) -> the model's distribution."""
    limits: tuple[tuple[float, float], ...]
    """Smallest and largest value per parameter. The spread has a lower limit: without it the
    likelihood of exact times grows for ever on a spike."""


def _moments(times: FloatArray) -> tuple[float, float]:
    mean = max(float(times.mean()), TINY)
    return mean, float(np.clip(times.std() / mean, 0.02, 4.0))


def _log_moments(times: FloatArray) -> tuple[float, float]:
    logs = np.log(np.maximum(times, TINY))
    # The quartiles, because a single time near zero has a logarithm without limit.
    low, middle, high = np.quantile(logs, [0.25, 0.5, 0.75])
    return float(middle), float(np.clip((high - low) / 1.349, 0.02, 4.0))


def _logs(times: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(times, TINY)), np.float64)


# --- exponential: log mean ---------------------------------------------------------------------


def _expon_density(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(-p[0] - t * np.exp(-p[0]), np.float64)


def _expon_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(-np.expm1(-t * np.exp(-p[0])), np.float64)


def _expon_above(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-t * np.exp(-p[0])), np.float64)


def _expon_start(times: FloatArray) -> FloatArray:
    return np.array([np.log(_moments(times)[0])])


def _build_expon(p: FloatArray, scale: float, shift: float) -> Distribution:
    return Expon(shift=shift, mean=scale * float(np.exp(p[0])))


# --- gamma: log shape, log mean ----------------------------------------------------------------


def _gamma_density(p: FloatArray, t: FloatArray) -> FloatArray:
    shape = np.exp(p[0])
    logs = _logs(t) - p[1] + p[0]
    constant = special.gammaln(shape) + p[1] - p[0]
    return np.asarray((shape - 1.0) * logs - np.exp(logs) - constant, np.float64)


def _gamma_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(special.gammainc(np.exp(p[0]), t * np.exp(p[0] - p[1])), np.float64)


def _gamma_above(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(special.gammaincc(np.exp(p[0]), t * np.exp(p[0] - p[1])), np.float64)


def _shape_and_mean(times: FloatArray) -> FloatArray:
    mean, variation = _moments(times)
    return np.array([np.log(variation**-2), np.log(mean)])


def _build_gamma(p: FloatArray, scale: float, shift: float) -> Distribution:
    return Gamma(shift=shift, mean=scale * float(np.exp(p[1])), shape=float(np.exp(p[0])))


# --- log-normal: log median, log sigma ---------------------------------------------------------


def _lognorm_density(p: FloatArray, t: FloatArray) -> FloatArray:
    logs = _logs(t)
    z = (logs - p[0]) * np.exp(-p[1])
    return np.asarray(-0.5 * z * z - p[1] - logs - _HALF_LOG_2PI, np.float64)


def _lognorm_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(special.ndtr((_logs(t) - p[0]) * np.exp(-p[1])), np.float64)


def _lognorm_above(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(special.ndtr((p[0] - _logs(t)) * np.exp(-p[1])), np.float64)


def _lognorm_start(times: FloatArray) -> FloatArray:
    center, sigma = _log_moments(times)
    return np.array([center, np.log(sigma)])


def _build_lognorm(p: FloatArray, scale: float, shift: float) -> Distribution:
    return Lognorm(shift=shift, median=scale * float(np.exp(p[0])), sigma=float(np.exp(p[1])))


# --- Weibull: log shape, log scale -------------------------------------------------------------


def _weibull_power(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(np.exp(np.minimum(np.exp(p[0]) * (_logs(t) - p[1]), 700.0)), np.float64)


def _weibull_density(p: FloatArray, t: FloatArray) -> FloatArray:
    logs = _logs(t) - p[1]
    grown = (np.exp(p[0]) - 1.0) * logs - _weibull_power(p, t)
    return np.asarray(p[0] - p[1] + grown, np.float64)


def _weibull_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(-np.expm1(-_weibull_power(p, t)), np.float64)


def _weibull_above(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-_weibull_power(p, t)), np.float64)


def _weibull_start(times: FloatArray) -> FloatArray:
    # The logarithm of a Weibull time has standard deviation 1.28 / shape.
    center, sigma = _log_moments(times)
    return np.array([np.log(1.28 / sigma), center + 0.29 * sigma])


def _build_weibull(p: FloatArray, scale: float, shift: float) -> Distribution:
    return Weibull(shift=shift, scale=scale * float(np.exp(p[1])), shape=float(np.exp(p[0])))


# --- inverse Gaussian: log shape (mean squared over variance), log mean ------------------------


def _invgauss_density(p: FloatArray, t: FloatArray) -> FloatArray:
    scaled = np.maximum(t * np.exp(-p[1]), TINY)
    bend = np.exp(p[0]) * (scaled - 1.0) ** 2 / (2.0 * scaled)
    return np.asarray(0.5 * p[0] - _HALF_LOG_2PI - 1.5 * np.log(scaled) - bend - p[1], np.float64)


def _invgauss_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return invgauss_below(float(np.exp(p[0])), np.maximum(t * np.exp(-p[1]), TINY))


def _invgauss_above(p: FloatArray, t: FloatArray) -> FloatArray:
    scaled = np.maximum(t * np.exp(-p[1]), TINY)
    shape = np.exp(p[0])
    root = np.sqrt(shape / scaled)
    second = np.exp(np.minimum(2.0 * shape + special.log_ndtr(-root * (scaled + 1.0)), 0.0))
    return np.asarray(np.clip(special.ndtr(root * (1.0 - scaled)) - second, 0.0, 1.0), np.float64)


def _build_invgauss(p: FloatArray, scale: float, shift: float) -> Distribution:
    return InvGauss(shift=shift, mean=scale * float(np.exp(p[1])), shape=float(np.exp(p[0])))


# --- generalised Pareto: log scale, logit tail -------------------------------------------------


def _pareto_growth(p: FloatArray, t: FloatArray) -> tuple[float, FloatArray]:
    tail = float(special.expit(p[1]))
    return tail, np.asarray(np.log1p(tail * t * np.exp(-p[0])) / tail, np.float64)


def _pareto_density(p: FloatArray, t: FloatArray) -> FloatArray:
    tail, growth = _pareto_growth(p, t)
    return np.asarray(-p[0] - (1.0 + tail) * growth, np.float64)


def _pareto_below(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(-np.expm1(-_pareto_growth(p, t)[1]), np.float64)


def _pareto_above(p: FloatArray, t: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-_pareto_growth(p, t)[1]), np.float64)


def _pareto_start(times: FloatArray) -> FloatArray:
    return np.array([np.log(0.8 * _moments(times)[0]), float(special.logit(0.2))])


def _build_pareto(p: FloatArray, scale: float, shift: float) -> Distribution:
    return Pareto(
        shift=shift, scale=scale * float(np.exp(p[0])), tail=min(float(special.expit(p[1])), 0.95)
    )


_SHAPE = (-4.0, 11.0)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "expon",
            _expon_density,
            _expon_below,
            _expon_above,
            _expon_start,
            _build_expon,
            (_SIZE,),
        ),
        Family(
            "gamma",
            _gamma_density,
            _gamma_below,
            _gamma_above,
            _shape_and_mean,
            _build_gamma,
            (_SHAPE, _SIZE),
        ),
        Family(
            "lognorm",
            _lognorm_density,
            _lognorm_below,
            _lognorm_above,
            _lognorm_start,
            _build_lognorm,
            (_SIZE, (-6.0, 2.0)),
        ),
        Family(
            "weibull",
            _weibull_density,
            _weibull_below,
            _weibull_above,
            _weibull_start,
            _build_weibull,
            ((-2.0, 6.0), _SIZE),
        ),
        Family(
            "invgauss",
            _invgauss_density,
            _invgauss_below,
            _invgauss_above,
            _shape_and_mean,
            _build_invgauss,
            (_SHAPE, _SIZE),
        ),
        Family(
            "pareto",
            _pareto_density,
            _pareto_below,
            _pareto_above,
            _pareto_start,
            _build_pareto,
            (_SIZE, (-6.0, 2.9)),
        ),
        Family(
            "light pareto",  # of finite variance: the tail is 0.5 at most
            _pareto_density,
            _pareto_below,
            _pareto_above,
            _pareto_start,
            _build_pareto,
            (_SIZE, (-6.0, 0.0)),
        ),
    )
}
