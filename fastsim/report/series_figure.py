"""The figure over time: latency, arrivals and requests in flight, window by window."""

import math
from collections.abc import Sequence
from statistics import fmean, median

from fastsim.report.cases import Case
from fastsim.report.charts import Look, Spec, axis, chart, mark, plot, series
from fastsim.report.figures import Point
from fastsim.report.markup import Markup, tag
from fastsim.report.tables import table
from fastsim.report.wording import clean, duration, plural, rate
from fastsim.result import Run, Series

SERIES_POINTS = 240


def series_figure(case: Case) -> Markup | None:
    """Show p50 and p95, arrivals and requests in flight, twin and live; None without series."""
    runs = [run for run in case.runs if run.series is not None and run.series.start_s]
    series_of: dict[str, Series] = {
        run.source: thinned(run.series) for run in runs if run.series is not None
    }
    if not series_of:
        return None
    finding = " ".join(_finding(run) for run in reversed(runs))
    drawn, counts, uses = [], [], []
    for run in runs:
        source = run.source
        look: Look = "live" if source == "live" else "twin"
        thin: Look = "thin live" if source == "live" else "thin twin"
        found = series_of[source]
        drawn.append(series(f"{source}: p95", look, "line", _above(found, found.p95_s)))
        drawn.append(series(f"{source}: p50", thin, "line", _above(found, found.p50_s)))
        counts.append(series(f"{source}: arrivals", look, "line", _rates(found)))
        if any(found.in_flight):
            flying = _middle(found, found.in_flight)
            uses.append(series(f"{source}: in flight", look, "line", flying))
    marks = _phases(runs)
    time = axis("time since the start", "s")
    goals = [
        mark("y", goal.limit, goal.text, "bad")
        for run in runs[:1]
        for goal in run.slo
        if goal.metric in {"p50", "p95"} and goal.endpoint is None
    ]
    parts = [
        chart(plot(time, axis("latency per window", "s", "log"), drawn, marks=marks + goals)),
        chart(plot(time, axis("arrivals", "/s", least=0.0), counts, marks=marks, height=190)),
    ]
    if uses:
        in_flight = axis("in flight", "count", least=0.0)
        parts.append(chart(plot(time, in_flight, uses, marks=marks, height=190)))
    return tag(
        "figure",
        tag("figcaption", finding),
        *parts,
        tag("details", tag("summary", "Data"), _data(series_of)),
    )


def _phases(runs: Sequence[Run]) -> list[Spec]:
    """Mark every second phase of the traffic, by its name."""
    phases = next((run.phases for run in runs if run.phases), [])
    return [
        mark("x", phase.start_s, clean(phase.name), "muted", to=phase.start_s + phase.length_s)
        for phase in phases[1::2]
    ]


def thinned(series: Series, most: int = SERIES_POINTS) -> Series:
    """Return the series with at most ``most`` windows: neighbours become one by their mean."""
    size = len(series.start_s)
    group = math.ceil(size / most)
    if group <= 1:
        return series
    parts = [slice(at, at + group) for at in range(0, size, group)]
    return Series(
        window_s=series.window_s * group,
        start_s=[series.start_s[part.start] for part in parts],
        arrivals=[sum(series.arrivals[part]) for part in parts],
        p50_s=[_mean(series.p50_s[part]) for part in parts],
        p95_s=[_mean(series.p95_s[part]) for part in parts],
        in_flight=[fmean(series.in_flight[part]) for part in parts] if series.in_flight else [],
    )


def _mean(values: Sequence[float | None]) -> float | None:
    kept = _finite(values)
    return fmean(kept) if kept else None


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _rates(series: Series) -> list[Point]:
    window = series.window_s or 1.0
    return _middle(series, [arrivals / window for arrivals in series.arrivals])


def _middle(series: Series, values: Sequence[float | None]) -> list[Point]:
    half = series.window_s / 2.0
    return [(start + half, v) for start, v in zip(series.start_s, values, strict=False)]


def _above(series: Series, values: Sequence[float | None]) -> list[Point]:
    """Return the values above 0, which alone have a place on a logarithmic axis."""
    return [(at, v if v is not None and v > 0.0 else None) for at, v in _middle(series, values)]


def _finding(run: Run) -> str:
    series = run.series or Series(window_s=1.0)
    windows = plural(len(series.start_s), "window")
    text_ = f"{run.source.capitalize()}: {rate(_mean([v for _, v in _rates(series)]))} arrived"
    tails = _finite(series.p95_s)
    if not tails:
        return f"{text_}, no completed request in {windows}."
    return (
        f"{text_}; p95 per {duration(series.window_s)} window was {duration(median(tails))} in the "
        f"median, from {duration(min(tails))} to {duration(max(tails))}."
    )


def _data(series: dict[str, Series]) -> Markup:
    rows = []
    for source, found in series.items():
        columns = zip(found.start_s, _rates(found), found.p50_s, found.p95_s, strict=False)
        rows += [
            [source, duration(start), rate(arrived[1]), duration(p50), duration(p95)]
            for start, arrived, p50, p95 in columns
        ]
    return table(["run", "window from", "arrivals", "p50", "p95"], rows)
