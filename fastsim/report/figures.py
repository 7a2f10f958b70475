"""The figures of the report: each states its finding and carries its data as a table.

Curves hold at most ``CURVE_POINTS`` points.
"""

import math
from collections.abc import Sequence

from fastsim.report.cases import Case, latencies_s, summary_of
from fastsim.report.charts import Look, Spec, axis, chart, mark, plot, series
from fastsim.report.findings import row_gap, row_name, tally, tally_sentence
from fastsim.report.markup import Markup, tag
from fastsim.report.tables import comparison_table, table, value_cell
from fastsim.report.wording import (
    QUANTILES,
    UNKNOWN,
    clean,
    duration,
    error_of,
    is_ratio,
    metric_name,
    signed_percent,
)
from fastsim.result import CompareRow, Comparison, Estimate, Summary

CURVE_POINTS = 200
Point = tuple[float, float | None]
_Quantiles = dict[str, Estimate]


def figure(drawn: Spec | None, finding: str, data: str) -> Markup:
    """Return a figure with its finding above and its data folded below."""
    return tag(
        "figure",
        tag("figcaption", finding),
        Markup("") if drawn is None else chart(drawn),
        tag("details", tag("summary", "Data"), data),
    )


def error_figure(case: Comparison) -> Markup:
    """Show the error of every compared row, and what it could be."""
    rows = [row for row in case.rows if math.isfinite(row.error)]
    finding = tally_sentence(tally(case.rows))
    data = comparison_table(case)
    relative = [row for row in rows if not is_ratio(row.unit)]
    if not relative:
        return figure(None, finding, data)
    names = [row_name(row) for row in relative]
    hints = [f"{row_name(row)}: {row_gap(row)}" for row in relative]
    spans = [[number, *_span(row)] for number, row in enumerate(relative)]
    drawn = [series("could be", "muted", "interval", spans, hints=hints)]
    kinds: list[tuple[str, Look, bool]] = [("not off", "good", False), ("off", "bad", True)]
    for name, look, off in kinds:
        chosen = [n for n, row in enumerate(relative) if (row.verdict == "off") == off]
        if chosen:
            points = [[n, relative[n].error] for n in chosen]
            drawn.append(series(name, look, "points", points, hints=[hints[n] for n in chosen]))
    return figure(
        plot(
            axis("twin against live, relative error", "ratio"),
            axis("", "", "category", names=names),
            drawn,
            marks=[mark("x", 0.0, "", "muted")],
        ),
        finding,
        data,
    )


def _span(row: CompareRow) -> tuple[float, float]:
    """Return the ends of a row's interval, at most three times the service's value."""
    if row.error_low is None or row.error_high is None:
        return row.error, row.error
    return max(row.error_low, -1.0), min(row.error_high, max(2.0, row.error))


def latency_figure(case: Case, endpoint: str) -> Markup | None:
    """Show the latency percentiles of an endpoint on log axes, twin against live."""
    found, curves = _latencies(case, endpoint)
    if not any(found.values()) and not any(curves.values()):
        return None
    finding = latency_finding(case, endpoint)
    twin, live = found.get("twin", {}), found.get("live", {})
    drawn = []
    spans = [(_nines(QUANTILES[n]), *b) for n, e in twin.items() if (b := _bounds(e)) is not None]
    if len(spans) > 1:
        drawn.append(series("twin, 95 % band", "twin", "band", spans))
    whiskers = [
        (_nines(QUANTILES[n]), *b)
        for n, e in live.items()
        if (b := _bounds(e)) is not None and b[0] > 0.0
    ]
    if whiskers:
        drawn.append(series("live, 95 % interval", "live", "interval", whiskers))
    lines: list[tuple[Look, list[Point]]] = [
        ("live", curves.get("live") or _through(live)),
        # Of all replications together, as its band is; the requests stored are those of one.
        ("twin", _through(twin) or curves.get("twin", [])),
    ]
    for look, points in lines:
        if shown := [p for p in points if p[1] and p[1] > 0.0]:
            drawn.append(series(look, look, "line", shown))
    return figure(
        plot(
            axis("percentile (1 − CDF, log scale)", "", "quantile", least=0.2, most=3.05),
            axis("latency", "s", "log"),
            drawn,
        ),
        finding,
        _quantile_data(live, twin),
    )


def _latencies(case: Case, endpoint: str) -> tuple[dict[str, _Quantiles], dict[str, list[Point]]]:
    """Return percentiles and curves of live and twin.

    When one of the two runs is missing both come from the comparison's rows: traces are
    compared as the server saw them, and a client's curve would not belong beside that.
    """
    rows = [row for row in case.rows_of(endpoint) if row.metric in QUANTILES]
    if rows and len(case.runs) < 2:
        live = {r.metric: Estimate(value=r.live, low=r.live_low, high=r.live_high) for r in rows}
        twin = {r.metric: Estimate(value=r.twin, low=r.twin_low, high=r.twin_high) for r in rows}
        return {"live": live, "twin": twin}, {}
    found: dict[str, _Quantiles] = {}
    curves: dict[str, list[Point]] = {}
    for run in case.runs:
        found[run.source] = _quantiles(summary_of(run, endpoint))
        curves[run.source] = _curve(latencies_s(run, endpoint))
    return found, curves


def latency_finding(case: Case, endpoint: str) -> str:
    """Say p95 (else p50) of twin against live; from the comparison when it has the row."""
    for metric in ("p95", "p50"):
        for row in case.rows_of(endpoint):
            if row.metric == metric:
                return (
                    f"{clean(endpoint)}: twin {metric} {duration(row.twin)} against live "
                    f"{duration(row.live)}, {error_of(row)} ({row.verdict})"
                )
    pair = [_quantiles(summary_of(run, endpoint)).get("p95") for run in (case.twin, case.live)]
    twin, live = pair
    if twin is not None and live is not None and live.value > 0.0:
        gap = signed_percent(twin.value / live.value - 1.0)
        values = f"twin p95 {duration(twin.value)} against live {duration(live.value)}, {gap}"
        return f"{clean(endpoint)}: {values}"
    known = [
        f"{run.source} p95 {duration(found.value)}"
        for run, found in zip((case.twin, case.live), pair, strict=True)
        if run is not None and found is not None
    ]
    return f"{clean(endpoint)}: {', '.join(known) or 'no completed request'}"


def _quantiles(summary: Summary | None) -> _Quantiles:
    """Return the percentiles that at least one completed request lies beyond."""
    if summary is None or summary.latency is None:
        return {}
    found = {name: getattr(summary.latency, name) for name in QUANTILES}
    return {
        name: estimate
        for name, estimate in found.items()
        if math.isfinite(estimate.value) and summary.completed * (1.0 - QUANTILES[name]) >= 1.0
    }


def _curve(sorted_s: Sequence[float]) -> list[Point]:
    """Return the quantile curve from p50 to p99.9, or as far as one request lies beyond."""
    size = len(sorted_s)
    if size < 4:
        return []
    start, end = _nines(0.5), min(3.0, math.log10(size))
    places = [start + (end - start) * i / (CURVE_POINTS - 1) for i in range(CURVE_POINTS)]
    # Rank r of n stands at probability r / (n - 1), as in the usual interpolated percentile.
    ranks = {round((size - 1) * (1.0 - 10.0**-at)) for at in places}
    points = [(_nines(r / (size - 1)), sorted_s[r]) for r in sorted(ranks) if r < size - 1]
    return [point for point in points if point[0] <= end]


def _through(found: _Quantiles) -> list[Point]:
    return [(_nines(QUANTILES[name]), estimate.value) for name, estimate in found.items()]


def _bounds(estimate: Estimate) -> tuple[float, float] | None:
    low, high = estimate.low, estimate.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return low, high


def _nines(probability: float) -> float:
    return -math.log10(1.0 - probability)


def _quantile_data(live: _Quantiles, twin: _Quantiles) -> Markup:
    rows = [
        [metric_name(name), _estimate_cell(live.get(name)), _estimate_cell(twin.get(name))]
        for name in QUANTILES
        if name in live or name in twin
    ]
    return table(["percentile", "live", "twin"], rows)


def _estimate_cell(found: Estimate | None) -> str:
    return value_cell(found.value, found.low, found.high, found.unit) if found else UNKNOWN
