"""Figures of what was searched: load against goal, cost against goal, settings, hours to come."""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from fastsim.answers import Candidate, Limit, LimitPoint, Outlook, Size, Sweep, SweepPoint
from fastsim.report.charts import Look, Spec, Value, axis, mark, plot, series
from fastsim.report.decisions import settings_text
from fastsim.report.figures import figure
from fastsim.report.markup import Markup
from fastsim.report.tables import table
from fastsim.report.view import Table, View
from fastsim.report.wording import UNKNOWN, clean, duration, estimate, rate, share
from fastsim.result import Block, Estimate
from fastsim.scenario import parse_slo, setting_name
from fastsim.twin.sweep import settings_text as combination_text

_MOST_HOURS = 400
"""Rows of a table of hours; the whole is in the JSON file."""
_LOOKS: tuple[Look, ...] = ("live", "twin", "good", "bad", "muted")


def decision_figure(answer: Block, view: View) -> Markup | None:
    """Show what an answer of a search found; None when it is none."""
    drawn: Spec
    match answer:
        case Limit():
            drawn = _limit(answer)
        case Size():
            drawn = _size(answer)
        case Sweep():
            drawn = _sweep(answer)
        case Outlook():
            drawn = _outlook(answer)
        case _:
            return None
    most = _MOST_HOURS if isinstance(answer, Outlook) else None
    return figure(drawn, view.sentence, data_table(view.tables[0], most))


def data_table(found: Table, most: int | None = None) -> Markup:
    """Return a table of values as people read them; the first of them where there are more."""
    words = {n for n, column in enumerate(found.columns) if not column.unit}
    rows = [
        [column.text(cell) for column, cell in zip(found.columns, row, strict=True)]
        for row in found.rows[:most]
    ]
    return table([column.title for column in found.columns], rows, words=words)


def _limit(found: Limit) -> Spec:
    """Draw latency against load, or how much of its goal it takes, and where that is missed."""
    goal = _only_p95(found)

    def height(point: LimitPoint) -> float | None:
        return point.margin if goal is None else point.p95

    met = [p for p in found.points if p.margin is not None and p.met]
    missed = [p for p in found.points if p.margin is not None and not p.met]
    line = [[p.rate_per_s, height(p)] for p in found.points if p.margin is not None and height(p)]
    drawn = []
    if found.goals and line:
        name = "of the goal's limit" if goal is None else "p95"
        drawn.append(series(name, "twin", "line", line))
        kinds: list[tuple[str, Look, list[LimitPoint]]] = [
            ("met", "good", met),
            ("missed", "bad", missed),
        ]
        for name, look, points in kinds:
            if points:
                hints = [
                    f"{rate(p.rate_per_s)}: p95 {UNKNOWN if p.p95 is None else duration(p.p95)}, "
                    f"{share(p.margin)} of the limit, busiest {share(p.utilisation)}"
                    for p in points
                ]
                pairs = [[p.rate_per_s, height(p)] for p in points]
                drawn.append(series(name, look, "points", pairs, hints=hints))
    else:
        uses = [[p.rate_per_s, p.utilisation] for p in found.points]
        drawn.append(series("busiest", "twin", "line", uses))
    marks = [_known("x", found.saturation, f"{clean(found.saturated)} full", "bad")]
    if found.rate is not None:
        marks.append(_known("x", found.rate, f"holds {rate(found.rate.value)}", "good"))
    y = axis("busiest loop or resource", "ratio")
    if found.goals and line:
        marks.append(mark("y", 1.0 if goal is None else goal, "the goal", "bad"))
        y = axis("value over its goal", "ratio", "log")
        if goal is not None:
            y = axis("p95", "s", "log")
    return plot(axis("load", "/s"), y, drawn, marks=marks, height=320)


def _only_p95(found: Limit) -> float | None:
    """Return the limit of p95 of all requests, seconds, where that is the only goal."""
    if len(found.goals) != 1:
        return None
    goal = parse_slo(found.goals[0])
    if goal.endpoint is not None or goal.metric != "p95":
        return None
    drawn = [point for point in found.points if point.margin is not None]
    return goal.limit if all(point.p95 is not None for point in drawn) else None


def _known(side: Literal["x", "y"], value: Estimate, text: str, look: Look) -> Spec:
    """Mark a value that was found, as wide as its interval."""
    if value.low is None or value.high is None or not value.high > value.low:
        return mark(side, value.value, text, look)
    return mark(side, value.low, text, look, to=value.high)


def _size(found: Size) -> Spec:
    """Draw what each deployment costs against how much of the goal it takes."""
    drawn = [
        series(
            "nothing else is cheaper and better",
            "twin",
            "line",
            [[c.cost, c.margin] for c in found.pareto if c.margin],
        )
    ]
    groups: list[tuple[str, Look, str]] = [
        ("meets the goals", "good", "meets"),
        ("misses", "bad", "misses"),
        ("open", "muted", "open"),
    ]
    for name, look, verdict in groups:
        chosen = [c for c in found.candidates if c.verdict == verdict and c.margin]
        if chosen:
            drawn.append(
                series(
                    name,
                    look,
                    "points",
                    [[c.cost, c.margin] for c in chosen],
                    hints=[_deployment(c) for c in chosen],
                )
            )
    marks = [mark("y", 1.0, "the goal", "bad")]
    if found.best is not None:
        marks.append(mark("x", found.best.cost, "cheapest that works", "good"))
    title = "cost" if found.prices else "order: fewer of what was named first"
    return plot(
        axis(title, "count"), axis("value over its goal", "ratio", "log"), drawn, marks=marks,
        height=320,
    )  # fmt: skip


def _deployment(candidate: Candidate) -> str:
    settings = settings_text(candidate.settings)
    return f"{settings}: {share(candidate.margin)} of the limit at {candidate.cost:g}"


def _sweep(found: Sweep) -> Spec:
    """Draw p95 over the field with most numbers, a line for each of the other settings."""
    fields = list(found.vary)
    numbers = {name: [_number(text) for text in found.vary[name]] for name in fields}
    along = max(
        (name for name in fields if None not in numbers[name]),
        key=lambda name: len(numbers[name]),
        default=None,
    )
    if along is None or len(numbers[along]) < 2:
        return _sweep_bars(found)
    groups: dict[str, list[SweepPoint]] = {}
    for point in found.points:
        others = {name: value for name, value in point.settings.items() if name != along}
        groups.setdefault(clean(combination_text(others)) or "p95", []).append(point)
    drawn: list[Spec] = []
    for number, (name, points) in enumerate(groups.items()):
        look = _LOOKS[number % len(_LOOKS)]
        known = [p for p in points if p.latency is not None]
        line = [[_number(p.settings[along]), _p95(p)] for p in points]
        drawn.append(series(name, look, "line", line))
        bounds = [
            [_number(p.settings[along]), p.latency.p95.low, p.latency.p95.high]
            for p in known
            if p.latency is not None and p.latency.p95.low is not None
        ]
        if len(bounds) > 1:
            drawn.append(series(name, look, "band", bounds))
    return plot(
        axis(clean(setting_name(along)), _unit(found.vary[along])),
        axis("p95", "s", "log"),
        drawn,
        marks=_goal_marks(found.goals),
        height=320,
    )


def _sweep_bars(found: Sweep) -> Spec:
    """Draw the p95 of each setting as an interval beside its name."""
    names = [", ".join(map(clean, p.settings.values())) for p in found.points]
    known = [(n, p.latency.p95) for n, p in enumerate(found.points) if p.latency is not None]
    hints = [f"{names[n]}: p95 {estimate(p95)}" for n, p95 in known]
    spans: list[list[Value]] = [
        [n, p95.value if p95.low is None else p95.low, p95.value if p95.high is None else p95.high]
        for n, p95 in known
    ]
    return plot(
        axis("p95", "s", least=0.0),
        axis("", "", "category", names=names),
        [
            series("95 % interval", "muted", "interval", spans, hints=hints),
            series("p95", "twin", "points", [[n, p95.value] for n, p95 in known], hints=hints),
        ],
    )


def _p95(point: SweepPoint) -> float | None:
    return None if point.latency is None else point.latency.p95.value


def _number(text: str) -> float | None:
    """Return the number that a setting begins with."""
    match = re.fullmatch(r"x?(\d+(?:\.\d+)?)\s*[^\d\s]*", text.strip())
    return None if match is None else float(match[1])


def _unit(texts: Sequence[str]) -> str:
    return "/s" if all(text.endswith("/s") for text in texts) else "count"


def _goal_marks(goals: Sequence[str]) -> list[Spec]:
    parsed = [parse_slo(text) for text in goals]
    return [
        mark("y", goal.limit, clean(goal.text), "bad")
        for goal in parsed
        if goal.metric == "p95" and goal.endpoint is None
    ]


def _outlook(found: Outlook) -> Spec:
    """Draw the load to come with its band, and what the deployment holds."""
    peak = found.load.within_hour
    hours = found.hours
    pairs = [(_milliseconds(hour.start), hour) for hour in hours]
    band = [[t, peak * hour.low_per_s, peak * hour.high_per_s] for t, hour in pairs]
    line = [[t, peak * hour.rate_per_s] for t, hour in pairs]
    marks = []
    limit = found.holds_up_to
    if limit is not None:
        marks.append(_known("y", limit, f"holds {rate(limit.value)}", "bad"))
    if found.breaks is not None:
        marks.append(mark("x", _milliseconds(found.breaks), f"missed {found.breaks[:10]}", "bad"))
    return plot(
        axis("", "time"),
        axis("load, busiest minutes of each hour", "/s", least=0.0),
        [series("load to come", "live", "line", line), series("90 %", "live", "band", band)],
        marks=marks,
        height=340,
    )


def _milliseconds(start: str) -> float:
    return math.floor(datetime.fromisoformat(start).timestamp() * 1e3)
