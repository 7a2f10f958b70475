"""Numbers about samples: latency statistics, intervals from replications, noise floors.

Everything here takes arrays and returns numbers; what they mean is decided in ``replicate``,
``forecast`` and ``compare``. Intervals of a live run, which has no replications, are in
``fastsim.load.intervals``.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsim.result import Estimate, Latency

Floats = NDArray[np.float64]

METRICS = ("mean", "p50", "p90", "p95", "p99", "p999")
PROBABILITIES = (0.5, 0.9, 0.95, 0.99, 0.999)

CONFIDENCE = 0.95


def latency_statistics(latency_s: Floats) -> Floats:
    """Return mean and quantiles in the order of ``METRICS``; NaN without values."""
    if not len(latency_s):
        return np.full(len(METRICS), np.nan)
    quantiles = np.quantile(latency_s, PROBABILITIES)
    return np.concatenate([[float(latency_s.mean())], quantiles])


def latency_estimates(pooled_s: Floats, per_replication_s: Floats) -> Latency | None:
    """Summarise replicated latencies; None without any value.

    Parameters
    ----------
    pooled_s
        The latencies of all replications together. The estimate is their statistic: a
        quantile of few values is biased, and the mean of such quantiles stays biased
        however many replications there are.
    per_replication_s : float array, shape (replications, len(METRICS))
        The same statistics of each replication; they tell the interval.
    """
    if not len(pooled_s):
        return None
    values = latency_statistics(pooled_s)
    mean, p50, p90, p95, p99, p999 = (
        replicated_estimate(float(value), column)
        for value, column in zip(values, per_replication_s.T, strict=True)
    )
    return Latency(mean=mean, p50=p50, p90=p90, p95=p95, p99=p99, p999=p999)


def replicated_estimate(value: float, per_replication: Floats, *, unit: str = "s") -> Estimate:
    """Give a value the 95 % Student interval that independent replications imply.

    The interval is built on logarithms where all replications are positive: latencies are
    skewed, and no bound may fall below zero. Its bounds are absent when fewer than two
    replications have a value.
    """
    present = per_replication[np.isfinite(per_replication)]
    if len(present) < 2:
        return Estimate(value=value, unit=unit)
    spread = Spread.of(present)
    low, high = spread.around(value, spread.t() * spread.deviation / math.sqrt(len(present)))
    return Estimate(value=value, low=low, high=high, unit=unit)


@dataclass(frozen=True, slots=True)
class Spread:
    """How much one statistic differs between independent runs of equal size.

    ``centre`` and ``deviation`` are those of the logarithms when ``log`` is true.
    """

    centre: float
    deviation: float
    runs: int
    log: bool

    @classmethod
    def of(cls, per_run: Floats) -> "Spread":
        """Measure it; ``per_run`` holds at least two finite values."""
        log = bool(per_run.min() > 0.0)
        values = np.log(per_run) if log else per_run
        return cls(float(values.mean()), float(values.std(ddof=1)), len(per_run), log)

    @property
    def value(self) -> float:
        """The centre on the scale of the statistic."""
        return math.exp(self.centre) if self.log else self.centre

    def t(self, confidence: float = CONFIDENCE) -> float:
        """Return the two-sided Student quantile for this many runs."""
        return student_quantile(self.runs - 1, confidence)

    def around(self, value: float, half: float) -> tuple[float, float]:
        """Return the bounds ``half`` below and above a value, on the scale measured."""
        if self.log:
            return value * math.exp(-half), value * math.exp(half)
        return value - half, value + half

    def noise(self, confidence: float = CONFIDENCE) -> float:
        """Return how far a further run lies from the centre, at most, with this confidence.

        A prediction interval: the spread of one run and the standard error of the centre
        both count, and Student's t pays for the deviation being an estimate itself. It is
        exact when the (logarithm of the) statistic is normal.
        """
        return self.t(confidence) * self.deviation * math.sqrt(1.0 + 1.0 / self.runs)

    def floor(self, live: float, confidence: float = CONFIDENCE) -> float:
        """Return the relative error that chance explains, on the side where ``live`` lies."""
        noise = self.noise(confidence)
        if not self.log:
            return noise / abs(live) if live else math.inf
        return math.expm1(noise) if self.value >= live else -math.expm1(-noise)


def share_floor(
    live_failed: int, live_n: int, twin: Floats, twin_n: int, confidence: float = CONFIDENCE
) -> float:
    """Return the difference between two shares that chance explains.

    The larger of what replications show and what counting independent events implies; the
    latter keeps the floor above zero when no replication saw the event.

    Parameters
    ----------
    twin : float array, shape (replications,)
        The share in each replication.
    twin_n
        Events counted in all replications together.
    """
    twin_failed = float(twin.mean()) * twin_n
    pooled = (live_failed + twin_failed + 1.0) / (live_n + twin_n + 2.0)
    deviation = math.sqrt(pooled * (1.0 - pooled) * (1.0 / live_n + 1.0 / twin_n))
    spread = Spread(float(twin.mean()), float(twin.std(ddof=1)), len(twin), log=False)
    # Half an event more: counts are whole, the normal law is not (continuity correction).
    counting = normal_quantile(confidence) * deviation + 0.5 / live_n
    return max(spread.noise(confidence), counting)


def student_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return t such that a Student variable lies in [-t, t] with this probability."""
    # scipy.special costs a quarter second to import: only when an interval is computed.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2.0))


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """Return z such that a normal variable lies in [-z, z] with this probability."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2.0))
