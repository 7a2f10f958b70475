"""Attributes that are remembered are what they would be if they were decoded each time."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.calibrate.readers import otlp_attributes
from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.otlp_attributes import KnownAttributes
from fastsim.calibrate.readers.otlp_values import attributes_of

VALUES = st.one_of(
    st.builds(lambda text: {"stringValue": text}, st.text(max_size=4)),
    st.builds(lambda number: {"intValue": str(number)}, st.integers(-9, 9)),
    st.sampled_from([None, {}, {"boolValue": True}, {"intValue": "x"}, {"stringValue": 3}, 5]),
)
PAIRS = st.fixed_dictionaries({"key": st.sampled_from(["a", "b", "é", "\ud800"]), "value": VALUES})
ATTRIBUTES = st.one_of(
    st.none(), st.lists(PAIRS, max_size=3), st.sampled_from([5, [7], [{"value": {}}], {}])
)


@given(st.lists(ATTRIBUTES, max_size=8))
def test_they_are_as_decoded_alone_and_what_is_left_out_is_counted_each_time(
    items: list[Any],
) -> None:
    known, account, alone = KnownAttributes(), FileAccount("a"), FileAccount("b")
    for each in items * 3:
        raw = msgspec.Raw(json.dumps(each).encode())
        assert known(raw, account) == attributes_of(each, alone)
    assert account.skipped == alone.skipped


def raw_of(number: int) -> msgspec.Raw:
    return msgspec.Raw(b'[{"key": "id", "value": {"intValue": "%d"}}]' % number)


def test_the_same_text_is_one_object() -> None:
    known, account = KnownAttributes(), FileAccount("a")
    assert known(raw_of(3), account) is known(raw_of(3), account)
    assert known(raw_of(4), account) == {"id": 4}


def test_no_more_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_attributes, "_MOST", 10)
    known, account = KnownAttributes(), FileAccount("a")
    first = known(raw_of(0), account)
    for number in range(1, 11):
        known(raw_of(number), account)
    assert known(raw_of(0), account) is not first


def test_where_none_repeats_none_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_attributes, "_TRIED", 20)
    known, account = KnownAttributes(), FileAccount("a")
    for number in range(20):
        known(raw_of(number), account)
    assert known(raw_of(0), account) is not known(raw_of(0), account)
    often = KnownAttributes()
    for number in range(40):
        often(raw_of(number % 5), account)
    assert often(raw_of(0), account) is often(raw_of(0), account)


def test_what_nobody_can_read_is_left_out() -> None:
    account = FileAccount("a")
    deep = msgspec.Raw(b"[" * 200_000 + b"]" * 200_000)
    assert KnownAttributes()(deep, account) == {}
    assert account.skipped == {Skip.ATTRIBUTE: 1}
