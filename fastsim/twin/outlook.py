"""How long a deployment holds: the load to come, against the highest load that meets the goals.

The load of an hour and the limit are both known with an error; both are taken for lognormal. The
goals are missed in an hour with the chance that its busiest time passes the limit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from fastsim.answers import (
    Backtest,
    Limit,
    LoadOutlook,
    Outlook,
    OutlookHour,
    OutlookWay,
)
from fastsim.load.history import HOUR_S, History
from fastsim.load.mstl import LEAST_H, smooth_load
from fastsim.load.seasons import (
    CONFIDENCE,
    GROWS_AFTER_H,
    WEEK_H,
    LoadBand,
    LoadEvent,
    LoadModel,
    fit_load,
)
from fastsim.load.special_days import SpecialDays
from fastsim.result import Estimate
from fastsim.scenario import ResolvedDeployment, Slo
from fastsim.twin.advice import more_of
from fastsim.twin.grid import check_paths
from fastsim.twin.limit import OnTrial, find_limit
from fastsim.twin.outlook_cost import cost_ahead
from fastsim.twin.plan import Plan
from fastsim.twin.processes import Jobs, shared

FloatArray = npt.NDArray[np.float64]
Method = Literal["seasons", "mstl"]
OnStep = Callable[[float, str], None]

LIKELY, POSSIBLE = 0.5, 0.05
"""Chances of a missed goal by which it is said when it breaks, and when it may at the earliest."""
_Z95 = float(ndtri(0.975))
_USELESS = 1.02
"""A change must raise the limit by so much to be worth naming."""


def look_ahead(
    plan: Plan,
    goals: Sequence[Slo],
    history: History,
    *,
    hours: int,
    growth_per_month: float | None = None,
    events: Sequence[LoadEvent] = (),
    holidays: SpecialDays | None = None,
    method: Method = "seasons",
    prices: Mapping[str, float] | None = None,
    replications: int = 6,
    seed: int = 1,
    jobs: Jobs = 1,
    on_step: OnStep = lambda _done, _text: None,
) -> Outlook:
    """Forecast the load, and when the deployment no longer meets its goals.

    Parameters
    ----------
    plan
        The deployment; its rate is where the search for its limit starts.
    hours
        How far to look, from the end of the history.
    growth_per_month
        Instead of the growth seen in the history.
    holidays
        Public holidays of the history and of the time to come.
    method
        By which the load is carried on: our own fit, or ``fastsim.load.mstl``.
    prices
        Cost of one unit for an hour, by path (``fastsim.twin.outlook_cost``).
    jobs
        See ``fastsim.twin.processes``.
    """
    plan = replace(plan, course=None, source=None)
    check_paths(plan, list(prices or {}))
    load = fit_load(history, holidays)
    carried = load if method == "seasons" else smooth_load(history)
    band = carried.ahead(hours, growth_per_month=growth_per_month, events=events)
    ways: list[OutlookWay] = []
    cost, stopped = None, False
    with shared(jobs) as processes:

        def limit_of(asked: Plan, on_trial: OnTrial | None = None) -> Limit:
            return find_limit(
                asked,
                goals,
                replications=replications,
                seed=seed,
                jobs=processes,
                # Only of the deployment as it is latencies are asked for, not its limit alone.
                curve=asked is plan,
                on_trial=on_trial,
            )

        def held_by(deployment: ResolvedDeployment) -> Estimate | None:
            tried = limit_of(replace(plan, deployment=deployment))
            if tried.stopped:
                raise KeyboardInterrupt
            return _holds(tried, goals)

        found = limit_of(plan, lambda rate, done: on_step(0.5 * done, f"trying {rate:.3g}/s"))
        holds = _holds(found, goals)
        chance = _chance(band, history.peak, holds)
        ahead = _hours(band, chance, history.peak, found)
        breaks = _first(chance, POSSIBLE) is not None
        changes = more_of(found.saturated, plan.deployment) if breaks and not found.stopped else []
        try:
            for number, (text, deployment) in enumerate(changes):
                on_step(0.5 + 0.5 * number / len(changes), f"trying {text}")
                better = held_by(deployment)
                if better is not None and (holds is None or better.value > _USELESS * holds.value):
                    until = _first(_chance(band, history.peak, better), LIKELY)
                    ways.append(
                        OutlookWay(
                            change=text,
                            holds_up_to=better,
                            breaks=None if until is None else _iso(band.start_s[until]),
                        )
                    )
            if prices and not found.stopped:

                def holds_up_to(deployment: ResolvedDeployment) -> float:
                    if deployment == plan.deployment:
                        return 0.0 if holds is None else holds.value
                    on_step(0.95, "trying what the busiest hour needs")
                    more = held_by(deployment)
                    return 0.0 if more is None else more.value

                asked_per_s = history.peak * band.rate_per_s
                cost, needed, following = cost_ahead(plan, prices, asked_per_s, holds_up_to)
                for hour, units, money in zip(
                    ahead, needed.tolist(), following.tolist(), strict=True
                ):
                    hour.needed, hour.cost = units, money
        except KeyboardInterrupt:
            stopped = True
    return Outlook(
        title=plan.model.service,
        seed=seed,
        goals=[goal.text for goal in goals],
        limit=found,
        holds_up_to=holds,
        load=_load(load, history, growth_per_month, band, method),
        breaks=_when(band, chance, LIKELY),
        breaks_earliest=_when(band, chance, POSSIBLE),
        hours=ahead,
        ways=ways,
        backtest=backtest(history, holidays, method),
        cost=cost,
        verdict="yes" if _first(chance, LIKELY) is None and holds is not None else "no",
        stopped=stopped or found.stopped,
        warnings=[
            *(["stopped when the limit was known: what would hold longer was not tried"] * stopped),
            *found.warnings,
            *_warnings(load, history, growth_per_month, method),
            *_beyond(events, band),
        ],
    )


def backtest(
    history: History, holidays: SpecialDays | None = None, method: Method = "seasons"
) -> Backtest | None:
    """Forecast the last week from what was before it; None for too little of that."""
    if len(history) < GROWS_AFTER_H:
        return None
    before = history.before(len(history) - WEEK_H)
    if method == "mstl" and len(before) < LEAST_H:
        return None
    model = fit_load(before, holidays) if method == "seasons" else smooth_load(before)
    band = model.ahead(WEEK_H)
    truth = history.rate_per_s[-WEEK_H:]
    known = ~np.isnan(truth) & (truth > 0.0)
    if not known.any():
        return None
    inside = (truth >= band.low_per_s) & (truth <= band.high_per_s)
    off = np.abs(np.log(truth[known] / band.rate_per_s[known]))
    peak = float(band.rate_per_s[known].max() / truth[known].max() - 1.0)
    return Backtest(
        hours=int(known.sum()),
        covered=float(inside[known].mean()),
        confidence=CONFIDENCE,
        median_error=math.expm1(float(np.median(off))),
        peak_error=peak,
    )


def _holds(found: Limit, goals: Sequence[Slo]) -> Estimate | None:
    return found.rate if goals else found.saturation


def _chance(band: LoadBand, peak: float, holds: Estimate | None) -> FloatArray:
    """Return the chance that each hour's busiest time passes the limit."""
    if holds is None:
        return np.ones(len(band.start_s))
    error = 0.0
    if holds.low and holds.high:
        error = math.log(holds.high / holds.low) / (2.0 * _Z95)
    distance = np.log(np.maximum(peak * band.rate_per_s, 1e-300) / holds.value)
    chance: FloatArray = ndtr(distance / np.sqrt(band.sigma**2 + error**2))
    return chance


def _first(chance: FloatArray, level: float) -> int | None:
    found = np.flatnonzero(chance >= level)
    return int(found[0]) if len(found) else None


def _when(band: LoadBand, chance: FloatArray, level: float) -> str | None:
    first = _first(chance, level)
    return None if first is None else _iso(band.start_s[first])


def _hours(band: LoadBand, chance: FloatArray, peak: float, found: Limit) -> list[OutlookHour]:
    points = sorted(found.points, key=lambda point: point.rate_per_s)
    rates = np.array([0.0, *(point.rate_per_s for point in points)])
    use = np.array([0.0, *(point.utilisation for point in points)])
    met = [point for point in points if point.margin is not None]
    margin_at = np.array([point.rate_per_s for point in met])
    margin = np.array([point.margin or 0.0 for point in met])
    steady = [point for point in points if point.p95 is not None]
    steady_at = np.array([point.rate_per_s for point in steady])
    p95 = np.array([point.p95 or 0.0 for point in steady])
    errors = np.array([point.errors for point in steady])
    hours = []
    for number in range(len(band.start_s)):
        rate = float(band.rate_per_s[number])
        asked = peak * rate
        known = len(met) > 0 and asked <= margin_at[-1]
        served = len(steady) > 0 and asked <= steady_at[-1]
        hours.append(
            OutlookHour(
                start=_iso(band.start_s[number]),
                rate_per_s=rate,
                low_per_s=float(band.low_per_s[number]),
                high_per_s=float(band.high_per_s[number]),
                utilisation=min(float(np.interp(asked, rates, use)), 1.0),
                margin=float(np.interp(asked, margin_at, margin)) if known else None,
                missed=float(chance[number]),
                p95=float(np.interp(asked, steady_at, p95)) if served else None,
                errors=float(np.interp(asked, steady_at, errors)) if served else None,
            )
        )
    return hours


def _load(
    load: LoadModel, history: History, growth: float | None, band: LoadBand, method: Method
) -> LoadOutlook:
    known = math.isfinite(load.growth_error)
    asked = growth is not None
    recent = history.rate_per_s[-WEEK_H:]
    return LoadOutlook(
        history_hours=int((~np.isnan(history.rate_per_s)).sum()),
        ends=_iso(load.end_s),
        peak_now_per_s=float(np.nanmax(recent)),
        peak_then_per_s=float(band.rate_per_s[-WEEK_H:].max()),
        growth_per_month=growth if asked else load.growth_per_month() if known else None,
        growth_low=load.growth_per_month(-_Z95) if known and not asked else None,
        growth_high=load.growth_per_month(_Z95) if known and not asked else None,
        growth_asked=asked,
        within_hour=history.peak,
        exceptional=[(_iso(at_s)[:10], times) for at_s, times in load.exceptional],
        holidays=load.holidays.between(float(band.start_s[0]), float(band.start_s[-1]) + HOUR_S),
        holidays_seen=load.holiday.seen,
        of_a_sunday=math.exp(load.holiday.offset) if load.holiday.seen else None,
        method=method,
    )


def _warnings(load: LoadModel, history: History, growth: float | None, method: Method) -> list[str]:
    said = []
    if method == "mstl" and load.holidays.names:
        said.append("holidays are not known to mstl; --event gives days of another load")
    if method == "seasons" and growth is None and not math.isfinite(load.growth_error):
        said.append(
            f"{len(history)} hours of history cannot tell growth, none is assumed (--growth says "
            "what to assume; three weeks tell)"
        )
    if len(history) < 2 * WEEK_H:
        said.append("less than two weeks of history: what single weekdays are like is not known")
    if history.peak == 1.0 and history.step_s > 900.0:
        said.append("hourly rates: busier minutes within an hour are not seen")
    return said


def _beyond(events: Sequence[LoadEvent], band: LoadBand) -> list[str]:
    """Name events of which no hour is forecast."""
    last_s = float(band.start_s[-1])
    return [
        f"the event of {_iso(event.start_s)[:10]} is outside of what is forecast"
        for event in events
        if event.start_s > last_s or event.end_s <= float(band.start_s[0])
    ]


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(float(at_s), UTC).strftime("%Y-%m-%dT%H:%MZ")
