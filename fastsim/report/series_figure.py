"""The figure over time: arrivals per second and latency percentiles per window."""

import math
from collections.abc import Sequence
from statistics import fmean, median

from fastsim.report.cases import Case
from fastsim.report.figures import figure
from fastsim.report.markup import Markup, join, tag
from fastsim.report.svg import (
    Point,
    Scale,
    line,
    linear_scale,
    log_scale,
    picture,
    text,
    text_width,
    x_axis,
    y_axis,
)
from fastsim.report.tables import table
from fastsim.report.wording import duration, plural, rate
from fastsim.result import Run, Series

SERIES_POINTS = 240
_LEFT, _RIGHT = 66.0, 864.0


def series_figure(case: Case) -> Markup | None:
    """Show arrivals per second and p50/p95 per window, twin and live; None without series."""
    runs = [run for run in case.runs if run.series is not None and run.series.start_s]
    series: dict[str, Series] = {
        run.source: thinned(run.series) for run in runs if run.series is not None
    }
    if not series:
        return None
    finding = " ".join(_finding(run) for run in reversed(runs))
    ends = [s.start_s[-1] + s.window_s for s in series.values()]
    last = max([end for end in ends if math.isfinite(end) and end > 0.0], default=1.0)
    x = Scale(0.0, last, _LEFT, _RIGHT)
    times = [(at, duration(at)) for at in x.ticks(9)]
    arrivals = {source: _rates(found) for source, found in series.items()}
    load = linear_scale([v for points in arrivals.values() for _, v in points], 150.0, 44.0)
    latencies = [v for found in series.values() for v in [*found.p50_s, *found.p95_s]]
    delay = log_scale(latencies, 392.0, 206.0)
    parts = [
        y_axis(load, _LEFT, _RIGHT, "arrivals per second", lambda v: f"{v:g}"),
        x_axis(x, 150.0, "", [(at, "") for at, _ in times], 44.0),
        y_axis(delay, _LEFT, _RIGHT, "latency per window", duration),
        x_axis(x, 392.0, "time since the start", times, 206.0),
    ]
    for source, found in series.items():
        parts.append(line(arrivals[source], x, load, source))
        parts.append(line(_middle(found, found.p50_s), x, delay, f"{source} thin"))
        parts.append(line(_middle(found, found.p95_s), x, delay, source))
    parts.append(_key(sorted(series)))
    return figure(picture(parts, 880, 430, finding), finding, _data(series))


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


def _key(sources: Sequence[str]) -> Markup:
    parts, at = [], _LEFT
    for source in sources:
        for name, css in (
            (f"{source}: arrivals, p95", source),
            (f"{source}: p50", f"{source} thin"),
        ):
            parts.append(tag("path", d=f"M{at:.2f} 10h26", class_=f"line {css}"))
            parts.append(text(at + 32, 14, name, class_="tick"))
            at += 54 + text_width(name)
    return join(parts)


def _data(series: dict[str, Series]) -> Markup:
    rows = []
    for source, found in series.items():
        columns = zip(found.start_s, _rates(found), found.p50_s, found.p95_s, strict=False)
        rows += [
            [source, duration(start), rate(arrived[1]), duration(p50), duration(p95)]
            for start, arrived, p50, p95 in columns
        ]
    return table(["run", "window from", "arrivals", "p50", "p95"], rows)
