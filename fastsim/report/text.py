"""Results as plain text for a terminal: the verdict first, then the evidence.

No colour codes (the command may colour), at most ``WIDTH`` columns. The same sentences in
HTML are in ``html``.
"""

from fastsim.report.findings import (
    bottleneck,
    data_behind,
    driver_sentence,
    goals_sentence,
    tally,
    tally_sentence,
    where_time_goes,
)
from fastsim.report.layout import (
    LABEL,
    aligned,
    finish,
    labelled,
    warnings_text,
    wrapped,
)
from fastsim.report.wording import (
    MARKS,
    UNKNOWN,
    clean,
    count,
    duration,
    error_of,
    estimate,
    floor_of,
    interval,
    metric_name,
    ordered_names,
    plural,
    quantity,
    rate,
    share,
)
from fastsim.result import Comparison, Run, SloResult, Summary

_Row = list[str]


def render_run(run: Run) -> str:
    """Write a run: goals, where the time goes, bottleneck, endpoints, loop, resources, trust.

    No line is wider than ``WIDTH`` columns; the text ends in a newline.
    """
    lines = wrapped(_title(run))
    lines += _goals(run)
    lines += labelled("Where the time goes", where_time_goes(run.total))
    lines += labelled("Bottleneck", bottleneck(run))
    lines += ["", *_endpoint_table(run)]
    lines += _loop_and_resources(run)
    lines += warnings_text(run.warnings)
    lines += labelled("Trust", data_behind(run))
    return finish(lines)


def render_comparison(comparison: Comparison) -> str:
    """Write twin against live, row by row, and close with how many rows agree."""
    title = clean(comparison.title)
    heading = " · ".join(filter(None, ["twin against live", comparison.mode, title]))
    lines = [*wrapped(heading), ""]
    if comparison.rows:
        lines += _comparison_table(comparison)
    limits = [f"{metric_name(m)} {share(limit)}" for m, limit in comparison.tolerance.items()]
    lines += ["", *labelled("Tolerance", ", ".join(limits))] if limits else [""]
    lines += warnings_text(comparison.warnings)
    word = "yes" if comparison.verdict == "yes" else "no"
    lines += labelled("Agree", f"{word}. {tally_sentence(tally(comparison.rows))}")
    return finish(lines)


def _title(run: Run) -> str:
    source = "twin" if run.source == "twin" else "live"
    parts = [f"{clean(run.title)} @ {rate(run.rate_per_s)}" if run.title else rate(run.rate_per_s)]
    parts += [source, duration(run.duration_s)]
    if run.replications > 1:
        parts.append(plural(run.replications, "replication"))
    if run.seed is not None:
        parts.append(f"seed {run.seed}")
    return " · ".join(parts)


def _goals(run: Run) -> list[str]:
    if not run.slo:
        return []
    rows = [["✓" if goal.met else "✗", clean(goal.text), *_goal_value(goal)] for goal in run.slo]
    lines = aligned(rows, "<<><", indent=LABEL + 4)
    lines[0] = "  SLO".ljust(LABEL + 4) + lines[0].lstrip()
    return [*lines, *labelled("Verdict", goals_sentence(run))]


def _goal_value(goal: SloResult) -> _Row:
    unit = "ratio" if goal.metric == "errors" else "s"
    return [quantity(goal.value, unit), interval(goal.value, goal.low, goal.high, unit)]


def _endpoint_table(run: Run) -> list[str]:
    head = ["endpoint", "requests", "p50", "", "p95", "", "p99", "", "errors"]
    rows = [_summary_row(clean(name), summary) for name, summary in run.endpoints.items()]
    if len(rows) != 1:
        rows.append(_summary_row("total", run.total))
    return aligned([head, *rows], "<>><><><>", first_wide=True)


def _summary_row(name: str, summary: Summary) -> _Row:
    cells = [name, count(summary.requests)]
    for metric in ("p50", "p95", "p99"):
        if summary.latency is None:
            cells += [UNKNOWN, ""]
            continue
        found = getattr(summary.latency, metric)
        bounds = interval(found.value, found.low, found.high, found.unit)
        cells += [quantity(found.value, found.unit), bounds]
    failed = share(summary.failed / summary.requests) if summary.requests else UNKNOWN
    return [*cells, failed]


def _loop_and_resources(run: Run) -> list[str]:
    lines: list[str] = []
    if run.loop is not None:
        loop = run.loop
        lines += labelled(
            "Event loop",
            f"{estimate(loop.utilisation)} busy, lag {duration(loop.lag_mean_s)} mean and "
            f"{duration(loop.lag_p99_s)} p99, ready queue {loop.ready_queue_mean:.2g} mean and "
            f"{count(loop.ready_queue_max)} max",
        )
    label = "Resources"
    for name, use in run.resources.items():
        text = (
            f"{clean(name)}: {estimate(use.utilisation)} of {count(use.capacity)} busy, "
            f"mean wait {duration(use.mean_wait_s)}, longest queue {count(use.max_queue)}"
        )
        lines += labelled(label, text)
        label = ""
    lines += labelled("Load driver", driver_sentence(run))
    errors = ", ".join(f"{clean(cause)} {count(n)}" for cause, n in run.total.errors.items())
    lines += labelled("Errors", errors)
    return ["", *lines] if lines else [""]


def _comparison_table(comparison: Comparison) -> list[str]:
    head = ["endpoint", "", "live", "", "twin", "", "error", "floor", "verdict"]
    rows = [head]
    for endpoint in ordered_names([row.endpoint for row in comparison.rows]):
        found = [row for row in comparison.rows if row.endpoint == endpoint]
        names = [clean(endpoint), f"  {plural(max(r.requests for r in found), 'request')}"]
        names += [""] * (len(found) - 2)
        for name, row in zip(names, found, strict=False):
            live = interval(row.live, row.live_low, row.live_high, row.unit)
            twin = interval(row.twin, row.twin_low, row.twin_high, row.unit)
            cells = [name, metric_name(row.metric), quantity(row.live, row.unit), live]
            cells += [quantity(row.twin, row.unit), twin, error_of(row), floor_of(row)]
            rows.append([*cells, f"{MARKS[row.verdict]} {row.verdict}"])
    return aligned(rows, "<<><><>><", first_wide=True)
