"""Timelines that contradict themselves are refused with a reason."""

from typing import Any

import pytest

from fastsim import spans
from fastsim.calibrate.timeline import (
    decode_timeline,
)
from fastsim.errors import FileFormatError
from fastsim.spans import StepKind
from fastsim.step_columns import pack_rows
from tests.calibrate.timeline_story import attributes, timeline

# --- damage ------------------------

GOOD = (("cpu", 0, 1), ("db", 1, 4), ("cpu", 5, 3))


def test_a_span_without_the_recorders_mark_has_no_timeline() -> None:
    assert decode_timeline({}) is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (spans.FORMAT, 1, "another format version"),
        (spans.STEPS_DROPPED, 3, "limit of steps"),
        (spans.STEPS, "", "without steps"),
        (spans.STEPS, None, "missing column"),
        (spans.STEPS, 7, "missing column"),
        (spans.STEPS, "no base64!", "no base64"),
        (spans.STEPS, "AAAAAAAAAAA=", "unequal length"),
        (spans.STEP_NAMES, None, "missing column"),
        (spans.STEP_NAMES, "cpu", "no list"),
        (spans.STEP_NAMES, ["2\tdb\tsocket\t\t"], "step of no name"),
        (spans.STEP_NAMES, ["1\tdb\tsocket"], "broken name"),
        (spans.STEP_NAMES, ["x\tdb\tsocket\t\t"], "broken name"),
        (spans.STEP_NAMES, ["1\tnap\tsocket\t\t"], "unknown kind"),
        (spans.STEP_NAMES, ["1\tdb\tpigeon\t\t"], "unknown kind"),
        (spans.STEP_NAMES, ["1\tdb\tsocket\t\t", 5], "impossible values"),
        (spans.END_NS, None, "impossible times"),
        (spans.END_NS, -1, "impossible times"),
        (spans.RESPONSE_NS, -2, "impossible times"),
        (spans.RESOURCE_EVENTS, "steal\tdb\t1\t5", "impossible values"),
        (spans.RESOURCE_EVENTS, "acquire\tdb\t1", "impossible values"),
        (spans.RESOURCE_EVENTS, "acquire\tdb\t-1\t5", "impossible values"),
        (spans.RESOURCE_EVENTS, f"acquire\tdb\t{1 << 62}\t5", "impossible values"),
        (spans.RESOURCE_EVENTS, ["acquire"], "impossible values"),
        (spans.THREAD_CALLS, pack_rows([3, 0, 1, 1]), "impossible values"),
        (spans.THREAD_CALLS, pack_rows([-1, 0, 1, 1]), "impossible values"),
        (spans.THREAD_CALLS, pack_rows([0, 0, 1, 1]), "impossible values"),  # no wait before it
        (spans.THREAD_CALLS, pack_rows([1, 0, -1, 1]), "impossible values"),
        (spans.THREAD_CALLS, pack_rows([1, 0, 1]), "unequal length"),
        (spans.THREAD_CALLS, "?", "no base64"),
        (spans.THREAD_CALLS, [1], "impossible values"),
    ],
)
def test_damaged_timelines_are_refused_with_a_reason(name: str, value: Any, reason: str) -> None:
    damaged = attributes(*GOOD, events=[("db", "acquire", 1)], threads=[(1, 0, 1, 1)])
    damaged[name] = value
    if value is None:
        del damaged[name]
    with pytest.raises(FileFormatError, match=reason):
        decode_timeline(damaged)


@pytest.mark.parametrize("number", [-3, 10**18])
@pytest.mark.parametrize("column", [1, 2, 3, 4, 5, 9, 10])
def test_impossible_numbers_are_refused(column: int, number: int) -> None:
    row = [1, 0, 1, 5, 3, 2, 4, 4, -1, 0, 0, 5]
    damaged = attributes(*GOOD)
    damaged[spans.STEPS] = pack_rows(row)
    assert decode_timeline(damaged) is not None
    row[column] = number
    damaged[spans.STEPS] = pack_rows(row)
    with pytest.raises(FileFormatError, match="impossible values"):
        decode_timeline(damaged)


def test_labels_that_read_like_kinds_do_not_replace_them() -> None:
    rows = (("cpu", 0, 1, {"label": "cpu"}), ("pool", 1, 4, {"label": "pool"}))
    for _ in range(2):
        decoded = timeline(*rows)
        assert {type(kind) for kind in decoded.kind} == {StepKind}
        assert {type(label) for label in decoded.label} == {str}
