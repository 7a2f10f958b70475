"""A simulation is warm when the service is full, however long its requests last."""

import math

import numpy as np
import pytest

from fastsim.laws import Constant, Counts, Distribution, Expon, Gamma
from fastsim.model import CpuStep, Endpoint, ServiceModel, StreamStep, Variant, WaitStep
from fastsim.program import Step
from fastsim.scenario import Deployment, TrafficPlan, resolve_deployment
from fastsim.spans import StepKind
from fastsim.twin.forecast import forecast_run
from fastsim.twin.limit import find_limit
from fastsim.twin.planning import make_plan
from fastsim.twin.replicate import replicate
from fastsim.twin.warmup import LONGEST_S, SHORTEST_S, filling_s, still_filling
from tests.trials import short_trials


def service(*programs: list[Step]) -> ServiceModel:
    endpoints = [
        Endpoint(name=f"GET /{n}", share=1.0 / len(programs), variants=[Variant(steps=steps)])
        for n, steps in enumerate(programs)
    ]
    return ServiceModel(endpoints=endpoints)


def wait(law: Distribution) -> WaitStep:
    return WaitStep(kind=StepKind.LLM, time=law)


def program(*steps: Step) -> list[Step]:
    return list(steps)


CHAT: list[Step] = [
    CpuStep(time=Constant(value=0.002)),
    StreamStep(
        kind=StepKind.LLM,
        chunks=Counts(values=[30], weights=[1.0]),
        gap=Gamma(mean=1.0, shape=40.0),
        cpu=Constant(value=0.003),
    ),
]
"""Half a minute of answering, 92 ms of code."""


def fills(model: ServiceModel) -> float:
    return filling_s(model, {}, resolve_deployment(model, Deployment()))


def test_a_service_fills_for_as_long_as_its_requests_last() -> None:
    assert fills(service([wait(Constant(value=20.0))])) == pytest.approx(20.0 * 0.99, rel=0.03)
    # Of an exponential law all but 1 % of what will be there is there after log(100) means; 200
    # requests tell a few per cent of their longest.
    found = fills(service([wait(Expon(mean=2.0))]))
    assert found == pytest.approx(2.0 * math.log(100.0), rel=0.25)


def test_rare_long_requests_count_by_how_much_of_them_is_in_flight() -> None:
    often, seldom = program(wait(Constant(value=0.01))), program(wait(Constant(value=30.0)))
    model = service(often, seldom)
    assert fills(model) == pytest.approx(30.0, rel=0.05)
    deployment = resolve_deployment(model, Deployment())
    assert filling_s(model, {"GET /0": 1.0, "GET /1": 0.0}, deployment) < 0.02


def test_nothing_lasts_for_ever() -> None:
    assert fills(service([wait(Constant(value=7200.0))])) == LONGEST_S
    assert fills(service([CpuStep(time=Constant(value=0.0))])) == 0.0


def test_the_warm_up_of_a_plan_is_the_one_asked_for_or_long_enough() -> None:
    short, long = service([wait(Constant(value=0.01))]), service(CHAT)
    asked = TrafficPlan(rate=1.0, warmup=1.0)
    assert make_plan(long, asked, Deployment()).warmup_s == 1.0
    assert make_plan(short, TrafficPlan(rate=1.0), Deployment()).warmup_s == SHORTEST_S
    assert 25.0 < make_plan(long, TrafficPlan(rate=1.0), Deployment()).warmup_s < 40.0


def test_long_answers_are_measured_when_all_of_them_are_there() -> None:
    """30 s answers at 8/s: the loop is 74 % busy once 240 are in flight, not before."""
    model, busy = service(CHAT), 8.0 * (0.002 + 30 * 0.003)
    asked = TrafficPlan(rate=8.0, duration=20.0)
    run = forecast_run(model, traffic=asked, replications=4).run
    assert run.loop is not None
    assert run.loop.utilisation.value == pytest.approx(busy, rel=0.06)
    assert (run.warmup_s or 0.0) > 25.0
    cold = forecast_run(model, traffic=asked.model_copy(update={"warmup": 2.0}), replications=4).run
    assert cold.loop is not None
    assert cold.loop.utilisation.value < 0.6 * busy
    assert any("lengthen the warm-up" in said for said in cold.warnings)


def test_a_limit_is_that_of_a_full_service() -> None:
    """The loop of the chat is full at 1 / 92 ms = 10.9/s."""
    plan = make_plan(service(CHAT), TrafficPlan(rate=5.0), Deployment())
    with short_trials(6):
        found = find_limit(plan, [], replications=2, seed=1, curve=False)
    assert found.saturation.value == pytest.approx(1.0 / 0.092, rel=0.06)


def test_a_queue_that_still_grows_is_given_longer() -> None:
    """At 97 % of an M/M/1 of 20 ms the queue takes a minute to be what it will be."""
    model = service([CpuStep(time=Expon(mean=0.02))])
    asked = TrafficPlan(rate=48.5, duration=60.0)
    run = forecast_run(model, traffic=asked, replications=24, seed=3).run
    plan = make_plan(model, asked.model_copy(update={"warmup": 0.0}), Deployment())
    from_empty = replicate(plan, replications=24, seed=3)
    assert still_filling(from_empty)
    assert (run.warmup_s or 0.0) >= SHORTEST_S


def test_a_steady_service_is_not_held_to_be_filling() -> None:
    """One in a hundred may be, by chance: of 20 more than 2 with a probability of 1 in 1000."""
    model = service([CpuStep(time=Expon(mean=0.005))])
    plan = make_plan(model, TrafficPlan(rate=120.0, duration=10.0), Deployment())
    wrong = sum(still_filling(replicate(plan, replications=6, seed=seed)) for seed in range(20))
    assert wrong <= 2
    assert np.isfinite(plan.warmup_s)
