"""Phases of traffic as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.errors import InputError, ScenarioError
from fastsim.phases import (
    Level,
    Phase,
    check_phases,
    format_level,
    parse_level,
    parse_phases,
)
from fastsim.scenario import Scenario, TrafficPlan
from fastsim.yaml_source import parse_yaml


def test_phases_in_a_line() -> None:
    steady, ramp, spike = parse_phases("60s 100/s, up: 2min at 100/s..400/s, spike: 10s 90/min")
    assert (steady.name, steady.length, steady.rate) == ("", 60.0, Level(100.0, 100.0, False))
    assert (ramp.name, ramp.length, ramp.rate) == ("up", 120.0, Level(100.0, 400.0, False))
    assert spike.rate.begin == pytest.approx(1.5)


def test_multiples() -> None:
    assert parse_level("x3") == Level(3.0, 3.0, relative=True)
    assert parse_level("×1..×2.5") == Level(1.0, 2.5, relative=True)


@pytest.mark.parametrize(
    "text", ["", "60s", "100/s", "60s 100", "60s x1..100/s", "60s -1/s", "60s xnan", "0s 1/s"]
)
def test_what_is_no_phase(text: str) -> None:
    with pytest.raises(InputError):
        parse_phases(text)


@given(st.tuples(*2 * [st.floats(0.0, 1e6)]), st.booleans())
def test_levels_are_read_as_they_are_written(pair: tuple[float, float], relative: bool) -> None:
    level = Level(*pair, relative)
    found = parse_level(format_level(level))
    assert found.relative == relative
    assert found[:2] == pytest.approx(pair, rel=1e-5)


def test_rates_and_multiples_do_not_mix() -> None:
    with pytest.raises(InputError, match="others multiples"):
        check_phases(parse_phases("10s 5/s, 10s x2"), None)
    with pytest.raises(InputError, match="nothing for the rate"):
        check_phases(parse_phases("10s 5/s"), 100.0)
    check_phases(parse_phases("10s x2"), 100.0)


def test_phases_in_a_file() -> None:
    text = """\
model: m.yaml
traffic:
  rate: 100/s
  phases:
    - 60s x1
    - before: 5s x2
    - {name: sale, for: 30s, rate: x1..x3, mix: {GET /buy: 40%}}
"""
    phases = parse_yaml(text, Scenario).traffic.phases
    assert phases == [
        Phase(length=60.0, rate=Level(1.0, 1.0, relative=True)),
        Phase(name="before", length=5.0, rate=Level(2.0, 2.0, relative=True)),
        Phase(
            name="sale",
            length=30.0,
            rate=Level(1.0, 3.0, relative=True),
            mix={"GET /buy": 0.4},
        ),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("60s", "is not a phase"),
        ("{for: 60, rate: x1}", "add a unit"),
        ("{for: 60s, rate: 5}", "is not the rate of a phase"),
        ("{for: 60s, rats: x1}", "rats"),
        ("60s 5/s", "nothing for the rate"),
    ],
)
def test_wrong_phases_in_a_file_are_said_with_their_place(line: str, said: str) -> None:
    text = f"model: m.yaml\ntraffic:\n  rate: 10/s\n  phases:\n    - {line}\n"
    with pytest.raises(ScenarioError) as caught:
        parse_yaml(text, Scenario, name="s.yaml")
    assert said in caught.value.report()
    assert "s.yaml:" in caught.value.report()


def test_a_plan_is_written_as_it_is_read() -> None:
    plan = TrafficPlan(phases=parse_phases("a: 10s x1..x2"))
    assert TrafficPlan.model_validate(plan.model_dump(by_alias=True)) == plan
