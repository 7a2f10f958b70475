"""Results as plain text for a terminal: the verdict first, then the evidence.

No colour codes (the command may colour), at most ``WIDTH`` columns. The same sentences in
HTML are in ``html``.
"""

from fastsim.report.findings import (
    advice_rows,
    bottleneck,
    capacity_sentence,
    comparison_sentence,
    data_behind,
    driver_sentence,
    load_text,
    pace_sentence,
    phase_rate,
    run_answer,
    shown_sentence,
    where_time_goes,
)
from fastsim.report.layout import (
    LABEL,
    WIDTH,
    aligned,
    answer_lines,
    cut,
    finish,
    labelled,
    trust_lines,
    warnings_text,
    width_of,
)
from fastsim.report.wording import (
    MARKS,
    UNKNOWN,
    clean,
    could_be,
    count,
    decimal,
    duration,
    error_of,
    estimate,
    interval,
    metric_name,
    ordered_names,
    plural,
    quantity,
    rate,
    share,
)
from fastsim.result import CompareRow, Comparison, Run, SloResult, Summary

_Row = list[str]

_MOST_ALIKE = 10
"""Values at live's pace that are shown of all endpoints."""
_BESIDE = 18
"""Columns that names of endpoints may take beside their values."""


def render_run(run: Run) -> str:
    """Write a run: the answer, where the time goes, what is busy, endpoints, trust.

    No line is wider than ``WIDTH`` columns; the text ends in a newline.
    """
    lines = answer_lines(*run_answer(run))
    lines += _goals(run)
    lines += labelled("Time", where_time_goes(run.total))
    capacity = capacity_sentence(run)
    overloaded = run.capacity is not None and run.rate_per_s >= run.capacity.per_s
    lines += labelled("Why" if overloaded or run.verdict == "no" else "Capacity", capacity)
    lines += [] if capacity else labelled("Busiest", bottleneck(run))
    lines += _advice(run)
    if run.phases:
        lines += ["", *_phase_table(run)]
    lines += ["", *_endpoint_table(run)]
    lines += _loop_and_resources(run)
    lines += warnings_text(run.warnings)
    lines += labelled("Load", _title(run))
    lines += trust_lines(data_behind(run), run.provenance)
    return finish(lines)


def render_comparison(comparison: Comparison, *, every: bool = False) -> str:
    """Write twin against live: the answer, then the values that count or are off.

    Parameters
    ----------
    every
        Show every value that was compared.
    """
    word = {"agrees": "YES", "off": "NO", "cannot tell": "CANNOT TELL"}[comparison.verdict]
    lines = answer_lines(word, comparison_sentence(comparison))
    shown = [row for row in comparison.rows if every or row.counts or row.verdict == "off"]
    if shown:
        lines += ["", *_comparison_table(shown)]
    if comparison.busy is not None:
        alike = comparison.at_live_busy
        if not every and len(alike) > _MOST_ALIKE:  # those of the whole service say most
            alike = [row for row in alike if row.endpoint == "total"]
        lines += ["", *_pace_lines(comparison.busy, alike)]
    lines.append("")
    for number, reason in enumerate(comparison.reasons):
        lines += labelled("" if number else "Why", clean(reason))
    if proved := shown_sentence(comparison):
        lines += labelled("Shown", f"{proved}, at 95 %")
    title = " · ".join(filter(None, [clean(comparison.title), comparison.mode]))
    lines += labelled("Compared", title)
    if comparison.tolerance and shown:
        used = ordered_names([row.metric for row in shown])
        limits = [f"{metric_name(m)} {share(comparison.tolerance[m])}" for m in used]
        lines += labelled("Tolerance", ", ".join(limits))
    left_out = len(comparison.rows) - len(shown)
    if left_out:
        lines += labelled(
            "Not shown", f"{plural(left_out, 'value')} that the verdict does not need"
        )
    lines += warnings_text(comparison.warnings)
    return finish(lines)


def _title(run: Run) -> str:
    source = "twin" if run.source == "twin" else "live"
    load = load_text(run)
    parts = [f"{clean(run.title)} @ {load}" if run.title else load]
    return " · ".join([*parts, source])


def _advice(run: Run) -> list[str]:
    """Write what the obvious changes would do, one a line."""
    rows = advice_rows(run)
    lines = aligned(rows, "<<><", indent=LABEL + 4) if rows else []
    if lines:
        lines[0] = "  Try".ljust(LABEL + 4) + lines[0].lstrip()
    return lines


def _goals(run: Run) -> list[str]:
    rows = [["✓" if goal.met else "✗", clean(goal.text), *_goal_value(goal)] for goal in run.slo]
    if not run.phases:
        return aligned(rows, "<<><", indent=2) if rows else []
    where = [
        [*row, f"in {clean(goal.phase or '')}"] for row, goal in zip(rows, run.slo, strict=True)
    ]
    return aligned(where, "<<><<", indent=2) if where else []


def _goal_value(goal: SloResult) -> _Row:
    unit = "ratio" if goal.metric == "errors" else "s"
    return [quantity(goal.value, unit), interval(goal.value, goal.low, goal.high, unit)]


def _phase_table(run: Run) -> list[str]:
    """Write what each phase was like, one a line."""
    head = ["phase", "rate", "p50", "p95", "", "errors", "busy", "in flight"]
    rows = []
    for phase in run.phases:
        summary = phase.total
        cells = [clean(phase.name), phase_rate(phase)]
        if summary.latency is None:
            cells += [UNKNOWN, UNKNOWN, ""]
        else:
            p95 = summary.latency.p95
            cells += [duration(summary.latency.p50.value), duration(p95.value)]
            cells.append(interval(p95.value, p95.low, p95.high, p95.unit))
        cells.append(share(summary.failed / summary.requests) if summary.requests else UNKNOWN)
        cells.append(UNKNOWN if phase.utilisation is None else share(phase.utilisation))
        rows.append([*cells, count(round(phase.waiting))])
    return aligned([head, *rows], "<>>><>>>", indent=2, first_wide=True)


def _endpoint_table(run: Run) -> list[str]:
    head = ["", "requests", "p50", "p95", "", "p99", "errors"]
    rows = [(clean(name), [_summary_row(summary)]) for name, summary in run.endpoints.items()]
    if len(rows) != 1:
        rows.append(("total", [_summary_row(run.total)]))
    return _named(head, rows, "<>>><>>")


def _summary_row(summary: Summary) -> _Row:
    cells = [count(summary.requests)]
    for metric in ("p50", "p95", "p99"):
        found = getattr(summary.latency, metric, None)
        cells.append(UNKNOWN if found is None else quantity(found.value, found.unit))
        if metric == "p95":
            bounds = ""
            if found is not None:
                bounds = interval(found.value, found.low, found.high, found.unit)
            cells.append(bounds)
    failed = share(summary.failed / summary.requests) if summary.requests else UNKNOWN
    return [*cells, failed]


def _loop_and_resources(run: Run) -> list[str]:
    lines: list[str] = []
    if run.loop is not None:
        loop = run.loop
        lines += labelled(
            "Loop",
            f"{estimate(loop.utilisation)} busy; a step that could run waits "
            f"{duration(loop.lag_mean_s)} in the mean, {duration(loop.lag_p99_s)} at p99; "
            f"{decimal(loop.ready_queue_mean)} ready in the mean, {count(loop.ready_queue_max)} "
            "at most",
        )
    label = "Slots"
    for name, use in run.resources.items():
        whole = f"{use.capacity:g} in use"
        if use.rate_per_s is not None:
            whole = f"{rate(use.rate_per_s)} used"
        text = f"{clean(name)}: {estimate(use.utilisation)} of {whole}"
        if name != "processor":  # nobody stands in line for a core: all run, and slower
            text += f", mean wait {duration(use.mean_wait_s)}, longest queue {count(use.max_queue)}"
        lines += labelled(label, text)
        label = ""
    lines += labelled("Driver", driver_sentence(run))
    errors = ", ".join(f"{clean(cause)} {count(n)}" for cause, n in run.total.errors.items())
    lines += labelled("Errors", errors)
    return ["", *lines] if lines else [""]


def _comparison_table(rows: list[CompareRow]) -> list[str]:
    head = ["", "", "live", "twin", "error", "could be", "verdict"]
    groups = [
        (clean(name), [_comparison_cells(row) for row in rows if row.endpoint == name])
        for name in ordered_names([row.endpoint for row in rows])
    ]
    return _named(head, groups, "<<>>>><")


def _pace_lines(busy: CompareRow, alike: list[CompareRow]) -> list[str]:
    """Write how fast the machine was on both sides, and what would be left were it alike."""
    lines = labelled("Machine", pace_sentence(busy, alike=bool(alike)))
    return [*lines, "", *_comparison_table(alike)] if alike else lines


def _comparison_cells(row: CompareRow) -> _Row:
    return [
        metric_name(row.metric),
        quantity(row.live, row.unit),
        quantity(row.twin, row.unit),
        error_of(row),
        could_be(row),
        f"{MARKS[row.verdict]} {row.verdict}",
    ]


def _named(head: _Row, groups: list[tuple[str, list[_Row]]], alignment: str) -> list[str]:
    """Return a table whose groups of rows have names, which stand above where they are long."""
    beside = max((width_of(name) for name, _ in groups), default=0) <= _BESIDE
    cells, above = [head], {}
    for name, rows in groups:
        if not beside:
            above[len(cells)] = name
        cells += [[name if beside and row is rows[0] else "", *row] for row in rows]
    lines = aligned(cells, alignment, indent=2)
    for number in sorted(above, reverse=True):
        lines.insert(number, f"  {cut(above[number], WIDTH - 2)}")
    return lines
