"""Public holidays: days of their own, which neither tell what their weekday is like nor follow it.

Holidays of the history are left out of the fit. How they differ from a Sunday is the mean over
them; without any in the history they are taken for Sundays. Which days are holidays is known to the
``holidays`` package (an optional extra).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from fastsim.errors import InputError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

DAY_S = 86400.0
SUNDAY = 6
UNKNOWN_SD = 0.25
"""Standard deviation of the logarithm of a holiday's load where fewer than two were seen."""
_EPOCH = date(1970, 1, 1)
_YEARS_AHEAD = 2


@dataclass(frozen=True, slots=True)
class SpecialDays:
    """Holidays by the number of their day since 1970, UTC, with their names."""

    names: Mapping[int, str] = field(default_factory=dict)

    def cover(self, at_s: FloatArray) -> BoolArray:
        """Tell which moments, seconds since 1970, are on one of them."""
        day = np.floor(at_s / DAY_S).astype(np.int64)
        found: BoolArray = np.isin(day, list(self.names))
        return found

    def between(self, start_s: float, end_s: float) -> list[tuple[str, str]]:
        """Return date and name of those in a time, in order."""
        days = range(math.floor(start_s / DAY_S), math.ceil(end_s / DAY_S))
        return [
            ((_EPOCH + timedelta(days=number)).isoformat(), self.names[number])
            for number in days
            if number in self.names
        ]


@dataclass(frozen=True, slots=True)
class HolidayEffect:
    """What the load of holidays is beside that of Sundays."""

    seen: int = 0
    """Holidays in the history."""
    offset: float = 0.0
    """Of the logarithm of the rate, to that of a Sunday."""
    sd: float = UNKNOWN_SD


def effect_of(at_s: FloatArray, off_sunday: FloatArray) -> HolidayEffect:
    """Return how holidays differ from Sundays.

    Parameters
    ----------
    at_s, off_sunday
        Hours of holidays, seconds since 1970, and how far the logarithm of their rate is from that
        of the same hour of a Sunday.
    """
    if not len(at_s):
        return HolidayEffect()
    day = np.floor(at_s / DAY_S).astype(np.int64)
    _, of = np.unique(day, return_inverse=True)
    each = np.bincount(of, off_sunday) / np.bincount(of)
    count = len(each)
    spread = float(each.std(ddof=1)) if count > 1 else UNKNOWN_SD
    # One more of the kind differs by their spread, and their mean is known so well.
    return HolidayEffect(count, float(each.mean()), spread * math.sqrt(1.0 + 1.0 / count))


def holidays_of(place: str, first_s: float, last_s: float) -> SpecialDays:
    """Return the public holidays of a country (``DE``) or of a part of it (``DE-BY``).

    Parameters
    ----------
    first_s, last_s
        Seconds since 1970; holidays of all years from one to the other.

    Raises
    ------
    InputError
        When the package is not installed, or does not know the place.
    """
    try:
        import holidays
    except ImportError:
        raise InputError(
            "holidays are known to the package holidays, which is not installed",
            hint="pip install 'fastsim-twin[forecast]', or give days with --event",
            where="--holidays",
        ) from None
    country, _, part = place.upper().partition("-")
    first, last = (datetime.fromtimestamp(at_s, UTC).year for at_s in (first_s, last_s))
    try:
        found = holidays.country_holidays(
            country, subdiv=part or None, years=range(first, last + _YEARS_AHEAD)
        )
    except (NotImplementedError, KeyError, ValueError):
        raise InputError(
            f"no holidays are known of {place!r}",
            hint="write a country like DE, or a part of it like DE-BY or US-CA",
            where="--holidays",
        ) from None
    return SpecialDays({(on - _EPOCH).days: str(name) for on, name in found.items()})
