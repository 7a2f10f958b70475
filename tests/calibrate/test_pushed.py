"""Streams that a peer pushes, and streams each chunk of which is asked for."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.observed import Chunk, ObservedStep
from fastsim.calibrate.pushed import Peer, gaps_s, leading_chunks, pushing_peers, streams_of
from fastsim.calibrate.variants import (
    BranchGroup,
    ObservedEndpoint,
    ObservedVariant,
    branch_groups,
)
from fastsim.distributions import mean
from fastsim.model import ServiceModel, StreamStep
from fastsim.program import all_steps
from fastsim.spans import StepKind, Via
from tests.virtual.services import SERVICES
from tests.virtual.serving import poisson, serve

Stream = tuple[Chunk, ...]


def stream_of(
    rng: np.random.Generator, *, pushed: bool, chunks: int = 12, most_s: float = 0.004
) -> Stream:
    """Gaps of 5 ms, a reader that is so late at most, which is known to 0.4 ms."""
    found: list[Chunk] = []
    came_s = now_s = 0.0
    for _ in range(chunks):
        gap_s = float(rng.gamma(3.0, 0.005 / 3.0))
        came_s = (came_s if pushed else now_s) + gap_s
        late_s = float(rng.uniform(0.0, most_s))
        end_s = max(came_s, now_s) + late_s
        bound_s = min(late_s + 0.0002, end_s - now_s)
        found.append(
            Chunk(
                start_s=now_s,
                wall_s=end_s - now_s,
                bound_s=bound_s,
                late_s=max(min(late_s - 0.0002, bound_s), 0.0),
                loop_s=0.0005,
                cpu_s=0.0005,
                idle_share=0.0,
            )
        )
        now_s = end_s + 0.0005
    return tuple(found)


def step_of(chunks: Stream, kind: StepKind = StepKind.HTTP, via: Via = Via.SOCKET) -> ObservedStep:
    return ObservedStep(do="stream", start_s=0.0, chunks=chunks, kind=kind, via=via, label="peer")


def endpoint_of(streams: list[Stream], kind: StepKind, via: Via = Via.SOCKET) -> ObservedEndpoint:
    requests = tuple((step_of(chunks, kind, via),) for chunks in streams)
    variant = ObservedVariant(False, requests, tuple(range(len(requests))), 1.0)
    return ObservedEndpoint("GET /", len(requests), (variant,))


@pytest.mark.parametrize("kind", [StepKind.HTTP, StepKind.LLM])
@pytest.mark.parametrize("pushed", [True, False])
def test_who_waits_less_for_having_been_late_is_pushed_to(kind: StepKind, *, pushed: bool) -> None:
    """Fixed seeds; slopes of -0.9 or 0 with standard errors of 0.09, 4 of them from halfway."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        streams = [stream_of(rng, pushed=pushed) for _ in range(200)]
        found = pushing_peers([endpoint_of(streams, kind)])
        assert found == (frozenset([Peer(kind, Via.SOCKET, "peer", "")]) if pushed else frozenset())


def test_of_a_few_chunks_only_a_language_model_is_taken_to_push() -> None:
    rng = np.random.default_rng(1)
    few = [stream_of(rng, pushed=True, chunks=4) for _ in range(6)]
    assert pushing_peers([endpoint_of(few, StepKind.LLM)])
    assert not pushing_peers([endpoint_of(few, StepKind.HTTP)])
    assert not pushing_peers([endpoint_of([stream_of(rng, pushed=True)[:1]], StepKind.HTTP)])


def test_calls_of_a_language_model_one_after_the_other_are_asked_for() -> None:
    """An agent asks again with what it has heard; a few requests tell nothing of milliseconds."""
    rng = np.random.default_rng(1)
    calls = [
        tuple(
            replace(chunk, start_s=200.0 * chunk.start_s, wall_s=200.0 * chunk.wall_s)
            for chunk in stream_of(rng, pushed=False, chunks=4)
        )
        for _ in range(6)
    ]
    assert not pushing_peers([endpoint_of(calls, StepKind.LLM)])


def test_timers_and_threads_push_nothing() -> None:
    rng = np.random.default_rng(1)
    streams = [stream_of(rng, pushed=True) for _ in range(200)]
    assert not pushing_peers([endpoint_of(streams, StepKind.LLM, Via.TIMER)])


def test_variants_of_one_peer_tell_together() -> None:
    """Each of ten paths is too rare to tell by itself."""
    rng = np.random.default_rng(2)
    ends = [
        endpoint_of([stream_of(rng, pushed=True) for _ in range(20)], StepKind.IO)
        for _ in range(10)
    ]
    assert sum(bool(pushing_peers([each])) for each in ends) < 10
    assert pushing_peers(ends) == frozenset([Peer(StepKind.IO, Via.SOCKET, "peer", "")])


def test_gaps_are_between_chunks_as_they_came() -> None:
    rng = np.random.default_rng(3)
    streams = [stream_of(rng, pushed=True, most_s=0.002) for _ in range(400)]
    low_s, high_s = gaps_s(streams, 1)
    assert len(low_s) == 400 * 11
    assert (low_s <= high_s).all()
    # Waits are shorter than gaps by what the reader was late, 1.5 ms in the mean.
    assert mean(fit_distribution(high_s, high_s - low_s)) == pytest.approx(0.005, rel=0.03)
    waits_s = [chunk.wall_s - chunk.late_s for chunks in streams for chunk in chunks[1:]]
    assert np.mean(waits_s) < 0.0040


def test_the_first_chunk_of_all_comes_after_its_wait() -> None:
    chunk = Chunk(
        start_s=0.5, wall_s=0.02, bound_s=0.003, late_s=0.001, loop_s=0.0, cpu_s=0.0, idle_share=0.0
    )
    low_s, high_s = gaps_s([(chunk,)], 0)
    assert (low_s[0], high_s[0]) == pytest.approx((0.017, 0.019))


def test_first_words_that_take_long_are_no_part_of_the_rest() -> None:
    rng = np.random.default_rng(4)
    streams = [stream_of(rng, pushed=True) for _ in range(20)]
    assert leading_chunks(streams) == 0
    slow = [
        (chunks[0], Chunk(0.01, 0.06, 0.0, 0.0, 0.0, 0.0, 0.0), *chunks[2:]) for chunks in streams
    ]
    assert leading_chunks(slow) == 2


def test_loops_that_only_wait_and_handle_are_streams() -> None:
    def round_of(*do: str) -> tuple[ObservedStep, ...]:
        return tuple(ObservedStep(do=each, start_s=0.0) for each in do)  # type: ignore[arg-type]

    def rounds(*do: str) -> BranchGroup:
        steps = [
            ObservedStep(do="repeat", start_s=0.0, branches=(round_of(*do),) * count)
            for count in (2, 0, 3)
        ]
        [group] = branch_groups(steps, (0, 1, 2))
        return group

    found = streams_of(rounds("wait", "cpu"))
    assert found is not None
    assert [len(chunks) for chunks in found] == [2, 0, 3]
    assert streams_of(rounds("wait", "cpu", "wait", "cpu")) is None


@pytest.mark.parametrize(("name", "pushed"), [("relayed stream", True), ("stream", False)])
def test_a_recording_tells_whether_a_stream_is_pushed(
    name: str, tmp_path: Path, *, pushed: bool
) -> None:
    """The gap of the relayed stream is 4 ms; 800 requests of 14 know it to 1.5 %."""
    service = SERVICES[name]
    arrivals = poisson({"/": 1.0}, rate_per_s=0.5 / service.code_s, requests=800, seed=3)
    serve(service.make(random.Random(3)), arrivals, record=tmp_path)
    streams = streams_in(build_model(read_requests([tmp_path], skip_first_s=0.0)))
    if pushed:
        assert streams
        assert mean(streams[0].gap) == pytest.approx(0.004, rel=0.03)
    assert all(step.pushed == pushed for step in streams)


def streams_in(model: ServiceModel) -> list[StreamStep]:
    return [
        step
        for variant in model.endpoints[0].variants
        for step in all_steps(variant.steps)
        if isinstance(step, StreamStep)
    ]
