"""The twin does what CPython's own event loop does, request by request, to the nanosecond."""

import asyncio
import sys
from collections.abc import Callable

import numpy as np
import pytest

from fastsim.model import (
    AcquireStep,
    Branch,
    ChooseStep,
    Counts,
    CpuStep,
    Distribution,
    Endpoint,
    Expon,
    Gamma,
    HandOver,
    Lognorm,
    LoopCosts,
    ParallelStep,
    Process,
    ReleaseStep,
    RepeatStep,
    Resource,
    RespondStep,
    ServiceModel,
    Step,
    StreamStep,
    UseStep,
    Variant,
    WaitStep,
    Way,
    YieldStep,
)
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.spans import StepKind, Via
from fastsim.twin import sample, simulate
from tests.virtual.programs import Limit, QueuePool, respond_times

REQUESTS = 3_500


def cpu(mean_ms: float) -> CpuStep:
    return CpuStep(time=Expon(mean=mean_ms / 1e3))


def wait(law: Distribution, via: Via = Via.SOCKET) -> WaitStep:
    return WaitStep(kind=StepKind.IO, via=via, time=law)


ACQUIRE, RELEASE = AcquireStep(resource="pool"), ReleaseStep(resource="pool")
QUERY = wait(Expon(mean=0.015))
POOLED: list[Step] = [
    cpu(4 / 3),
    wait(Lognorm(median=0.020, sigma=0.5)),
    cpu(4 / 3),
    ACQUIRE,
    QUERY,
    RELEASE,
    cpu(4 / 3),
]

PROGRAMS: dict[str, tuple[float, list[Step]]] = {
    "code alone": (110.0, [cpu(8.0)]),
    "sockets": (160.0, [cpu(2.0), wait(Gamma(mean=0.009, shape=3.0)), cpu(3.0)]),
    "timers": (
        200.0,
        [cpu(1.0), wait(Expon(mean=0.01), Via.TIMER), YieldStep(), cpu(3.0), YieldStep()],
    ),
    "a pool": (225.0, POOLED),
    "gather": (
        120.0,
        [
            cpu(1.0),
            ParallelStep(
                branches=[
                    Branch(
                        count=Counts(values=[2, 3], weights=[0.5, 0.5]),
                        steps=[cpu(0.7), wait(Expon(mean=0.012)), cpu(0.7)],
                    ),
                    Branch(steps=[wait(Expon(mean=0.02), Via.TIMER), cpu(1.0)]),
                ]
            ),
            cpu(1.0),
        ],
    ),
    "the first of several": (
        130.0,
        [
            cpu(1.0),
            ParallelStep(
                join="first",
                branches=[
                    Branch(
                        count=Counts(values=[1, 3], weights=[0.5, 0.5]),
                        steps=[cpu(0.5), wait(Expon(mean=0.012)), cpu(0.7), YieldStep(), cpu(0.4)],
                    ),
                    Branch(steps=[cpu(0.5), ACQUIRE, QUERY, cpu(0.6), RELEASE]),
                    Branch(
                        steps=[
                            wait(Expon(mean=0.02), Via.TIMER),
                            ParallelStep(
                                branches=[
                                    Branch(steps=[cpu(0.3), wait(Expon(mean=0.004)), cpu(0.2)]),
                                    Branch(steps=[ACQUIRE, QUERY, RELEASE]),
                                ]
                            ),
                            cpu(1.0),
                        ]
                    ),
                ],
            ),
            cpu(1.0),
        ],
    ),
    "the first of the first": (
        120.0,
        [
            ParallelStep(
                join="first",
                branches=[
                    Branch(
                        count=Counts(values=[2], weights=[1.0]),
                        steps=[
                            cpu(0.7),
                            ParallelStep(
                                join="first",
                                branches=[
                                    Branch(steps=[cpu(0.4), ACQUIRE, QUERY, RELEASE]),
                                    Branch(steps=[wait(Expon(mean=0.01), Via.TIMER), cpu(0.6)]),
                                ],
                            ),
                            cpu(0.9),
                        ],
                    ),
                ],
            ),
            cpu(1.5),
        ],
    ),
    "tasks that nobody waits for": (
        150.0,
        [
            cpu(1.0),
            ParallelStep(
                join="none",
                branches=[Branch(steps=[cpu(0.9), ACQUIRE, QUERY, cpu(0.9), RELEASE])],
            ),
            wait(Expon(mean=0.004)),
            cpu(1.4),
        ],
    ),
    "a slot around repeats and choices": (
        110.0,
        [
            cpu(1.0),
            UseStep(
                resource="pool",
                steps=[
                    QUERY,
                    RepeatStep(
                        count=Counts(values=[0, 1, 4], weights=[0.2, 0.4, 0.4]),
                        steps=[
                            cpu(0.8),
                            ChooseStep(
                                ways=[
                                    Way(name="hit", share=0.7, steps=[cpu(0.4)]),
                                    Way(name="miss", share=0.2, steps=[QUERY, cpu(0.8)]),
                                    Way(name="nothing", share=0.1),
                                ]
                            ),
                            RepeatStep(
                                count=Counts(values=[1, 2], weights=[0.5, 0.5]),
                                steps=[wait(Expon(mean=0.002), Via.TIMER), cpu(0.3)],
                            ),
                        ],
                    ),
                ],
            ),
            cpu(1.0),
        ],
    ),
    "a stream that a peer pushes": (
        60.0,
        [
            cpu(1.0),
            wait(Expon(mean=0.01)),
            cpu(0.5),
            StreamStep(
                kind=StepKind.IO,
                chunks=Counts(values=[4, 16], weights=[0.5, 0.5]),
                gap=Expon(mean=0.002),
                cpu=Expon(mean=0.0007),
            ),
            cpu(1.0),
            StreamStep(
                kind=StepKind.LLM,
                chunks=Counts(values=[3], weights=[1.0]),
                gap=Expon(mean=0.001),
                cpu=Expon(mean=0.0004),
            ),
        ],
    ),
    "a stream and work after the response": (
        80.0,
        [
            cpu(1.0),
            StreamStep(
                kind=StepKind.LLM,
                chunks=Counts(values=[3, 8], weights=[0.5, 0.5]),
                gap=Expon(mean=0.004),
                cpu=Expon(mean=0.0006),
                pushed=False,
            ),
            RespondStep(),
            cpu(2.0),
            wait(Expon(mean=0.005), Via.TIMER),
            cpu(1.0),
        ],
    ),
}


def model(steps: list[Step], hand_over: HandOver = "direct", capacity: int = 5) -> ServiceModel:
    return ServiceModel(
        service="mechanics",
        process=Process(python="{}.{}".format(*sys.version_info)),
        loop=LoopCosts(),
        resources={"pool": Resource(capacity=capacity, hand_over=hand_over)},
        endpoints=[Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])],
    )


def assert_equal_to_the_loop(
    service: ServiceModel, rate: float, make_pool: Callable[[int], Limit] = QueuePool
) -> None:
    drawn = sample(service, rate_per_s=rate, duration_s=REQUESTS / rate, seed=7)
    deployment = resolve_deployment(service, Deployment())
    twin = simulate(drawn, deployment, service.loop)
    late_s = service.loop.timer_late
    truth = respond_times(drawn, deployment.resources, make_pool, timer_late_s=late_s)
    assert len(drawn) > 0.9 * REQUESTS
    assert twin.loop_busy_s.sum() / twin.end_s > 0.5, "the loop is too idle for a test"
    np.testing.assert_allclose(twin.respond_s, truth, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_latency_is_that_of_the_loop(name: str) -> None:
    rate, steps = PROGRAMS[name]
    assert_equal_to_the_loop(model(steps), rate)


def test_a_sleeping_loop_is_woken_late_for_its_timers() -> None:
    rate, steps = PROGRAMS["timers"]
    service = model(steps)
    late = service.model_copy(update={"loop": LoopCosts(timer_late=0.0003)})
    assert_equal_to_the_loop(late, 0.7 * rate)


@pytest.mark.parametrize("name", ["a pool", "gather", "a stream and work after the response"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_each_of_several_workers_is_a_loop_of_its_own(name: str, replicas: int) -> None:
    """Whom the connections gave a request to, it fares there as alone."""
    rate, steps = PROGRAMS[name]
    service = model(steps)
    rate *= 1.8 * replicas
    drawn = sample(service, rate_per_s=rate, duration_s=REQUESTS / rate, seed=7)
    asked = Deployment(workers=2, cores=2, replicas=replicas, balancer="least connections")
    twin = simulate(drawn, resolve_deployment(service, asked), service.loop)
    assert set(twin.worker) == set(range(2 * replicas))
    for worker in range(2 * replicas):
        mine = np.flatnonzero(twin.worker == worker)
        truth = respond_times(drawn, {"pool": 5}, served=mine.tolist())
        np.testing.assert_allclose(twin.respond_s[mine], truth[mine], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("name", ["the first of several", "the first of the first"])
def test_who_is_cancelled_leaves_a_semaphore_as_in_asyncio(name: str) -> None:
    rate, steps = PROGRAMS[name]
    assert_equal_to_the_loop(model(steps, "wake"), rate, asyncio.Semaphore)


def test_calls_wait_at_a_peer_while_the_loop_is_busy() -> None:
    """In branches, too, whose losers are cancelled, though not there."""
    asked = UseStep(resource="pool", steps=[QUERY])
    race = ParallelStep(
        join="first", branches=[Branch(steps=[asked]), Branch(steps=[wait(Expon(mean=0.030))])]
    )
    both = ParallelStep(branches=[Branch(steps=[asked, cpu(1.0)]), Branch(steps=[cpu(0.5), asked])])
    steps: list[Step] = [
        cpu(1.0),
        asked,
        cpu(1.0),
        both,
        cpu(1.0),
        race,
        cpu(1.0),
        RespondStep(),
        asked,
    ]
    assert_equal_to_the_loop(model(steps, "peer", 8), 100.0)


@pytest.mark.parametrize("capacity", [2, 8])
def test_a_semaphore_hands_over_as_asyncio_does(capacity: int) -> None:
    rate = 90.0 if capacity == 2 else 225.0
    steps = [*POOLED[:3], cpu(3.0), *POOLED[3:]] if capacity == 2 else POOLED
    assert_equal_to_the_loop(model(steps, "wake", capacity), rate, asyncio.Semaphore)


def test_handing_over_matters() -> None:
    service = model(POOLED, capacity=8)
    drawn = sample(service, rate_per_s=225.0, duration_s=4.0, seed=7)
    ours = respond_times(drawn, {"pool": 8})
    theirs = respond_times(drawn, {"pool": 8}, asyncio.Semaphore)
    assert np.abs(ours - theirs).max() > 1e-4
