"""Rare paths keep their code, their waits and their slots, whatever they did in between."""

import pytest

from fastsim.calibrate.observed import Chunk, ObservedStep
from fastsim.calibrate.pooled import MANY, pooled, resources_of
from fastsim.spans import StepKind, Via


def cpu(wall_s: float, *, after: bool = False) -> ObservedStep:
    return ObservedStep(
        do="cpu",
        start_s=0.0,
        wall_s=wall_s,
        cpu_s=0.9 * wall_s,
        idle_share=0.5,
        after_response=after,
    )


def wait(wall_s: float, kind: StepKind = StepKind.DB) -> ObservedStep:
    return ObservedStep(
        do="wait",
        start_s=0.0,
        wall_s=wall_s,
        bound_s=0.002,
        late_s=0.001,
        kind=kind,
        via=Via.SOCKET,
    )


def slot(do: str) -> ObservedStep:
    assert do in {"acquire", "release"}
    return ObservedStep(do=do, start_s=0.0, resource="db")  # type: ignore[arg-type]


def chunk(start_s: float) -> Chunk:
    """10 ms of waiting and 1 ms of code."""
    return Chunk(
        start_s=start_s,
        wall_s=0.010,
        bound_s=0.0,
        late_s=0.0,
        loop_s=0.001,
        cpu_s=0.001,
        idle_share=0.0,
    )


RESPOND = ObservedStep(do="respond", start_s=0.0)


def total(steps: tuple[ObservedStep, ...], do: str, *, after: bool = False) -> float:
    return sum(s.wall_s for s in steps if s.do == do and s.after_response is after)


def test_code_and_waits_add_up() -> None:
    found = pooled([cpu(0.001), wait(0.010), cpu(0.002), wait(0.020), cpu(0.003), RESPOND])
    assert [step.do for step in found] == ["cpu", "wait", "cpu", "respond", "cpu"]
    assert total(found, "cpu") == pytest.approx(0.006)
    assert total(found, "wait") == pytest.approx(0.030)
    assert (found[1].bound_s, found[1].late_s) == pytest.approx((0.004, 0.002))
    assert found[0].wall_s == pytest.approx(0.001)
    assert found[0].idle_share == pytest.approx(0.5)


def test_who_waits_many_times_does_not_hold_the_loop_for_all_of_it_at_once() -> None:
    rounds = [step for n in range(MANY) for step in (wait(0.010 + 0.001 * n), cpu(0.002))]
    found = pooled([cpu(0.001), slot("acquire"), *rounds, slot("release"), RESPOND])
    kinds = ["cpu", "acquire", "repeat", "release", "respond", "cpu"]
    assert [step.do for step in found] == kinds
    loop = found[2]
    assert [[step.do for step in each] for each in loop.branches] == [["wait", "cpu"]] * MANY
    assert [each[0].wall_s for each in loop.branches] == [0.010 + 0.001 * n for n in range(MANY)]
    assert [each[1].cpu_s for each in loop.branches] == pytest.approx([0.0018] * MANY)
    assert loop.wall_s == pytest.approx(sum(step.wall_s for step in rounds))
    # One wait less, and it is one wait.
    few = pooled([cpu(0.001), *rounds[2:], RESPOND])
    assert [step.do for step in few] == ["cpu", "wait", "cpu", "respond", "cpu"]


def test_the_chunks_of_a_stream_are_waits_like_others() -> None:
    chunks = tuple(chunk(0.010 * n) for n in range(MANY))
    stream = ObservedStep(
        "stream", 0.0, kind=StepKind.LLM, via=Via.SOCKET, label="openai", chunks=chunks
    )
    [loop] = [step for step in pooled([stream, wait(0.003), RESPOND]) if step.do == "repeat"]
    assert [each[0].start_s for each in loop.branches[:-1]] == [0.010 * n for n in range(MANY)]
    # Of several kinds the one that takes most of the time, so that all rounds are alike.
    assert {(each[0].kind, each[0].label) for each in loop.branches} == {(StepKind.LLM, "openai")}


def test_the_longest_kind_of_wait_names_it() -> None:
    found = pooled([wait(0.010, StepKind.CACHE), wait(0.020, StepKind.LLM), wait(0.005), RESPOND])
    assert found[1].kind is StepKind.LLM


def test_code_after_the_response_stays_after_it() -> None:
    found = pooled([cpu(0.001), RESPOND, cpu(0.004, after=True)])
    assert total(found, "cpu", after=True) == pytest.approx(0.004)
    assert total(found, "cpu") == pytest.approx(0.001)


def test_slots_are_held_around_the_wait() -> None:
    steps = [slot("acquire"), wait(0.010), slot("release"), cpu(0.001), RESPOND]
    assert resources_of(steps) == ("db",)
    found = pooled(steps)
    assert [step.do for step in found] == [
        *("cpu", "acquire", "wait", "release"),
        *("cpu", "respond", "cpu"),
    ]


def test_streams_threads_and_branches_keep_their_time() -> None:
    chunks = (chunk(0.0), chunk(0.011))
    stream = ObservedStep(do="stream", start_s=0.0, chunks=chunks, kind=StepKind.LLM)
    thread = ObservedStep(
        do="thread", start_s=0.0, cpu_s=0.003, off_gil_s=0.007, kind=StepKind.THREAD, via=Via.THREAD
    )
    parallel = ObservedStep(
        do="parallel",
        start_s=0.0,
        wall_s=0.013,
        branches=((cpu(0.001), wait(0.010)), (cpu(0.002), wait(0.009))),
    )
    found = pooled([stream, thread, parallel, RESPOND])
    assert total(found, "wait") == pytest.approx(0.020 + 0.010 + 0.010)
    assert total(found, "cpu") == pytest.approx(0.002 + 0.003)
