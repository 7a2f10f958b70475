"""A load that repeats by hour and weekday and grows, fitted to a history, and carried on.

The logarithm of the hourly rate is a level, growth, an hour of the day and a day of the week, and
what the hours of single weekdays differ from that as far as they do for sure (shrunk by their own
variance). Days far off are exceptional and left out. The band is that of what was left
unexplained, of the growth's error, and of how levels wandered from week to week.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastsim.load.history import HOUR_S, History
from fastsim.load.special_days import SUNDAY, HolidayEffect, SpecialDays, effect_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DAY_H, WEEK_H = 24, 168
MONTH_S = 30.4375 * 86400.0
GROWS_AFTER_H = 21 * DAY_H
"""Shorter histories cannot tell growth from chance."""
CONFIDENCE = 0.9
_EXCEPTIONAL = 4.0
_FAR = math.log(1.3)
_LEAST_SHARE = 0.01
"""Of the mean rate: hours with less count as that, so that they have a logarithm."""


@dataclass(frozen=True, slots=True)
class LoadEvent:
    """Days on which the load is so many times what it would be."""

    start_s: float
    end_s: float
    times: float


@dataclass(frozen=True, slots=True)
class LoadBand:
    """Hourly rates to come, requests per second; arrays have one entry per hour."""

    start_s: FloatArray
    rate_per_s: FloatArray
    """In the median."""
    low_per_s: FloatArray
    high_per_s: FloatArray
    """A band of 90 %."""
    sigma: FloatArray
    """Standard deviation of the logarithm."""


@dataclass(frozen=True, slots=True)
class LoadModel:
    """What a history says of the hours to come."""

    origin_s: float
    end_s: float
    level: float
    growth_per_s: float
    growth_error: float
    """Standard error of the growth of the logarithm, per second; inf where nobody knows."""
    season: FloatArray
    """Shape (168,): by hour of the week in UTC, from Monday 0:00."""
    sigma: float
    """Standard deviation of what is left of the logarithm."""
    low: float
    high: float
    """Quantiles of what is left, in standard deviations: 5 and 95 %."""
    carried: float
    """How much of what is left carries over from hour to hour (lag-1 correlation)."""
    last: float
    """What was left in the last hour."""
    level_error: float
    wander: float
    """Standard deviation of the change of the level from one week to the next."""
    exceptional: tuple[tuple[float, float], ...]
    """Days left out: begin, seconds since 1970, and how many times the usual they had."""
    holidays: SpecialDays = field(default_factory=SpecialDays)
    holiday: HolidayEffect = field(default_factory=HolidayEffect)

    def growth_per_month(self, errors: float = 0.0) -> float:
        """Return the growth over a month, as a share, or what is so many standard errors off it."""
        return math.expm1((self.growth_per_s + errors * self.growth_error) * MONTH_S)

    def ahead(
        self, hours: int, *, growth_per_month: float | None = None, events: Sequence[LoadEvent] = ()
    ) -> LoadBand:
        """Carry the load on.

        Parameters
        ----------
        hours
            How many, from the end of the history.
        growth_per_month
            Instead of the growth that the history had, from its end on.
        """
        start_s = self.end_s + HOUR_S * np.arange(hours, dtype=np.float64)
        since_s = start_s - self.end_s
        slope, error = self.growth_per_s, self.growth_error
        if growth_per_month is not None:
            slope, error = math.log1p(growth_per_month) / MONTH_S, 0.0
        elif not math.isfinite(error):
            slope, error = 0.0, 0.0
        now = self.level + self.growth_per_s * (self.end_s - self.origin_s)
        special = self.holidays.cover(start_s)
        season = self.season[week_hour(start_s)]
        on_sunday = self.season[sunday_hour(start_s)] + self.holiday.offset
        log_rate = now + slope * since_s + np.where(special, on_sunday, season)
        log_rate += self.last * self.carried ** (1.0 + since_s / HOUR_S)
        weeks = since_s / (WEEK_H * HOUR_S)
        more = self.level_error**2 + (error * since_s) ** 2 + self.wander**2 * weeks
        sigma = np.sqrt(self.sigma**2 + more + np.where(special, self.holiday.sd**2, 0.0))
        log_rate = apply(events, start_s, log_rate)
        return LoadBand(
            start_s=start_s,
            rate_per_s=np.exp(log_rate),
            low_per_s=np.exp(log_rate + self.low * sigma),
            high_per_s=np.exp(log_rate + self.high * sigma),
            sigma=sigma,
        )


def apply(events: Sequence[LoadEvent], start_s: FloatArray, log_rate: FloatArray) -> FloatArray:
    """Return the logarithms of rates with those of days of another load as these have it."""
    for event in events:
        inside = (start_s >= event.start_s) & (start_s < event.end_s)
        log_rate = np.where(inside, log_rate + math.log(event.times), log_rate)
    return log_rate


def week_hour(start_s: FloatArray) -> IntArray:
    """Return the hour of the week of moments, from Monday 0:00 UTC."""
    hours = np.floor(start_s / HOUR_S).astype(np.int64)
    return (hours + 3 * DAY_H) % WEEK_H  # 1970 began on a Thursday


def sunday_hour(start_s: FloatArray) -> IntArray:
    """Return the hour of the week of the same hour of a Sunday."""
    return SUNDAY * DAY_H + week_hour(start_s) % DAY_H


def fit_load(history: History, holidays: SpecialDays | None = None) -> LoadModel:
    """Fit level, growth and seasons to the hours of a history.

    Parameters
    ----------
    holidays
        Days that neither tell of their weekday nor follow it.
    """
    holidays = SpecialDays() if holidays is None else holidays
    at_s, rate = history.hours_s(), history.rate_per_s
    floor = _LEAST_SHARE * float(np.nanmean(rate))
    log_rate = np.log(np.maximum(rate, max(floor, 1e-12)))
    known = ~np.isnan(rate)
    special = holidays.cover(at_s)
    usual = known & ~special
    kept = usual
    exceptional: dict[int, float] = {}
    day = np.floor(at_s / (DAY_H * HOUR_S)).astype(np.int64)
    for _ in range(2):
        fitted = _Fit.of(at_s, log_rate, kept)
        exceptional |= dict(_far_days(day, log_rate - fitted.values, kept))
        chosen = usual & ~np.isin(day, list(exceptional))
        if chosen.sum() == kept.sum() or chosen.sum() < DAY_H:
            break
        kept = chosen
    fitted = _Fit.of(at_s, log_rate, kept)
    left = np.where(kept, log_rate - fitted.values, np.nan)
    some = left[kept]
    freedom = max(len(some) - fitted.parameters, 1)
    sigma = max(math.sqrt(float(some @ some) / freedom), 1e-6)
    pairs = np.stack([left[:-1], left[1:]], axis=1)
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    carried = float(
        np.clip((pairs[:, 0] @ pairs[:, 1]) / max(float(some @ some), 1e-12), 0.0, 0.95)
    )
    inflated = (1.0 + carried) / (1.0 - carried)
    spread = some / max(float(np.sqrt(np.mean(some**2))), 1e-12)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(spread, (tail, 1.0 - tail))
    trend = fitted.level + fitted.slope * (at_s - fitted.origin_s)
    off_sunday = log_rate - trend - fitted.season[sunday_hour(at_s)]
    return LoadModel(
        origin_s=fitted.origin_s,
        end_s=float(at_s[-1]) + HOUR_S,
        level=fitted.level,
        growth_per_s=fitted.slope,
        growth_error=sigma * math.sqrt(inflated) * fitted.slope_error,
        season=fitted.season,
        sigma=sigma,
        low=min(float(low), 0.0),
        high=max(float(high), 0.0),
        carried=carried,
        last=0.0 if np.isnan(left[-1]) else float(left[-1]),
        level_error=sigma * math.sqrt(inflated / len(some)),
        wander=_wander(left, sigma, inflated),
        exceptional=tuple(
            (number * DAY_H * HOUR_S, math.exp(off)) for number, off in sorted(exceptional.items())
        ),
        holidays=holidays,
        holiday=effect_of(at_s[known & special], off_sunday[known & special]),
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Least squares of the logarithm on growth and seasons."""

    values: FloatArray
    level: float
    slope: float
    slope_error: float
    """For a unit standard deviation of what is left; inf without growth."""
    origin_s: float
    season: FloatArray
    parameters: float

    @classmethod
    def of(cls, at_s: FloatArray, log_rate: FloatArray, kept: npt.NDArray[np.bool_]) -> "_Fit":
        hour = week_hour(at_s)
        origin_s = float(at_s[kept].mean())
        grows = float(np.ptp(at_s[kept])) >= (GROWS_AFTER_H - 1) * HOUR_S
        columns = [np.ones(len(at_s))]
        if grows:
            columns.append((at_s - origin_s) / MONTH_S)
        first = len(columns)
        columns += [(hour % DAY_H == h).astype(np.float64) for h in range(1, DAY_H)]
        days = np.unique(hour[kept] // DAY_H)
        if float(np.ptp(at_s[kept])) >= 8 * DAY_H * HOUR_S and len(days) == 7:
            columns += [(hour // DAY_H == d).astype(np.float64) for d in range(1, 7)]
        design = np.stack(columns, axis=1)
        inverse = np.linalg.pinv(design[kept].T @ design[kept])
        found = inverse @ design[kept].T @ log_rate[kept]
        left = np.where(kept, log_rate - design @ found, 0.0)
        cells, used = _cells(hour, left, kept)
        season = cells + _season(found[first:])
        values = found[0] + season[hour]
        slope = slope_error = 0.0
        if grows:
            slope, slope_error = float(found[1]) / MONTH_S, math.sqrt(inverse[1, 1]) / MONTH_S
            values = values + slope * (at_s - origin_s)
        return cls(
            values=values,
            level=float(found[0]),
            slope=slope,
            slope_error=slope_error if grows else math.inf,
            origin_s=origin_s,
            season=season,
            parameters=design.shape[1] + used,
        )


def _season(found: FloatArray) -> FloatArray:
    """Return the effects by hour of the week of the columns of hours and days."""
    hours = np.append(0.0, found[: DAY_H - 1])
    days = np.append(0.0, found[DAY_H - 1 :]) if len(found) >= DAY_H else np.zeros(7)
    effects: FloatArray = np.tile(hours, 7) + np.repeat(days, DAY_H)
    return effects


def _cells(
    hour: IntArray, left: FloatArray, kept: npt.NDArray[np.bool_]
) -> tuple[FloatArray, float]:
    """Return what hours of single weekdays differ, as far as for sure, and how many they count."""
    count = np.bincount(hour[kept], minlength=WEEK_H)
    mean = np.bincount(hour[kept], left[kept], WEEK_H) / np.maximum(count, 1)
    seen = count >= 2
    within = left[kept] - mean[hour[kept]]
    freedom = float((count[seen] - 1).sum())
    if freedom <= 0.0:
        return np.zeros(WEEK_H), 0.0
    noise = float(within[seen[hour[kept]]] @ within[seen[hour[kept]]]) / freedom
    between = float(np.mean(mean[seen] ** 2 - noise / count[seen]))
    if between <= 0.0:
        return np.zeros(WEEK_H), 0.0
    keep = np.where(seen, between / (between + noise / np.maximum(count, 1)), 0.0)
    return keep * mean, float(keep.sum())


def _far_days(
    day: IntArray, left: FloatArray, kept: npt.NDArray[np.bool_]
) -> list[tuple[int, float]]:
    """Return days whose mean is far from that of all others, and by how much."""
    numbers, where = np.unique(day[kept], return_inverse=True)
    if len(numbers) < 4:
        return []
    mean = np.bincount(where, left[kept]) / np.bincount(where)
    centre = float(np.median(mean))
    usual = max(1.4826 * float(np.median(np.abs(mean - centre))), 1e-6)
    far = np.abs(mean - centre) > max(_EXCEPTIONAL * usual, _FAR)
    return [(int(n), float(m - centre)) for n, m in zip(numbers[far], mean[far], strict=True)]


def _wander(left: FloatArray, sigma: float, inflated: float) -> float:
    """Return how much the level changes from week to week beyond chance."""
    weeks = len(left) // WEEK_H
    if weeks < 4:
        return 0.0
    means = np.nanmean(left[-weeks * WEEK_H :].reshape(weeks, WEEK_H), axis=1)
    chance = 2.0 * sigma**2 * inflated / WEEK_H
    return math.sqrt(max(float(np.nanmean(np.diff(means) ** 2)) - chance, 0.0))
