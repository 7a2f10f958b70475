"""Results as HTML tables, for reading on their own and as the data behind a figure."""

from collections.abc import Collection, Iterable, Sequence
from string import ascii_lowercase

from fastsim.distributions import mean
from fastsim.model import (
    CpuStep,
    Distribution,
    Endpoint,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    WaitStep,
)
from fastsim.program import bodies
from fastsim.report.markup import Markup, join, tag
from fastsim.report.wording import (
    MARKS,
    UNKNOWN,
    could_be,
    count,
    distribution_parameters,
    duration,
    error_of,
    estimate,
    interval,
    metric_name,
    ordered_names,
    quantity,
    share,
    signed_percent,
)
from fastsim.result import CompareRow, Comparison, Run

_VERDICT_CLASS = {"agrees": "good", "off": "bad", "cannot tell": "fair"}


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, words: Collection[int] = (0,)
) -> Markup:
    """Return a table; the columns in ``words`` hold words, the others numbers.

    The first cell of a row is its header. Wide tables scroll inside a focusable box.
    """
    titles = [tag("th", cell, scope="col", class_=_side(i, words)) for i, cell in enumerate(head)]
    body = []
    for row in rows:
        cells = [tag("th", row[0], scope="row")]
        cells += [tag("td", cell, class_=_side(i, words)) for i, cell in enumerate(row[1:], 1)]
        body.append(tag("tr", *cells))
    return tag(
        "div",
        tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *body)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=f"Table: {', '.join(head)}",
    )


def verdict_mark(verdict: str) -> Markup:
    """Return mark and words of a row's verdict; the colour only repeats them."""
    css = _VERDICT_CLASS.get(verdict, "muted")
    return tag("span", f"{MARKS.get(verdict, '·')} {verdict}", class_=f"verdict {css}")


def value_cell(value: float, low: float | None, high: float | None, unit: str) -> Markup:
    """Return a value with its interval in smaller type."""
    bounds = interval(value, low, high, unit)
    small = [" ", tag("small", bounds)] if bounds else []
    return join([quantity(value, unit), *small])


def comparison_table(comparison: Comparison) -> Markup:
    """Return twin against live, one row per endpoint and metric."""
    head = ["endpoint", "metric", "live", "twin", "error", "could be", "requests", "verdict"]
    rows = []
    for endpoint in ordered_names([row.endpoint for row in comparison.rows]):
        found = [row for row in comparison.rows if row.endpoint == endpoint]
        rows += [_comparison_row(row) for row in found]
    return table(head, rows, words=(0, 1, 7))


def _comparison_row(row: CompareRow) -> list[str]:
    return [
        row.endpoint,
        metric_name(row.metric),
        value_cell(row.live, row.live_low, row.live_high, row.unit),
        value_cell(row.twin, row.twin_low, row.twin_high, row.unit),
        error_of(row),
        could_be(row),
        count(row.requests),
        verdict_mark(row.verdict),
    ]


def run_table(run: Run) -> Markup:
    """Return the endpoints of a run: requests, percentiles with intervals, errors."""
    head = ["endpoint", "requests", "p50", "p95", "p99", "errors", "not finished"]
    rows: list[list[str]] = []
    for name, summary in [*run.endpoints.items(), ("total", run.total)]:
        cells: list[str] = [name, count(summary.requests)]
        for metric in ("p50", "p95", "p99"):
            found = getattr(summary.latency, metric, None)
            cells.append(
                value_cell(found.value, found.low, found.high, found.unit) if found else UNKNOWN
            )
        failed = share(summary.failed / summary.requests) if summary.requests else UNKNOWN
        rows.append([*cells, failed, count(summary.in_flight)])
    return table(head, rows)


def goals_table(run: Run) -> Markup:
    """Return the goals of a run, whether each was met, and the value found."""
    rows: list[list[str]] = []
    for goal in run.slo:
        unit = "ratio" if goal.metric == "errors" else "s"
        mark = tag("span", "✓ met" if goal.met else "✗ missed", class_=_goal_class(goal.met))
        rows.append([goal.text, mark, value_cell(goal.value, goal.low, goal.high, unit)])
    return table(["goal", "met", "found"], rows, words=(0, 1))


def _goal_class(met: bool) -> str:
    return f"verdict {'good' if met else 'bad'}"


def use_table(run: Run) -> Markup:
    """Return how busy event loop and resources were."""
    rows: list[list[str]] = []
    if run.loop is not None:
        loop = run.loop
        queue = f"{loop.ready_queue_mean:.2g} mean, {count(loop.ready_queue_max)} max"
        lag = f"{duration(loop.lag_mean_s)} mean, {duration(loop.lag_p99_s)} p99"
        rows.append(["event loop (per worker)", "1", estimate(loop.utilisation), lag, queue])
    for name, use in run.resources.items():
        cells = [name, f"{use.capacity:g}", estimate(use.utilisation)]
        rows.append([*cells, f"{duration(use.mean_wait_s)} mean", f"{count(use.max_queue)} max"])
    return table(["resource", "slots", "busy", "wait", "queue"], rows)


def self_check_table(model: ServiceModel) -> Markup:
    """Return recorded against replayed values of the calibration's self-check."""
    rows = [
        [
            row.endpoint,
            metric_name(row.metric),
            duration(row.recorded),
            duration(row.twin),
            signed_percent(row.error),
            f"{signed_percent(row.error_low)} to {signed_percent(row.error_high)}",
            verdict_mark(row.verdict),
        ]
        for row in model.self_check
    ]
    head = ["endpoint", "metric", "recorded", "twin", "error", "could be", "verdict"]
    return table(head, rows, words=(0, 1, 6))


def steps_table(endpoint: Endpoint) -> Markup:
    """Return every step of an endpoint with its distribution and how well it fits."""
    head = ["variant", "step", "where", "family", "parameters"]
    head += ["mean", "n", "censored", "distance", "fit"]
    rows: list[list[str]] = []
    for variant in endpoint.variants:
        name = f"{variant.name} ({share(variant.share)})"
        for position, step in enumerate(variant.steps, start=1):
            rows += _step_rows(name, str(position), step)
    return table(head, rows, words=(0, 1, 2, 3, 4, 9))


def _step_rows(variant: str, position: str, step: Step) -> list[list[str]]:
    words = [variant, f"{position}. {step_name(step)}", getattr(step, "where", "")]
    found = distributions(step)
    rows = [[*words, *_distribution_cells(part, what)] for what, part in found]
    if not found:
        rows.append([*words, UNKNOWN, "", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, ""])
    for letter, body in zip(_LETTERS, bodies(step), strict=False):
        for number, inner in enumerate(body, start=1):
            rows += _step_rows(variant, f"{position}{letter}{number}", inner)
    return rows


_LETTERS = [*ascii_lowercase, *(f"{a}{b}" for a in ascii_lowercase for b in ascii_lowercase)]
"""Names of branches: step 3b2 is the second step of the second branch of step 3."""


def step_name(step: Step) -> str:
    """Name a step for people: ``db asyncpg``, ``cpu``, ``acquire db pool``."""
    if isinstance(step, (WaitStep, StreamStep)):
        kind = step.kind.value
        what = kind if isinstance(step, WaitStep) else f"{kind} stream"
        return f"{what} {step.label}".strip()
    resource = getattr(step, "resource", "")
    return f"{step.do} {resource or getattr(step, 'label', '')}".strip()


def distributions(step: Step) -> list[tuple[str, Distribution]]:
    """Return the laws of a step itself, by what they are of where there are several."""
    if isinstance(step, (CpuStep, WaitStep)):
        return [("", step.time)]
    if isinstance(step, ThreadStep):
        return [("cpu", step.cpu), *([("off GIL", step.off_gil)] if step.off_gil else [])]
    if isinstance(step, StreamStep):
        return [("gap", step.gap), ("cpu", step.cpu)]
    return []


def _distribution_cells(distribution: Distribution, what: str) -> list[str]:
    fit = distribution.fit
    prefix = f"{what}: " if what else ""
    cells = [prefix + distribution.family, distribution_parameters(distribution)]
    cells.append(duration(mean(distribution)))
    if fit is None:
        return [*cells, UNKNOWN, UNKNOWN, UNKNOWN, "given"]
    distance = UNKNOWN if fit.distance is None else f"{fit.distance:.3f}"
    words = "✓ accepted" if fit.accepted else "✗ none passed, data kept"
    return [*cells, count(fit.n), share(fit.censored), distance, words]


def _side(column: int, words: Collection[int]) -> str | None:
    return None if column in words else "num"
