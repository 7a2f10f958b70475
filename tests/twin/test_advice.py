"""What the obvious changes would do: the cause is found by trying, not by looking busy."""

from fastsim.result import Advice, Run
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.forecast import forecast_run
from tests.twin.test_capacity import (
    GIVE,
    LOOP_BOUND,
    POOL_BOUND,
    QUERY,
    TAKE,
    THREAD_BOUND,
    cpu,
    service,
)


def asked(model: object, rate: float, *slo: str, replicas: int = 1) -> Run:
    run, _ = forecast_run(
        model,  # type: ignore[arg-type]
        traffic=TrafficPlan(rate=rate, duration=20.0, warmup=1.0),
        deployment=Deployment(replicas=replicas),
        slo=slo,
        replications=2,
        with_advice=True,
    )
    return run


def found(run: Run, change: str) -> Advice:
    return next(each for each in run.advice if each.change == change)


def test_more_of_what_is_full_meets_the_goal() -> None:
    assert found(asked(LOOP_BOUND, 120.0, "p95 < 100ms"), "workers=2 cores=2").effect == (
        "meets the goal"
    )
    assert found(asked(POOL_BOUND, 120.0, "p95 < 200ms"), "db=4").effect == "meets the goal"
    threads = asked(THREAD_BOUND, 120.0, "p95 < 2s")
    assert found(threads, "thread_tokens=80").effect == "meets the goal"


def test_of_several_replicas_one_more_is_tried() -> None:
    run = asked(LOOP_BOUND, 220.0, "p95 < 100ms", replicas=2)
    assert found(run, "replicas=3").effect == "meets the goal"
    assert run.capacity is not None
    one = asked(LOOP_BOUND, 110.0, "p95 < 100ms").capacity
    assert one is not None
    assert 1.9 < run.capacity.per_s / one.per_s < 2.1


def test_more_slots_do_not_help_where_their_holders_wait_for_the_loop() -> None:
    steps = [cpu(0.005), TAKE, QUERY, cpu(0.005), GIVE, cpu(0.005)]
    run = asked(service(*steps, slots=5), 80.0, "p95 < 300ms")
    assert run.advice[0].change == "workers=2 cores=2"
    assert found(run, "db=10").effect in {"does not help", "still overloaded"}


def test_the_watched_goal_is_the_first_on_a_latency() -> None:
    run = asked(LOOP_BOUND, 95.0, "errors < 1%", "GET /: p99 < 60ms")
    assert (run.advice[0].metric, run.advice[0].endpoint) == ("p99", "GET /")


def test_nothing_is_tried_where_all_is_well() -> None:
    assert asked(LOOP_BOUND, 10.0, "p95 < 100ms").advice == []


def test_changes_are_tried_when_asked_for_only() -> None:
    run, _ = forecast_run(LOOP_BOUND, traffic=TrafficPlan(rate=120.0, duration=5.0), replications=2)
    assert run.advice == []
