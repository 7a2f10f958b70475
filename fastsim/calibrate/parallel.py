"""Find tasks of a request that run side by side and are awaited together.

``gather``, task groups and the like start several tasks and wait for all of them. Waits of
such tasks overlap: as one sequence their wake-ups would queue one after the other, which
makes a busy service slower than it is. So they are cut out of the timeline, one timeline
for each, and the wait for them is marked. Everything less regular (a task started here and
awaited much later, tasks that hand data to each other) stays in one sequence.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from fastsim.calibrate.recorded import ResourceEvent, Timeline
from fastsim.spans import StepKind, Via

ON_LOOP = frozenset({StepKind.CPU, StepKind.BLOCKING})
"""Kinds of steps that hold the loop; all others are suspensions."""

_SLACK_S = 1e-6
_SAME_S = 0.5e-9  # half the clock's resolution: closer than this is the same moment
_T = TypeVar("_T")


def split_parallel(timeline: Timeline) -> tuple[Timeline, dict[int, tuple[Timeline, ...]]]:
    """Cut branches that run side by side out of a timeline.

    Returns
    -------
    What is left, and for the rows in it that wait for branches: these, in order of creation.
    Times in a branch count from the start of the request, as in the whole.
    """
    if len(timeline.task_parent) < 2:
        return timeline, {}
    found: list[tuple[list[int], list[int]]] = []
    """(the rows of the wait, the tasks awaited)"""
    children = _children(timeline.task_parent)
    rows_of = _rows_by_task(timeline)
    taken: set[int] = set()
    for parent in sorted(rows_of):
        if parent in taken:
            continue
        for waits in _joins(timeline, rows_of[parent]):
            tasks = _awaited(timeline, rows_of, children.get(parent, ()), waits)
            if len(tasks) > 1 and not _answers(timeline, rows_of, children, tasks):
                found.append((waits, tasks))
                for task in tasks:
                    taken.update(_subtree(task, children))
    if not found:
        return timeline, {}
    owner = _event_owners(timeline)
    dropped = {row for task in taken for row in rows_of.get(task, ())}
    marked: dict[int, tuple[Timeline, ...]] = {}
    merged: dict[int, float] = {}
    for waits, tasks in found:
        last = waits[-1]
        merged[last] = timeline.start_s[waits[0]]
        parent = timeline.task[last]
        between = [row for row in rows_of[parent] if waits[0] <= row < last]
        dropped.update(between)
        marked[last] = tuple(
            _part(timeline, rows_of, _subtree(task, children), owner) for task in tasks
        )
    kept = [row for row in range(len(timeline)) if row not in dropped]
    events = [
        event for event, task in zip(timeline.events, owner, strict=True) if task not in taken
    ]
    left = _chosen(timeline, kept, events)
    begins = list(left.start_s)
    walls = list(left.wall_s)
    place = {row: number for number, row in enumerate(kept)}
    for row, begin in merged.items():
        walls[place[row]] += begins[place[row]] - begin
        begins[place[row]] = begin
    left = replace(left, start_s=begins, wall_s=walls)
    return left, {place[row]: branches for row, branches in marked.items()}


def _children(parents: Sequence[int]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for number, parent in enumerate(parents, start=1):
        children.setdefault(parent, []).append(number)
    return children


def _rows_by_task(timeline: Timeline) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for row in sorted(range(len(timeline)), key=timeline.start_s.__getitem__):
        rows.setdefault(timeline.task[row], []).append(row)
    return rows


def _joins(timeline: Timeline, rows: Sequence[int]) -> list[list[int]]:
    """Return runs of waits for other tasks, with nothing but code between them."""
    runs: list[list[int]] = []
    fresh = True
    for row in rows:
        if timeline.kind[row] in ON_LOOP:
            continue
        if timeline.kind[row] is StepKind.IO and timeline.via[row] is Via.LOOP:
            if fresh:
                runs.append([])
            runs[-1].append(row)
            fresh = False
        else:
            fresh = True
    return runs


def _awaited(
    timeline: Timeline,
    rows_of: dict[int, list[int]],
    children: Sequence[int],
    waits: Sequence[int],
) -> list[int]:
    """Return the children that live within the wait; none unless two of them really wait."""
    begin = timeline.start_s[waits[0]]
    end = timeline.start_s[waits[-1]] + timeline.wall_s[waits[-1]]
    inside = []
    waiting = 0
    for task in children:
        rows = rows_of.get(task)
        if not rows:
            continue
        last = rows[-1]
        over = timeline.start_s[last] + timeline.wall_s[last]
        if timeline.start_s[rows[0]] < begin - _SLACK_S or over > end + _SLACK_S:
            continue
        inside.append(task)
        waiting += any(
            timeline.kind[row] not in ON_LOOP and timeline.via[row] is not Via.LOOP for row in rows
        )
    return inside if waiting > 1 else []


def _subtree(task: int, children: dict[int, list[int]]) -> set[int]:
    found, todo = set(), [task]
    while todo:
        one = todo.pop()
        found.add(one)
        todo += children.get(one, [])
    return found


def _answers(
    timeline: Timeline,
    rows_of: dict[int, list[int]],
    children: dict[int, list[int]],
    tasks: Sequence[int],
) -> bool:
    """Return whether the response leaves from one of the tasks: then they are no branches.

    Where one task's code ends at the very moment another's begins, it left from the other.
    """
    response_s = timeline.response_s
    if response_s is None:
        return False
    inside = {one for task in tasks for one in _subtree(task, children)}
    sent = {
        timeline.task[row] in inside
        for rows in rows_of.values()
        for row in rows
        if timeline.kind[row] in ON_LOOP
        and timeline.start_s[row] <= response_s + _SAME_S
        and response_s <= timeline.start_s[row] + timeline.wall_s[row] + _SAME_S
    }
    return sent == {True}


def _event_owners(timeline: Timeline) -> list[int]:
    """Return the task in whose code each resource event happened."""
    code = sorted(
        (timeline.start_s[row], timeline.task[row])
        for row in range(len(timeline))
        if timeline.kind[row] in ON_LOOP
    )
    begins = [begin for begin, _ in code]
    return [
        code[max(bisect_right(begins, event.at_s) - 1, 0)][1] if code else 0
        for event in timeline.events
    ]


def _part(
    timeline: Timeline, rows_of: dict[int, list[int]], tasks: set[int], owner: Sequence[int]
) -> Timeline:
    """Return the timeline of some tasks, with the first of them as its main task."""
    rows = sorted(row for task in tasks for row in rows_of.get(task, ()))
    events = [event for event, task in zip(timeline.events, owner, strict=True) if task in tasks]
    part = _chosen(timeline, rows, events)
    number = {task: place for place, task in enumerate(sorted(tasks))}
    parents = timeline.task_parent
    begin = min(part.start_s)
    return replace(
        part,
        start_s=[at - begin for at in part.start_s],
        events=tuple(replace(event, at_s=event.at_s - begin) for event in part.events),
        task=tuple(number[task] for task in part.task),
        task_parent=tuple(number.get(parents[task - 1], -1) for task in sorted(tasks))[1:],
        end_s=max(at + wall for at, wall in zip(part.start_s, part.wall_s, strict=True)) - begin,
        response_s=None,
        offset_s=timeline.offset_s + begin,
    )


def _chosen(timeline: Timeline, rows: Sequence[int], events: Sequence[ResourceEvent]) -> Timeline:
    place = {row: number for number, row in enumerate(rows)}

    def chosen(column: Sequence[_T]) -> tuple[_T, ...]:
        return tuple(column[row] for row in rows)

    return replace(
        timeline,
        kind=chosen(timeline.kind),
        via=chosen(timeline.via),
        start_s=chosen(timeline.start_s),
        wall_s=chosen(timeline.wall_s),
        cpu_s=chosen(timeline.cpu_s),
        bound_s=chosen(timeline.bound_s),
        late_s=chosen(timeline.late_s),
        label=chosen(timeline.label),
        where=chosen(timeline.where),
        task=chosen(timeline.task),
        idle_share=chosen(timeline.idle_share) if timeline.idle_share else (),
        events=tuple(events),
        threads=tuple(
            replace(call, step=place[call.step]) for call in timeline.threads if call.step in place
        ),
        llm_calls=tuple(
            replace(call, step=None if call.step is None else place[call.step])
            for call in timeline.llm_calls
            if call.step is None or call.step in place
        ),
    )
