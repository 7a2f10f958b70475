"""Trace ids come back as they were, whatever they looked like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.calibrate.trace_ids import TraceIds

HEX = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")


@given(st.lists(HEX | HEX.map(str.upper) | st.text(max_size=40)))
def test_they_come_back_as_they_were(ids: list[str]) -> None:
    kept = TraceIds(ids)
    assert list(kept) == ids
    assert len(kept) == len(ids)
    assert list(kept.of(range(len(ids) - 1, -1, -1))) == ids[::-1]
    assert list(kept[1:-1]) == ids[1:-1]


@pytest.mark.parametrize("strange", ["", "0" * 32, "x" * 32, "+1" * 16, " 1" * 16, "é" * 32])
def test_what_only_looks_like_one_is_kept_as_it_is(strange: str) -> None:
    kept = TraceIds(["a" * 32, strange, "b" * 32])
    assert list(kept) == ["a" * 32, strange, "b" * 32]
    assert kept == TraceIds(["a" * 32, strange, "b" * 32])
    assert kept != TraceIds(["a" * 32])


def test_beyond_the_last_is_nothing() -> None:
    kept = TraceIds(["a" * 32])
    assert kept[-1] == "a" * 32
    with pytest.raises(IndexError):
        kept[1]
