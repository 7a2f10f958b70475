"""``limit``: against queues whose limits are known by formula."""

import functools
import math

import pytest

from fastsim.answers import Limit
from fastsim.errors import NoSteadyStateError
from fastsim.model import (
    Constant,
    CpuStep,
    Distribution,
    Endpoint,
    Expon,
    Fit,
    ServiceModel,
    Variant,
    WaitStep,
)
from fastsim.scenario import Deployment, TrafficPlan, parse_slo
from fastsim.spans import StepKind
from fastsim.twin.limit import find_limit
from fastsim.twin.planning import make_plan
from tests.trials import short_trials


def service(code: Distribution | None, wait: Distribution | None = None) -> ServiceModel:
    steps = [] if code is None else [CpuStep(time=code)]
    waits = [] if wait is None else [WaitStep(kind=StepKind.HTTP, time=wait)]
    variant = Variant(steps=[*steps, *waits])
    return ServiceModel(
        service="s", endpoints=[Endpoint(name="GET /", share=1.0, variants=[variant])]
    )


def limit(model: ServiceModel, *goals: str, workers: int = 1, rate: float = 20.0) -> Limit:
    deployment = Deployment(workers=workers, cores=workers)
    plan = make_plan(model, TrafficPlan(rate=rate), deployment)
    return find_limit(plan, [parse_slo(goal) for goal in goals], replications=6, seed=4)


@functools.cache
def limit_of_a_queue() -> Limit:
    return limit(service(Expon(mean=0.005)), "p95 < 50ms")


@pytest.mark.parametrize("workers", [1, 2])
def test_saturation_is_one_over_the_code_per_request(workers: int) -> None:
    found = limit(service(Constant(value=0.005)), workers=workers)
    assert found.saturation.value == pytest.approx(workers * 200.0, rel=0.05)
    assert found.saturated == "event loop"
    assert found.rate is None
    assert found.verdict == "yes"


@pytest.mark.parametrize("rate", [2.0, 20.0, 150.0, 3_000.0])
def test_how_busy_it_is_says_where_it_will_be_full(rate: float) -> None:
    """A tenth of the load tells it to a tenth, nine tenths to the last: few loads are needed."""
    plan = make_plan(service(Constant(value=0.005)), TrafficPlan(rate=rate), Deployment())
    tried: list[float] = []
    found = find_limit(
        plan, [], replications=4, seed=4, curve=False, on_trial=lambda load, _: tried.append(load)
    )
    assert found.saturation.value == pytest.approx(200.0, rel=0.02)
    # By halves from a bracket of 0 to 220/s, seven.
    near = [load for load in tried if 150.0 < load < 250.0]
    assert len(near) <= 5


def test_the_limit_of_a_single_server_queue_is_that_of_theory() -> None:
    # The time in an M/M/1 queue is exponential with rate mu - lambda: its 95th percentile is
    # ln(20) / (mu - lambda), 50 ms at lambda = 200 - 59.9.
    found = limit_of_a_queue()
    assert found.rate is not None
    assert found.rate.value == pytest.approx(200.0 - math.log(20.0) / 0.050, rel=0.06)
    assert found.rate.low is not None
    assert found.rate.high is not None
    assert found.rate.low <= found.rate.value <= found.rate.high
    assert found.decided_by == "p95 < 50ms"
    assert [point.rate_per_s for point in found.points] == sorted(
        point.rate_per_s for point in found.points
    )


def test_the_stricter_of_two_goals_decides() -> None:
    found = limit(service(Expon(mean=0.005)), "p95 < 10s", "mean < 10ms")
    assert found.rate is not None
    assert found.rate.value == pytest.approx(100.0, rel=0.08)  # 1 / (mu - lambda) = 10 ms
    assert found.decided_by == "mean < 10ms"


def test_a_goal_that_no_load_meets() -> None:
    found = limit(service(Constant(value=0.001), Constant(value=0.050)), "p50 < 40ms")
    assert found.rate is None
    assert found.verdict == "no"


def test_a_goal_that_holds_until_it_is_full() -> None:
    found = limit(service(Constant(value=0.005)), "p95 < 100s")
    assert found.rate is not None
    assert found.rate.value == pytest.approx(200.0, rel=0.05)
    assert found.decided_by == "event loop is full"


def test_the_search_finds_its_way_from_far_off() -> None:
    for rate in (0.05, 5000.0):
        found = limit(service(Constant(value=0.005)), rate=rate)
        assert found.saturation.value == pytest.approx(200.0, rel=0.05)


def test_a_service_that_nothing_fills_has_no_limit() -> None:
    with pytest.raises(NoSteadyStateError, match="no load saturates"):
        limit(service(None, Constant(value=0.010)))


def test_the_same_seed_gives_the_same_answer() -> None:
    with short_trials():
        first, second = (limit(service(Expon(mean=0.005)), "p95 < 50ms") for _ in range(2))
    assert first == second


def test_a_limit_is_no_better_known_than_the_code_is() -> None:
    """Code known to 10 %: the queue's limit is mu - 59.9, mu between 181 and 221 for one error."""
    known = Fit(n=50, level_error=0.1, spread_error=0.0)
    sure = limit_of_a_queue()
    unsure = limit(service(Expon(mean=0.005, fit=known)), "p95 < 50ms")
    for one, other in ((sure.rate, unsure.rate), (sure.saturation, unsure.saturation)):
        assert one is not None
        assert other is not None
        assert other.value == pytest.approx(one.value, rel=0.03)
        assert one.doubt is None
        assert other.doubt is not None
    assert unsure.rate is not None
    low, high = (200.0 * math.exp(move) - math.log(20.0) / 0.050 for move in (-0.1, 0.1))
    assert (unsure.rate.low or 0.0) < low < high < (unsure.rate.high or 0.0)
    assert (unsure.saturation.low or 0.0) < 181.0
    assert (unsure.saturation.high or 0.0) > 221.0
    # Six models tell their spread to a third.
    assert 0.1 < (unsure.saturation.doubt or 0.0) < 0.5
