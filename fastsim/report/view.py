"""What every answer has, whatever it answers: a sentence, checks, tables, remarks.

The formats for machines and for pull requests (``fastsim.report.formats``) are written from this,
so that each of them knows every kind of answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from fastsim.answers import Limit, Outlook, Size, Sweep
from fastsim.report.decisions import settings_text
from fastsim.report.findings import (
    capacity_sentence,
    comparison_sentence,
    data_behind,
    load_text,
    row_gap,
    row_name,
    run_answer,
)
from fastsim.report.outlook import holds_sentence
from fastsim.report.wording import clean, estimate, metric_name, plural, quantity, rate, share
from fastsim.result import (
    Comparison,
    Estimate,
    Latency,
    Run,
    RunProvenance,
    SloResult,
    Summary,
)

Outcome = Literal["yes", "no", "cannot tell"]
Cell = str | float | int | bool | None

_OUTCOMES: dict[str, Outcome] = {"agrees": "yes", "off": "no", "cannot tell": "cannot tell"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    """As in JSON: ends in its unit."""
    title: str
    unit: str = ""
    """``s``, ``ratio``, ``/s``; empty for text and plain numbers."""

    def text(self, value: Cell) -> str:
        """Write a value for people."""
        if isinstance(value, bool):
            return "✓" if value else "✗"
        if value is None or isinstance(value, str):
            return clean(value) if value else ("–" if self.unit else "")
        if self.unit:
            return quantity(float(value), self.unit)
        return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.6g}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values in SI units."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Check:
    """Something asked for, and whether it is so."""

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class View:
    """An answer without its kind."""

    title: str
    outcome: Outcome | None
    """None where nothing was asked for."""
    sentence: str
    checks: Sequence[Check] = ()
    tables: Sequence[Table] = ()
    """The first one holds what the answer is made of."""
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    provenance: RunProvenance = field(default_factory=RunProvenance)

    @property
    def remarks(self) -> list[str]:
        """Notes, and how the twin did against what was measured live."""
        against = self.provenance.against
        return [*self.notes, *([f"Held against {against}"] if against else [])]


def view_of(answer: BaseModel) -> View:
    """Return what an answer says.

    Raises
    ------
    TypeError
        When it is no answer.
    """
    for kind, view in _VIEWS:
        if isinstance(answer, kind):
            return view(answer)
    raise TypeError(f"{type(answer).__name__} is no answer")


_LATENCY = tuple(
    Column(f"{metric}{end}_s", f"{metric}{title}", "s")
    for metric in ("p50", "p95", "p99")
    for end, title in (("", ""), ("_low", " low"), ("_high", " high"))
)


def _latency_cells(latency: Latency | None) -> list[Cell]:
    if latency is None:
        return [None] * len(_LATENCY)
    return [
        value
        for found in (latency.p50, latency.p95, latency.p99)
        for value in (found.value, found.low, found.high)
    ]


_SUMMARY = (Column("requests", "requests"), *_LATENCY, Column("errors_ratio", "errors", "ratio"))


def _summary_cells(summary: Summary) -> list[Cell]:
    failed = summary.failed / summary.requests if summary.requests else None
    return [summary.requests, *_latency_cells(summary.latency), failed]


def _run(run: Run) -> View:
    word, sentence = run_answer(run)
    rows = [[clean(name), *_summary_cells(summary)] for name, summary in run.endpoints.items()]
    rows.append(["total", *_summary_cells(run.total)])
    tables = [Table("Endpoints", (Column("endpoint", "endpoint"), *_SUMMARY), rows)]
    if run.phases:
        columns = (
            Column("phase", "phase"),
            Column("begin_per_s", "from", "/s"),
            Column("end_per_s", "to", "/s"),
            *_SUMMARY,
            Column("utilisation", "busy", "ratio"),
            Column("waiting", "in flight at its end"),
        )
        phases: list[list[Cell]] = [
            [
                clean(phase.name),
                phase.begin_per_s,
                phase.end_per_s,
                *_summary_cells(phase.total),
                phase.utilisation,
                round(phase.waiting),
            ]
            for phase in run.phases
        ]
        tables.append(Table("Phases", columns, phases))
    uses: list[list[Cell]] = []
    if run.loop is not None:
        uses.append(["event loop", run.loop.utilisation.value, run.loop.lag_mean_s])
    uses += [
        [clean(name), use.utilisation.value, use.mean_wait_s] for name, use in run.resources.items()
    ]
    if uses:
        columns = (
            Column("resource", "resource"),
            Column("utilisation", "busy", "ratio"),
            Column("mean_wait_s", "mean wait", "s"),
        )
        tables.append(Table("Resources", columns, uses))
    return View(
        title=f"{clean(run.title)} at {load_text(run)}".strip(),
        outcome=("yes" if run.verdict == "yes" else "no") if run.slo else None,
        sentence=sentence if run.slo else f"{word}: {sentence}",
        checks=[_goal(goal) for goal in run.slo],
        tables=tables,
        warnings=run.warnings,
        notes=[note for note in (capacity_sentence(run), data_behind(run)) if note],
        provenance=run.provenance,
    )


def _goal(goal: SloResult) -> Check:
    unit = "ratio" if goal.metric == "errors" else "s"
    found = Estimate(value=goal.value, low=goal.low, high=goal.high, unit=unit)
    where = "" if goal.phase is None else f" in {clean(goal.phase)}"
    return Check(
        clean(goal.text),
        "yes" if goal.met else "no",
        f"{metric_name(goal.metric)} is {estimate(found)}{where}",
    )


def _comparison(found: Comparison) -> View:
    columns = (
        Column("endpoint", "endpoint"),
        Column("metric", "metric"),
        Column("live", "live"),
        Column("twin", "twin"),
        Column("error", "error", "ratio"),
        Column("error_low", "could be from", "ratio"),
        Column("error_high", "to", "ratio"),
        Column("verdict", "verdict"),
        Column("counts", "counts"),
    )
    rows: list[list[Cell]] = [
        [
            clean(row.endpoint),
            metric_name(row.metric),
            row.live,
            row.twin,
            row.error,
            row.error_low,
            row.error_high,
            row.verdict,
            row.counts,
        ]
        for row in found.rows
    ]
    return View(
        title=clean(found.title),
        outcome=_OUTCOMES[found.verdict],
        sentence=comparison_sentence(found),
        checks=[
            Check(row_name(row), _OUTCOMES[row.verdict], f"error {row_gap(row)}")
            for row in found.rows
            if row.counts
        ],
        tables=[Table("Twin against live", columns, rows)],
        warnings=found.warnings,
        notes=found.reasons,
        provenance=found.provenance,
    )


def _limit(found: Limit) -> View:
    goals = ", ".join(map(clean, found.goals))
    full = f"saturates at {estimate(found.saturation)}: {clean(found.saturated)} is full"
    if found.rate is not None:
        sentence = f"holds up to {estimate(found.rate)} with {goals}; {full}"
    else:
        sentence = f"{goals} is missed at any load; {full}" if goals else full
    columns = (
        Column("rate_per_s", "load", "/s"),
        Column("margin", "of the limit", "ratio"),
        Column("utilisation", "busiest", "ratio"),
        Column("met", "met"),
    )
    points = [[p.rate_per_s, p.margin, p.utilisation, p.met] for p in found.points]
    checks = []
    if found.goals:
        detail = "missed at any load" if found.rate is None else f"up to {estimate(found.rate)}"
        checks.append(Check(goals, found.verdict, detail))
    return View(
        title=f"{clean(found.title)}: limit",
        outcome=found.verdict if found.goals else None,
        sentence=sentence,
        checks=checks,
        tables=[Table("Loads tried", columns, points)],
        warnings=found.warnings,
        provenance=found.provenance,
    )


def _size(found: Size) -> View:
    fields = list(found.candidates[0].settings) if found.candidates else []
    columns = (
        *(Column(name, name.removeprefix("deployment.")) for name in fields),
        Column("cost", "cost"),
        Column("margin", "of the limit", "ratio"),
        Column("utilisation", "busiest", "ratio"),
        Column("meets", "meets", "ratio"),
        Column("best", "cheapest that works"),
    )
    rows: list[list[Cell]] = [
        [
            *(each.settings[name] for name in fields),
            each.cost,
            each.margin,
            each.utilisation,
            each.meets,
            each == found.best,
        ]
        for each in found.candidates
    ]
    goals = ", ".join(map(clean, found.goals))
    if found.best is None:
        sentence = f"no deployment considered meets {goals} at {rate(found.rate_per_s)}"
    else:
        sure = share(found.best.meets or 0.0)
        sentence = (
            f"{settings_text(found.best.settings)} is the cheapest that works ({goals} with {sure})"
        )
    return View(
        title=f"{clean(found.title)}: size at {rate(found.rate_per_s)}",
        outcome=found.verdict,
        sentence=sentence,
        checks=[Check(goals, found.verdict, sentence)],
        tables=[Table("Deployments", columns, rows)],
        warnings=found.warnings,
        notes=[f"{plural(found.considered, 'deployment')} considered, {found.simulated} simulated"],
        provenance=found.provenance,
    )


def _sweep(found: Sweep) -> View:
    columns = (
        *(Column(name, name.removeprefix("deployment.")) for name in found.vary),
        *_LATENCY,
        Column("errors_ratio", "errors", "ratio"),
        Column("throughput_per_s", "throughput", "/s"),
        Column("busiest", "busiest"),
        Column("utilisation", "busy", "ratio"),
        Column("overloaded", "overloaded"),
        Column("met", "goals met"),
    )
    rows: list[list[Cell]] = [
        [
            *point.settings.values(),
            *_latency_cells(point.latency),
            point.errors.value,
            point.throughput.value,
            clean(point.busiest),
            point.utilisation,
            point.overloaded,
            point.met,
        ]
        for point in found.points
    ]
    return View(
        title=f"{clean(found.title)}: sweep of {', '.join(map(clean, found.vary))}",
        outcome=None if found.verdict == "none" else found.verdict,
        sentence=found.sentence,
        checks=[]
        if found.verdict == "none"
        else [Check(", ".join(map(clean, found.goals)), found.verdict, found.sentence)],
        tables=[Table("Settings", columns, rows)],
        warnings=found.warnings,
        provenance=found.provenance,
    )


def _outlook(found: Outlook) -> View:
    columns = (
        Column("start", "hour (UTC)"),
        Column("rate_per_s", "load", "/s"),
        Column("low_per_s", "90 % from", "/s"),
        Column("high_per_s", "to", "/s"),
        Column("margin", "of the limit", "ratio"),
        Column("utilisation", "busy", "ratio"),
        Column("missed", "missed", "ratio"),
    )
    rows: list[list[Cell]] = [
        [
            hour.start,
            hour.rate_per_s,
            hour.low_per_s,
            hour.high_per_s,
            hour.margin,
            hour.utilisation,
            hour.missed,
        ]
        for hour in found.hours
    ]
    sentence = holds_sentence(found)
    goals = ", ".join(map(clean, found.goals)) or "not full"
    return View(
        title=f"{clean(found.title)}: forecast",
        outcome=found.verdict,
        sentence=sentence,
        checks=[Check(goals, found.verdict, sentence)],
        tables=[Table("Hours", columns, rows)],
        warnings=found.warnings,
        notes=[f"{clean(way.change)} holds until {way.breaks or 'the end'}" for way in found.ways],
        provenance=found.provenance,
    )


_VIEWS: Sequence[tuple[type[BaseModel], Callable[..., View]]] = (
    (Run, _run),
    (Comparison, _comparison),
    (Limit, _limit),
    (Size, _size),
    (Sweep, _sweep),
    (Outlook, _outlook),
)
