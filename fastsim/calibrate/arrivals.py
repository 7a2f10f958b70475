"""How requests arrived: evenly, by chance, in bursts, or at a rate that changed.

Two questions, in this order. Do arrivals cluster within short times (bursts)? Then, allowing
for that, did the rate change over the recording? Both compare variances of counts with what
a Poisson process would show by chance, at a false-alarm rate of 1 in 1000 each.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from fastsim.model import Burst, RateWindow

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Pattern = Literal["poisson", "varying", "bursty", "regular"]

FALSE_ALARM = 1e-3
_MOST_WINDOWS = 24
_FEWEST_PER_WINDOW = 40
_FEWEST = 100
"""Fewer arrivals than this are taken as Poisson: nothing else could be shown."""
_CELLS_PER_WINDOW = 8


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What the times of arrival say."""

    pattern: Pattern
    curve: tuple[RateWindow, ...] = ()
    """The rate over time, if it changed."""
    burst: Burst | None = None
    mix_changed: bool = False
    """The shares of the endpoints changed over time by more than chance."""


def describe_arrivals(at_s: FloatArray, endpoint: IntArray, *, sampled: float = 1.0) -> Arrivals:
    """Classify arrivals.

    Parameters
    ----------
    at_s
        Shape (n,), seconds, not decreasing.
    endpoint
        Shape (n,): what each asked for.
    sampled
        Part of the requests that was recorded, 0 to 1. Recording a part hides bursts; they
        are scaled back.
    """
    n = len(at_s)
    if n < _FEWEST or not at_s[-1] > at_s[0]:
        return Arrivals("poisson")
    windows = int(np.clip(n // (2 * _FEWEST_PER_WINDOW), 2, _MOST_WINDOWS))
    edges = np.linspace(at_s[0], at_s[-1], windows + 1)
    counts = np.histogram(at_s, edges)[0].astype(np.float64)
    scales, dispersion, freedom = _dispersions(at_s, edges)
    low, high = _chance(dispersion, freedom)
    bursty, regular = bool((dispersion > high).any()), bool((dispersion[0] < low[0]).any())
    excess = max(float(dispersion.max()), 1.0) if bursty else 1.0
    changed = _varies(counts, excess)
    curve: tuple[RateWindow, ...] = ()
    if changed:
        length = float(edges[1] - edges[0])
        curve = tuple(RateWindow(length=length, rate=float(c) / length / sampled) for c in counts)
    burst = _fit_burst(scales, dispersion, freedom, sampled) if bursty else None
    pattern: Pattern = "poisson"
    if burst is not None:
        pattern = "bursty"
    elif regular:
        pattern = "regular"
    elif changed:
        pattern = "varying"
    return Arrivals(pattern, curve, burst, _mix_varies(at_s, endpoint, edges))


def _dispersions(at_s: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return variance over mean of counts at several cell lengths, within windows only.

    Each window is compared with its own mean, so a rate that changes slowly does not count.
    Returns cell lengths in seconds, dispersions, and their degrees of freedom.
    """
    window_s = float(edges[1] - edges[0])
    mean_gap = (at_s[-1] - at_s[0]) / len(at_s)
    fewest = max(int(np.ceil(window_s / (4.0 * mean_gap * 64))), 1)
    cells = _CELLS_PER_WINDOW * 2 ** np.arange(6)
    # Cells of about 1 arrival and more; shorter ones say nothing about clusters.
    cells = cells[cells <= max(window_s / mean_gap, _CELLS_PER_WINDOW) * fewest][::-1]
    found = []
    for number in cells.tolist():
        grid = np.linspace(edges[0], edges[-1], number * (len(edges) - 1) + 1)
        counts = np.histogram(at_s, grid)[0].reshape(-1, number).astype(np.float64)
        mean = counts.mean(axis=1)
        used = mean > 0.0
        squares = ((counts[used] - mean[used, None]) ** 2).sum(axis=1) / mean[used]
        freedom = float((number - 1) * used.sum())
        found.append((window_s / number, squares.sum() / freedom, freedom))
    scales, dispersion, freedoms = np.array(found).T
    return scales, dispersion, freedoms


def _chance(dispersion: FloatArray, freedom: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what a Poisson process stays between at all scales together."""
    each = FALSE_ALARM / (2.0 * len(dispersion))
    return stats.chi2.ppf(each, freedom) / freedom, stats.chi2.isf(each, freedom) / freedom


def _varies(counts: FloatArray, excess: float) -> bool:
    mean = counts.mean()
    statistic = float(((counts - mean) ** 2).sum() / mean) / excess
    return statistic > float(stats.chi2.isf(FALSE_ALARM, len(counts) - 1))


def _fit_burst(
    scales: FloatArray, dispersion: FloatArray, freedom: FloatArray, sampled: float
) -> Burst:
    """Fit ``1 + a (1 - (1 - exp(-t/m)) / (t/m))``, the dispersion of a rate that jumps.

    For a rate with variance ``v`` around ``r`` whose correlation decays as ``exp(-t/m)``,
    ``a = 2 v m / r`` (D. R. Cox and V. Isham, Point Processes, 1980, section 3.3).
    """

    def curve(parameters: FloatArray) -> FloatArray:
        level, memory = np.exp(parameters)
        return np.asarray(1.0 + level * saturation(scales / memory), np.float64)

    def misfit(parameters: FloatArray) -> FloatArray:
        expected = curve(parameters)
        return np.sqrt(freedom / 2.0) * (dispersion - expected) / expected

    longest = float(scales.max())
    start = np.log([max(float(dispersion.max()) - 1.0, 0.1), longest / 4.0])
    limits = ([np.log(1e-3), np.log(float(scales.min()) / 10.0)], [np.log(1e4), np.log(longest)])
    best = optimize.least_squares(misfit, np.clip(start, *limits), bounds=limits)
    level, memory = np.exp(best.x)
    return Burst(dispersion=round(1.0 + float(level) / sampled, 3), memory=float(memory))


def saturation(ratio: FloatArray) -> FloatArray:
    """Return ``1 - (1 - exp(-x)) / x``: 0 for short times, 1 for long."""
    return 1.0 + np.expm1(-ratio) / ratio


def _mix_varies(at_s: FloatArray, endpoint: IntArray, edges: FloatArray) -> bool:
    """Test whether the shares of the endpoints were the same in all windows."""
    window = np.clip(np.searchsorted(edges, at_s, side="right") - 1, 0, len(edges) - 2)
    _, code = np.unique(endpoint, return_inverse=True)
    table = np.zeros((len(edges) - 1, int(code.max()) + 1))
    np.add.at(table, (window, code), 1.0)
    # Endpoints too rare for the test's approximation are taken together.
    rare = table.sum(axis=0) < 5.0 * len(table)
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) >= 5.0 * len(table)]
    table = table[table.sum(axis=1) > 0.0]
    if min(table.shape, default=0) < 2:
        return False
    return bool(stats.chi2_contingency(table).pvalue < FALSE_ALARM)
