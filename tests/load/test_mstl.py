"""A load carried on by statsmodels: seasons, events, growth as asked, and a band that holds."""

import sys

import numpy as np
import pytest

from fastsim.errors import InputError, NotEnoughDataError
from fastsim.load.mstl import smooth_load
from fastsim.load.seasons import LoadEvent
from tests.load.test_seasons import production

WEEK_H = 168


@pytest.fixture(autouse=True)
def library() -> None:
    pytest.importorskip("statsmodels")


def test_the_band_holds_a_week_that_was_not_seen() -> None:
    covered, errors = [], []
    for seed in range(8):
        history = production(35, seed)
        band = smooth_load(history.before(28 * 24)).ahead(WEEK_H)
        truth = history.rate_per_s[-WEEK_H:]
        covered.append(float(((truth >= band.low_per_s) & (truth <= band.high_per_s)).mean()))
        errors.append(float(np.median(np.abs(np.log(truth / band.rate_per_s)))))
    # Of 90 %: the library's own intervals, which do not know the error of the seasons.
    assert 0.7 < np.mean(covered) <= 1.0
    assert np.mean(errors) < 0.15


def test_growth_and_events_may_be_given() -> None:
    model = smooth_load(production(35, 2))
    month_h = round(30.4375 * 24)
    grown = model.ahead(month_h + WEEK_H, growth_per_month=0.5).rate_per_s
    flat = model.ahead(month_h + WEEK_H, growth_per_month=0.0).rate_per_s
    assert grown[month_h] / flat[month_h] == pytest.approx(1.5, rel=0.01)
    event = LoadEvent(model.end_s + 24 * 3600.0, model.end_s + 48 * 3600.0, 3.0)
    with_event = model.ahead(WEEK_H, growth_per_month=0.0, events=[event]).rate_per_s
    assert with_event[24:48] == pytest.approx(3.0 * flat[24:48])
    assert with_event[:24] == pytest.approx(flat[:24])


def test_missing_hours_are_bridged() -> None:
    history = production(35, 3)
    history.rate_per_s[100:110] = np.nan
    assert np.isfinite(smooth_load(history).ahead(WEEK_H).rate_per_s).all()


def test_a_week_is_too_little() -> None:
    with pytest.raises(NotEnoughDataError, match="weekly season"):
        smooth_load(production(9, 1))


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.seasonal", None)
    with pytest.raises(InputError) as raised:
        smooth_load(production(35, 1)).ahead(24)
    assert "fastsim-twin[forecast]" in str(raised.value.hint)
