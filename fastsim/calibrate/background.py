"""What the event loop does for no request: fitted for the twin, and said."""

from collections.abc import Sequence

import numpy as np

from fastsim import spans
from fastsim.calibrate.growth import loop_share
from fastsim.calibrate.loop_series import FloatArray, JobWindow, LoopSeries
from fastsim.calibrate.requests import RequestSet
from fastsim.model import BackgroundWork, Constant
from fastsim.units import format_share

MUCH = 0.01
"""Share of the time on the loop that is worth a word."""
LITTLE = 0.0005
"""Share of the time on the loop below which a kind of work is left out."""
_NAMED = 3
_STEADY = 0.5
"""Variance over mean of the runs per second, below which they come at a steady pace."""
_FEWEST_SECONDS = 8


def background_share(requests: RequestSet) -> float:
    """Return the share of the time with requests that loops spent on work of no request."""
    return loop_share(requests, spans.BACKGROUND_WALL_NS) or 0.0


def fit_background(series: LoopSeries) -> list[BackgroundWork]:
    """Return what each worker's loop does beside requests, most of it first."""
    observed_s = float(series.length_s.sum())
    if observed_s <= 0.0:
        return []
    found = []
    for name in series.background_s:
        windows = series.jobs.get(name, ())
        spent_s = sum(window.wall_ns for window in windows) / 1e9
        runs = sum(window.runs for window in windows)
        if runs == 0 or spent_s < LITTLE * observed_s:
            continue
        lump_s = _lump_s(windows, spent_s / runs)
        found.append(
            BackgroundWork(
                name=name,
                every=observed_s * lump_s / spent_s,
                time=Constant(value=lump_s),
                regular=_is_regular(windows, series.seconds_s),
            )
        )
    return found


def _lump_s(windows: Sequence[JobWindow], mean_s: float) -> float:
    """Return the length of equal runs that are as much work, and as unevenly spread.

    How long others wait depends on the second moment of the runs: E[S^2] / E[S], as in the formula
    of Pollaczek and Khinchine. A job that sleeps in between has many short runs beside a long one.
    """
    runs = sum(row.runs for row in windows)
    square_s2 = sum(row.square_us2 for row in windows) / 1e12
    return max(square_s2 / runs / mean_s, mean_s) if square_s2 > 0.0 else mean_s


def _is_regular(windows: Sequence[JobWindow], seconds_s: FloatArray) -> bool:
    """Tell whether the runs of each second differ by less than chance has it."""
    if len(seconds_s) < _FEWEST_SECONDS:
        return False
    counts = np.zeros(len(seconds_s))
    for window in windows:
        counts[window.second] += window.runs
    expected = counts.sum() * seconds_s / max(float(seconds_s.sum()), 1e-9)
    chance = float(expected.mean())
    return chance >= 1.0 and float(((counts - expected) ** 2).mean()) < _STEADY * chance


def background_warnings(requests: RequestSet) -> list[str]:
    """Say what takes the loop from requests, if it is much."""
    share = background_share(requests)
    if share < MUCH:
        return []
    names = list(requests.loop_series.background_s)[:_NAMED]
    by = f" ({', '.join(names)})" if names else ""
    return [
        (
            f"the event loop spent {format_share(share, 2)} of the time on work that belongs to no "
            f"request{by}: it is in nobody's cost; the twin does as much of it at any load"
        )
    ]
