"""Loops in the code of a service become one step each."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.calibrate.loops import fold_loops
from fastsim.calibrate.observed import ObservedStep, signature, walk
from fastsim.spans import StepKind, Via

CODE = ObservedStep(do="cpu", start_s=0.0, wall_s=0.001, cpu_s=0.001)
TAKE = ObservedStep(do="acquire", start_s=0.0, resource="pool")
GIVE = ObservedStep(do="release", start_s=0.0, resource="pool")


def query(where: str = "app.py:7 rows", wall_s: float = 0.004) -> ObservedStep:
    return ObservedStep(
        do="wait", start_s=0.0, wall_s=wall_s, kind=StepKind.DB, via=Via.SOCKET, where=where
    )


def folded(*programs: list[ObservedStep]) -> list[tuple[ObservedStep, ...]]:
    return list(fold_loops({row: tuple(steps) for row, steps in enumerate(programs)}).values())


def shape(steps: tuple[ObservedStep, ...]) -> list[str]:
    return [
        f"{len(step.branches)} x {len(step.branches[0]) if step.branches else 0}"
        if step.do == "repeat"
        else step.do
        for step in steps
    ]


def test_a_loop_is_its_rounds_but_the_last() -> None:
    [steps] = folded([CODE, *[query(), CODE] * 27])
    assert shape(steps) == ["cpu", "26 x 2", "wait", "cpu"]


def test_the_code_after_the_loop_is_that_of_its_last_round() -> None:
    long = replace(CODE, cpu_s=0.050, wall_s=0.050)
    [steps] = folded([CODE, *[query(), CODE] * 5, query(), long])
    assert shape(steps) == ["cpu", "5 x 2", "wait", "cpu"]
    assert steps[-1].cpu_s == 0.050
    assert steps[1].cpu_s == pytest.approx(0.005)
    assert steps[1].wall_s == pytest.approx(0.025)


def test_what_waits_at_other_lines_is_no_loop() -> None:
    lines = [query(f"app.py:{line} rows") for line in range(6)]
    program = [step for line in lines for step in (line, CODE)]
    assert shape(folded(program)[0]) == ["wait", "cpu"] * 6
    unknown = [query(""), CODE] * 6
    assert shape(folded(unknown)[0]) == ["wait", "cpu"] * 6
    assert shape(folded([query(), CODE] * 3)[0]) == ["wait", "cpu"] * 3


def test_all_numbers_of_rounds_are_one_path() -> None:
    programs = [[CODE, *[query(), CODE] * rounds] for rounds in (1, 2, 3, 9)]
    found = folded(*programs)
    assert [shape(steps)[1] for steps in found] == ["0 x 0", "1 x 2", "2 x 2", "8 x 2"]
    assert len({signature(steps) for steps in found}) == 1
    # Without any round it is another path: nothing was asked.
    assert shape(folded([CODE], programs[3])[0]) == ["cpu"]


def test_rounds_hold_slots_and_rounds() -> None:
    inner = [query("app.py:9 lines"), CODE] * 6
    outer = [TAKE, query(), CODE, GIVE, CODE, *inner]
    [steps] = folded([CODE, *outer * 5])
    assert shape(steps)[:2] == ["cpu", "4 x 8"]
    [first, *_] = steps[1].branches
    assert shape(first) == ["acquire", "wait", "cpu", "release", "cpu", "5 x 2", "wait", "cpu"]


def test_a_slot_that_stays_taken_is_in_no_round() -> None:
    program = [TAKE, query(), CODE] * 5
    assert "repeat" not in {step.do for step in folded(program)[0]}
    respond = ObservedStep(do="respond", start_s=0.0)
    assert "repeat" not in {step.do for step in folded([query(), CODE, respond] * 5)[0]}


def test_different_queries_through_one_helper_are_no_loop() -> None:
    def program(number: int) -> list[ObservedStep]:
        chance = 1.0 + 0.1 * (number % 7)
        return [step for ms in (2, 9, 4, 30, 2) for step in (query(wall_s=ms * chance), CODE)]

    assert {str(shape(steps)) for steps in folded(*map(program, range(30)))} == {
        str(["wait", "cpu"] * 5)
    }


def test_two_queries_by_turns_are_one_round() -> None:
    def program(number: int) -> list[ObservedStep]:
        chance = 1.0 + 0.1 * (number % 7)
        both = [query(wall_s=2.0 * chance), CODE, query(wall_s=1.0 / chance), CODE]
        return both * (5 + number % 2)

    found = [shape(steps) for steps in folded(*map(program, range(30)))]
    assert found[:2] == [["4 x 4", *["wait", "cpu"] * 2], ["5 x 4", *["wait", "cpu"] * 2]]


@given(
    st.lists(
        st.sampled_from([CODE, TAKE, GIVE, query(), query("app.py:9 b"), query("")]), max_size=60
    )
)
def test_nothing_is_lost(program: list[ObservedStep]) -> None:
    [steps] = folded(program)
    plain = [step for step in walk(steps) if step.do != "repeat"]
    assert plain == program
