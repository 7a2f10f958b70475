"""Timelines that contradict themselves are refused with a reason."""

from typing import Any

import pytest

from fastsim import spans
from fastsim.calibrate.timeline import (
    decode_timeline,
)
from fastsim.errors import FileFormatError
from fastsim.spans import StepKind
from tests.calibrate.timeline_story import attributes, timeline

# --- damage ------------------------

GOOD = (("cpu", 0, 1), ("db", 1, 4), ("cpu", 5, 3))


def test_a_span_without_the_recorders_mark_has_no_timeline() -> None:
    assert decode_timeline({}) is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (spans.FORMAT, 2, "another format version"),
        (spans.STEPS_DROPPED, 3, "limit of steps"),
        (spans.STEP_KIND, [], "without steps"),
        (spans.STEP_KIND, ["cpu", "db", "nap"], "unknown kind"),
        (spans.STEP_KIND, ["cpu", "db"], "unequal length"),
        (spans.STEP_VIA, None, "missing column"),
        (spans.STEP_WALL_NS, [1, 2], "unequal length"),
        (spans.STEP_WALL_NS, 7, "no list"),
        (spans.STEP_WALL_NS, [1, 2, -3], "impossible values"),
        (spans.STEP_WALL_NS, [1, 2, 10**18], "impossible values"),
        (spans.STEP_WALL_NS, [1, 2, 0.5], "impossible values"),
        (spans.STEP_TASK, [0, 0, True], "impossible values"),
        (spans.STEP_LABEL, ["", "", 5], "impossible values"),
        (spans.END_NS, None, "impossible times"),
        (spans.END_NS, -1, "impossible times"),
        (spans.RESPONSE_NS, -2, "impossible times"),
        (spans.RESOURCE_EVENT, ["steal"], "impossible values"),
        (spans.RESOURCE_AT_NS, [], "unequal length"),
        (spans.THREAD_STEP, [3], "impossible values"),
        (spans.THREAD_CPU_NS, None, "missing column"),
    ],
)
def test_damaged_timelines_are_refused_with_a_reason(name: str, value: Any, reason: str) -> None:
    damaged = attributes(*GOOD, events=[("db", "acquire", 1)], threads=[(1, 0, 1, 1)])
    damaged[name] = value
    if value is None:
        del damaged[name]
    with pytest.raises(FileFormatError, match=reason):
        decode_timeline(damaged)


def test_recordings_without_the_lateness_column_are_read() -> None:
    old = attributes(*GOOD)
    del old[spans.STEP_LATE_NS]
    decoded = decode_timeline(old)
    assert decoded is not None
    assert list(decoded.late_s) == [0.0, 0.0, 0.0]


def test_labels_that_read_like_kinds_do_not_replace_them() -> None:
    rows = (("cpu", 0, 1, {"label": "cpu"}), ("pool", 1, 4, {"label": "pool"}))
    for _ in range(2):
        decoded = timeline(*rows)
        assert {type(kind) for kind in decoded.kind} == {StepKind}
        assert {type(label) for label in decoded.label} == {str}
