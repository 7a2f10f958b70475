"""95 % intervals for means, quantiles and rates of measured latencies.

Latencies of neighbouring requests resemble each other (they met the same queue), so n
requests say less than n independent draws. Each interval uses the effective sample size
``n / tau`` with the integrated autocorrelation time ``tau`` of the very quantity estimated.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fastsim.result import Estimate, Latency

Floats = NDArray[np.float64]

_Z = 1.959964
_TAIL = 0.025
# A window of 5 tau is Sokal's compromise between cut-off bias and noise.
_SOKAL = 5.0
_FEWEST_WINDOWS = 8


def latency_estimates(latency_s: Floats) -> Latency | None:
    """Summarise latencies given in the order the requests were due; None without any."""
    if not len(latency_s):
        return None
    return Latency(
        mean=mean_estimate(latency_s),
        p50=quantile_estimate(latency_s, 0.5),
        p90=quantile_estimate(latency_s, 0.9),
        p95=quantile_estimate(latency_s, 0.95),
        p99=quantile_estimate(latency_s, 0.99),
        p999=quantile_estimate(latency_s, 0.999),
    )


def mean_estimate(values: Floats) -> Estimate:
    """Mean with a normal interval; ``values`` in time order."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(value=mean)
    half = _Z * float(values.std(ddof=1)) / math.sqrt(effective_size(values))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def quantile_estimate(values: Floats, p: float) -> Estimate:
    """Quantile with an order-statistics interval; ``values`` in time order.

    A bound that lies beyond the smallest or largest value is not known, so it is absent.
    """
    ordered = np.sort(values)
    n = len(ordered)
    value = float(np.quantile(ordered, p))
    size = max(1, round(effective_size((values <= value).astype(np.float64))))
    below, above = _binomial_ranks(size, p)
    # Ranks among ``size`` independent values, carried over to the n dependent ones.
    low = float(ordered[math.ceil(below * n / size) - 1]) if below >= 1 else None
    high = float(ordered[min(n, math.ceil(above * n / size)) - 1]) if above <= size else None
    return Estimate(value=value, low=low, high=high)


def rate_estimate(done_s: Floats, start_s: float, end_s: float) -> Estimate:
    """Events per second between two moments, with an interval from 1 s windows."""
    inside = done_s[(done_s >= start_s) & (done_s < end_s)]
    length_s = end_s - start_s
    if length_s <= 0.0:
        return Estimate(value=0.0, unit="/s")
    rate = len(inside) / length_s
    windows = math.floor(length_s)
    if windows < _FEWEST_WINDOWS:
        return Estimate(value=rate, unit="/s")
    counts, _ = np.histogram(inside, bins=windows, range=(start_s, start_s + windows))
    half = _Z * float(counts.std(ddof=1)) / math.sqrt(effective_size(counts.astype(np.float64)))
    return Estimate(value=rate, low=max(0.0, rate - half), high=rate + half, unit="/s")


def effective_size(values: Floats) -> float:
    """Return how many independent values say as much about the mean; between 1 and n."""
    n = len(values)
    centred = values - values.mean()
    variance = float(centred @ centred) / max(n, 1)
    if n < 4 or variance <= 0.0:
        return float(n)
    spectrum = np.fft.rfft(centred, 2 ** math.ceil(math.log2(2 * n)))
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[:n] / n
    tau = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0
    enough = np.flatnonzero(np.arange(n) >= _SOKAL * tau)
    time = float(tau[enough[0]]) if len(enough) else float(n)
    return min(float(n), max(1.0, n / max(time, 1.0)))


def _binomial_ranks(n: int, p: float) -> tuple[int, int]:
    """Return ranks l, u (from 1) so that [x_l, x_u] covers the p quantile with 95 %.

    With B binomial(n, p): l is the largest rank with P(B < l) <= 2.5 %, u the smallest with
    P(B < u) >= 97.5 %. l = 0 and u = n + 1 mean that no such value exists.
    """
    k = np.arange(n + 1, dtype=np.float64)
    steps = np.log(n - k[:-1]) - np.log(k[:-1] + 1.0) + math.log(p) - math.log1p(-p)
    mass = np.exp(n * math.log1p(-p) + np.concatenate([[0.0], np.cumsum(steps)]))
    less = np.concatenate([[0.0], np.cumsum(mass)])  # less[r] = P(B < r)
    below = int(np.searchsorted(less, _TAIL, side="right")) - 1
    above = int(np.searchsorted(less, 1.0 - _TAIL, side="left"))
    return below, min(above, n + 1)
