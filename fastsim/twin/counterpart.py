"""The twin's side of a comparison, from replications or from a stored run."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastsim.result import Estimate, Run, Summary
from fastsim.twin.doubt import speed_sd
from fastsim.twin.equivalence import Compared
from fastsim.twin.live import LiveSample
from fastsim.twin.live_summary import LiveSummary
from fastsim.twin.metrics import View
from fastsim.twin.replicate import Replications
from fastsim.twin.statistics import (
    METRICS,
    Spread,
    counting_half,
    replicated_estimate,
    student_quantile,
)
from fastsim.units import format_rate, format_share

Floats = NDArray[np.float64]

_RATE_DIFFERS = 0.02
_SHARE_DIFFERS = 0.03
_FEWEST_FOR_SLOPE = 10


class Counterpart(Protocol):
    """What a comparison asks of the twin."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints the twin knows."""

    @property
    def runs(self) -> int:
        """Number of replications."""

    def compared(
        self, endpoint: str | None, metric: str, live: float, requests: int, tolerance: float
    ) -> tuple[Compared, Estimate] | None:
        """Return a value beside the live one, and with its own interval; None if unknown.

        Parameters
        ----------
        live
            The live value.
        requests
            Live requests behind it.
        tolerance
            Relative.
        """

    def compared_errors(
        self, endpoint: str | None, failed: int, finished: int, tolerance: float
    ) -> tuple[Compared, Estimate] | None:
        """Return the share of failures beside ``failed`` of ``finished`` live requests."""

    def differences(self, live: LiveSample | LiveSummary) -> list[str]:
        """Say where twin and live were not asked the same."""


class FromReplications:
    """Replications of the live run: same rate, length and mix."""

    def __init__(self, found: Replications, view: View) -> None:
        self._found = found
        self._view = view
        drawn = found.processors()
        self._speed = np.array([each.cpu_log for each in drawn])
        self._cold = np.array([each.cold_extra for each in drawn])
        self._less = np.array([each.less for each in drawn])
        self._idle = found.idle_logs()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints the twin knows."""
        return self._found.endpoints

    @property
    def runs(self) -> int:
        """Number of replications."""
        return len(self._found)

    def compared(
        self,
        endpoint: str | None,
        metric: str,
        live: float,
        requests: int,  # noqa: ARG002  replications have the live size
        tolerance: float,
    ) -> tuple[Compared, Estimate] | None:
        """Return the value of a typical replication, and that of each.

        The typical one, because a live run is one, too: where doubt or a wandering machine makes
        some replications crowded, the mean of all is what hardly any of them is like.
        """
        if metric == "throughput":
            each = self._found.each(lambda run: run.throughput_per_s(endpoint))
            value, unit = float(each.mean()), "/s"
        else:
            column, unit = METRICS.index(metric), "s"
            each = self._found.statistics(endpoint, self._view)[:, column]
            if np.isfinite(each).sum() < 2:
                return None
            if self._found.plan.doubtful:
                value = float(np.nanmedian(each))
            else:
                value = float(self._found.pooled_statistics(endpoint, self._view)[column])
        estimate = replicated_estimate(value, each, unit=unit)
        if live == 0.0:
            return None
        if min(live, value, float(np.nanmin(each))) <= 0.0:
            return Compared(1.0, value / live, tolerance, twin=each / live), estimate
        logs = np.log(each)
        compared = Compared(
            math.log(live),
            math.log(value),
            math.log1p(tolerance),
            twin=logs,
            fixed=self._fixed(endpoint, logs),
            log=True,
        )
        return compared, estimate

    def _fixed(self, endpoint: str | None, each: Floats) -> float:
        """Return the share of the variance that no longer live run would lessen."""
        if not len(self._speed):
            return 0.0
        laws = _correlation(self._idle[endpoint], each)
        plan, costs = self._found.plan, self._found.plan.model.loop
        deviation = speed_sd(costs, plan.duration_s)
        recorded = costs.doubt.error / deviation if deviation > 0.0 else 0.0
        speed = (_correlation(self._speed, each) * recorded) ** 2
        caches = _correlation(self._cold, each) ** 2 + _correlation(self._less, each) ** 2
        return min(speed + caches + laws**2, 1.0)

    def compared_errors(
        self, endpoint: str | None, failed: int, finished: int, tolerance: float
    ) -> tuple[Compared, Estimate] | None:
        """Return the mean share of failures, and how it varies."""
        counts = self._found.failures(endpoint)
        some = counts[counts[:, 1] > 0.0]
        return _errors(some[:, 0] / some[:, 1], int(some[:, 1].sum()), failed, finished, tolerance)

    def differences(self, live: LiveSample | LiveSummary) -> list[str]:
        """Say where twin and live were not asked the same."""
        plan = self._found.plan
        if plan.users is not None:
            served = float(self._found.each(lambda run: len(run.at_s) / run.duration_s).mean())
            return _rate_difference(served, live.rate_per_s)
        return _rate_difference(plan.rate_per_s, live.rate_per_s)


class FromRun:
    """A stored run: its intervals tell the spread, scaled to the live number of requests.

    The variance of a statistic falls with the number of requests; that is exact for long
    runs only, so replications of the live run are the better counterpart.
    """

    def __init__(self, run: Run, view: View) -> None:
        self._run = run
        self._view = view

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints the twin knows."""
        return tuple(self._run.endpoints)

    @property
    def runs(self) -> int:
        """Number of replications."""
        return self._run.replications

    def compared(
        self, endpoint: str | None, metric: str, live: float, requests: int, tolerance: float
    ) -> tuple[Compared, Estimate] | None:
        """Return the value, and how it would vary between runs with so many requests."""
        summary = self._summary(endpoint)
        latency = summary.latency if self._view == "client" else summary.server_latency
        if metric == "throughput":
            estimate = summary.throughput
        elif latency is None:
            return None
        else:
            estimate = getattr(latency, metric)
        per_run = summary.requests / self.runs
        spread = _spread_of(estimate, self.runs, per_run / max(requests, 1))
        if spread is None or live <= 0.0:
            return None
        compared = Compared(
            math.log(live),
            spread.centre,
            math.log1p(tolerance),
            deviation=spread.deviation,
            runs=spread.runs,
            log=True,
        )
        return compared, estimate

    def compared_errors(
        self, endpoint: str | None, failed: int, finished: int, tolerance: float
    ) -> tuple[Compared, Estimate] | None:
        """Return the share of failures; what replications would show is not stored."""
        summary = self._summary(endpoint)
        done = summary.completed + summary.failed
        ratios = np.full(self.runs, summary.failed / max(done, 1))
        return _errors(ratios, done, failed, finished, tolerance)

    def differences(self, live: LiveSample | LiveSummary) -> list[str]:
        """Say where twin and live were not asked the same."""
        found = _rate_difference(self._run.rate_per_s, live.rate_per_s)
        shares = live.shares()
        total = max(1, self._run.total.requests)
        gaps = {
            name: summary.requests / total - shares.get(name, 0.0)
            for name, summary in self._run.endpoints.items()
        }
        worst = max(gaps, key=lambda name: abs(gaps[name]))
        if abs(gaps[worst]) > _SHARE_DIFFERS:
            found.append(
                f"the mix differs: {worst} is {format_share(shares.get(worst, 0.0), 3)} of the "
                f"live requests, {format_share(shares.get(worst, 0.0) + gaps[worst], 3)} of the "
                "twin's"
            )
        return found

    def _summary(self, endpoint: str | None) -> Summary:
        return self._run.total if endpoint is None else self._run.endpoints[endpoint]


def _correlation(doubt: Floats, each: Floats) -> float:
    known = np.isfinite(each)
    if known.sum() < _FEWEST_FOR_SLOPE or not doubt[known].std() or not each[known].std():
        return 0.0
    return float(np.corrcoef(doubt[known], each[known])[0, 1])


def _errors(
    ratios: Floats, twin_finished: int, failed: int, finished: int, tolerance: float
) -> tuple[Compared, Estimate] | None:
    if not len(ratios) or not twin_finished or not finished:
        return None
    value = float(ratios.mean())
    compared = Compared(
        failed / finished,
        value,
        tolerance,
        deviation=float(ratios.std(ddof=1)) if len(ratios) > 1 else 0.0,
        runs=len(ratios),
        least_half=counting_half(failed, finished, value, twin_finished),
    )
    return compared, Estimate(value=value, unit="ratio")


def _spread_of(estimate: Estimate, runs: int, size_ratio: float) -> Spread | None:
    """Recover the spread between runs from a Student interval on logarithms.

    What doubt about the model adds to it is the same for a run of any length.

    Parameters
    ----------
    size_ratio
        Requests of one replication over requests of the live run.
    """
    if estimate.low is None or estimate.high is None or estimate.low <= 0.0:
        return None
    half = math.log(estimate.high / estimate.low) / 2.0
    doubt = min(estimate.doubt or 0.0, half)
    own = math.sqrt(half**2 - doubt**2) / student_quantile(runs - 1) * math.sqrt(runs)
    live, model = own * math.sqrt(size_ratio), doubt / student_quantile(runs)
    # ``Spread.noise`` multiplies by sqrt(1 + 1/runs), for runs of one size; here they differ.
    deviation = math.sqrt((live**2 + own**2 / runs + model**2) / (1.0 + 1.0 / runs))
    return Spread(math.log(estimate.value), deviation, runs, log=True)


def _rate_difference(twin_per_s: float, live_per_s: float) -> list[str]:
    if abs(twin_per_s / live_per_s - 1.0) <= _RATE_DIFFERS:
        return []
    return [
        (
            f"the loads differ: the twin ran at {format_rate(twin_per_s, 4)}, "
            f"live at {format_rate(live_per_s, 4)}"
        )
    ]
