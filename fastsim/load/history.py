"""Request rates over hours to weeks, as monitoring keeps them: CSV files, and Prometheus' JSON.

Times without a zone are taken as UTC, and all hours and weekdays are in it.
"""

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastsim.errors import FileFormatError, NotEnoughDataError

FloatArray = npt.NDArray[np.float64]

HOUR_S = 3600.0
LEAST_HOURS = 48
_TIMES = ("time", "timestamp", "date", "datetime", "ts", "minute", "hour", "day")
_RATES = ("rate", "rps", "qps", "requestspersecond", "reqs", "rpsavg", "throughput", "value")
_COUNTS = ("count", "requests", "hits", "requestcount", "total", "n")
_PEAK = 0.95
"""Of the steps of an hour, the one that stands for its busiest time."""


class NoRatesError(FileFormatError):
    """A file that holds something else than rates over time."""


@dataclass(frozen=True, slots=True)
class History:
    """Mean rates of consecutive hours."""

    start_s: float
    """Begin of the first hour, seconds since 1970."""
    rate_per_s: FloatArray
    """Shape (hours,): requests per second; nan where nothing is known."""
    peak: float
    """How many times the mean of its hour the busiest steps of the file are; 1 if unknown."""
    step_s: float
    """Length of the steps that the file had, seconds."""

    def __len__(self) -> int:
        return len(self.rate_per_s)

    def hours_s(self) -> FloatArray:
        """Return when the hours begin, seconds since 1970."""
        return self.start_s + HOUR_S * np.arange(len(self), dtype=np.float64)

    def before(self, hours: int) -> "History":
        """Return the first hours alone."""
        return History(self.start_s, self.rate_per_s[:hours], self.peak, self.step_s)


def read_history(path: Path) -> History:
    """Read the rates of a file.

    Raises
    ------
    NoRatesError
        When it is no table of times and rates.
    FileFormatError
        When it cannot be read, or a line of it is wrong.
    NotEnoughDataError
        When it covers less than two days.
    """
    points, counts = read_points(path)
    return by_hours(points, counts=counts, name=str(path))


def read_points(path: Path) -> tuple[list[tuple[float, float]], bool]:
    """Read times, seconds since 1970, with rates; or with counts, as the second result says.

    Raises
    ------
    NoRatesError
        When the file is no table of times and rates.
    FileFormatError
        When it cannot be read, or a line of it is wrong.
    """
    if path.is_dir():
        raise _not_rates(path, "it is a directory")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise _not_rates(path, "it is no text") from None
    if text.lstrip()[:1] in {"{", "["}:
        return _prometheus(text, path), False
    return _table(text, path)


def by_hours(
    points: Iterable[tuple[float, float]], *, counts: bool, name: str = "the history"
) -> History:
    """Put points in time together into hours.

    Parameters
    ----------
    points
        (seconds since 1970, value), in any order; values of one time are added up.
    counts
        The values are requests since the time before, not requests per second.

    Raises
    ------
    NotEnoughDataError
        When they cover less than two days.
    """
    times, values = summed(points)
    step_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    covered = (times[-1] - times[0] + step_s) / HOUR_S if len(times) > 1 else 0.0
    if covered < LEAST_HOURS or step_s > HOUR_S:
        what = f"{covered:.0f} hours" if covered < LEAST_HOURS else f"steps of {step_s:.0f} s"
        raise NotEnoughDataError(
            f"{name} has {what} of rates",
            hint="a forecast needs two days or more in steps of an hour or less",
        )
    rate = values / (step_s if counts else 1.0)
    hour = np.floor(times / HOUR_S).astype(np.int64)
    first = int(hour[0])
    total = np.bincount(hour - first, rate)
    seen = np.bincount(hour - first)
    # An hour of which most is missing says nothing.
    enough = seen * step_s >= HOUR_S / 2.0
    mean = np.where(enough, total / np.maximum(seen, 1), np.nan)
    return History(first * HOUR_S, mean, _peak(rate, hour - first, mean), step_s)


def summed(points: Iterable[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    """Return times in order, and the sum of what there is at each."""
    sums: defaultdict[float, float] = defaultdict(float)
    for at_s, value in points:
        sums[at_s] += value
    times = sorted(sums)
    return np.array(times), np.array([sums[at_s] for at_s in times])


def from_arrivals(start_ns: npt.NDArray[np.int64], scale: float = 1.0) -> History:
    """Return the rates of recorded requests, of which so many stand for each.

    Raises
    ------
    NotEnoughDataError
        When they cover less than two days.
    """
    minute = np.floor(start_ns / 60e9).astype(np.int64)
    numbers, counts = np.unique(minute, return_counts=True)
    some = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    points = [
        (60.0 * number, scale * some.get(number, 0) / 60.0)
        for number in range(int(numbers[0]), int(numbers[-1]) + 1)
    ]
    return by_hours(points, counts=False, name="the recording")


def _peak(rate: FloatArray, hour: npt.NDArray[np.int64], mean: FloatArray) -> float:
    """Return the busiest steps of hours over their mean, in the median of the busy half."""
    ratios = []
    busy = float(np.nanmedian(mean))
    for number in np.flatnonzero(mean >= busy).tolist():
        steps = rate[hour == number]
        if len(steps) >= 4:
            ratios.append(float(np.quantile(steps, _PEAK)) / max(float(mean[number]), 1e-12))
    return float(np.median(ratios)) if ratios else 1.0


def _prometheus(text: str, path: Path) -> list[tuple[float, float]]:
    """Read the answer of a range query; several series are added up."""
    try:
        document = json.loads(text)
        series = document["data"]["result"] if isinstance(document, dict) else document
        return [
            (float(at), float(value))
            for each in series
            for at, value in each["values"]
            if math.isfinite(float(value))
        ]
    except (ValueError, KeyError, TypeError):
        raise _not_rates(path, "it is no answer of a Prometheus range query") from None


def _table(text: str, path: Path) -> tuple[list[tuple[float, float]], bool]:
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)]
    if len(rows) < 3:
        raise _not_rates(path, "it has hardly any lines")
    names = [_plain(name) for name in rows[0]]
    time = next((names.index(each) for each in _TIMES if each in names), None)
    rate = next((names.index(each) for each in _RATES if each in names), None)
    count = next((names.index(each) for each in _COUNTS if each in names), None)
    value = rate if rate is not None else count
    if time is None or value is None:
        raise _not_rates(path, f"its first line is {head.strip()[:60]!r}")
    points = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            at_s, amount = _seconds(row[time]), _number(row[value])
        except (ValueError, IndexError):
            raise FileFormatError(
                f"{path} line {number} is no time and rate: {separator.join(row)[:60]!r}",
                hint="write times like 2026-11-27T13:00:00Z and rates as numbers",
                where=f"{path}:{number}",
            ) from None
        if amount is not None:
            points.append((at_s, amount))
    return points, rate is None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _number(text: str) -> float | None:
    """Read a rate; None for a point that is missing."""
    if text.strip().lower() in {"", "nan", "null", "none"}:
        return None
    value = float(re.sub(r"\s*(req/s|rps|/s)$", "", text.strip()))
    if not 0.0 <= value < math.inf:
        raise ValueError("no rate")
    return value


def _seconds(text: str) -> float:
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    for digits in (1e18, 1e15, 1e12):  # nano-, micro-, milliseconds
        if value >= digits:
            return value / (digits / 1e9)
    return value


def _not_rates(path: Path, why: str) -> NoRatesError:
    names: Sequence[str] = ("time", "rate")
    return NoRatesError(
        f"{path} holds no rates over time: {why}",
        hint=f"a CSV file with the columns {' and '.join(names)} (requests per second) or count",
        where=str(path),
    )
