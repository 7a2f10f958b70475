"""Bursts by hand: as people write them, and arrivals that are so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.bursts import Bursts, parse_bursts
from fastsim.errors import InputError
from fastsim.load.arrivals import Jumps, Rates
from fastsim.scenario import Scenario
from fastsim.yaml_source import parse_yaml


def test_a_text_says_how_high_how_long_and_how_often() -> None:
    found = parse_bursts("x4 for 2s every 20s")
    assert (found.times, found.lasting, found.every) == (4.0, 2.0, 20.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x4", "no bursts"),
        ("4 for 2s every 20s", "no bursts"),
        ("x1 for 2s every 20s", "no bursts"),
        ("x1.2.3 for 2s every 20s", "no bursts"),
        ("x4 for 0s every 20s", "no bursts"),
        ("x4 for 2 every 20s", "unit"),
        ("x4 for 20s every 2s", "longer than"),
        ("x11 for 2s every 20s", "at most x10"),
    ],
)
def test_what_are_no_bursts(text: str, why: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_bursts(text)
    assert why in f"{raised.value.message} {raised.value.hint}"


def test_scenarios_have_them_as_a_text_or_as_a_block() -> None:
    for bursts in ("x4 for 2s every 20s", "{times: 4, lasting: 2s, every: 20s}"):
        text = f"version: 1\nmodel: model.yaml\ntraffic: {{bursts: {bursts}}}\n"
        traffic = parse_yaml(text, Scenario, name="s.yaml").traffic
        assert traffic.bursts == Bursts(times=4.0, lasting=2.0, every=20.0)


@pytest.mark.parametrize(
    "traffic",
    [
        "{bursts: x11 for 2s every 20s}",
        "{bursts: often}",
        "{bursts: x4 for 2s every 20s, arrivals: uniform}",
        "{bursts: x4 for 2s every 20s, users: {count: 5}}",
    ],
)
def test_scenarios_refuse_what_cannot_be(traffic: str) -> None:
    with pytest.raises(InputError):
        parse_yaml(f"version: 1\nmodel: model.yaml\ntraffic: {traffic}\n", Scenario, name="s.yaml")


def test_arrivals_keep_their_mean_and_come_in_clusters() -> None:
    """Variance over mean of counts of 1 s, and the share of the time at each of the two rates."""
    bursts = parse_bursts("x4 for 2s every 20s")
    rates = Rates.of(50.0, 20_000.0).jumping(Jumps.by_hand(bursts), np.random.default_rng(3))
    length_s = np.diff(rates.edges_s)
    high = rates.begin_per_s > 100.0
    assert set(np.round(rates.begin_per_s, 6)) == {200.0, round(50.0 * 0.6 / 0.9, 6)}
    # 1,000 bursts in the mean: 3 standard errors of a mean of exponentials are a tenth.
    assert high.sum() == pytest.approx(1_000, rel=0.1)
    assert length_s[high].mean() == pytest.approx(2.0, rel=0.1)
    assert length_s[~high].mean() == pytest.approx(18.0, rel=0.1)
    at_s = rates.arrivals(np.random.default_rng(4))
    assert len(at_s) / 20_000.0 == pytest.approx(50.0, rel=0.05)
    counts = np.histogram(at_s, np.arange(20_001.0))[0]
    assert counts.var() / counts.mean() > 20.0


@given(st.floats(1.01, 20.0), st.floats(0.01, 100.0), st.floats(1.01, 50.0))
def test_the_mean_is_the_rate(times: float, lasting: float, spaced: float) -> None:
    every = lasting * max(spaced, times)
    jumps = Jumps.by_hand(Bursts(times=times, lasting=lasting, every=every))
    mean = jumps.high_share * jumps.high + (1.0 - jumps.high_share) * jumps.low
    assert mean == pytest.approx(1.0)
    assert jumps.low >= 0.0
    assert jumps.memory_s / (1.0 - jumps.high_share) == pytest.approx(lasting)
