"""A load carried on by a library instead of our own fit: MSTL and exponential smoothing.

The logarithm of the hourly rate is split into a daily and a weekly season by local regression
(MSTL; K. Bandara, R. J. Hyndman, C. Bergmeir, 2021), what is left follows exponential smoothing
with a damped trend, both of ``statsmodels`` (an optional extra). Seasons may change slowly, which
our own fit does not know; holidays and how sure the growth is are not known here.
"""

import importlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fastsim.errors import InputError, NotEnoughDataError
from fastsim.load.history import HOUR_S, History
from fastsim.load.seasons import CONFIDENCE, DAY_H, MONTH_S, WEEK_H, LoadBand, LoadEvent, apply

FloatArray = npt.NDArray[np.float64]

LEAST_H = 2 * WEEK_H + 1
"""Hours from which a season of a week can be told."""
_Z = float(ndtri((1.0 + CONFIDENCE) / 2.0))


@dataclass(frozen=True, slots=True)
class SmoothedLoad:
    """What the library says of the hours to come."""

    end_s: float
    log_rate: FloatArray
    """Of the history, without gaps."""

    def ahead(
        self, hours: int, *, growth_per_month: float | None = None, events: Sequence[LoadEvent] = ()
    ) -> LoadBand:
        """Carry the load on; see ``fastsim.load.seasons.LoadModel.ahead``."""
        season, level, sigma = _smoothed(self.log_rate, hours)
        since_s = HOUR_S * np.arange(hours, dtype=np.float64)
        if growth_per_month is not None:
            level = level[0] + math.log1p(growth_per_month) / MONTH_S * since_s
        log_rate = apply(events, self.end_s + since_s, level + season)
        return LoadBand(
            start_s=self.end_s + since_s,
            rate_per_s=np.exp(log_rate),
            low_per_s=np.exp(log_rate - _Z * sigma),
            high_per_s=np.exp(log_rate + _Z * sigma),
            sigma=sigma,
        )


def smooth_load(history: History) -> SmoothedLoad:
    """Take the hours of a history, with those that are missing as between their neighbours.

    Raises
    ------
    NotEnoughDataError
        For two weeks or less, of which a weekly season cannot be told.
    """
    if len(history) < LEAST_H:
        raise NotEnoughDataError(
            f"{len(history)} hours of history have no weekly season",
            hint="--method mstl needs more than two weeks; leave it out",
        )
    rate = history.rate_per_s
    known = np.flatnonzero(~np.isnan(rate) & (rate > 0.0))
    filled = np.interp(np.arange(len(rate)), known, np.log(rate[known]))
    return SmoothedLoad(float(history.hours_s()[-1]) + HOUR_S, filled)


def _smoothed(log_rate: FloatArray, hours: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return seasons, level and standard deviation of the hours to come, of the logarithm."""
    pandas, seasonal, smoothing = map(
        _imported,
        ("pandas", "statsmodels.tsa.seasonal", "statsmodels.tsa.exponential_smoothing.ets"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about convergence, and about what pandas will change
        split = seasonal.MSTL(log_rate, periods=(DAY_H, WEEK_H)).fit()
        seasons = np.asarray(split.seasonal, np.float64).sum(axis=1)
        rest = pandas.Series(log_rate - seasons)
        model = smoothing.ETSModel(rest, error="add", trend="add", damped_trend=True)
        fitted = model.fit(disp=False)
        first, last = len(rest), len(rest) + hours - 1
        found = fitted.get_prediction(start=first, end=last).summary_frame(alpha=1.0 - CONFIDENCE)
    level = found["mean"].to_numpy(np.float64)
    width = (found["pi_upper"] - found["pi_lower"]).to_numpy(np.float64)
    week = seasons[-WEEK_H:]
    return np.resize(week, hours), level, np.maximum(width / (2.0 * _Z), 1e-6)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            "this method needs the package statsmodels, which is not installed",
            hint="pip install 'fastsim-twin[forecast]', or leave --method out",
            where="--method",
        ) from None
