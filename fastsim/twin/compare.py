"""Twin against live, value by value, and what it says altogether.

The rule is in ``fastsim.twin.equivalence``: a value *agrees*, is *off*, or the data *cannot
tell*. The live run is compared with replications of its own size; the twin's value is that of
all of them together, as in a forecast.

What counts: p50 and p95 of the total and of every endpoint with enough requests; metrics that
a tolerance was asked for. Errors and throughput of the total count when they are off: a service
under open-loop load that keeps up has the throughput of its arrivals, which is no evidence.
Where both sides are saturated, latency has no steady value: then the rate served decides.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fastsim.errors import InputError, NotEnoughDataError, UnknownNameError
from fastsim.result import CompareRow, Comparison, Estimate, Finding, Run
from fastsim.twin.counterpart import Counterpart, FromReplications, FromRun
from fastsim.twin.doubt import MUCH_TAKEN, processor_warnings
from fastsim.twin.equal_cpu import at_equal_cpu, busy_per_request_s, within_reach
from fastsim.twin.equivalence import Compared, Judgement, judge, times_longer, together
from fastsim.twin.live import LiveSample
from fastsim.twin.live_summary import LiveSummary
from fastsim.twin.metrics import View
from fastsim.twin.replicate import Replications
from fastsim.twin.statistics import METRICS
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

BUSY_TOLERANCE = 0.10
"""Relative, of the event loop's busy time per request."""

COUNTING = frozenset({"p50", "p95"})
"""Metrics that decide the verdict unless others are asked for."""

FEWEST = {
    "mean": 30,
    "p50": 30,
    "p90": 100,
    "p95": 100,
    "p99": 300,
    "errors": 30,
    "throughput": 30,
    "busy": 30,
}
"""Live requests below which a metric is not judged: a p95 has 5 values beyond it, a p99 3."""

LONGEST_S = 86_400.0
"""Nobody measures for longer to hear that a value agrees."""

TOTAL = "total"

Live = LiveSample | LiveSummary


@dataclass(frozen=True, slots=True)
class _Value:
    """One value to compare."""

    endpoint: str | None
    metric: str
    requests: int
    live: Estimate
    twin: Estimate
    compared: Compared
    counts: bool
    """Whether the verdict needs it to agree."""

    @property
    def name(self) -> str:
        return TOTAL if self.endpoint is None else self.endpoint

    @property
    def enough(self) -> bool:
        return self.requests >= FEWEST[self.metric]

    @property
    def may_refute(self) -> bool:
        """Whether the verdict is off when it is."""
        return self.counts or (self.endpoint is None and self.metric in {"errors", "throughput"})


def compare(
    twin: Replications | Run,
    live: Live,
    *,
    mode: Literal["free", "arrival replay"] = "free",
    view: View = "client",
    tolerance: Mapping[str, float] | None = None,
    counting: Collection[tuple[str, str]] | None = None,
) -> Comparison:
    """Compare a twin with what was measured live.

    Parameters
    ----------
    twin
        Best: replications of the live run (``fastsim.twin.live.simulate_live``). From a
        stored run the half-widths are derived from its intervals, scaled to the live size.
    mode
        How the replications were made; it is noted, not acted on.
    view
        ``client`` latencies, or the durations of the ``server`` spans.
    tolerance
        Limits by metric in place of ``TOLERANCE``; a metric named here counts for the verdict.
    counting
        Endpoints (or ``total``) and metrics that alone count, in place of the rule above.

    Raises
    ------
    UnknownNameError
        When a tolerance names an unknown metric.
    InputError
        When a tolerance is not positive.
    NotEnoughDataError
        When there is nothing in common, or the twin ran only once.
    """
    asked = checked_tolerance(tolerance or {})
    side: Counterpart = (
        FromRun(twin, view) if isinstance(twin, Run) else FromReplications(twin, view)
    )
    if side.runs < 2:
        raise NotEnoughDataError(
            "one replication of the twin tells nothing about chance",
            hint="simulate at least 40: --replications 40",
        )
    known, warnings = live.known_to(side.endpoints)
    warnings += side.differences(known)
    overload = find_overload(twin) if isinstance(twin, Replications) else None
    saturated = overload is not None and known.piles_up
    metrics = frozenset({"throughput"}) if saturated else COUNTING | set(asked)
    values = _values(side, known, TOLERANCE | asked, metrics)
    if counting is not None and not saturated:
        values = [
            replace(value, counts=value.enough and (value.name, value.metric) in counting)
            for value in values
        ]
    judged = list(
        zip(
            values,
            judge(
                [value.compared for value in values],
                [value.compared for value in values if value.counts and value.enough],
            ),
            strict=True,
        )
    )
    if saturated:
        warnings.append("both are saturated: latency has no steady value, the rate served decides")
    elif overload is not None:
        warnings.append(f"twin: {overload.sentence()}")
    if isinstance(twin, Replications) and twin.plan.doubtful:
        warnings += processor_warnings(twin.plan.model.loop, twin.plan.duration_s)
        if isinstance(live, LiveSample) and (live.taken or 0.0) > MUCH_TAKEN:
            warnings.append(
                f"other processes took {live.taken:.0%} of the event loop's time in the live run; "
                "every interval allows for what they took more or less than while recording"
            )
    verdict = _verdict(judged)
    busy, at_live_busy = (None, []) if saturated else _at_live_busy(twin, live, judged)
    return Comparison(
        mode=mode,
        title=f"{live.title or format_rate(live.rate_per_s)} · {view} view",
        rows=[_row(value, judgement) for value, judgement in judged],
        tolerance=TOLERANCE | asked,
        verdict=verdict,
        needed_s=_needed_s(judged, known.duration_s) if verdict == "cannot tell" else None,
        warnings=warnings,
        busy=busy,
        at_live_busy=at_live_busy,
    )


def _at_live_busy(
    twin: Replications | Run, live: Live, judged: Sequence[tuple[_Value, Judgement]]
) -> tuple[CompareRow | None, list[CompareRow]]:
    """Return how busy both were for a request, and what would be left were they alike."""
    counting = [value for value, _ in judged if value.counts and value.enough]
    if not (isinstance(twin, Replications) and isinstance(live, LiveSample)) or not live.busy_s:
        return None, []
    busy_s = busy_per_request_s(twin)
    if not counting or float(busy_s.min()) <= 0.0:
        return None, []
    limit, typical_s = math.log1p(BUSY_TOLERANCE), float(np.median(busy_s))
    compared = Compared(
        math.log(live.busy_s), math.log(typical_s), limit, twin=np.log(busy_s), log=True
    )
    lived, typical = (Estimate(value=each, unit="s") for each in (live.busy_s, typical_s))
    value = _Value(None, "busy", live.requests, lived, typical, compared, counts=False)
    [judgement] = judge([compared])
    row = _row(value, judgement)
    if not within_reach(busy_s, live.busy_s):
        return row, []
    values = [
        replace(value, compared=found, twin=Estimate(value=math.exp(found.centre), unit="s"))
        for value in counting
        if value.metric in METRICS
        and (found := at_equal_cpu(value.compared, busy_s, live.busy_s)) is not None
    ]
    judgements = judge([value.compared for value in values])
    return row, [_row(*pair) for pair in zip(values, judgements, strict=True)]


def checked_tolerance(asked: Mapping[str, float]) -> dict[str, float]:
    """Return limits by metric, if there are such metrics.

    Raises
    ------
    UnknownNameError
        When one names an unknown metric.
    InputError
        When one is not positive.
    """
    for metric, limit in asked.items():
        if metric not in TOLERANCE:
            raise UnknownNameError("metric", metric, TOLERANCE, where="--tolerance")
        if not 0.0 < limit < math.inf:
            raise InputError(f"tolerance must be above 0, not {limit:g}", where="--tolerance")
    return dict(asked)


def _values(
    side: Counterpart,
    live: Live,
    tolerance: Mapping[str, float],
    counting: frozenset[str],
) -> list[_Value]:
    names = [name for name in side.endpoints if live.has(name)]
    endpoints: list[str | None] = [*names, None] if len(names) > 1 else list(names)
    found: list[_Value] = []
    for endpoint in endpoints:
        for metric in METRICS:
            if metric in tolerance:
                limit = tolerance[metric]
                found += _latency(side, live, endpoint, metric, tolerance=limit, counting=counting)
        found += _errors(side, live, endpoint, tolerance["errors"], counting)
    return found + _throughput(side, live, tolerance["throughput"], counting)


def _latency(
    side: Counterpart,
    live: Live,
    endpoint: str | None,
    metric: str,
    *,
    tolerance: float,
    counting: frozenset[str],
) -> list[_Value]:
    measured = live.latency(endpoint, metric)
    if measured is None:
        return []
    found = side.compared(endpoint, metric, measured.estimate.value, measured.requests, tolerance)
    if found is None:
        return []
    compared, twin = found
    if measured.rounding and compared.log:
        half = math.hypot(compared.least_half, measured.rounding)
        compared = replace(compared, least_half=half)
    counts = metric in counting and measured.requests >= FEWEST[metric]
    return [_Value(endpoint, metric, measured.requests, measured.estimate, twin, compared, counts)]


def _errors(
    side: Counterpart,
    live: Live,
    endpoint: str | None,
    tolerance: float,
    counting: frozenset[str],
) -> list[_Value]:
    failed, finished = live.failures(endpoint)
    found = side.compared_errors(endpoint, failed, finished, tolerance)
    if found is None or not (failed or found[1].value or endpoint is None):
        return []
    compared, twin = found
    measured = Estimate(value=failed / finished, unit="ratio")
    counts = "errors" in counting and finished >= FEWEST["errors"]
    return [_Value(endpoint, "errors", finished, measured, twin, compared, counts)]


def _throughput(
    side: Counterpart, live: Live, tolerance: float, counting: frozenset[str]
) -> list[_Value]:
    measured, requests = live.successes_per_s(), live.requests
    if measured.value <= 0.0:
        return []
    found = side.compared(None, "throughput", measured.value, requests, tolerance)
    if found is None:
        return []
    compared, twin = found
    counts = "throughput" in counting and requests >= FEWEST["throughput"]
    return [_Value(None, "throughput", requests, measured, twin, compared, counts)]


def _finding(value: _Value, judgement: Judgement) -> Finding:
    return judgement.finding if value.enough else "cannot tell"


def _verdict(judged: list[tuple[_Value, Judgement]]) -> Finding:
    if any(value.may_refute and _finding(value, judgement) == "off" for value, judgement in judged):
        return "off"
    return together([_finding(value, judgement) for value, judgement in judged if value.counts])


def _needed_s(judged: list[tuple[_Value, Judgement]], duration_s: float) -> float | None:
    """Return how long a live run at this load would tell, seconds; None if none within a day."""
    undecided = [
        (judgement, value.compared)
        for value, judgement in judged
        if value.counts and judgement.finding == "cannot tell"
    ]
    if not undecided:
        return None
    needed_s = times_longer(undecided) * duration_s
    return needed_s if needed_s <= LONGEST_S else None


def _row(value: _Value, judgement: Judgement) -> CompareRow:
    low, high = judgement.error - judgement.half, judgement.error + judgement.half
    error = judgement.error
    if value.compared.log:
        error, low, high = math.expm1(error), math.expm1(low), math.expm1(min(high, 700.0))
    known = math.isfinite(judgement.half)
    return CompareRow(
        endpoint=value.name,
        metric=value.metric,
        unit=value.live.unit,
        requests=value.requests,
        live=value.live.value,
        live_low=value.live.low,
        live_high=value.live.high,
        twin=value.twin.value,
        twin_low=value.twin.low,
        twin_high=value.twin.high,
        error=error,
        error_low=low if known else None,
        error_high=high if known else None,
        counts=value.counts,
        verdict=_finding(value, judgement),
    )
