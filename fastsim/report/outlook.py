"""The answer of ``forecast`` as plain text: until when it holds, then what it rests on."""

from collections.abc import Sequence
from datetime import datetime

from fastsim.answers import LoadOutlook, Outlook, OutlookCost, OutlookHour
from fastsim.report.layout import columns, finish, labelled, trust_lines, warnings_text, wrapped
from fastsim.report.wording import UNKNOWN, clean, duration, plural, rate, share, signed_percent
from fastsim.result import Estimate
from fastsim.scenario import setting_name

_WEEK_H = 168
_LISTED = 9
_FEW = 4


def render_outlook(found: Outlook) -> str:
    """Write until when the goals are met, how the load grows, and what would hold longer."""
    hours = found.hours
    days = len(hours) / 24.0
    lines = wrapped(
        f"{clean(found.title)} · forecast · {days:.3g} days from {day(found.load.ends)} · twin · "
        f"seed {found.seed}"
    )
    limit = found.holds_up_to
    lines += labelled("Holds", holds_sentence(found))
    if limit is not None:
        lines += labelled("The limit", f"{_rate(limit)} in the busiest minutes")
    lines += labelled("Load", _load(found.load))
    if found.backtest is not None:
        back = found.backtest
        lines += labelled(
            "Backtest",
            f"of the last week, {share(back.covered)} of the hours lie in the band of "
            f"{share(back.confidence)}; an hour is off by {share(back.median_error)}, the busiest "
            f"by {signed_percent(back.peak_error)}",
        )
    if found.cost is not None:
        lines += labelled("Cost", _cost(found.cost, len(hours)))
    lines += ["", *_weeks(hours), ""]
    for way in found.ways:
        until = f"until {moment(way.breaks)}" if way.breaks else "all the time"
        lines += labelled("Try", f"{clean(way.change)}: holds {until}, {_rate(way.holds_up_to)}")
    if found.load.holidays:
        lines += labelled("Holidays", _holidays(found.load))
    for on, times in found.load.exceptional[:_LISTED]:
        lines += labelled("Left out", f"{clean(on)}, a day of {times:.2g} times the usual load")
    lines += warnings_text(found.warnings)
    trust = f"{plural(found.load.history_hours, 'hour')} of history"
    lines += trust_lines(
        f"{trust}; {plural(len(found.limit.points), 'load')} simulated", found.provenance
    )
    return finish(lines)


def holds_sentence(found: Outlook) -> str:
    """Say until when the goals are met."""
    goals = ", ".join(map(clean, found.goals)) or f"{clean(found.limit.saturated)} not full"
    if found.holds_up_to is None:
        return f"never: {goals} is missed even by a service with nothing to do"
    early = found.breaks_earliest
    if found.breaks is None:
        text = f"{goals} until {moment(found.hours[-1].start)}, the end of the forecast"
        return text if early is None else f"{text}; at the earliest missed {moment(early)} (5 %)"
    perhaps = f", perhaps {moment(early)}" if early and early != found.breaks else ""
    return f"until {moment(found.breaks)}{perhaps}; then {goals} is missed"


def _load(load: LoadOutlook) -> str:
    grown = "growth unknown"
    if load.growth_per_month is not None:
        grown = f"{signed_percent(load.growth_per_month)} a month"
        if load.growth_asked:
            grown += " as asked"
        elif load.growth_low is not None and load.growth_high is not None:
            low, high = signed_percent(load.growth_low), signed_percent(load.growth_high)
            grown += f" ({low} to {high})"
    if load.method == "mstl":
        grown = f"{grown}, carried on by MSTL" if load.growth_asked else "carried on by MSTL"
    within = f", busiest minutes ×{load.within_hour:.2f}" if load.within_hour > 1.0 else ""
    return (
        f"busiest hour of a week {rate(load.peak_now_per_s)} now, {rate(load.peak_then_per_s)} "
        f"then; {grown}{within}"
    )


def _holidays(load: LoadOutlook) -> str:
    named = [f"{clean(name)} ({short(on)})" for on, name in load.holidays[:_FEW]]
    more = len(load.holidays) - len(named)
    rest = f" and {more} more" if more > 0 else ""
    how = "taken for Sundays: none was in the history"
    if load.of_a_sunday is not None:
        seen = plural(load.holidays_seen, "holiday")
        how = f"×{load.of_a_sunday:.2f} of a Sunday, as {seen} of the history"
    return f"{', '.join(named)}{rest}: {how}"


def _cost(cost: OutlookCost, hours: int) -> str:
    path = next(iter(cost.prices))
    unit = clean(setting_name(path))
    deployed = ", ".join(
        f"{number} {clean(name.removeprefix('deployment.'))}" for name, number in cost.units.items()
    )
    each = f"{cost.fewest} to {cost.most}" if cost.fewest < cost.most else f"{cost.most}"
    said = (
        f"{cost.total:,.5g} over {plural(hours, 'hour')} as deployed ({deployed}: "
        f"{cost.per_hour:,.4g} an hour); {cost.following:,.5g} with as many {unit} as each hour "
        f"needs ({each})"
    )
    return said if cost.enough else f"{said}, which are too few in the busiest"


def _weeks(hours: Sequence[OutlookHour]) -> list[str]:
    rows = []
    for begin in range(0, len(hours), _WEEK_H):
        week = hours[begin : begin + _WEEK_H]
        peak = max(week, key=lambda hour: hour.rate_per_s)
        rows.append(
            [
                short(week[0].start),
                f"{short(peak.start)} {peak.start[11:16]}",
                rate(peak.rate_per_s),
                f"{rate(peak.low_per_s).removesuffix('/s')} to {rate(peak.high_per_s)}",
                UNKNOWN if peak.p95 is None else duration(peak.p95),
                UNKNOWN if peak.margin is None else share(peak.margin),
                share(peak.utilisation),
                f"{sum(hour.missed for hour in week):.0f} h",
            ]
        )
    if len(rows) > _LISTED:
        rows = [*rows[: _LISTED - 1], rows[-1]]
    head = ["week", "busiest hour", "load", "90 %", "p95", "of limit", "busy", "missed"]
    return columns(head, rows)


def day(start: str) -> str:
    """Say a day: ``2026-11-27``."""
    return start[:10]


def short(start: str) -> str:
    """Say a day in a table: ``27 Nov``."""
    return datetime.fromisoformat(start[:10]).strftime("%d %b")


def moment(start: str) -> str:
    """Say an hour: ``Fri 2026-11-27 13:00``."""
    return datetime.fromisoformat(start).strftime("%a %Y-%m-%d %H:%M")


def _rate(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return rate(value.value)
    return f"{rate(value.value)} ({rate(value.low)} to {rate(value.high)})"
