"""Numbers from the model's distributions: quantiles, distribution functions, means.

Arrays in, arrays out, seconds. Sampling is by inversion, so common random numbers stay
common when a parameter changes.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from fastsim.model import (
    Constant,
    Distribution,
    Empirical,
    Expon,
    Gamma,
    InvGauss,
    Lognorm,
    Mixture,
    Pareto,
    Weibull,
)

FloatArray = npt.NDArray[np.float64]

# Random generators return [0, 1); a quantile at exactly 1 would be infinite.
_LARGEST = 1.0 - 2.0**-53
_TABLE = 4096


def quantile(distribution: Distribution, u: FloatArray) -> FloatArray:
    """Return the value below which a share ``u`` of all values lies.

    Parameters
    ----------
    u
        Any shape, 0 to 1.

    Notes
    -----
    For a mixture the first part of ``u`` chooses the component and the rest the value
    inside it: right for sampling, but not increasing across components.
    """
    u = np.clip(np.asarray(u, np.float64), 0.0, _LARGEST)
    return np.asarray(distribution.shift + _quantile(distribution, u), np.float64)


def _quantile(distribution: Distribution, u: FloatArray) -> FloatArray:
    match distribution:
        case Constant():
            return np.full_like(u, distribution.value)
        case Expon():
            return np.asarray(-distribution.mean * np.log1p(-u), np.float64)
        case Gamma():
            scale = distribution.mean / distribution.shape
            unit = _tabled(u, _gamma_inverse, distribution.shape)
            return np.asarray(scale * unit, np.float64)
        case Lognorm():
            z = distribution.sigma * special.ndtri(np.maximum(u, 1e-300))
            return np.asarray(distribution.median * np.exp(z), np.float64)
        case Weibull():
            return distribution.scale * (-np.log1p(-u)) ** (1.0 / distribution.shape)
        case InvGauss():
            unit = _tabled(u, _invgauss_inverse, distribution.shape)
            return np.asarray(distribution.mean * unit, np.float64)
        case Pareto():
            if distribution.tail == 0.0:
                return -distribution.scale * np.log1p(-u)
            return (
                distribution.scale / distribution.tail * np.expm1(-distribution.tail * np.log1p(-u))
            )
        case Empirical():
            return _empirical_quantile(distribution, u)
        case Mixture():
            return _mixture_quantile(distribution, u)


def _empirical_quantile(distribution: Empirical, u: FloatArray) -> FloatArray:
    body = 1.0 - distribution.tail_share
    values = np.interp(u / body, distribution.probabilities, distribution.values)
    if distribution.tail is not None:
        beyond = u > body
        excess = quantile(distribution.tail, (u[beyond] - body) / distribution.tail_share)
        values[beyond] = distribution.values[-1] + excess
    return np.asarray(values, np.float64)


def _mixture_quantile(distribution: Mixture, u: FloatArray) -> FloatArray:
    edges = np.concatenate([[0.0], np.cumsum(distribution.weights)])
    edges /= edges[-1]
    values = np.zeros_like(u)
    for part, low, high in zip(distribution.parts, edges[:-1], edges[1:], strict=True):
        chosen = (u >= low) & (u < high)
        if high > low and chosen.any():
            values[chosen] = quantile(part, (u[chosen] - low) / (high - low))
    return values


def invgauss_below(shape: float, scaled: FloatArray) -> FloatArray:
    """Return the inverse Gaussian distribution function of times given in units of the mean."""
    root = np.sqrt(shape / scaled)
    second = np.exp(np.minimum(2.0 * shape + special.log_ndtr(-root * (scaled + 1.0)), 0.0))
    below = special.ndtr(root * (scaled - 1.0)) + second
    return np.asarray(np.clip(below, 0.0, 1.0), np.float64)


def _invgauss_inverse(shape: float, u: FloatArray) -> FloatArray:
    """Invert by bisection on the logarithm; in units of the mean."""
    low = np.full_like(u, -40.0)
    high = np.full_like(u, 40.0)
    for _ in range(70):
        middle = (low + high) / 2.0
        short = invgauss_below(shape, np.exp(middle)) < u
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(np.exp(high), np.float64)


def _gamma_inverse(shape: float, u: FloatArray) -> FloatArray:
    """Invert in units of the scale."""
    return np.asarray(special.gammaincinv(shape, u), np.float64)


_Inverse = Callable[[float, FloatArray], FloatArray]


def _tabled(u: FloatArray, inverse: _Inverse, shape: float) -> FloatArray:
    """Evaluate a slow inverse exactly for few values, by a fine table for many."""
    if u.size <= _TABLE:
        return inverse(shape, u)
    position = special.logit(np.clip(u, 1e-15, _LARGEST))
    positions, logs = _table(inverse, shape)
    return np.asarray(np.exp(np.interp(position, positions, logs)), np.float64)


@lru_cache(maxsize=256)
def _table(inverse: _Inverse, shape: float) -> tuple[FloatArray, FloatArray]:
    """Return log values at even steps of the logistic scale, which is fine in both tails.

    Logarithms, because the lower tail of a small shape spans hundreds of powers of ten.
    """
    positions = np.linspace(-36.0, 36.0, _TABLE)
    values = inverse(shape, np.minimum(special.expit(positions), _LARGEST))
    logs = np.log(np.maximum(values, 1e-300))
    for array in (positions, logs):
        array.setflags(write=False)
    return positions, logs


def cdf(distribution: Distribution, x: FloatArray) -> FloatArray:
    """Return the share of values at most ``x``; any shape."""
    y = np.asarray(x, np.float64) - distribution.shift
    positive = np.maximum(y, 0.0)
    match distribution:
        case Constant():
            return (y >= distribution.value).astype(np.float64)
        case Expon():
            return -np.expm1(-positive / distribution.mean)
        case Gamma():
            scaled = positive * distribution.shape / distribution.mean
            return np.asarray(special.gammainc(distribution.shape, scaled), np.float64)
        case Lognorm():
            logs = np.log(np.maximum(positive, 1e-300) / distribution.median)
            return np.asarray(special.ndtr(logs / distribution.sigma), np.float64)
        case Weibull():
            return -np.expm1(-((positive / distribution.scale) ** distribution.shape))
        case InvGauss():
            scaled = np.maximum(positive / distribution.mean, 1e-12)
            return invgauss_below(distribution.shape, scaled)
        case Pareto():
            if distribution.tail == 0.0:
                return -np.expm1(-positive / distribution.scale)
            growth = np.log1p(distribution.tail * positive / distribution.scale)
            return -np.expm1(-growth / distribution.tail)
        case Empirical():
            return _empirical_cdf(distribution, y)
        case Mixture():
            total = sum(distribution.weights)
            parts = zip(distribution.weights, distribution.parts, strict=True)
            below = np.sum([w / total * cdf(part, y) for w, part in parts], axis=0)
            return np.asarray(below, np.float64)


def _empirical_cdf(distribution: Empirical, y: FloatArray) -> FloatArray:
    values = np.array(distribution.values)
    probabilities = np.array(distribution.probabilities)
    last = np.searchsorted(values, y, side="right")
    inside = np.interp(y, values, probabilities)
    # At a repeated value the function jumps to the last of its probabilities.
    exact = (last > 0) & (values[np.maximum(last - 1, 0)] == y)
    below = np.where(exact, probabilities[np.maximum(last - 1, 0)], inside)
    if distribution.tail is None:
        return below
    share = distribution.tail_share
    return (1.0 - share) * below + share * cdf(distribution.tail, y - distribution.values[-1])


def mean(distribution: Distribution) -> float:
    """Return the mean, seconds; a Pareto tail below 1 always has one."""
    match distribution:
        case Constant():
            inner = distribution.value
        case Expon() | Gamma() | InvGauss():
            inner = distribution.mean
        case Lognorm():
            inner = distribution.median * float(np.exp(distribution.sigma**2 / 2.0))
        case Weibull():
            inner = distribution.scale * float(special.gamma(1.0 + 1.0 / distribution.shape))
        case Pareto():
            inner = distribution.scale / (1.0 - distribution.tail)
        case Empirical():
            values = np.array(distribution.values)
            inner = float(np.diff(distribution.probabilities) @ (values[1:] + values[:-1]) / 2.0)
            if distribution.tail is not None:
                excess = float(values[-1]) + mean(distribution.tail) - inner
                inner += distribution.tail_share * excess
        case Mixture():
            total = sum(distribution.weights)
            parts = zip(distribution.weights, distribution.parts, strict=True)
            inner = sum(w / total * mean(part) for w, part in parts)
    return distribution.shift + inner


def percentile(distribution: Distribution, p: float) -> float:
    """Return the value below which a share ``p`` of all values lies, seconds.

    Unlike ``quantile`` it is right for mixtures, too, and slower.
    """
    return float(percentiles(distribution, np.array([p]))[0])


def percentiles(distribution: Distribution, p: FloatArray) -> FloatArray:
    """Return the values below which shares ``p`` of all values lie, seconds; any shape."""
    if not isinstance(distribution, Mixture):
        return quantile(distribution, p)
    low = np.zeros_like(p)
    high: FloatArray = np.max([percentiles(part, p) for part in distribution.parts], axis=0)
    for _ in range(60):
        middle = (low + high) / 2.0
        below = cdf(distribution, middle + distribution.shift) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(distribution.shift + high, np.float64)


def median(distribution: Distribution) -> float:
    """Return the median, seconds."""
    return percentile(distribution, 0.5)


def is_constant(distribution: Distribution) -> bool:
    """Return whether every value is the same."""
    match distribution:
        case Constant():
            return True
        case Empirical():
            flat = distribution.values[0] == distribution.values[-1]
            return flat and distribution.tail is None
        case Mixture():
            weighed = zip(distribution.weights, distribution.parts, strict=True)
            parts = [part for weight, part in weighed if weight > 0.0]
            return all(map(is_constant, parts)) and len({mean(part) for part in parts}) == 1
        case _:
            return False


_TIMES = ("value", "mean", "median", "scale")
"""Parameters that are times; the others are shapes."""


def scaled(distribution: Distribution, factor: float) -> Distribution:
    """Return the law of ``factor`` times a value, as well known as the law itself."""
    update: dict[str, object] = {"shift": distribution.shift * factor}
    fit = distribution.fit
    if fit is not None:
        ranges = {"median": fit.median, "p95": fit.p95, "p99": fit.p99}
        observed: dict[str, object] = {
            name: (pair[0] * factor, pair[1] * factor)
            for name, pair in ranges.items()
            if pair is not None
        }
        observed["quantiles"] = [time * factor for time in fit.quantiles]
        update["fit"] = fit.model_copy(update=observed)
    if isinstance(distribution, Mixture):
        update["parts"] = [scaled(part, factor) for part in distribution.parts]
    elif isinstance(distribution, Empirical):
        update["values"] = [value * factor for value in distribution.values]
        if distribution.tail is not None:
            update["tail"] = scaled(distribution.tail, factor)
    else:
        update |= {
            name: getattr(distribution, name) * factor
            for name in _TIMES
            if hasattr(distribution, name)
        }
    return distribution.model_copy(update=update)
