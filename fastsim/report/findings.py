"""Sentences that state what the data say: verdicts, bottleneck, trust.

Every sentence is computed from the result; none is a template that could be true of
another run. Used by the text and the HTML report alike.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastsim.model import ServiceModel
from fastsim.report.wording import (
    UNKNOWN,
    cause_name,
    clean,
    could_be,
    count,
    duration,
    error_of,
    is_ratio,
    metric_name,
    plural,
    quantity,
    rate,
    share,
    signed_percent,
)
from fastsim.result import CompareRow, Comparison, PhaseResult, Run, Summary
from fastsim.twin.trust import EXTRAPOLATION

_BUSY = 0.7
_MOST_SHOWN = 4.0
"""Five times as long, or a fifth: beyond that nothing is shown."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows of a comparison came out which way."""

    agree: int
    off: int
    open: int
    """The data cannot tell."""
    worst: CompareRow | None

    @property
    def rows(self) -> int:
        """All of them."""
        return self.agree + self.off + self.open


def tally(rows: Iterable[CompareRow]) -> Tally:
    """Count the verdicts; ``worst`` is the row that is surely off by most."""
    listed = list(rows)
    found = [row.verdict for row in listed]
    off = [row for row in listed if row.verdict == "off" and math.isfinite(row.error)]
    return Tally(
        agree=found.count("agrees"),
        off=found.count("off"),
        open=found.count("cannot tell"),
        worst=max(off, key=_surely, default=None),
    )


def _surely(row: CompareRow) -> float:
    """Return the least size that the error of a row can have."""
    low = row.error if row.error_low is None else row.error_low
    high = row.error if row.error_high is None else row.error_high
    return 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))


def _at_most(row: CompareRow) -> float:
    """Return the largest size that the error of a row can have; infinity if nobody knows."""
    if row.error_low is None or row.error_high is None:
        return math.inf
    return max(abs(row.error_low), abs(row.error_high))


def tally_sentence(result: Tally) -> str:
    """Say how many of the rows agree, and name the worst."""
    text = (
        f"{result.agree} of {plural(result.rows, 'value')} agree, {result.off} "
        f"{'is' if result.off == 1 else 'are'} off, {result.open} cannot be told."
    )
    if result.worst is not None:
        text += f" Furthest off: {row_name(result.worst)}, {row_gap(result.worst)}."
    return text


def comparison_sentence(comparison: Comparison) -> str:
    """Say what a comparison found, in one sentence."""
    counted = tally(row for row in comparison.rows if row.counts)
    if comparison.verdict == "agrees":
        return f"the twin agrees with live in {all_of(counted.rows, 'value')} that count"
    if comparison.verdict == "off":
        worst = tally(comparison.rows).worst
        rest = "" if worst is None else f": {row_name(worst)} by {error_of(worst)}"
        return f"the twin differs from live{rest}"
    if not counted.rows:
        return "too few requests were measured live to compare anything"
    rows = [row for row in comparison.rows if row.counts and math.isfinite(row.error)]
    largest = max(rows, key=lambda row: abs(row.error))
    text = (
        f"none of {plural(counted.rows, 'value')} is off for sure, {counted.agree} agree for sure; "
        f"the largest error seen is {error_of(largest)}"
    )
    if comparison.needed_s is None:
        return text
    return f"{text}; a live run of {_length(comparison.needed_s)} would tell"


def pace_sentence(busy: CompareRow, *, alike: bool) -> str:
    """Say how busy the event loop was for a request on both sides.

    Parameters
    ----------
    alike
        Whether values of a twin that is as busy as live follow.
    """
    text = (
        f"the event loop was busy for {quantity(busy.live, busy.unit)} a request live, "
        f"{quantity(busy.twin, busy.unit)} in the twin: {error_of(busy)} ({could_be(busy)})"
    )
    return f"{text}; on a machine as fast as live's the twin would have" if alike else text


def shown_sentence(comparison: Comparison) -> str:
    """Say within what the twin is shown to be right: ``p50 within 26 %``; empty if it is not.

    The furthest that any row that counts could be off, by metric: what holds whatever the
    tolerance was.
    """
    if comparison.verdict == "off":
        return ""
    said, alike = _shown(comparison.rows), _shown(comparison.at_live_busy)
    if said and alike:
        return f"{said}; on a machine as fast as live's {alike}"
    return said


def _shown(rows: Sequence[CompareRow]) -> str:
    furthest: dict[str, float] = {}
    for row in rows:
        if not row.counts or is_ratio(row.unit):
            continue
        furthest[row.metric] = max(furthest.get(row.metric, 0.0), _at_most(row))
    parts = [
        f"{metric_name(metric)} within {math.ceil(could * 100.0 - 1e-9)} %"
        if could <= 1.0
        else f"{metric_name(metric)} within a factor of {math.ceil((1.0 + could) * 10.0) / 10.0:g}"
        for metric, could in furthest.items()
        if could <= _MOST_SHOWN
    ]
    return ", ".join(parts)


def all_of(number: int, noun: str) -> str:
    """Write ``the value`` or ``all 4 values``."""
    return f"the {noun}" if number == 1 else f"all {plural(number, noun)}"


def _length(seconds: float) -> str:
    """Write a length of time that one would ask for, rounded up: ``45s``, ``8min``, ``3h``."""
    for unit, size, step in (("s", 1.0, 5.0), ("min", 60.0, 1.0), ("h", 3600.0, 1.0)):
        number = math.ceil(seconds / size / step) * step
        if number <= 120.0 or unit == "h":
            return f"{number:.0f}{unit}"
    raise AssertionError


def row_name(row: CompareRow) -> str:
    """Name a row: ``GET /search p95``."""
    return f"{clean(row.endpoint)} {metric_name(row.metric)}"


def row_gap(row: CompareRow) -> str:
    """Say the error of a row and what it could be."""
    return f"{error_of(row)} (could be {could_be(row)})"


def shares_of_time(summary: Summary) -> list[tuple[str, float, float]]:
    """Return (cause, mean seconds, share) of an endpoint, largest first; causes without time out.

    Empty when nothing is known or the parts do not add up to a positive time.
    """
    parts = [(cause, s) for cause, s in summary.breakdown.items() if math.isfinite(s) and s > 0.0]
    total = sum(seconds for _, seconds in parts)
    parts.sort(key=lambda part: (-part[1], part[0]))
    return [(cause, seconds, seconds / total) for cause, seconds in parts]


def where_time_goes(summary: Summary, most: int = 6) -> str:
    """Say which causes take the time: ``llm 71 %  pool wait 14 %``."""
    parts = shares_of_time(summary)
    named = [f"{cause_name(cause)} {_whole_share(ratio)}" for cause, _, ratio in parts[:most]]
    rest = sum(ratio for _, _, ratio in parts[most:])
    return "  ".join([*named, f"other {_whole_share(rest)}"] if rest > 0.0 else named)


def bottleneck(run: Run) -> str:
    """Name the busiest of event loop and resources, or say that nothing is busy."""
    uses: list[tuple[float, str, str]] = []
    if run.loop is not None and math.isfinite(run.loop.utilisation.value):
        wait = f"mean wait {duration(run.loop.lag_mean_s)}"
        uses.append((run.loop.utilisation.value, "event loop", wait))
    for name, use in run.resources.items():
        if math.isfinite(use.utilisation.value):
            wait = f"mean wait {duration(use.mean_wait_s)}, longest queue {count(use.max_queue)}"
            uses.append((use.utilisation.value, clean(name), wait))
    if not uses:
        return ""
    busy, name, wait = max(uses, key=lambda use: use[0])
    if busy < _BUSY:
        return f"none: {name} is the busiest, {share(busy)} busy, {wait}"
    return f"{name}: {share(busy)} busy, {wait}"


def capacity_sentence(run: Run) -> str:
    """Say from which load on what is full; empty where it is not known."""
    found = run.capacity
    if found is None:
        return ""
    loop = found.resource in {"event loop", "processor"}
    name = clean(found.resource)
    name = f"the {name}" if name in {"event loop", "processor", "thread pool"} else name
    demand = f"a request keeps {'it' if loop else 'a slot'} busy {duration(found.demand_s)}"
    used = run.resources.get(found.resource)
    if used is not None and used.rate_per_s is not None:
        demand = f"it allows {rate(used.rate_per_s)}"
    full = run.rate_per_s >= found.per_s
    text = f"{name} is full from {'' if full else 'about '}{rate(found.per_s)} on ({demand})"
    if found.behind and full:
        others = " and ".join(map(clean, found.behind))
        verb = "is" if len(found.behind) == 1 else "are"
        text += f"; {others} {verb} full only because its holders wait for that"
    return text


def advice_rows(run: Run) -> list[list[str]]:
    """Return what each change would do: change, metric, value, effect."""
    rows = []
    for found in run.advice:
        where = "" if found.endpoint is None else f"{clean(found.endpoint)} "
        value = UNKNOWN if found.value is None else duration(found.value)
        rows.append(
            [clean(found.change), f"{where}{metric_name(found.metric)}", value, found.effect]
        )
    return rows


def data_behind(run: Run) -> str:
    """Say what the numbers of a run rest on."""
    total = run.total
    if run.source == "live":
        parts = [f"measured on {plural(total.requests, 'request')} in {duration(run.duration_s)}"]
    else:
        parts = [f"simulated {plural(total.requests, 'request')}"]
        after = f" after {duration(run.warmup_s)} of warm-up" if run.warmup_s else ""
        parts.append(
            f"{plural(run.replications, 'replication')} of {duration(run.duration_s)}{after}"
        )
    if run.seed is not None:
        parts.append(f"seed {run.seed}")
    if total.in_flight:
        parts.append(f"{count(total.in_flight)} not finished at the end")
    return ", ".join(parts)


def driver_sentence(run: Run) -> str:
    """Say how well the load driver kept to its schedule; empty when nobody measured it."""
    driver = run.driver
    if driver is None:
        return ""
    return (
        f"sent {duration(driver.lag_mean_s)} late in the mean, {duration(driver.lag_p99_s)} p99, "
        f"{duration(driver.lag_max_s)} at most; {share(driver.cpu_share)} of a core busy"
    )


def load_text(run: Run) -> str:
    """Say the load of a run: ``100/s``, or the mean and the highest of its phases."""
    if run.users is not None:
        return f"{plural(run.users, 'user')}, {rate(run.rate_per_s)}"
    if not run.phases:
        return rate(run.rate_per_s)
    peak = max(max(phase.begin_per_s, phase.end_per_s) for phase in run.phases)
    return f"{rate(run.rate_per_s)} in the mean, {rate(peak)} at most"


def phase_rate(phase: PhaseResult) -> str:
    """Say the rate of a phase: ``100/s``, or ``100/s to 400/s`` where it changes."""
    begin, end = rate(phase.begin_per_s), rate(phase.end_per_s)
    return begin if begin == end else f"{begin} to {end}"


def run_answer(run: Run) -> tuple[str, str]:
    """Return the answer to the goals, or what was found where there are none."""
    if run.slo:
        return ("YES" if run.verdict == "yes" else "NO"), goals_sentence(run)
    latency = run.total.latency
    if latency is None:
        return load_text(run), "no request succeeded"
    values = ", ".join(
        f"{metric_name(metric)} {duration(getattr(latency, metric).value)}"
        for metric in ("p50", "p95", "p99")
    )
    return load_text(run), values


def goals_sentence(run: Run) -> str:
    """Say whether the goals of a run are met; empty without goals."""
    if not run.slo:
        return ""
    missed = [goal for goal in run.slo if not goal.met]
    load = f"at {load_text(run)}"
    if not missed:
        everywhere = "in every phase, " if run.phases else ""
        verb = "is" if len(run.slo) == 1 else "are"
        return f"{all_of(len(run.slo), 'goal')} {verb} met {everywhere}{load}"
    worst = missed[0]
    if worst.phase is not None:
        load = f"in {clean(worst.phase)}"
    unit = "ratio" if worst.metric == "errors" else "s"
    where = "" if worst.endpoint is None else f" of {clean(worst.endpoint)}"
    text = (
        f"{metric_name(worst.metric)}{where} is {quantity(worst.value, unit)} {load}; "
        f"the goal is {quantity(worst.limit, unit)}"
    )
    others = len(missed) - 1
    return text + (f" ({plural(others, 'other goal')} missed, too)" if others else "")


def model_trust(model: ServiceModel, runs: Iterable[Run]) -> str:
    """Say how much data the model rests on and how far beyond it the runs ask."""
    requests = sum(endpoint.requests for endpoint in model.endpoints)
    if not requests:
        return "Model: written by hand, nothing recorded."
    text = f"Model: fitted on {plural(requests, 'recorded request')}"
    if model.traffic is None or model.traffic.rate <= 0.0:
        return text + "."
    recorded = model.traffic.rate
    text += f" at {rate(recorded)}"
    asked = max((run.rate_per_s for run in runs if run.source == "twin"), default=0.0)
    if asked > recorded * EXTRAPOLATION:
        return text + f"; {rate(asked)} is an extrapolation (×{asked / recorded:.2g})."
    return text + "."


def self_check_sentence(model: ServiceModel) -> str:
    """Say how well the twin repeats the recording it was fitted on; empty when not done."""
    rows = [row for row in model.self_check if math.isfinite(row.error)]
    if not rows:
        return ""
    found = [row.verdict for row in rows]
    worst = max(rows, key=lambda row: abs(row.error))
    return (
        f"Self-check: {found.count('agrees')} of {plural(len(rows), 'replayed value')} agree with "
        f"the recording, {found.count('off')} off, {found.count('cannot tell')} cannot be told; "
        f"largest error {signed_percent(worst.error)} ({clean(worst.endpoint)} "
        f"{metric_name(worst.metric)})."
    )


def _whole_share(ratio: float) -> str:
    return f"{100 * ratio:.0f} %" if ratio >= 0.01 else "<1 %"
