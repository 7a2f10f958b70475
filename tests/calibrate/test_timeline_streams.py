"""Repetitions become streams, and signatures tell variants apart."""

from typing import Any

import pytest

from fastsim.calibrate.timeline import (
    normalise,
    signature,
)
from fastsim.spans import StepKind
from tests.calibrate.timeline_story import Row, story, timeline, told

# --- streams ------------------------


def chunks(count: int, kind: str = "llm", wall: float = 5, **more: Any) -> list[Row]:
    rows: list[Row] = [("cpu", 0, 1)]
    at = 1.0
    for number in range(count):
        wait = {"label": "openai", "where": f"app.py:{number}", "bound": 0.5, **more}
        rows += [(kind, at, wall, wait), ("cpu", at + wall, 0.5, {"idle": 0.25})]
        at += wall + 0.5
    return rows


def test_equal_waits_in_a_row_are_one_stream() -> None:
    first, stream = normalise(timeline(*chunks(6)))
    assert (first.do, stream.do, stream.kind, stream.label) == (
        "cpu",
        "stream",
        StepKind.LLM,
        "openai",
    )
    assert len(stream.chunks) == 6
    assert stream.wall_s == pytest.approx(6 * 0.0055)
    chunk = stream.chunks[3]
    assert (chunk.wall_s, chunk.bound_s, chunk.late_s) == pytest.approx((0.005, 0.0005, 0.0))
    assert (chunk.loop_s, chunk.cpu_s, chunk.idle_share) == pytest.approx((0.0005, 0.0005, 0.25))
    assert stream.cpu_s == pytest.approx(0.003)


def test_length_of_a_stream_does_not_make_a_variant() -> None:
    few, many = (normalise(timeline(*chunks(count))) for count in (4, 90))
    assert signature(few) == signature(many)


def test_three_equal_waits_are_no_stream() -> None:
    assert [name for name, _ in story(*chunks(3))] == ["cpu"] + ["wait", "cpu"] * 3


def test_another_label_ends_a_stream() -> None:
    rows = chunks(9)
    rows[9][3]["label"] = "other"  # the fifth wait
    assert [name for name, _ in story(*rows)] == ["cpu", "stream", "wait", "cpu", "stream"]


def test_hops_on_the_way_of_a_chunk_belong_to_it() -> None:
    # Behind a middleware each chunk is handed to another task; the last hops are the end's.
    rows: list[Row] = [("cpu", 0, 1)]
    for number in range(5):
        at = 1 + 10 * number
        rows += [("llm", at, 7, {"label": "openai"}), ("cpu", at + 7, 1)]
        rows += [("io", at + 8, 1, {"via": "loop"}), ("cpu", at + 9, 1)]
    rows += [("io", 51, 1, {"via": "loop"}), ("cpu", 52, 1)]
    steps = normalise(timeline(*rows))
    assert told(steps) == [("cpu", 1), ("stream", 50), ("yield", 1), ("cpu", 1)]
    assert steps[1].chunks[2].wall_s == pytest.approx(0.007)
    assert steps[1].chunks[2].loop_s == pytest.approx(0.002)


def test_a_few_yields_stay_many_fold() -> None:
    assert [name for name, _ in story(*chunks(5, "sleep", 0.1, via="loop"))][1] == "yield"
    assert [name for name, _ in story(*chunks(40, "sleep", 0.1, via="loop"))] == ["cpu", "stream"]


def test_marks_end_a_stream() -> None:
    names = [name for name, _ in story(*chunks(10), response=1 + 5.5 * 5 + 5.2)]
    assert names == ["cpu", "stream", "respond", "cpu", "stream"]


# --- signature ------------------------


def test_signature_tells_kinds_labels_and_resources_but_not_places_or_times() -> None:
    def of(label: str, where: str, wall: float, resource: str) -> object:
        wait = ("db", 1, wall, {"label": label, "where": where})
        rows = (("cpu", 0, 1), wait, ("cpu", 1 + wall, 1))
        return signature(normalise(timeline(*rows, events=[(resource, "acquire", 0.5)])))

    same = of("asyncpg", "a.py:f", 3, "db")
    assert same == of("asyncpg", "b.py:g", 9, "db")
    assert same != of("redis", "a.py:f", 3, "db")
    assert same != of("asyncpg", "a.py:f", 3, "other")
