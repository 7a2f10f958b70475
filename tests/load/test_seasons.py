"""A load with seasons, growth and a spike: found, and carried on with a band that holds."""

import math

import numpy as np
import pytest

from fastsim.load.history import HOUR_S, History, by_hours
from fastsim.load.seasons import LoadEvent, fit_load, week_hour

BEGIN_S = 1_790_000_000 // 3600 * 3600.0
MONTH_H = 30.4375 * 24.0


def production(
    days: int, seed: int, *, growth: float = 0.05, sigma: float = 0.12, spike: bool = True
) -> History:
    """Day and night, weekends of another shape, growth, noise that carries over, one sale."""
    rng = np.random.default_rng(seed)
    number = np.arange(days * 24, dtype=np.float64)
    at_s = BEGIN_S + number * HOUR_S
    hour = week_hour(at_s)
    usual = math.log(100.0) + growth * number / MONTH_H
    usual = usual + 0.6 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)
    usual = usual - 0.4 * (hour // 24 >= 5) * (1 + 0.3 * np.cos(2 * np.pi * hour / 24))
    noise = np.zeros(len(number))
    for n in range(1, len(number)):
        noise[n] = 0.4 * noise[n - 1] + sigma * math.sqrt(0.84) * rng.standard_normal()
    if spike:
        noise[24 * 11 + 8 : 24 * 11 + 22] += math.log(2.5)
    return by_hours(zip(at_s, np.exp(usual + noise), strict=True), counts=False)


def test_the_week_begins_on_monday() -> None:
    monday = np.array([1_795_996_800.0])  # 2026-11-30 0:00 UTC
    assert week_hour(monday).tolist() == [0]
    assert week_hour(monday - HOUR_S).tolist() == [167]


def test_the_band_holds_a_week_that_was_not_seen() -> None:
    covered, errors = [], []
    for seed in range(20):
        history = production(35, seed)
        band = fit_load(history.before(28 * 24)).ahead(168)
        truth = history.rate_per_s[-168:]
        covered.append(float(((truth >= band.low_per_s) & (truth <= band.high_per_s)).mean()))
        errors.append(float(np.median(np.abs(np.log(truth / band.rate_per_s)))))
    # Of 90 %; hours of a week resemble each other, so single weeks scatter.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)
    assert np.mean([0.82 <= share <= 0.97 for share in covered]) >= 0.9
    assert np.mean(errors) < 0.1


def test_growth_is_found_with_its_error() -> None:
    found = [fit_load(production(42, seed)) for seed in range(20)]
    grown = np.array([model.growth_per_s * MONTH_H * HOUR_S for model in found])
    errors = np.array([model.growth_error * MONTH_H * HOUR_S for model in found])
    assert grown.mean() == pytest.approx(0.05, abs=4 * errors.mean() / math.sqrt(20))
    assert np.mean(np.abs(grown - 0.05) < 1.96 * errors) >= 0.8


def test_a_day_of_a_sale_is_left_out_and_told() -> None:
    [(day_s, times)] = fit_load(production(35, 3)).exceptional
    # The sale began 8 hours after the history's eleventh day did: on the day after in UTC.
    assert day_s == (BEGIN_S + (24 * 11 + 15) * HOUR_S) // 86_400 * 86_400
    assert times > 1.3
    assert fit_load(production(35, 3, spike=False)).exceptional == ()


def test_short_histories_know_nothing_of_growth_and_weekdays() -> None:
    short = fit_load(production(6, 1, spike=False))
    assert math.isinf(short.growth_error)
    assert np.ptp(short.season.reshape(7, 24), axis=0) == pytest.approx(0.0)
    band = short.ahead(24 * 60)
    assert band.rate_per_s[-24:].mean() == pytest.approx(band.rate_per_s[:24].mean(), rel=0.1)


def test_growth_and_events_may_be_given() -> None:
    model = fit_load(production(35, 2))
    plain = model.ahead(24 * 61, growth_per_month=0.0)
    grown = model.ahead(24 * 61, growth_per_month=0.10)
    assert grown.rate_per_s[-1] / plain.rate_per_s[-1] == pytest.approx(1.1**2.0, rel=0.01)
    sale = LoadEvent(plain.start_s[48], plain.start_s[72], 3.0)
    ratio = model.ahead(24 * 61, growth_per_month=0.0, events=[sale]).rate_per_s / plain.rate_per_s
    assert ratio[48:72] == pytest.approx(3.0)
    assert np.delete(ratio, np.s_[48:72]) == pytest.approx(1.0)


def test_the_band_widens_with_what_growth_is_not_known() -> None:
    band = fit_load(production(28, 1)).ahead(24 * 60)
    assert band.sigma[-1] > 1.1 * band.sigma[0]
    assert (band.low_per_s < band.rate_per_s).all()
    assert (band.rate_per_s < band.high_per_s).all()


def test_hours_without_any_request_have_a_logarithm() -> None:
    rate = np.tile(np.r_[np.zeros(6), np.full(18, 10.0)], 20)
    history = History(BEGIN_S, rate, 1.0, HOUR_S)
    band = fit_load(history).ahead(48)
    assert np.isfinite(band.rate_per_s).all()
    assert band.rate_per_s.min() < 0.5
    assert band.rate_per_s.max() > 8.0
