"""Whatever tasks a request runs, normalising loses no time and no CPU."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.calibrate.timeline import (
    ObservedStep,
    ResourceEvent,
    ThreadCall,
    Timeline,
    normalise,
    signature,
)
from fastsim.spans import StepKind, Via

WAITS = [kind for kind in StepKind if kind not in {StepKind.CPU, StepKind.BLOCKING}]
# Lengths around the rules' own limits, down to nothing at all.
LENGTH_S = st.sampled_from([0.0, 1e-9, 3e-7, 1e-4, 5e-4, 0.0015, 0.004, 0.03, 0.5])
EVENT: tuple[Literal["acquire", "release"], ...] = ("acquire", "release")


@dataclass
class _Row:
    kind: StepKind
    via: Via
    start_s: float
    wall_s: float
    cpu_s: float
    bound_s: float
    late_s: float
    label: str
    task: int


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Play an event loop: at every turn one task runs, the others wait or are not born."""
    now = draw(st.sampled_from([0.0, 2e-6]))
    suspended: dict[int, float] = {}  # since when each task waits
    rows: list[_Row] = []
    for _ in range(draw(st.integers(1, 30))):
        now += draw(LENGTH_S) if rows else 0.0
        # Task 0 runs first; later on any known task or a new one may.
        task = draw(st.integers(0, len(suspended))) if rows else 0
        if task in suspended:
            wall = now - suspended[task]
            bound = draw(st.floats(0.0, 1.0)) * wall
            rows.append(
                _Row(
                    draw(st.sampled_from(WAITS)),
                    draw(st.sampled_from(Via)),
                    suspended[task],
                    wall,
                    0.0,
                    bound,
                    draw(st.floats(0.0, 1.0)) * bound,
                    draw(st.sampled_from(["", "a", "b"])),
                    task,
                )
            )
        wall = draw(LENGTH_S)
        idle = draw(LENGTH_S)
        cpu = wall * draw(st.floats(0.0, 1.0))
        rows.append(_Row(StepKind.CPU, Via.LOOP, now, wall, cpu, idle, 0.0, "", task))
        now += wall
        suspended[task] = now
    end_s = now + draw(st.sampled_from([0.0, 1e-6]))
    moments = st.floats(0.0, end_s)
    events = [
        ResourceEvent(draw(st.sampled_from("xy")), draw(st.sampled_from(EVENT)), draw(moments), 3)
        for _ in range(draw(st.integers(0, 4)))
    ]
    waits = [index for index, row in enumerate(rows) if row.kind in WAITS]
    threads = [
        ThreadCall(draw(st.sampled_from(waits)), draw(LENGTH_S), draw(LENGTH_S), draw(LENGTH_S))
        for _ in range(draw(st.integers(0, 2)) if waits else 0)
    ]
    return Timeline(
        kind=tuple(row.kind for row in rows),
        via=tuple(row.via for row in rows),
        start_s=tuple(row.start_s for row in rows),
        wall_s=tuple(row.wall_s for row in rows),
        cpu_s=tuple(row.cpu_s for row in rows),
        bound_s=tuple(row.bound_s for row in rows),
        late_s=tuple(row.late_s for row in rows),
        label=tuple(row.label for row in rows),
        where=tuple("" for _ in rows),
        task=tuple(row.task for row in rows),
        end_s=end_s,
        response_s=draw(st.none() | moments),
        events=tuple(sorted(events, key=lambda event: event.at_s)),
        threads=tuple(threads),
    )


def cpu_on_loop(steps: tuple[ObservedStep, ...]) -> float:
    return math.fsum(step.cpu_s for step in steps if step.do in {"cpu", "stream"})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(timelines())
def test_nothing_is_lost(timeline: Timeline) -> None:
    steps = normalise(timeline)
    assert math.isclose(math.fsum(step.wall_s for step in steps), timeline.end_s, abs_tol=1e-9)
    assert math.isclose(cpu_on_loop(steps), math.fsum(timeline.cpu_s), abs_tol=1e-9)
    done = [step.resource for step in steps if step.do in {"acquire", "release"}]
    assert sorted(done) == sorted(event.name for event in timeline.events)
    responses = sum(step.do == "respond" for step in steps)
    assert responses == (timeline.response_s is not None)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(timelines())
def test_steps_tile_the_time(timeline: Timeline) -> None:
    steps = normalise(timeline)
    at = 0.0
    for step in steps:
        assert math.isclose(step.start_s, at, abs_tol=1e-9)
        assert min(step.wall_s, step.cpu_s, step.off_gil_s, step.queue_s) >= 0.0
        assert step.do == "cpu" or 0.0 <= step.late_s <= step.bound_s <= step.wall_s
        for chunk in step.chunks:
            assert 0.0 <= chunk.late_s <= chunk.bound_s <= chunk.wall_s
            assert min(chunk.loop_s, chunk.cpu_s, chunk.idle_share) >= 0.0
        at += step.wall_s


@settings(max_examples=200, deadline=None, derandomize=True)
@given(timelines())
def test_code_alternates_with_suspensions(timeline: Timeline) -> None:
    steps = [step for step in normalise(timeline) if step.do not in {"respond", "release"}]
    suspended = {"wait", "yield", "thread"}
    assert not any(a.do in suspended and b.do in suspended for a, b in pairwise(steps))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(timelines())
def test_the_same_timeline_gives_the_same_program(timeline: Timeline) -> None:
    assert normalise(timeline) == normalise(timeline)
    assert signature(normalise(timeline)) == signature(normalise(timeline))
