import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from fastsim.errors import InputError
from fastsim.laws import Fit
from fastsim.units import (
    Duration,
    Rate,
    Share,
    Surcharge,
    format_duration,
    format_rate,
    format_share,
    parse_bytes,
    parse_duration,
    parse_duration_range,
    parse_rate,
    parse_share,
)


class Sample(BaseModel):
    time: Duration = 0.0
    rate: Rate = 1.0
    share: Share = 0.5


FROM_FILE = {"from_file": True}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("1.5 s", 1.5),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("7us", 7e-6),
        ("7µs", 7e-6),
        ("12ns", 1.2e-8),
        (" .5s ", 0.5),
        ("1e3ms", 1.0),
        ("-1s", -1.0),
    ],
)
def test_durations_are_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("text", ["", "20", "ms", "20 parsecs", "20ms please", "nan s", "1e999s"])
def test_what_is_no_duration_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(text)
    assert caught.value.hint


def test_a_bare_number_is_answered_with_the_unit_to_add() -> None:
    with pytest.raises(InputError) as caught:
        parse_duration("20")
    assert caught.value.hint == "add a unit (s or ms): 20s, or for example 20ms"


@pytest.mark.parametrize(
    ("text", "per_second"), [("300/s", 300.0), ("90/min", 1.5), ("36 / h", 0.01), ("5/sec", 5.0)]
)
def test_rates_are_read_per_second(text: str, per_second: float) -> None:
    assert parse_rate(text) == pytest.approx(per_second, rel=1e-12)


def test_sizes_are_read_in_bytes() -> None:
    assert parse_bytes("512MiB") == 512 * 2**20
    assert parse_bytes("2GB") == 2 * 10**9


@pytest.mark.parametrize("parse", [parse_rate, parse_share, parse_bytes])
def test_rates_shares_and_sizes_need_a_unit(parse) -> None:  # type: ignore[no-untyped-def]  # three signatures
    for text in ("5", "5 apples", "1e999", ""):
        with pytest.raises(InputError):
            parse(text)


@settings(derandomize=True)
@given(st.floats(min_value=1e-12, max_value=1e9))
def test_a_duration_survives_writing_and_reading(seconds: float) -> None:
    text = format_duration(seconds)
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-4)
    assert format_duration(parse_duration(text)) == text


@settings(derandomize=True)
@given(st.floats(min_value=0.0, max_value=1e9))
def test_a_rate_survives_writing_and_reading(per_second: float) -> None:
    assert parse_rate(format_rate(per_second)) == pytest.approx(per_second, rel=1e-5, abs=1e-300)


@settings(derandomize=True)
@given(st.floats(min_value=0.0, max_value=1.0))
def test_a_share_survives_a_file(share: float) -> None:
    text = Sample(share=share).model_dump(mode="json")["share"]
    assert re.fullmatch(r"[\d.e+-]+%", text)
    again = Sample.model_validate({"share": text}, context=FROM_FILE)
    assert again.share == pytest.approx(share, rel=5e-5, abs=1e-300)


@settings(derandomize=True)
@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_rate, parse_share, parse_bytes):
        try:
            assert math.isfinite(parse(text))
        except InputError as error:
            assert error.hint  # noqa: PT017 - refusing is allowed, crashing is not


def test_zero_and_infinity_are_written() -> None:
    assert format_duration(0.0) == "0s"
    assert format_duration(math.inf) == "inf"
    assert format_share(0.0) == "0%"


def test_code_passes_seconds_but_a_file_must_carry_units() -> None:
    assert Sample(time=0.02).time == 0.02
    with pytest.raises(ValidationError, match="add a unit"):
        Sample.model_validate({"time": 0.02}, context=FROM_FILE)
    assert Sample.model_validate({"time": "20ms"}, context=FROM_FILE).time == 0.02


def test_a_ratio_in_a_file_is_answered_with_the_percentage() -> None:
    with pytest.raises(ValidationError, match="write it as 60%"):
        Sample.model_validate({"share": 0.6}, context=FROM_FILE)


@pytest.mark.parametrize("share", ["120%", "-1%"])
def test_a_share_lies_between_0_and_100_percent(share: str) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({"share": share}, context=FROM_FILE)


def test_what_something_costs_more_may_exceed_all_of_it() -> None:
    class Costs(BaseModel):
        extra: Surcharge

    assert Costs.model_validate({"extra": "120%"}, context=FROM_FILE).extra == 1.2
    assert Costs(extra=1.2).model_dump(mode="json") == {"extra": "120%"}
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Costs.model_validate({"extra": "-1%"}, context=FROM_FILE)


def test_a_range_of_durations_is_read_and_written() -> None:
    assert parse_duration_range("5ms..20ms") == (0.005, 0.02)
    for wrong in ("5ms", "20ms..5ms", "5ms..", "..5ms", "5..6", "a..b"):
        with pytest.raises(InputError):
            parse_duration_range(wrong)
    fit = Fit(n=3, median=(0.001, 0.002), quantiles=[0.001, 0.005])
    assert '"median":"1ms..2ms"' in fit.model_dump_json()
    assert Fit.model_validate_json(fit.model_dump_json()) == fit
    assert (fit.low, fit.high) == (0.001, 0.005)
    assert (Fit(n=0).low, Fit(n=0).high) == (None, None)


@pytest.mark.parametrize("value", [5, [5, 6], "5ms", "9ms..1ms", [1], None])
def test_what_is_no_range_of_durations_is_said(value: object) -> None:
    text = json.dumps({"n": 1, "median": value})
    if value is None:
        assert Fit.model_validate_json(text).median is None
        return
    with pytest.raises(ValidationError, match=r"range of durations|ends before"):
        Fit.model_validate_json(text, context={"from_file": True})
