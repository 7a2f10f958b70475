"""The figures of the report: each states its finding and carries its data as a table.

Curves hold at most ``CURVE_POINTS`` points. Twin is always dashed with an interval band,
live always solid, so that colour is never needed to tell them apart.
"""

import math
from collections.abc import Sequence

from fastsim.report.cases import Case, latencies_s, summary_of
from fastsim.report.findings import row_gap, row_name, tally, tally_sentence
from fastsim.report.markup import Markup, join, tag
from fastsim.report.svg import (
    Point,
    Scale,
    band,
    line,
    log_scale,
    picture,
    rect,
    text,
    text_width,
    whisker,
    x_axis,
    y_axis,
)
from fastsim.report.tables import table, value_cell
from fastsim.report.wording import (
    QUANTILES,
    UNKNOWN,
    clean,
    could_be,
    duration,
    error_of,
    is_ratio,
    metric_name,
    signed_percent,
)
from fastsim.result import CompareRow, Comparison, Estimate, Summary

CURVE_POINTS = 200
_Quantiles = dict[str, Estimate]


def figure(drawing: str, finding: str, data: str) -> Markup:
    """Return a figure with its finding above and its data folded below."""
    return tag(
        "figure",
        tag("figcaption", finding),
        tag("div", drawing, class_="drawing"),
        tag("details", tag("summary", "Data"), data),
    )


def error_figure(case: Comparison) -> Markup:
    """Show the error of every compared row, and what it could be."""
    rows = [row for row in case.rows if math.isfinite(row.error)]
    finding = tally_sentence(tally(case.rows))
    data = table(
        ["row", "error", "could be"],
        [[row_name(row), error_of(row), could_be(row)] for row in rows],
    )
    relative = [row for row in rows if not is_ratio(row.unit)]
    if not relative:
        return figure(Markup(""), finding, data)
    left, width, top, step = 190.0, 680.0, 22.0, 17.0
    foot = top + step * len(relative) + 4.0
    spans = [_span(row) for row in relative]
    ends = [abs(end) for span in spans for end in span]
    reach = max([0.05, *(abs(row.error) for row in relative), *ends]) * 1.08
    x = Scale(-reach, reach, left, width - 16.0)
    ticks = [(v, f"{100 * v:+.3g} %".replace("-", "−") if v else "0") for v in x.ticks(9)]
    parts = [x_axis(x, foot, "twin against live, relative error", ticks, top - 6)]
    parts.append(tag("path", d=f"M{x(0):.2f} {top - 6}V{foot}", class_="zero"))
    for index, (row, span) in enumerate(zip(relative, spans, strict=True)):
        parts.append(_error_row(row, span, x, top + step * (index + 0.5)))
    key = [rect(left, 3, 18, 9, class_="floor"), text(left + 24, 12, "could be", class_="tick")]
    key += [_error_dot(left + 110, 8, off=False), text(left + 119, 12, "not off", class_="tick")]
    key += [_error_dot(left + 178, 8, off=True), text(left + 188, 12, "off", class_="tick")]
    return figure(picture([*parts, *key], width, foot + 38, finding), finding, data)


def _span(row: CompareRow) -> tuple[float, float]:
    """Return the ends of a row's interval, at most three times the service's value."""
    if row.error_low is None or row.error_high is None:
        return row.error, row.error
    return max(row.error_low, -1.0), min(row.error_high, max(2.0, row.error))


def _error_row(row: CompareRow, span: tuple[float, float], x: Scale, y: float) -> Markup:
    name = row_name(row)
    label = name if len(name) <= 29 else f"{clean(row.endpoint)[:22]}… {metric_name(row.metric)}"
    hint = f"{name}: {row_gap(row)}"
    low, high = map(x, span)
    bar = rect(low, y - 5, high - low, 10, class_="floor", hint=hint)
    dot = _error_dot(x(row.error), y, off=row.verdict == "off")
    return join([text(x.start - 8, y + 4, label, anchor="end", class_="tick"), bar, dot])


def _error_dot(x: float, y: float, *, off: bool) -> Markup:
    if not off:
        return tag("circle", cx=x, cy=y, r=4, class_="agrees")
    path = f"M{x - 4:.2f} {y - 4:.2f}l8 8m0 -8l-8 8"
    return tag("path", d=path, class_="disagrees")


def latency_figure(case: Case, endpoint: str) -> Markup | None:
    """Show the latency percentiles of an endpoint on log axes, twin against live."""
    found, curves = _latencies(case, endpoint)
    if not any(found.values()) and not any(curves.values()):
        return None
    finding = latency_finding(case, endpoint)
    left, right, top, foot = 62.0, 416.0, 40.0, 250.0
    x = Scale(math.log10(1 / 0.6), 3.05, left, right)
    values = [s for curve in curves.values() for _, s in curve]
    bounds = [v for q in found.values() for e in q.values() for v in (e.value, e.low, e.high)]
    y = log_scale([*values, *bounds], foot, top)
    ticks = [(_nines(q), metric_name(name)) for name, q in QUANTILES.items()]
    parts = [
        y_axis(y, left, right, "latency", duration),
        x_axis(x, foot, "percentile (1 − CDF, log scale)", ticks, top),
    ]
    twin, live = found.get("twin", {}), found.get("live", {})
    spans = [(_nines(QUANTILES[n]), *b) for n, e in twin.items() if (b := _bounds(e)) is not None]
    parts.append(band(spans, x, y, "twin"))
    parts.append(line(curves.get("live") or _through(live), x, y, "live"))
    parts.append(line(curves.get("twin") or _through(twin), x, y, "twin"))
    for name, estimate in live.items():
        if (limits := _bounds(estimate)) is not None and limits[0] > 0.0:
            parts.append(whisker(x(_nines(QUANTILES[name])), y(limits[0]), y(limits[1]), "live"))
    parts.append(_legend(left, list(found), banded=len(spans) > 1))
    return figure(picture(parts, 440, 288, finding), finding, _quantile_data(live, twin))


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


def _legend(left: float, sources: Sequence[str], *, banded: bool) -> Markup:
    parts, at = [], left
    words = {"live": "live, 95 % interval", "twin": "twin, 95 % band" if banded else "twin"}
    for source in sorted(set(sources)):
        parts.append(tag("path", d=f"M{at:.2f} 10h26", class_=f"line {source}"))
        parts.append(text(at + 32, 14, words[source], class_="tick"))
        at += 52 + text_width(words[source])
    return join(parts)
