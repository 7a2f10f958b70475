"""Peers that serve so many calls at a time: by themselves, and behind the event loops.

Against theory at a fixed seed: intervals are Student's at 99.9 % from batch means, so that the test
would fail by chance for about one seed in a thousand.
"""

from typing import Any

import numpy as np
import pytest

from fastsim.limit import Scope
from fastsim.model import (
    CallStep,
    Constant,
    CpuStep,
    Distribution,
    Endpoint,
    Expon,
    LoopCosts,
    ParallelStep,
    Resource,
    RespondStep,
    ServiceModel,
    Step,
    UseStep,
    Variant,
    WaitStep,
)
from fastsim.program import Branch
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.spans import StepKind
from fastsim.twin import sample, simulate
from fastsim.twin.peers import Peer
from fastsim.twin.workload import Outcome
from tests.twin.test_theory import interval


def asked(time: Distribution) -> UseStep:
    return UseStep(resource="db", steps=[WaitStep(kind=StepKind.DB, time=time)])


def model(*steps: Step, slots: int, scope: Scope = "service") -> ServiceModel:
    return ServiceModel(
        loop=LoopCosts(),
        resources={"db": Resource(capacity=slots, hand_over="peer", scope=scope)},
        endpoints=[
            Endpoint(name="GET /", share=1.0, variants=[Variant(steps=[*steps, RespondStep()])])
        ],
    )


def outcome(
    service: ServiceModel, *, rate: float, duration: float, until: float | None = None, **how: Any
) -> Outcome:
    drawn = sample(service, rate_per_s=rate, duration_s=duration, seed=3)
    return simulate(
        drawn, resolve_deployment(service, Deployment(**how)), service.loop, until_s=until
    )


def test_calls_are_served_in_the_order_in_which_they_came() -> None:
    peer = Peer(2)
    calls = [(0.0, 1.0), (0.1, 5.0), (0.2, 1.0), (0.3, 2.0), (4.5, 1.0)]
    assert [peer.call(*each) for each in calls] == pytest.approx([0.0, 0.0, 0.8, 1.7, 0.0])
    assert (peer.usage.acquires, peer.usage.max_queue) == (5, 2)
    assert peer.usage.wait_s == pytest.approx(2.5)
    for _ in range(2):  # of all who use it
        peer.close(5.0)
    # One slot had half a second of rest until then, the other one began at 0.1 s.
    assert peer.usage.busy_s == pytest.approx(4.5 + 4.9)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_peer_of_two_slots_is_m_m_2(workers: int) -> None:
    """Whoever calls it: what a service of several processes asks for comes together there."""
    service = model(asked(Expon(mean=0.010)), slots=2)
    found = outcome(service, rate=150.0, duration=400.0, workers=workers, cores=workers)
    low, high = interval(found.respond_s - found.start_s)
    assert low <= 0.010 / (1.0 - 0.75**2) <= high
    assert found.resource_busy_s[0] / found.end_s / 2 == pytest.approx(0.75, abs=0.02)
    assert found.resource_wait_s[0] == pytest.approx(found.pool_wait_s.sum())


def test_a_process_may_have_slots_of_its_own() -> None:
    service = model(asked(Constant(value=0.010)), slots=1, scope="worker")
    alone = outcome(service, rate=150.0, duration=20.0)
    each = outcome(service, rate=150.0, duration=20.0, workers=2, cores=2)
    assert alone.resource_wait_s[0] > 10.0 * each.resource_wait_s[0]
    # The longest line is that of one process.
    assert each.resource_busy_s[0] == pytest.approx(0.010 * len(each.start_s), rel=0.01)


def test_threads_and_branches_call_it_too() -> None:
    """Three calls of 10 ms at once of a peer that serves one at a time take 30 ms."""
    branches = ParallelStep(branches=[Branch(steps=[asked(Constant(value=0.010))])] * 3)
    found = outcome(model(branches, slots=1), rate=0.5, duration=20.0)
    assert found.respond_s - found.start_s == pytest.approx(0.030)
    in_thread = CallStep(steps=[CpuStep(time=Constant(value=0.001)), asked(Constant(value=0.010))])
    found = outcome(model(in_thread, branches, slots=1), rate=0.5, duration=20.0)
    assert found.respond_s - found.start_s == pytest.approx(0.041, abs=0.0005)


def test_who_waits_there_needs_no_event_loop_to_be_served_next() -> None:
    """A pool's slot is given on by code on the loop, which here is busy most of the time."""
    steps = (CpuStep(time=Constant(value=0.005)), asked(Constant(value=0.0055)))
    peer = model(*steps, slots=1)
    pool = peer.model_copy(update={"resources": {"db": Resource(capacity=1)}})
    there, here = (outcome(each, rate=150.0, duration=60.0) for each in (peer, pool))
    assert there.resource_busy_s[0] / there.end_s == pytest.approx(0.82, abs=0.02)
    assert there.pool_wait_s.mean() < 0.5 * here.pool_wait_s.mean()


def test_a_call_that_nobody_waits_for_any_longer_is_served_all_the_same() -> None:
    first = ParallelStep(
        join="first",
        branches=[
            Branch(steps=[asked(Constant(value=0.010))]),
            Branch(steps=[WaitStep(kind=StepKind.IO, time=Constant(value=0.001))]),
        ],
    )
    found = outcome(model(first, slots=1), rate=20.0, duration=30.0, until=31.0)
    assert found.respond_s - found.start_s == pytest.approx(0.001)
    assert found.resource_busy_s[0] == pytest.approx(0.010 * len(found.start_s))


def test_of_an_end_before_all_is_served_only_what_was_counts() -> None:
    service = model(asked(Constant(value=0.010)), slots=1)
    found = outcome(service, rate=300.0, duration=2.0, until=2.0)
    assert found.resource_busy_s[0] / found.end_s == pytest.approx(1.0, abs=0.01)
    assert np.isnan(found.respond_s).sum() > 300
