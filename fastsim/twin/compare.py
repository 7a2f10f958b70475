"""Twin against live, row by row, each with what a perfect twin would miss by chance.

The noise floor comes from replications of the live run's own size: their spread is what
another live run would show, and the standard error of their centre is added. An error is

- *inside noise* when it does not exceed the floor (a perfect twin: 95 % of rows),
- *within tolerance* when it exceeds the floor but not the tolerance,
- *off* otherwise, and *too few* when the live run cannot support the statistic.

The twin's value is the centre (geometric mean) of the statistic over replications: like the
live value it comes from runs of that size, so the bias of a small sample's quantile cancels.

Many rows are compared, so some exceed their floor by chance. The verdict is no when a row
that counts is off by more than all those rows together would show by chance (Bonferroni):
a perfect twin fails in at most 5 % of comparisons, however many endpoints there are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fastsim.errors import InputError, NotEnoughDataError, UnknownNameError
from fastsim.load.intervals import mean_estimate, quantile_estimate
from fastsim.result import CompareRow, Comparison, Estimate, Run
from fastsim.twin.counterpart import Counterpart, FromReplications, FromRun
from fastsim.twin.live import LiveSample
from fastsim.twin.metrics import View
from fastsim.twin.replicate import Replications
from fastsim.twin.statistics import CONFIDENCE, METRICS, PROBABILITIES, share_floor
from fastsim.twin.trust import find_overload
from fastsim.units import format_rate

TOLERANCE: dict[str, float] = {
    "mean": 0.10,
    "p50": 0.10,
    "p90": 0.10,
    "p95": 0.10,
    "p99": 0.20,
    "errors": 0.01,
    "throughput": 0.05,
}
"""Relative, except for errors: the difference of the two shares."""

COUNTING = frozenset({"p50", "p95", "errors"})
"""Metrics that decide the verdict unless others are asked for."""

FEWEST = {"mean": 30, "p50": 30, "p90": 100, "p95": 100, "p99": 300, "errors": 30, "throughput": 30}
"""Live requests below which a metric is not judged: a p95 has 5 values beyond it, a p99 3."""

TOTAL = "total"
_COARSE = 2.0

Verdict = Literal["inside noise", "within tolerance", "off", "too few"]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A row, and the floor that holds for all counting rows together."""

    row: CompareRow
    counts: bool
    family_floor: float

    @property
    def surely_off(self) -> bool:
        return self.row.verdict == "off" and abs(self.row.error) > self.family_floor


def compare(
    twin: Replications | Run,
    live: LiveSample,
    *,
    mode: Literal["free", "arrival replay"] = "free",
    view: View = "client",
    tolerance: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare a twin with what was measured live.

    Parameters
    ----------
    twin
        Best: replications of the live run (``fastsim.twin.live.simulate_live``). From a
        stored run the floor is derived from its intervals and scaled to the live size.
    mode
        How the replications were made; it is noted, not acted on.
    view
        ``client`` latencies, or the durations of the ``server`` spans.
    tolerance
        Limits by metric in place of ``TOLERANCE``; a metric named here counts for the verdict.

    Raises
    ------
    UnknownNameError
        When a tolerance names an unknown metric.
    InputError
        When a tolerance is not positive.
    NotEnoughDataError
        When there is nothing in common, or the twin ran only once.
    """
    asked = dict(tolerance or {})
    for metric, limit in asked.items():
        if metric not in TOLERANCE:
            raise UnknownNameError("metric", metric, TOLERANCE, where="--tolerance")
        if not 0.0 < limit < math.inf:
            raise InputError(f"tolerance must be above 0, not {limit:g}", where="--tolerance")
    side: Counterpart = (
        FromRun(twin, view) if isinstance(twin, Run) else FromReplications(twin, view)
    )
    if side.runs < 2:
        raise NotEnoughDataError(
            "one replication of the twin tells nothing about chance",
            hint="simulate at least 20: --replications 20",
        )
    known, warnings = live.known_to(side.endpoints)
    counting = COUNTING | set(asked)
    table = _Table(side, known, TOLERANCE | asked, counting)
    judged = table.rows()
    surely_off = [item for item in judged if item.counts and item.surely_off]
    warnings += side.differences(known)
    if isinstance(twin, Replications) and (overload := find_overload(twin)) is not None:
        warnings.append(f"twin: {overload.sentence()}")
    warnings += _chance(judged, surely_off) + _coarse(judged, TOLERANCE | asked)
    return Comparison(
        mode=mode,
        title=f"{live.title or format_rate(live.rate_per_s)} · {view} view",
        rows=[item.row for item in judged],
        tolerance=TOLERANCE | asked,
        verdict="no" if surely_off else "yes",
        warnings=warnings,
    )


class _Table:
    """The rows of one comparison."""

    def __init__(
        self,
        side: Counterpart,
        live: LiveSample,
        tolerance: Mapping[str, float],
        counting: frozenset[str] | set[str],
    ) -> None:
        self._side = side
        self._live = live
        self._tolerance = tolerance
        self._counting = counting
        names = [name for name in side.endpoints if live.chosen(name).any()]
        self._endpoints: list[str | None] = [*names, None] if len(names) > 1 else list(names)
        self._family = self._family_confidence()

    def rows(self) -> list[_Judged]:
        found: list[_Judged] = []
        for endpoint in self._endpoints:
            found += self._latency_rows(endpoint)
            found += self._error_row(endpoint)
        return found + self._throughput_row()

    def _family_confidence(self) -> float:
        rows = 0
        for endpoint in self._endpoints:
            chosen = self._live.chosen(endpoint)
            succeeded = int((chosen & self._live.ok).sum())
            rows += sum(
                self._sample_size(metric, succeeded, int(chosen.sum())) >= FEWEST[metric]
                for metric in self._counting
            )
        return 1.0 - (1.0 - CONFIDENCE) / max(1, rows)

    @staticmethod
    def _sample_size(metric: str, succeeded: int, finished: int) -> int:
        return finished if metric == "errors" else succeeded

    def _latency_rows(self, endpoint: str | None) -> list[_Judged]:
        chosen = self._live.chosen(endpoint) & self._live.ok
        latency_s = self._live.latency_s[chosen]
        found = []
        for index, metric in enumerate(METRICS):
            spread = self._side.spread(endpoint, metric, len(latency_s))
            if metric not in TOLERANCE or spread is None or not len(latency_s):
                continue
            live = (
                mean_estimate(latency_s)
                if metric == "mean"
                else quantile_estimate(latency_s, PROBABILITIES[index - 1])
            )
            half = spread.t() * spread.deviation / math.sqrt(spread.runs)
            low, high = spread.around(spread.value, half)
            found.append(
                self._judge(
                    endpoint,
                    metric,
                    requests=len(latency_s),
                    live=live,
                    twin=Estimate(value=spread.value, low=low, high=high),
                    error=_relative(spread.value, live.value),
                    floor=spread.floor(live.value),
                    family_floor=spread.floor(live.value, self._family),
                )
            )
        return found

    def _error_row(self, endpoint: str | None) -> list[_Judged]:
        chosen = self._live.chosen(endpoint)
        finished, failed = int(chosen.sum()), int((chosen & ~self._live.ok).sum())
        ratios, twin_finished = self._side.errors(endpoint)
        if not twin_finished or not (failed or ratios.any() or endpoint is None):
            return []
        live, twin = failed / finished, float(ratios.mean())
        return [
            self._judge(
                endpoint,
                "errors",
                requests=finished,
                live=Estimate(value=live, unit="ratio"),
                twin=Estimate(value=twin, unit="ratio"),
                error=twin - live,
                floor=share_floor(failed, finished, ratios, twin_finished),
                family_floor=share_floor(failed, finished, ratios, twin_finished, self._family),
            )
        ]

    def _throughput_row(self) -> list[_Judged]:
        live = self._live.successes_per_s()
        spread = self._side.spread(None, "throughput", int(self._live.measured.sum()))
        if spread is None or live.value <= 0.0:
            return []
        return [
            self._judge(
                None,
                "throughput",
                requests=int(self._live.measured.sum()),
                live=live,
                twin=Estimate(value=spread.value, unit="/s"),
                error=_relative(spread.value, live.value),
                floor=spread.floor(live.value),
                family_floor=spread.floor(live.value, self._family),
            )
        ]

    def _judge(
        self,
        endpoint: str | None,
        metric: str,
        *,
        requests: int,
        live: Estimate,
        twin: Estimate,
        error: float,
        floor: float,
        family_floor: float,
    ) -> _Judged:
        verdict: Verdict = "off"
        if requests < FEWEST[metric]:
            verdict = "too few"
        elif abs(error) <= floor:
            verdict = "inside noise"
        elif abs(error) <= self._tolerance[metric]:
            verdict = "within tolerance"
        row = CompareRow(
            endpoint=TOTAL if endpoint is None else endpoint,
            metric=metric,
            unit=live.unit,
            requests=requests,
            live=live.value,
            live_low=live.low,
            live_high=live.high,
            twin=twin.value,
            twin_low=twin.low,
            twin_high=twin.high,
            error=error,
            floor=floor,
            verdict=verdict,
        )
        return _Judged(row, metric in self._counting, family_floor)


def _relative(twin: float, live: float) -> float:
    if live == 0.0:
        return 0.0 if twin == 0.0 else math.inf
    return twin / live - 1.0


def _chance(judged: list[_Judged], surely_off: list[_Judged]) -> list[str]:
    off = [item for item in judged if item.counts and item.row.verdict == "off"]
    checked = sum(item.counts and item.row.verdict != "too few" for item in judged)
    if surely_off or not off:
        return []
    return [
        (
            f"{len(off)} of the {checked} rows that count exceed their floor, but by no more than "
            "chance does among so many; a longer live run would tell"
        )
    ]


def _coarse(judged: list[_Judged], tolerance: Mapping[str, float]) -> list[str]:
    """Say when "inside noise" means little because the noise is large."""
    coarse = [
        item.row
        for item in judged
        if item.counts
        and item.row.verdict == "inside noise"
        and item.row.floor > _COARSE * tolerance[item.row.metric]
    ]
    if not coarse:
        return []
    worst = max(coarse, key=lambda row: row.floor / tolerance[row.metric])
    return [
        (
            f"chance alone explains ±{worst.floor:.0%} of {worst.endpoint} {worst.metric}: "
            f"{len(coarse)} row{'s' if len(coarse) > 1 else ''} inside noise would not show an "
            "error of twice the tolerance; a longer live run would"
        )
    ]
