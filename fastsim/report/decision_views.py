"""What the searches found, as views: a limit, a size, a sweep, a forecast."""

from fastsim.answers import Limit, Outlook, Size, Sweep
from fastsim.report.decisions import settings_text
from fastsim.report.outlook import holds_sentence
from fastsim.report.view import LATENCY, Cell, Check, Column, Table, View, latency_cells
from fastsim.report.wording import clean, estimate, plural, rate, share
from fastsim.scenario import setting_name


def limit_view(found: Limit) -> View:
    """Return what holds, and the loads that were tried."""
    goals = ", ".join(map(clean, found.goals))
    full = f"saturates at {estimate(found.saturation)}: {clean(found.saturated)} is full"
    if found.rate is not None:
        sentence = f"holds up to {estimate(found.rate)} with {goals}; {full}"
    else:
        sentence = f"{goals} is missed at any load; {full}" if goals else full
    columns = (
        Column("rate_per_s", "load", "/s"),
        Column("p95_s", "p95", "s"),
        Column("errors_ratio", "errors", "ratio"),
        Column("margin", "of the limit", "ratio"),
        Column("utilisation", "busiest", "ratio"),
        Column("met", "met"),
    )
    points = [[p.rate_per_s, p.p95, p.errors, p.margin, p.utilisation, p.met] for p in found.points]
    checks = []
    if found.goals:
        detail = "missed at any load" if found.rate is None else f"up to {estimate(found.rate)}"
        checks.append(Check(goals, found.verdict, detail))
    return View(
        title=f"{clean(found.title)}: limit",
        outcome=found.verdict if found.goals else None,
        sentence=sentence,
        checks=checks,
        tables=[Table("Loads tried", columns, points)],
        warnings=found.warnings,
        provenance=found.provenance,
    )


def size_view(found: Size) -> View:
    """Return the cheapest deployment, and those that were tried."""
    fields = list(found.candidates[0].settings) if found.candidates else []
    columns = (
        *(Column(name, setting_name(name)) for name in fields),
        Column("cost", "cost"),
        Column("margin", "of the limit", "ratio"),
        Column("utilisation", "busiest", "ratio"),
        Column("meets", "meets", "ratio"),
        Column("best", "cheapest that works"),
    )
    rows: list[list[Cell]] = [
        [
            *(each.settings[name] for name in fields),
            each.cost,
            each.margin,
            each.utilisation,
            each.meets,
            each == found.best,
        ]
        for each in found.candidates
    ]
    goals = ", ".join(map(clean, found.goals))
    if found.best is None:
        sentence = f"no deployment considered meets {goals} at {rate(found.rate_per_s)}"
    else:
        sure = share(found.best.meets or 0.0)
        sentence = (
            f"{settings_text(found.best.settings)} is the cheapest that works ({goals} with {sure})"
        )
    return View(
        title=f"{clean(found.title)}: size at {rate(found.rate_per_s)}",
        outcome=found.verdict,
        sentence=sentence,
        checks=[Check(goals, found.verdict, sentence)],
        tables=[Table("Deployments", columns, rows)],
        warnings=found.warnings,
        notes=[f"{plural(found.considered, 'deployment')} considered, {found.simulated} simulated"],
        provenance=found.provenance,
    )


def sweep_view(found: Sweep) -> View:
    """Return what every combination of settings does."""
    columns = (
        *(Column(name, setting_name(name)) for name in found.vary),
        *LATENCY,
        Column("errors_ratio", "errors", "ratio"),
        Column("throughput_per_s", "throughput", "/s"),
        Column("busiest", "busiest"),
        Column("utilisation", "busy", "ratio"),
        Column("overloaded", "overloaded"),
        Column("met", "goals met"),
    )
    rows: list[list[Cell]] = [
        [
            *point.settings.values(),
            *latency_cells(point.latency),
            point.errors.value,
            point.throughput.value,
            clean(point.busiest),
            point.utilisation,
            point.overloaded,
            point.met,
        ]
        for point in found.points
    ]
    return View(
        title=f"{clean(found.title)}: sweep of {', '.join(map(clean, found.vary))}",
        outcome=None if found.verdict == "none" else found.verdict,
        sentence=found.sentence,
        checks=[]
        if found.verdict == "none"
        else [Check(", ".join(map(clean, found.goals)), found.verdict, found.sentence)],
        tables=[Table("Settings", columns, rows)],
        warnings=found.warnings,
        provenance=found.provenance,
    )


def outlook_view(found: Outlook) -> View:
    """Return until when it holds, hour by hour."""
    columns = (
        Column("start", "hour (UTC)"),
        Column("rate_per_s", "load", "/s"),
        Column("low_per_s", "90 % from", "/s"),
        Column("high_per_s", "to", "/s"),
        Column("margin", "of the limit", "ratio"),
        Column("p95_s", "p95", "s"),
        Column("errors_ratio", "errors", "ratio"),
        Column("utilisation", "busy", "ratio"),
        Column("missed", "missed", "ratio"),
        *((Column("needed", "needed"), Column("cost", "cost")) if found.cost else ()),
    )
    rows: list[list[Cell]] = [
        [
            hour.start,
            hour.rate_per_s,
            hour.low_per_s,
            hour.high_per_s,
            hour.margin,
            hour.p95,
            hour.errors,
            hour.utilisation,
            hour.missed,
            *((hour.needed, hour.cost) if found.cost else ()),
        ]
        for hour in found.hours
    ]
    sentence = holds_sentence(found)
    goals = ", ".join(map(clean, found.goals)) or "not full"
    return View(
        title=f"{clean(found.title)}: forecast",
        outcome=found.verdict,
        sentence=sentence,
        checks=[Check(goals, found.verdict, sentence)],
        tables=[Table("Hours", columns, rows)],
        warnings=found.warnings,
        notes=[f"{clean(way.change)} holds until {way.breaks or 'the end'}" for way in found.ways],
        provenance=found.provenance,
    )
