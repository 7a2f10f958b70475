"""From the steps of a model to flat code."""

import numpy as np
import pytest

from fastsim.model import (
    AcquireStep,
    Branch,
    Constant,
    Counts,
    CpuStep,
    Endpoint,
    Expon,
    Lognorm,
    ParallelStep,
    ReleaseStep,
    Resource,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    Variant,
    WaitStep,
)
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.spans import StepKind, Via
from fastsim.twin import code as ops
from fastsim.twin.compiling import compile_model
from fastsim.twin.engine import simulate
from fastsim.twin.sampling import sample


def model(*variants: Variant, name: str = "GET /") -> ServiceModel:
    return ServiceModel(
        service="s",
        resources={"pool": Resource(capacity=2)},
        endpoints=[Endpoint(name=name, share=1.0, variants=list(variants))],
    )


def ways(*steps: Step) -> Variant:
    return Variant(share=1.0, steps=list(steps))


CODE = CpuStep(time=Constant(value=0.001))
CALL = WaitStep(kind=StepKind.HTTP, via=Via.TIMER, time=Expon(mean=0.02), thread_cpu=0.001)


def test_steps_become_operations_in_order() -> None:
    steps: list[Step] = [
        CODE,
        AcquireStep(resource="pool"),
        CALL,
        ReleaseStep(resource="pool"),
        ThreadStep(cpu=Constant(value=0.002), off_gil=Expon(mean=0.01)),
    ]
    program = compile_model(model(ways(*steps)), [1.0])
    code = program.code
    assert program.entries == (0,)
    assert code.operation == [
        ops.MARK, ops.CPU, ops.ACQUIRE, ops.WAIT, ops.RELEASE, ops.THREAD, ops.END
    ]  # fmt: skip
    # What is always the same is not drawn.
    assert code.node == [-1, -1, -1, 0, -1, -1, -1]
    assert (code.value[1], code.value[5]) == (0.001, 0.002)
    assert (code.argument[3], code.second[3]) == (ops.TIMER, 0.001)
    assert code.second_node[5] == 1
    assert code.names == ["GET //0/2", "GET //0/4/off"]
    assert code.uses_threads()


def test_the_path_is_chosen_and_noted() -> None:
    fast = Variant(share=0.25, steps=[CODE])
    slow = Variant(share=0.75, failed=True, steps=[CODE, CODE])
    service = model(fast, slow)
    drawn = sample(service, rate_per_s=50.0, duration_s=100.0, seed=3)
    outcome = simulate(drawn, resolve_deployment(service, Deployment()), service.loop)
    assert outcome.running_s == pytest.approx(np.where(outcome.path == 1, 0.002, 0.001))
    assert (outcome.failure == outcome.path).all()
    # 5,000 requests: a standard deviation is 0.6 %.
    assert outcome.path.mean() == pytest.approx(0.75, abs=0.025)


def test_a_stream_runs_its_chunks_and_each_draws_anew() -> None:
    stream = StreamStep(
        kind=StepKind.LLM,
        chunks=Counts(values=[0, 1, 40], weights=[1.0, 1.0, 1.0]),
        gap=Lognorm(median=0.01, sigma=0.5),
        cpu=Constant(value=0.001),
    )
    service = model(ways(stream))
    drawn = sample(service, rate_per_s=1.0, duration_s=300.0, seed=3)
    outcome = simulate(drawn, resolve_deployment(service, Deployment()), service.loop)
    chunks = np.round(outcome.running_s / 0.001)
    assert set(chunks.tolist()) == {0.0, 1.0, 40.0}
    # All but the first chunk are on their way while the one before is handled.
    gaps = (outcome.wait_s.sum(axis=1)[chunks == 40.0] + 39 * 0.001) / 40.0
    # 40 gaps of one request are 40 draws: their mean is steady where one gap is not.
    assert gaps.mean() == pytest.approx(0.01 * np.exp(0.125), rel=0.05)
    assert 0.05 < gaps.std() / gaps.mean() < 0.12


def test_repeats_within_branches_draw_apart() -> None:
    stream = StreamStep(
        kind=StepKind.HTTP,
        chunks=Counts(values=[2], weights=[1.0]),
        gap=Expon(mean=0.01),
        cpu=Constant(value=0.0),
    )
    three = Counts(values=[3], weights=[1.0])
    service = model(ways(ParallelStep(branches=[Branch(count=three, steps=[stream])])))
    drawn = sample(service, rate_per_s=1.0, duration_s=2_000.0, seed=3)
    deployed = resolve_deployment(service, Deployment())
    took = simulate(drawn, deployed, service.loop).respond_s - drawn.arrival_s
    # The longest of three sums of two: were the branches alike, it would take 20 ms in the mean.
    rng = np.random.default_rng(1)
    true = rng.gamma(2.0, 0.01, (200_000, 3)).max(axis=1).mean()
    assert took.mean() == pytest.approx(true, rel=0.06)


def test_another_step_leaves_what_others_draw() -> None:
    law = Expon(mean=0.01)
    before = compile_model(model(ways(CpuStep(time=law), CALL)), [1.0]).code
    after = compile_model(model(ways(CpuStep(time=Expon(mean=0.5)), CALL)), [1.0]).code
    assert before.names == after.names
    assert before.tables[1].one(0.7) == after.tables[1].one(0.7)
