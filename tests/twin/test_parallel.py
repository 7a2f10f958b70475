"""Parallel steps: several tasks of one request on one loop."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from fastsim.means import step_mean_s
from fastsim.model import (
    Branch,
    Constant,
    Counts,
    CpuStep,
    Endpoint,
    Expon,
    LoopCosts,
    ParallelStep,
    Resource,
    ServiceModel,
    Step,
    Variant,
    WaitStep,
)
from fastsim.spans import StepKind
from fastsim.twin.engine import simulate
from fastsim.twin.sampling import sample
from fastsim.twin.whatif import with_cpu_scaled
from fastsim.twin.workload import Outcome
from tests.twin.programs import FREE, RESPOND, cpu, deployment, wait, workload
from tests.twin.programs import Step as Program


def fork(*branches: Sequence[Program]) -> list[Program]:
    return [[list(branch) for branch in branches]]


def seconds(outcome: Outcome) -> list[float]:
    return [round(float(moment), 9) for moment in outcome.respond_s]


def test_waits_overlap_and_code_does_not() -> None:
    program = [
        cpu(0.001),
        *fork([cpu(0.002), wait(0.020), cpu(0.001)], [cpu(0.002), wait(0.010), cpu(0.001)]),
        cpu(0.001),
    ]
    outcome = simulate(workload([0.0], [program]), deployment(), FREE)
    # 1 + 2 (the first branch's code), 20 of its wait, 1, and 1 after the join.
    assert seconds(outcome) == [0.025]
    # The breakdown follows the branch that was waited for, and adds up to the latency.
    assert outcome.running_s[0] == pytest.approx(0.005)
    assert outcome.wait_s[0].sum() == pytest.approx(0.020)
    assert outcome.loop_wait_s[0] == pytest.approx(0.0)


def test_branches_queue_for_the_loop() -> None:
    program = fork([cpu(0.004)], [cpu(0.004)], [cpu(0.004)])
    outcome = simulate(workload([0.0], [program]), deployment(), FREE)
    assert seconds(outcome) == [0.012]
    assert outcome.running_s[0] == pytest.approx(0.004)
    assert outcome.loop_wait_s[0] == pytest.approx(0.008)


def test_a_join_takes_two_passes() -> None:
    costs = LoopCosts(per_pass=0.001, per_event=0.0001)
    outcome = simulate(workload([0.0], [fork([wait(0.010)], [wait(0.002)])]), deployment(), costs)
    # Poll and accept, poll and first step: both waits run from there (2 ms, then 3 ms: the
    # branches' first steps are a pass of their own). The longer one ends at 13 ms; then poll
    # and callback, poll and step, poll and join, poll and the request's own step.
    assert seconds(outcome) == [round(0.003 + 0.010 + 4 * 0.001 + 2 * 0.0001, 9)]


def test_branches_within_branches_and_none_at_all() -> None:
    inner = fork([wait(0.003)], [wait(0.005)])
    program = [*fork([*inner, cpu(0.001)], [wait(0.002)]), *fork(), cpu(0.001), RESPOND, *inner]
    outcome = simulate(workload([0.0, 0.1], [program, program]), deployment(), FREE)
    assert seconds(outcome) == [0.007, 0.107]
    assert [round(float(moment), 9) for moment in outcome.done_s] == [0.012, 0.112]
    # What follows the response is not latency.
    assert outcome.wait_s.sum(axis=1) == pytest.approx([0.005, 0.005])


def test_requests_do_not_mix_up_their_branches() -> None:
    rng = np.random.default_rng(1)
    waits = rng.uniform(0.001, 0.050, (300, 4))
    arrivals = np.cumsum(rng.exponential(0.002, 300))
    programs = [fork(*([wait(float(one))] for one in row)) for row in waits]
    outcome = simulate(workload(arrivals, programs), deployment(), FREE)
    # Nothing costs time on this loop: each request takes as long as its longest wait.
    assert outcome.respond_s - arrivals == pytest.approx(waits.max(axis=1))


def model(*steps: Step) -> ServiceModel:
    return ServiceModel(
        service="s",
        resources={"pool": Resource(capacity=2)},
        endpoints=[
            Endpoint(name="GET /", share=1.0, variants=[Variant(steps=list(steps))]),
            Endpoint(
                name="GET /other",
                share=1.0,
                variants=[Variant(steps=[CpuStep(time=Constant(value=0.0001))])],
            ),
        ],
    )


def waiting(mean: float) -> WaitStep:
    return WaitStep(kind=StepKind.HTTP, time=Expon(mean=mean))


def test_the_longest_of_exponential_waits_is_as_theory_has_it() -> None:
    # The longest of k exponential waits takes H(k) means on average: 1 + 1/2 + 1/3.
    branch = Branch(count=Counts(values=[3], weights=[1.0]), steps=[waiting(0.020)])
    drawn = sample(
        model(ParallelStep(branches=[branch])), rate_per_s=40.0, duration_s=200.0, seed=3
    )
    outcome = simulate(drawn, deployment(), FREE)
    chosen = drawn.endpoint == 0
    took = (outcome.respond_s - drawn.arrival_s)[chosen]
    error = stats.sem(took) * stats.norm.isf(0.0005)  # one false alarm in 1000
    assert took.mean() == pytest.approx(0.020 * (1 + 1 / 2 + 1 / 3), abs=error)


def test_the_number_of_branches_is_drawn_for_each_request() -> None:
    step = ParallelStep(
        branches=[
            Branch(count=Counts(values=[0, 1, 3], weights=[1.0, 1.0, 1.0]), steps=[waiting(0.01)]),
            Branch(steps=[waiting(0.01)]),
        ]
    )
    drawn = sample(model(step), rate_per_s=50.0, duration_s=60.0, seed=1)
    outcome = simulate(drawn, deployment(), FREE)
    took = (outcome.respond_s - drawn.arrival_s)[drawn.endpoint == 0]
    # The longest of 1, 2 or 4 exponential waits: 1, 3/2 and 25/12 means.
    error = stats.sem(took) * stats.norm.isf(0.0005)  # one false alarm in 1000
    assert took.mean() == pytest.approx(0.010 * (1 + 3 / 2 + 25 / 12) / 3, abs=error)


def test_slower_code_reaches_into_branches() -> None:
    step = ParallelStep(branches=[Branch(steps=[CpuStep(time=Constant(value=0.002))])])
    slower = with_cpu_scaled(model(step), 1.5).endpoints[0].variants[0].steps[0]
    assert isinstance(slower, ParallelStep)
    [inner] = slower.branches[0].steps
    assert isinstance(inner, CpuStep)
    assert inner.time == Constant(value=0.003)


def test_its_mean_without_queueing() -> None:
    branch = Branch(count=Counts(values=[3], weights=[1.0]), steps=[waiting(0.020)])
    assert step_mean_s(ParallelStep(branches=[branch])) == pytest.approx(0.0367, rel=0.15)
    code = Branch(
        count=Counts(values=[3], weights=[1.0]), steps=[CpuStep(time=Constant(value=0.002))]
    )
    assert step_mean_s(ParallelStep(branches=[code])) == pytest.approx(0.006)
