"""Answers of ``limit`` and ``size`` as plain text: the verdict first, then what it rests on."""

from collections.abc import Mapping

from fastsim.answers import Candidate, Limit, Size
from fastsim.report.layout import columns, finish, labelled, trust_lines, warnings_text, wrapped
from fastsim.report.wording import UNKNOWN, clean, count, duration, plural, rate, share
from fastsim.result import Estimate
from fastsim.scenario import setting_name


def render_limit(found: Limit) -> str:
    """Write the highest load that meets the goals, and where the service saturates."""
    lines = wrapped(f"{clean(found.title)} · limit · twin · seed {found.seed}")
    goals = ", ".join(map(clean, found.goals))
    if found.rate is not None:
        lines += labelled("Holds up to", f"{_rate(found.rate)}{_phases(found)} with {goals}")
        lines += labelled("Then", clean(found.decided_by))
    elif found.goals:
        lines += labelled("Never", f"{goals} is missed even at {rate(found.points[0].rate_per_s)}")
    full = f"{clean(found.saturated)} is full"
    lines += labelled("Saturates at", f"{_rate(found.saturation)}; {full}")
    rows = [
        [
            rate(point.rate_per_s),
            UNKNOWN if point.p95 is None else duration(point.p95),
            share(point.errors),
            UNKNOWN if point.margin is None else share(point.margin),
            share(point.utilisation),
            "✓" if point.met else "✗",
        ]
        for point in found.points
    ]
    lines += ["", *columns(["load", "p95", "errors", "of the limit", "busiest", "met"], rows)]
    lines += warnings_text(found.warnings)
    lines += trust_lines(
        f"{count(found.replications)} replications of every load", found.provenance
    )
    return finish(lines)


def _phases(found: Limit) -> str:
    """Say what a mean rate of traffic with phases stands for."""
    if found.rate is None or found.peak is None:
        return ""
    base = "" if found.unit is None else f"x1 {rate(found.rate.value * found.unit)}, "
    return f" in the mean ({base}at most {rate(found.rate.value * found.peak)})"


def render_size(found: Size, *, top: int = 8) -> str:
    """Write the cheapest deployment that meets the goals, and those around it."""
    lines = wrapped(
        f"{clean(found.title)} · size @ {rate(found.rate_per_s)} · twin · seed {found.seed}"
    )
    goals = ", ".join(map(clean, found.goals))
    priced = bool(found.prices)
    if found.best is None:
        lines += labelled("None works", f"no deployment considered meets {goals}")
    else:
        cost = f" at a cost of {found.best.cost:,.6g}" if priced else ""
        lines += labelled("Cheapest that works", f"{settings_text(found.best.settings)}{cost}")
        sure = share(found.best.meets or 0.0)
        lines += labelled("Meets", f"{goals} with a probability of {sure}")
        if found.confidence is not None:
            sure = f"{share(found.confidence)} that it meets and nothing cheaper does"
            lines += labelled("Confidence", sure)
        if perhaps := max(_open_cheaper(found), key=lambda each: each.meets or 0.0, default=None):
            cost = f" at a cost of {perhaps.cost:,.6g}" if priced else ""
            sure = share(perhaps.meets or 0.0)
            lines += labelled(
                "Perhaps", f"{settings_text(perhaps.settings)}{cost}, with a probability of {sure}"
            )
    nearest = _around(found, top)
    head = ["deployment", *(["cost"] if priced else []), "of the limit", "busiest", "meets"]
    rows = [
        [
            settings_text(each.settings) + ("  ←" if each == found.best else ""),
            *([f"{each.cost:,.6g}"] if priced else []),
            UNKNOWN if each.margin is None else share(each.margin),
            UNKNOWN if each.utilisation is None else share(each.utilisation),
            share(each.meets or 0.0),
        ]
        for each in nearest
    ]
    lines += ["", *columns(head, rows)]
    lines += warnings_text(found.warnings)
    considered = plural(found.considered, "deployment")
    lines += trust_lines(
        f"{considered} considered, {count(found.simulated)} simulated", found.provenance
    )
    return finish(lines)


def settings_text(settings: Mapping[str, float]) -> str:
    """Say settings for people: ``workers 3, db 5``."""
    return ", ".join(f"{clean(setting_name(path))} {value:g}" for path, value in settings.items())


def _around(found: Size, top: int) -> list[Candidate]:
    """Return the candidates nearest in cost to the best, cheapest first.

    Of cheaper ones those that may do as well come before those that do not.
    """
    if found.best is None:
        return found.candidates[-top:]
    place = next(i for i, each in enumerate(found.candidates) if each == found.best)
    begin = max(0, min(place - top // 2, len(found.candidates) - top))
    cheaper, rest = found.candidates[:place], found.candidates[place : begin + top]
    wanted = _open_cheaper(found)
    likeliest_last = sorted(cheaper, key=lambda each: (each in wanted, each.cost))
    chosen = likeliest_last[begin:]
    return [*sorted(chosen, key=lambda each: each.cost), *rest]


def _open_cheaper(found: Size) -> list[Candidate]:
    """Return those cheaper than the best that may meet the goals, too."""
    best = found.best
    if best is None:
        return []
    return [each for each in found.candidates if each.cost < best.cost and each.verdict == "open"]


def _rate(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return rate(value.value)
    return f"{rate(value.value)} ({rate(value.low)} to {rate(value.high)})"
