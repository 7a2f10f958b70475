"""Tasks that run side by side become branches; everything else stays one sequence."""

from typing import Any

import pytest

from fastsim import spans
from fastsim.calibrate.observed import ObservedStep, walk
from fastsim.calibrate.recorded import Timeline, decode_timeline
from fastsim.calibrate.timeline import normalise, signature
from fastsim.calibrate.variants import ObservedVariant, branch_groups
from fastsim.errors import FileFormatError
from tests.calibrate.timeline_story import Row, attributes

JOIN: dict[str, Any] = {"via": "loop", "label": "join"}


def gathered(
    *branches: tuple[float, float, float],
    parents: list[int] | None = None,
    response: float | None = None,
    more: tuple[Row, ...] = (),
    **marks: Any,
) -> Timeline:
    """A request that gathers branches: each (begins, code before its wait, length of wait), ms."""
    rows: list[Row] = [("cpu", 0.0, 1.0)]
    over = 1.0
    for task, (begin, code, wait) in enumerate(branches, 1):
        ready = begin + code + wait
        rows += [
            ("cpu", begin, code, {"task": task}),
            ("http", begin + code, wait, {"task": task, "label": "httpx"}),
            ("cpu", ready, 0.5, {"task": task}),
        ]
        over = max(over, ready + 0.5)
    rows += [("io", 1.0, over + 0.2 - 1.0, JOIN), ("cpu", over + 0.2, 1.0), *more]
    found = attributes(*rows, response=response or over + 1.0, **marks)
    found[spans.TASK_PARENT] = parents or [0] * len(branches)
    decoded = decode_timeline(found)
    assert decoded is not None
    return decoded


def do(steps: tuple[ObservedStep, ...]) -> list[str]:
    return [step.do for step in steps]


def test_gathered_tasks_are_branches_with_their_own_waits() -> None:
    steps = normalise(gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0)))
    assert do(steps) == ["cpu", "parallel", "cpu", "respond", "cpu"]
    first, second = steps[1].branches
    assert do(first) == do(second) == ["cpu", "wait", "cpu"]
    assert [round(step.wall_s * 1e3, 6) for step in first] == [1.0, 20.0, 0.5]
    assert [round(step.wall_s * 1e3, 6) for step in second] == [2.0, 5.0, 0.5]
    # Times of branches count from the start of the request, as the machine's speed asks.
    assert [round(step.start_s * 1e3, 6) for step in second] == [2.0, 4.0, 9.0]


def test_the_whole_time_is_still_tiled() -> None:
    steps = normalise(gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0)))
    at = 0.0
    for step in steps:
        assert step.start_s == pytest.approx(at)
        at += step.wall_s
    assert steps[1].wall_s == pytest.approx(0.0217)


def test_one_task_alone_is_part_of_the_sequence() -> None:
    assert "parallel" not in do(normalise(gathered((1.0, 1.0, 20.0))))


def test_tasks_that_only_calculate_are_part_of_the_sequence() -> None:
    rows = [("cpu", 0.0, 1.0), ("cpu", 1.0, 5.0, {"task": 1}), ("cpu", 6.0, 5.0, {"task": 2})]
    rows += [("io", 1.0, 10.2, JOIN), ("cpu", 11.2, 1.0)]
    found = attributes(*rows, response=12.0) | {spans.TASK_PARENT: [0, 0]}
    decoded = decode_timeline(found)
    assert decoded is not None
    assert "parallel" not in do(normalise(decoded))


def test_tasks_that_outlive_the_wait_are_not_its_branches() -> None:
    late = (
        ("cpu", 60.0, 1.0, {"task": 3}),
        ("sleep", 61.0, 20.0, {"task": 3}),
        ("cpu", 81.0, 1.0, {"task": 3}),
    )
    timeline = gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0), parents=[0, 0, 0], more=late)
    [parallel] = [step for step in normalise(timeline) if step.do == "parallel"]
    assert len(parallel.branches) == 2


def test_tasks_of_branches_belong_to_them() -> None:
    child = (("cpu", 2.1, 0.1, {"task": 3}),)
    timeline = gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0), parents=[0, 0, 1], more=child)
    [parallel] = [step for step in normalise(timeline) if step.do == "parallel"]
    assert do(parallel.branches[0]) == ["cpu", "yield", "cpu", "wait", "cpu"]


def test_a_response_from_inside_a_task_keeps_the_sequence() -> None:
    timeline = gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0), response=3.0)
    assert "parallel" not in do(normalise(timeline))


def test_slots_and_threads_go_with_their_branches() -> None:
    timeline = gathered(
        (1.0, 1.0, 20.0),
        (2.0, 2.0, 5.0),
        events=[("db", "acquire", 1.5), ("db", "release", 22.2), ("other", "acquire", 0.5)],
    )
    steps = normalise(timeline)
    assert do(steps)[:3] == ["cpu", "acquire", "cpu"]
    [parallel] = [step for step in steps if step.do == "parallel"]
    assert [s.do for s in parallel.branches[0] if s.resource] == ["acquire", "release"]
    assert not [s for s in parallel.branches[1] if s.resource]


def test_the_number_of_equal_branches_is_not_part_of_the_signature() -> None:
    two = normalise(gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0)))
    three = normalise(gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0), (4.0, 1.0, 9.0)))
    assert signature(two) == signature(three)
    [group] = branch_groups([two[1], three[1]], [7, 8])
    assert group.counts == (2, 3)
    assert group.branches.indices == (7, 7, 8, 8, 8)


def test_columns_of_a_variant_go_into_its_branches() -> None:
    requests = (
        normalise(gathered((1.0, 1.0, 20.0), (2.0, 2.0, 5.0))),
        normalise(gathered((1.0, 3.0, 30.0), (4.0, 2.0, 6.0))),
    )
    variant = ObservedVariant(False, requests, (0, 1), 1.0)
    columns = list(variant.columns())
    assert [steps[0].do for steps, _ in columns] == [
        *("cpu", "cpu", "wait", "cpu", "cpu", "respond", "cpu")
    ]
    steps, rows = columns[2]
    assert [round(step.wall_s * 1e3, 6) for step in steps] == [20.0, 5.0, 30.0, 6.0]
    assert rows == (0, 0, 1, 1)
    assert sum(step.do == "wait" for step in walk(requests[0])) == 2


@pytest.mark.parametrize("parents", ["x", [5, 0], [0, 7]])
def test_impossible_parents_are_refused(parents: str | list[int]) -> None:
    found = attributes(("cpu", 0.0, 1.0)) | {spans.TASK_PARENT: parents}
    with pytest.raises(FileFormatError):
        decode_timeline(found)
