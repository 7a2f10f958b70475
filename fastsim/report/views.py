"""Every kind of answer as a view: of a run and a comparison here, of the searches beside."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from fastsim.answers import Limit, Outlook, Size, Sweep
from fastsim.report.decision_views import limit_view, outlook_view, size_view, sweep_view
from fastsim.report.findings import (
    capacity_sentence,
    comparison_sentence,
    data_behind,
    load_text,
    row_gap,
    row_name,
    run_answer,
)
from fastsim.report.view import LATENCY, Cell, Check, Column, Outcome, Table, View, latency_cells
from fastsim.report.wording import clean, estimate, metric_name
from fastsim.result import (
    CompareRow,
    Comparison,
    Estimate,
    Run,
    SloResult,
    Summary,
)

_OUTCOMES: dict[str, Outcome] = {"agrees": "yes", "off": "no", "cannot tell": "cannot tell"}


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


_SUMMARY = (Column("requests", "requests"), *LATENCY, Column("errors_ratio", "errors", "ratio"))


def _summary_cells(summary: Summary) -> list[Cell]:
    failed = summary.failed / summary.requests if summary.requests else None
    return [summary.requests, *latency_cells(summary.latency), failed]


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

    def cells(rows: Sequence[CompareRow]) -> list[list[Cell]]:
        return [
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
            for row in rows
        ]

    tables = [Table("Twin against live", columns, cells(found.rows))]
    if found.at_live_busy:
        alike = "Were the twin's machine as fast as live's"
        tables.append(Table(alike, columns, cells(found.at_live_busy)))
    return View(
        title=clean(found.title),
        outcome=_OUTCOMES[found.verdict],
        sentence=comparison_sentence(found),
        checks=[
            Check(row_name(row), _OUTCOMES[row.verdict], f"error {row_gap(row)}")
            for row in found.rows
            if row.counts
        ],
        tables=tables,
        warnings=found.warnings,
        notes=found.reasons,
        provenance=found.provenance,
    )


_VIEWS: Sequence[tuple[type[BaseModel], Callable[..., View]]] = (
    (Run, _run),
    (Comparison, _comparison),
    (Limit, limit_view),
    (Size, size_view),
    (Sweep, sweep_view),
    (Outlook, outlook_view),
)
