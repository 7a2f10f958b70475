"""Programs that nobody thought of: whatever requests do, the twin does what CPython's loop does."""

import asyncio

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsim.model import (
    Branch,
    ChooseStep,
    Counts,
    CpuStep,
    Expon,
    HandOver,
    ParallelStep,
    RepeatStep,
    RespondStep,
    Step,
    StreamStep,
    UseStep,
    WaitStep,
    Way,
    YieldStep,
)
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.spans import StepKind, Via
from fastsim.twin import sample, simulate
from tests.virtual.programs import QueuePool, respond_times
from tests.virtual.test_mechanics import model

REQUESTS = 60
MAKERS = {"direct": QueuePool, "wake": asyncio.Semaphore}

counts = st.builds(
    lambda few, many: Counts(values=[few, many], weights=[0.5, 0.5]),
    st.integers(0, 1),
    st.integers(2, 3),
)
plain: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda ms: CpuStep(time=Expon(mean=ms / 1e3)), st.floats(0.05, 3.0)),
    st.builds(
        lambda ms, via: WaitStep(kind=StepKind.IO, via=via, time=Expon(mean=ms / 1e3)),
        st.floats(0.5, 20.0),
        st.sampled_from([Via.SOCKET, Via.TIMER]),
    ),
    st.just(YieldStep()),
    st.builds(
        lambda chunks, ms, code_ms, pushed: StreamStep(
            kind=StepKind.IO,
            chunks=chunks,
            gap=Expon(mean=ms / 1e3),
            cpu=Expon(mean=code_ms / 1e3),
            pushed=pushed,
        ),
        counts,
        st.floats(0.1, 5.0),
        st.floats(0.05, 1.0),
        st.booleans(),
    ),
)


def holding(inner: st.SearchStrategy[list[Step]]) -> st.SearchStrategy[Step]:
    """Steps that hold others, but no slots: who holds one must not wait for another."""
    return st.one_of(
        st.builds(lambda count, steps: RepeatStep(count=count, steps=steps), counts, inner),
        st.builds(
            lambda share, one, other: ChooseStep(
                ways=[Way(share=share, steps=one), Way(share=1.0 - share, steps=other)]
            ),
            st.floats(0.1, 0.9),
            inner,
            inner,
        ),
        st.builds(
            lambda join, count, one, other: ParallelStep(
                join=join, branches=[Branch(count=count, steps=one), Branch(steps=other)]
            ),
            st.sampled_from(["all", "first", "none"]),
            counts,
            inner,
            inner,
        ),
    )


def some(step: st.SearchStrategy[Step], most: int = 3) -> st.SearchStrategy[list[Step]]:
    return st.lists(step, min_size=1, max_size=most)


without_slots = st.recursive(plain, lambda inner: holding(some(inner)), max_leaves=6)
slot = st.builds(lambda steps: UseStep(resource="pool", steps=steps), some(without_slots))
with_slots = st.one_of(slot, without_slots, holding(some(st.one_of(slot, plain))))
programs = st.builds(
    lambda before, after: [*before, RespondStep(), *after],
    some(with_slots, 4),
    st.lists(without_slots, max_size=1),
)


@pytest.mark.parametrize("hand_over", ["direct", "wake"])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=programs, capacity=st.integers(1, 3), rate=st.sampled_from([20.0, 60.0, 200.0]))
def test_every_latency_is_that_of_the_loop(
    hand_over: HandOver, steps: list[Step], capacity: int, rate: float
) -> None:
    service = model(steps, hand_over, capacity)
    drawn = sample(service, rate_per_s=rate, duration_s=REQUESTS / rate, seed=3)
    deployment = resolve_deployment(service, Deployment())
    twin = simulate(drawn, deployment, service.loop)
    truth = respond_times(drawn, deployment.resources, MAKERS[hand_over])
    np.testing.assert_allclose(twin.respond_s, truth, rtol=0.0, atol=1e-9)
    parts = twin.running_s + twin.loop_wait_s + twin.pool_wait_s + twin.wait_s.sum(axis=1)
    np.testing.assert_allclose(parts, twin.respond_s - drawn.arrival_s, rtol=0.0, atol=1e-9)
    assert (twin.loop_wait_s > -1e-9).all()


@pytest.mark.parametrize("hand_over", ["direct", "wake"])
@pytest.mark.parametrize("seed", [3, 5, 7, 11, 12])
def test_a_cancelled_gather_is_done_with_its_first_cancelled_child(
    hand_over: HandOver, seed: int
) -> None:
    some = Counts(values=[0, 2], weights=[0.5, 0.5])
    wait = WaitStep(kind=StepKind.IO, time=Expon(mean=0.001))
    both = ParallelStep(
        branches=[Branch(count=some, steps=[wait]), Branch(steps=[YieldStep()])],
    )
    code = CpuStep(time=Expon(mean=0.001))
    race = ParallelStep(
        join="first",
        branches=[
            Branch(count=some, steps=[code]),
            Branch(steps=[UseStep(resource="pool", steps=[code, both])]),
        ],
    )
    service = model([race, RespondStep()], hand_over, 1)
    drawn = sample(service, rate_per_s=20.0, duration_s=3.0, seed=seed)
    deployment = resolve_deployment(service, Deployment())
    twin = simulate(drawn, deployment, service.loop)
    truth = respond_times(drawn, deployment.resources, MAKERS[hand_over])
    np.testing.assert_allclose(twin.respond_s, truth, rtol=0.0, atol=1e-9)
