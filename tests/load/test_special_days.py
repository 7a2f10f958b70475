"""Public holidays: left out of what weekdays are like, and carried on as Sundays or as seen."""

import math
import sys

import numpy as np
import pytest

from fastsim.errors import InputError
from fastsim.load.history import HOUR_S, History
from fastsim.load.seasons import DAY_H, fit_load, week_hour
from fastsim.load.special_days import DAY_S, UNKNOWN_SD, SpecialDays, effect_of, holidays_of

MONDAY = 20_787
"""2026-11-30, days since 1970."""
START_S = MONDAY * DAY_S


def history(holidays: dict[int, str], *, times: float = 1.0, days: int = 35) -> History:
    """100/s on weekdays, 50/s on Sundays, and so many times a Sunday on holidays."""
    rng = np.random.default_rng(4)
    at_s = START_S + HOUR_S * np.arange(days * DAY_H, dtype=np.float64)
    day = np.floor(at_s / DAY_S).astype(np.int64)
    rate = np.where(week_hour(at_s) // DAY_H == 6, 50.0, 100.0)
    rate = np.where(np.isin(day, list(holidays)), 50.0 * times, rate)
    return History(START_S, rate * np.exp(0.02 * rng.standard_normal(len(rate))), 1.0, 3600.0)


def test_a_holiday_to_come_is_a_sunday() -> None:
    coming = SpecialDays({MONDAY + 37: "A Wednesday"})
    found = fit_load(history({}), coming)
    rates = found.ahead(7 * DAY_H).rate_per_s.reshape(7, DAY_H).mean(axis=1)
    assert rates == pytest.approx([100, 100, 50, 100, 100, 100, 50], rel=0.03)
    assert (found.holiday.seen, found.holiday.sd) == (0, UNKNOWN_SD)
    band = found.ahead(7 * DAY_H)
    wide = np.log(band.high_per_s / band.low_per_s).reshape(7, DAY_H).mean(axis=1)
    assert wide[2] > 3.0 * wide[1], "it is not known how much of a Sunday it is"


def test_holidays_that_were_seen_say_what_others_will_be() -> None:
    days = {MONDAY + 9: "One", MONDAY + 23: "Two", MONDAY + 37: "Three"}
    past = history(days, times=0.6)
    found = fit_load(past, SpecialDays(days))
    assert found.holiday.seen == 2
    assert math.exp(found.holiday.offset) == pytest.approx(0.6, rel=0.03)
    rates = found.ahead(7 * DAY_H).rate_per_s.reshape(7, DAY_H).mean(axis=1)
    assert rates == pytest.approx([100, 100, 30, 100, 100, 100, 50], rel=0.03)
    # Without being told, one holiday of five Wednesdays would make them all less.
    told = found.season.reshape(7, DAY_H).mean(axis=1)
    assert told[2] == pytest.approx(told[1], abs=0.02)


def test_holidays_differ_by_their_own_spread() -> None:
    at_s = np.repeat([10, 20, 30], 2) * DAY_S
    found = effect_of(at_s, np.array([0.1, 0.1, 0.2, 0.2, 0.3, 0.3]))
    assert found.seen == 3
    assert found.offset == pytest.approx(0.2)
    assert found.sd == pytest.approx(0.1 * math.sqrt(4 / 3))
    assert effect_of(np.array([]), np.array([])).seen == 0


def test_days_have_names() -> None:
    days = SpecialDays({MONDAY + 1: "St Nobody"})
    assert days.between(START_S, START_S + 3 * DAY_S) == [("2026-12-01", "St Nobody")]
    assert days.between(START_S, START_S + DAY_S) == []


def test_holidays_of_a_country_and_of_a_part_of_it() -> None:
    pytest.importorskip("holidays")
    germany = holidays_of("de", START_S, START_S + 40 * DAY_S)
    assert ("2026-12-25", "Christmas Day") in germany.between(START_S, START_S + 40 * DAY_S)
    bavaria = holidays_of("DE-BY", START_S, START_S + 40 * DAY_S)
    assert set(germany.names) < set(bavaria.names)


@pytest.mark.parametrize("place", ["Atlantis", "XX", "DE-ZZ", ""])
def test_places_that_are_none(place: str) -> None:
    pytest.importorskip("holidays")
    with pytest.raises(InputError, match="no holidays are known"):
        holidays_of(place, START_S, START_S)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(InputError) as raised:
        holidays_of("DE", START_S, START_S)
    assert "fastsim-twin[forecast]" in str(raised.value.hint)
