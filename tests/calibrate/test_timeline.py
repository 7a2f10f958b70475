"""From recorded timelines to programs: every rule on a timeline small enough to do by hand."""

from dataclasses import replace

import pytest

from fastsim.calibrate.timeline import (
    normalise,
    signature,
)
from fastsim.spans import StepKind, Via
from tests.calibrate.timeline_story import story, timeline, told

# --- one task ------------------------


def test_a_single_task_is_told_as_it_happened() -> None:
    rows = (
        ("cpu", 0, 1, {"cpu": 0.8, "bound": 3}),
        ("db", 1, 6, {"bound": 2, "late": 1, "label": "asyncpg", "where": "app.py:get"}),
        ("cpu", 7, 2),
    )
    first, wait, last = normalise(timeline(*rows))
    assert told((first, wait, last)) == [("cpu", 1), ("wait", 6), ("cpu", 2)]
    assert (first.cpu_s, first.bound_s) == pytest.approx((0.0008, 0.003))
    assert (wait.kind, wait.via, wait.label, wait.where) == (
        StepKind.DB,
        Via.SOCKET,
        "asyncpg",
        "app.py:get",
    )
    assert (wait.bound_s, wait.late_s) == (0.002, 0.001)
    assert last.start_s == 0.007


def test_the_recorders_own_moments_count_as_code_or_as_lateness() -> None:
    rows = (
        ("cpu", 0.01, 1),
        ("db", 1.01, 5, {"bound": 2, "late": 1}),  # ends at 6.01, its code is stamped at 6.02
        ("cpu", 6.02, 1),
    )
    first, wait, last = normalise(timeline(*rows, end=7.05))
    assert told((first, wait, last)) == [("cpu", 1.01), ("wait", 5.01), ("cpu", 1.03)]
    assert wait.bound_s == pytest.approx(0.00201)
    assert wait.late_s == pytest.approx(0.00101)
    assert last.cpu_s == 0.001


def test_code_that_blocks_stays_on_the_loop() -> None:
    code = timeline(("cpu", 0, 5, {"cpu": 0.1}))
    (step,) = normalise(replace(code, kind=(StepKind.BLOCKING,)))
    assert (step.do, step.kind) == ("cpu", StepKind.BLOCKING)
    assert (step.wall_s, step.cpu_s) == pytest.approx((0.005, 0.0001))


def test_a_wake_up_by_code_on_the_loop_is_a_yield() -> None:
    rows = (("cpu", 0, 1), ("sleep", 1, 0.5, {"via": "loop", "label": "yield"}), ("cpu", 1.5, 1))
    assert story(*rows) == [("cpu", 1), ("yield", 0.5), ("cpu", 1)]


@pytest.mark.parametrize(("wall", "bound", "do"), [(30, 20, "yield"), (30, 0, "wait")])
def test_a_long_wake_up_is_a_yield_only_if_queueing_explains_it(
    wall: float, bound: float, do: str
) -> None:
    join = ("io", 1, wall, {"via": "loop", "label": "join", "bound": bound})
    assert story(("cpu", 0, 1), join, ("cpu", 1 + wall, 1))[1] == (do, wall)


# --- several tasks ------------------------


def test_gather_becomes_a_sequence() -> None:
    # Two children (2 ms and 1 ms of code around waits of 10 and 14 ms) and the join of both.
    rows = (
        ("cpu", 0, 1),
        ("cpu", 1.1, 1, {"task": 1}),
        ("cpu", 2.2, 1, {"task": 2}),
        ("db", 2.1, 10, {"task": 1, "bound": 0.5}),
        ("cpu", 12.1, 1, {"task": 1}),
        ("http", 3.2, 14, {"task": 2, "bound": 6}),
        ("cpu", 17.2, 1, {"task": 2}),
        ("io", 1, 17.3, {"via": "loop", "label": "join", "bound": 0.2}),
        ("cpu", 18.3, 1),
    )
    steps = normalise(timeline(*rows))
    assert told(steps) == [
        ("cpu", 1),
        ("yield", 0.1),  # the first step of a child
        ("cpu", 1),
        ("yield", 0.1),
        ("cpu", 1),
        ("wait", 8.9),  # of the 10 ms, 1.1 ms were covered by the other child
        ("cpu", 1),
        ("wait", 4.1),
        ("cpu", 1),
        ("yield", 0.1),  # the join
        ("cpu", 1),
    ]
    assert (steps[5].kind, steps[5].bound_s) == (StepKind.DB, 0.0005)
    assert steps[7].kind is StepKind.HTTP
    assert steps[7].bound_s == pytest.approx(0.0041)  # never more than what is left


def test_a_wait_covered_entirely_leaves_nothing_but_its_name() -> None:
    rows = (
        ("cpu", 0, 1),
        ("cpu", 1, 8, {"task": 1}),
        ("db", 1, 5),
        ("cpu", 9, 1),
    )
    # Task 0 is ready at 6 but the loop is taken until 9.
    assert story(*rows) == [("cpu", 1), ("yield", 0), ("cpu", 8), ("wait", 0), ("cpu", 1)]


def test_an_eager_task_runs_inside_its_parents_code() -> None:
    # Parent on the loop 0..6, of which 1..3 belong to the eager child: 4 are its own.
    rows = (
        ("cpu", 1, 2, {"task": 1}),
        ("cpu", 0, 4),
        ("db", 6, 4),
        ("cpu", 10, 1),
    )
    assert story(*rows) == [("cpu", 4), ("cpu", 2), ("wait", 4), ("cpu", 1)]


def test_a_task_started_from_a_thread_waits_for_that_thread() -> None:
    rows = (
        ("cpu", 0, 1),
        ("cpu", 21, 1, {"task": 1, "bound": 20}),  # the loop was idle: nothing on it did this
        ("thread", 1, 30, {"label": "anyio"}),
        ("cpu", 31, 1),
    )
    assert [(step.do, step.kind.value) for step in normalise(timeline(*rows))] == [
        ("cpu", "cpu"),
        ("wait", "thread"),
        ("cpu", "cpu"),
        ("wait", "thread"),
        ("cpu", "cpu"),
    ]


def test_code_after_the_end_is_kept() -> None:
    rows = (("cpu", 0, 2), ("db", 0.5, 9, {"task": 1}), ("cpu", 9.5, 1, {"task": 1}))
    assert story(*rows, end=2) == [("cpu", 2), ("wait", 7.5), ("cpu", 1)]


def test_a_wait_without_end_lasts_until_the_request_ends() -> None:
    rows = (("cpu", 0, 2), ("sleep", 2, 5))
    steps = normalise(timeline(*rows))
    assert told(steps) == [("cpu", 2), ("wait", 5)]
    assert steps[1].kind is StepKind.SLEEP


# --- pools ------------------------


def test_a_wait_for_a_slot_becomes_the_acquire() -> None:
    rows = (
        ("cpu", 0, 1),
        ("pool", 1, 7, {"bound": 2, "label": "sqlalchemy"}),
        ("cpu", 8, 1),
        ("db", 9, 4),
        ("cpu", 13, 2),
    )
    events = [("db", "acquire", 8.2), ("db", "release", 13.5)]
    steps = normalise(timeline(*rows, events=events))
    assert told(steps) == [
        ("cpu", 1),
        ("acquire db", 7),
        ("cpu", 1),
        ("wait", 4),
        ("cpu", 0.5),
        ("release db", 0),
        ("cpu", 1.5),
    ]
    assert (steps[1].bound_s, steps[1].label) == (0.002, "sqlalchemy")


def test_with_and_without_waiting_for_the_slot_are_one_variant() -> None:
    waited = timeline(
        ("cpu", 0, 1), ("pool", 1, 7), ("cpu", 8, 1), events=[("db", "acquire", 8.1)], response=9
    )
    at_once = timeline(("cpu", 0, 2), events=[("db", "acquire", 1)], response=2)
    assert signature(normalise(waited)) == signature(normalise(at_once))


def test_a_slot_granted_much_later_was_not_what_the_wait_was_for() -> None:
    rows = (("cpu", 0, 1), ("pool", 1, 7), ("cpu", 8, 9))
    assert story(*rows, events=[("db", "acquire", 16)]) == [
        ("cpu", 1),
        ("wait", 7),
        ("cpu", 8),
        ("acquire db", 0),
        ("cpu", 1),
    ]


def test_a_slot_taken_inside_code_splits_it_and_its_cpu() -> None:
    steps = normalise(
        timeline(("cpu", 0, 8, {"cpu": 4, "bound": 3}), events=[("gpu", "acquire", 2)])
    )
    assert told(steps) == [("cpu", 2), ("acquire gpu", 0), ("cpu", 6)]
    assert [step.cpu_s for step in steps] == [pytest.approx(0.001), 0.0, pytest.approx(0.003)]
    assert [step.bound_s for step in steps] == [0.003, 0.0, 0.0]


@pytest.mark.parametrize(("at", "place"), [(2.0, 1), (10.0, 2)])
def test_a_slot_given_back_while_waiting_moves_to_the_nearer_end(at: float, place: int) -> None:
    rows = (("cpu", 0, 1), ("thread", 1, 10), ("cpu", 11, 1))
    steps = normalise(timeline(*rows, events=[("db", "release", at)]))
    assert [step.do for step in steps].index("release") == place


# --- response ------------------------


def test_the_response_splits_the_code_it_leaves_from() -> None:
    rows = (("cpu", 0, 1), ("db", 1, 4), ("cpu", 5, 3), ("db", 8, 2), ("cpu", 10, 1))
    steps = normalise(timeline(*rows, response=7))
    assert told(steps) == [
        ("cpu", 1),
        ("wait", 4),
        ("cpu", 2),
        ("respond", 0),
        ("cpu", 1),
        ("wait", 2),
        ("cpu", 1),
    ]
    assert [step.after_response for step in steps] == [False] * 4 + [True] * 3


def test_a_response_stamped_in_a_gap_left_before_it() -> None:
    rows = (("cpu", 0, 1), ("db", 1, 4), ("cpu", 5, 3))
    assert [name for name, _ in story(*rows, response=4.9)] == ["cpu", "respond", "wait", "cpu"]


def test_no_response_no_marker() -> None:
    assert story(("cpu", 0, 1)) == [("cpu", 1)]


# --- threads ------------------------


def test_a_thread_call_is_told_from_inside_the_thread() -> None:
    rows = (("cpu", 0, 1), ("thread", 1, 10, {"bound": 1, "label": "anyio"}), ("cpu", 11, 1))
    step = normalise(timeline(*rows, threads=[(1, 2, 7, 3)]))[1]
    assert (step.do, step.bound_s, step.label) == ("thread", 0.001, "anyio")
    assert step.wall_s == pytest.approx(0.01)
    assert step.cpu_s == 0.003
    assert step.off_gil_s == pytest.approx(0.004)
    assert step.queue_s == 0.002


def test_a_thread_that_only_computes_has_no_time_off_the_gil() -> None:
    rows = (("cpu", 0, 1), ("thread", 1, 10), ("cpu", 11, 1))
    assert normalise(timeline(*rows, threads=[(1, 0, 5, 5.001)]))[1].off_gil_s == 0.0


def test_a_thread_call_covered_by_other_code_counts_for_its_rest() -> None:
    rows = (
        ("cpu", 0, 1),
        ("cpu", 1, 5, {"task": 1}),
        ("thread", 1, 10),
        ("cpu", 11, 1),
    )
    step = normalise(timeline(*rows, threads=[(2, 2, 8, 4)]))[3]
    assert step.do == "thread"
    assert step.wall_s == pytest.approx(0.005)
    assert (step.cpu_s, step.off_gil_s, step.queue_s) == pytest.approx((0.002, 0.002, 0.001))
