"""When requests arrive: at a constant rate, along a curve of rates, and in bursts.

Arrivals are drawn by running a Poisson process of rate 1 through the inverse of the
cumulative rate. Traffic of another rate is then the same chance at another speed, which
keeps comparisons between rates free of noise.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastsim.model import Burst, RateWindow
from fastsim.twin.streams import stream

FloatArray = npt.NDArray[np.float64]


def arrival_times(
    rate_per_s: float,
    duration_s: float,
    seed: int,
    *,
    curve: Sequence[RateWindow] = (),
    burst: Burst | None = None,
) -> FloatArray:
    """Draw arrival times between 0 and ``duration_s``, increasing.

    Parameters
    ----------
    rate_per_s
        Mean rate; with a curve, all its rates are multiplied by this.
    curve
        Rates over time, one window after the other; the last one lasts. With a curve,
        ``rate_per_s`` is 1 for the curve as it is.
    burst
        Makes the rate jump between two levels around what it would be.
    """
    edges_s, rates = _levels(rate_per_s, duration_s, curve)
    if burst is not None:
        mean = float(rates @ np.diff(edges_s)) / duration_s
        if mean > 0.0:
            edges_s, rates = _with_bursts(
                edges_s, rates, mean, burst, duration_s=duration_s, seed=seed
            )
    total = np.concatenate([[0.0], np.cumsum(rates * np.diff(edges_s))])
    unit = _unit_arrivals(float(total[-1]), stream(seed, "arrivals"))
    # Where the rate is 0 the total stands still and has no inverse: those windows are skipped.
    rising = np.concatenate([[True], np.diff(total) > 0.0])
    starts = edges_s[:-1][rising[1:]]
    place = np.searchsorted(total[:-1][rising[1:]], unit, side="right") - 1
    return np.asarray(
        starts[place] + (unit - total[:-1][rising[1:]][place]) / rates[rising[1:]][place],
        np.float64,
    )


def _levels(
    rate_per_s: float, duration_s: float, curve: Sequence[RateWindow]
) -> tuple[FloatArray, FloatArray]:
    if not curve:
        return np.array([0.0, duration_s]), np.array([rate_per_s])
    ends = np.cumsum([window.length for window in curve])
    rates = rate_per_s * np.array([window.rate for window in curve])
    kept = int(np.searchsorted(ends, duration_s, side="left"))
    edges = np.concatenate([[0.0], ends[:kept], [duration_s]])
    padded = np.append(rates[: kept + 1], rates[-1:]) if kept >= len(rates) else rates[: kept + 1]
    return edges, padded[: len(edges) - 1]


def _unit_arrivals(until: float, rng: np.random.Generator) -> FloatArray:
    blocks: list[FloatArray] = []
    last = 0.0
    while last < until:
        block = last + np.cumsum(rng.exponential(1.0, int(until * 1.05) + 100))
        blocks.append(block)
        last = float(block[-1])
    times = np.concatenate(blocks) if blocks else np.zeros(0)
    return times[times < until]


def burst_levels(mean_rate: float, burst: Burst) -> tuple[float, float, float]:
    """Return the high factor, the low factor, and the share of time at the high one.

    The variance of the rate follows from the dispersion (``fastsim.calibrate.arrivals``); both
    levels are equally long unless the low one would fall below 0.
    """
    variation = np.sqrt((burst.dispersion - 1.0) / (2.0 * mean_rate * burst.memory))
    high_share = min(0.5, 1.0 / (1.0 + variation**2))
    high = 1.0 + variation * np.sqrt((1.0 - high_share) / high_share)
    low = 1.0 - variation * np.sqrt(high_share / (1.0 - high_share))
    return float(high), max(float(low), 0.0), float(high_share)


def _with_bursts(
    edges_s: FloatArray,
    rates: FloatArray,
    mean_rate: float,
    burst: Burst,
    *,
    duration_s: float,
    seed: int,
) -> tuple[FloatArray, FloatArray]:
    high, low, share = burst_levels(mean_rate, burst)
    rng = stream(seed, "bursts")
    # Sojourns of a two-state Markov chain whose correlation decays with ``memory``.
    means = np.array([burst.memory / (1.0 - share), burst.memory / share])
    begins_low = bool(rng.random() >= share)
    needed = int(2.0 * duration_s / means.sum() * 1.2) + 20
    ends: list[FloatArray] = []
    last, state = 0.0, int(begins_low)
    while last < duration_s:
        order = (state + np.arange(needed)) % 2
        block = last + np.cumsum(rng.exponential(1.0, needed) * means[order])
        ends.append(block)
        last, state = float(block[-1]), (state + needed) % 2
    jumps = np.concatenate(ends)
    jumps = jumps[jumps < duration_s]
    merged = np.unique(np.concatenate([edges_s, jumps]))
    middle = (merged[1:] + merged[:-1]) / 2.0
    number = np.searchsorted(jumps, middle, side="right")
    factor = np.where((number + begins_low) % 2 == 0, high, low)
    inside = np.clip(np.searchsorted(edges_s, middle, side="right") - 1, 0, len(rates) - 1)
    return merged, rates[inside] * factor
