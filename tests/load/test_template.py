import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from fastsim.errors import InputError
from fastsim.load.template import NumberRange, json_template, text_template

numbers = st.integers(-(2**52), 2**52)
ranges = st.tuples(numbers, numbers).map(lambda pair: NumberRange(min(pair), max(pair)))
plain = st.text().filter(lambda text: "{" not in text and "}" not in text)


@given(st.lists(st.tuples(plain, ranges)), plain)
def test_literals_and_ranges_come_back_in_order(
    parts: list[tuple[str, NumberRange]], tail: str
) -> None:
    text = "".join(f"{literal}{{{r.low}..{r.high}}}" for literal, r in parts) + tail
    template = text_template(text)
    assert template.ranges == tuple(r for _, r in parts)
    filled = template.fill([r.low for _, r in parts])
    assert filled == "".join(f"{literal}{r.low}" for literal, r in parts) + tail


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_json_without_placeholders_stays_the_same_value(value: JsonValue) -> None:
    template = json_template(value)
    assert not template.ranges
    assert json.loads(template.fill([])) == value


@given(plain, ranges, plain)
def test_placeholder_inside_a_json_string_survives_escaping(
    before: str, r: NumberRange, after: str
) -> None:
    text = f"{before}{{{r.low}..{r.high}}}{after}"
    expected = f"{before}{r.high}{after}" if before or after else r.high
    assert json.loads(json_template([text]).fill([r.high])) == [expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a/{5..1}", "empty range"),
        (f"/a/{{0..{2**52 + 1}}}", "beyond"),
        ("/a/{0.." + "9" * 5000 + "}", "beyond"),
    ],
)
def test_impossible_ranges_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        text_template(text)


def test_json_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be written as JSON"):
        json_template({"price": float("nan")})


def test_wrong_number_of_values_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="2 numbers for 1"):
        text_template("/{1..2}").fill([1, 2])


def test_one_of_some_texts() -> None:
    template = text_template("/{lamp|chair}/{1..2}")
    assert [(drawn.low, drawn.high) for drawn in template.ranges] == [(0, 1), (1, 2)]
    assert template.fill([1, 2]) == "/chair/2"
    assert json_template({"a": '{x|"y"}'}).fill([1]) == '{"a": "\\"y\\""}'
