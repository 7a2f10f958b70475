"""Steps arrive as they were recorded, and what the reader computes from the stamps is right."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.spans import RECENT_NS
from fastsim.step_columns import (
    NO_CODE,
    NO_WAIT,
    UNKNOWN,
    StepColumns,
    name_of,
    pack_rows,
    unpack_steps,
)
from tests.packing import StepRow, pack_steps

NUMBER = st.integers(0, 2**40)
WORD = st.text(max_size=12).filter(lambda text: "\t" not in text)
CODE = st.builds(
    lambda start, wall, cpu, gap, idle, task: (
        *("cpu", "loop", start, wall, cpu, gap, 0, idle, "", "", task),
    ),
    *(NUMBER, NUMBER, NUMBER, NUMBER, st.integers(0, 10**6), st.integers(0, 500)),
)
WAIT = st.builds(
    lambda via, start, queueing, label, where, task: (
        *("db", via, start, queueing[2], 0, queueing[1], queueing[0], 0, label, where, task),
    ),
    *(WORD, NUMBER, st.tuples(NUMBER, NUMBER, NUMBER).map(sorted), WORD, WORD, st.integers(0, 500)),
)
NAMES = [name_of(7, "db", "socket", "asyncpg", "a.py:1 f")]


@given(st.lists(CODE | WAIT, max_size=30))
def test_what_is_packed_comes_out(rows: list[StepRow]) -> None:
    found = unpack_steps(*pack_steps(rows))
    columns = (*found[:2], *found[4:10], *found[2:4], found.task)
    assert list(zip(*columns, strict=True)) == rows
    waits = [index for index, row in enumerate(rows) if row[0] != "cpu"]
    assert [index for index in found.wait_of_row if index >= 0] == waits


def one(**stamps: int) -> StepColumns:
    """Unpack a row of a wait from 100 to 160 and the code after it, until 200."""
    row = {
        "name": 7,
        "task": 0,
        "since": 100,
        "begin": 160,
        "wall": 40,
        "cpu": 30,
        "after": 150,
        "before": 155,
        "known": UNKNOWN,
        "gap": 3,
        "awake": 0,
        "woke": 0,
        **stamps,
    }
    return unpack_steps(pack_rows(list(row.values())), NAMES, 90)


def test_a_row_is_a_wait_and_the_code_after_it() -> None:
    found = one()
    assert found.kind == ["db", "cpu"]
    assert (found.start_ns, found.wall_ns, found.cpu_ns) == ([10, 70], [60, 40], [0, 30])
    assert (found.bound_ns, found.late_ns) == ([10, 3], [5, 0])
    assert found.wait_of_row == [0]


def test_code_without_a_wait_and_a_wait_without_code() -> None:
    assert one(name=NO_WAIT).kind == ["cpu"]
    assert one(name=NO_WAIT).wait_of_row == [-1]
    assert one(wall=NO_CODE).kind == ["db"]


@pytest.mark.parametrize(
    ("stamps", "bounds"),
    [
        ({"before": UNKNOWN}, (10, 0)),  # it may have ended the moment it resumed
        ({"after": 20, "before": 30}, (60, 60)),  # no more than all of it
        ({"after": 170, "before": 180}, (0, 0)),
        ({"after": 155, "before": 150}, (5, 5)),  # the least is not above the most
        ({"known": 45}, (15, 15)),
        ({"known": 61}, (0, 0)),
    ],
)
def test_the_queueing_a_wait_can_contain(stamps: dict[str, int], bounds: tuple[int, int]) -> None:
    found = one(**stamps)
    assert (found.bound_ns[0], found.late_ns[0]) == bounds


def test_how_cold_the_processor_was_fades_since_the_loop_woke() -> None:
    woke = 160 - RECENT_NS // 2
    assert one(awake=800_000, woke=woke).idle_ppm[1] == int(800_000 * exp(-0.5))
    assert one(awake=800_000, woke=160 - 10**15).idle_ppm[1] == 0
    assert one(awake=800_000, woke=170).idle_ppm[1] == 800_000


def test_a_tab_in_a_name_does_not_break_it() -> None:
    found = unpack_steps(*pack_steps([("db", "socket", 1, 2, 0, 0, 0, 0, "a\tb", "", 0)]))
    assert found.label == ["a b"]
