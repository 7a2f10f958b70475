"""Where a deployment is full, by whichever resource, and what is said about it."""

import pytest

from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.capacity import EVENT_LOOP, Capacity, find_capacity
from fastsim.twin.forecast import forecast_run
from fastsim.twin.metrics import THREAD_POOL
from fastsim.twin.planning import make_plan
from fastsim.yaml_source import parse_yaml


def service(*steps: dict[str, object], slots: int = 2) -> ServiceModel:
    return ServiceModel.model_validate(
        {
            "service": "s",
            "resources": {"db": {"capacity": slots}},
            "endpoints": [{"name": "GET /", "share": 1.0, "variants": [{"steps": list(steps)}]}],
        }
    )


def cpu(mean: float) -> dict[str, object]:
    return {"do": "cpu", "time": {"family": "expon", "mean": mean}}


QUERY: dict[str, object] = {
    "do": "wait",
    "kind": "db",
    "time": {"family": "expon", "mean": 0.020},
}
TAKE: dict[str, object] = {"do": "acquire", "resource": "db"}
GIVE: dict[str, object] = {"do": "release", "resource": "db"}
THREADED: dict[str, object] = {
    "do": "thread",
    "cpu": {"family": "constant", "value": 0.0001},
    "off_gil": {"family": "expon", "mean": 0.4},
}

LOOP_BOUND = service(cpu(0.010))
POOL_BOUND = service(cpu(0.001), TAKE, QUERY, GIVE)
THREAD_BOUND = service(cpu(0.001), THREADED)


def capacity(model: ServiceModel, rate: float) -> Capacity:
    plan = make_plan(model, TrafficPlan(rate=rate, warmup=1.0), Deployment())
    found = find_capacity(plan, seed=1)
    assert found is not None
    return found


@pytest.mark.parametrize("rate", [5.0, 80.0, 900.0])
@pytest.mark.parametrize(
    ("model", "resource", "per_s"),
    [
        (LOOP_BOUND, EVENT_LOOP, 100.0),
        (POOL_BOUND, "db", 100.0),
        (THREAD_BOUND, THREAD_POOL, 100.0),
    ],
)
def test_capacity_is_the_load_that_fills_the_busiest(
    model: ServiceModel, resource: str, per_s: float, rate: float
) -> None:
    # From far below, near, and far above. 2,000 exponential services: 2.2 % a deviation; a pool
    # is held a little longer than its query takes, because its holders wait for the loop.
    found = capacity(model, rate)
    assert found.resource == resource
    assert found.per_s == pytest.approx(per_s, rel=0.09)


def test_demand_is_what_a_request_keeps_busy() -> None:
    assert capacity(LOOP_BOUND, 50.0).demand_s == pytest.approx(0.010, rel=0.08)
    assert capacity(POOL_BOUND, 50.0).demand_s == pytest.approx(0.020, rel=0.10)


def test_nothing_busy_has_no_capacity() -> None:
    plan = make_plan(service(QUERY), TrafficPlan(rate=50.0, warmup=1.0), Deployment())
    assert find_capacity(plan, seed=1) is None


@pytest.mark.parametrize(
    ("model", "name"),
    [(LOOP_BOUND, "the event loop"), (POOL_BOUND, "db"), (THREAD_BOUND, "the thread pool")],
)
def test_overload_is_named_by_whatever_is_full(model: ServiceModel, name: str) -> None:
    traffic = TrafficPlan(rate=140.0, duration=20.0, warmup=1.0)
    run, _ = forecast_run(model, traffic=traffic, slo=["p95 < 10s"], replications=2)
    assert run.verdict == "no", "a goal that is met only because the run is short"
    assert run.warnings[0].startswith(f"{name} is full from")
    assert run.capacity is not None
    assert run.capacity.per_s == pytest.approx(100.0, rel=0.09)


def test_a_pool_whose_holders_wait_for_the_loop_is_not_to_blame() -> None:
    # The query takes 5 ms of a slot, code 15 ms of the loop: 67/s; five slots would do 1,000/s.
    model = service(cpu(0.005), TAKE, {**QUERY, "time": {"family": "expon", "mean": 0.005}})
    model = service(
        *[cpu(0.005), TAKE, {**QUERY, "time": {"family": "expon", "mean": 0.005}}],
        *[cpu(0.005), GIVE, cpu(0.005)],
        slots=5,
    )
    run, _ = forecast_run(
        model, traffic=TrafficPlan(rate=90.0, duration=20.0, warmup=1.0), replications=2
    )
    assert run.resources["db"].utilisation.value > 0.98
    assert run.capacity is not None
    assert run.capacity.resource == EVENT_LOOP
    assert run.capacity.per_s == pytest.approx(1 / 0.015, rel=0.09)
    assert run.capacity.behind == ["db"]


def test_utilisation_and_its_interval_stay_within_one() -> None:
    for rate in (90.0, 98.0, 140.0):
        traffic = TrafficPlan(rate=rate, duration=5.0, warmup=1.0)
        run, _ = forecast_run(POOL_BOUND, traffic=traffic, replications=3)
        assert run.loop is not None
        for use in (run.loop.utilisation, run.resources["db"].utilisation):
            assert 0.0 <= use.value <= 1.0
            assert use.high is not None
            assert use.high <= 1.0


def test_a_request_of_one_step_waits_for_the_loop_too() -> None:
    run, _ = forecast_run(
        service(cpu(0.080)), traffic=TrafficPlan(rate=8.0, duration=60.0), replications=4
    )
    assert run.loop is not None
    # M/M/1 at 64 %: the mean wait is 0.64 / 0.36 * 80 ms = 142 ms; the recorded lag is of each
    # eighth step, some 240 of them, which wait in clusters.
    assert run.loop.lag_mean_s == pytest.approx(0.142, rel=0.4)


def test_a_container_limit_is_named_and_raising_it_tried() -> None:
    service = parse_yaml(
        "endpoints: {GET /: [cpu: 5ms]}\nloop: {}\nprocess: {cpu_quota: 0.4}", ServiceModel
    )
    traffic = TrafficPlan(rate=90.0, duration=20.0)
    found = forecast_run(service, traffic=traffic, replications=2, with_advice=True).run
    assert found.capacity is not None
    assert found.capacity.resource == "processor"
    assert found.capacity.per_s == pytest.approx(0.4 / 0.005, rel=0.03)
    assert found.resources["processor"].capacity == 0.4
    assert found.advice[0].change == "cpu_quota=0.8"


def test_cores_are_named_when_workers_outnumber_them() -> None:
    service = parse_yaml(
        "endpoints: {GET /: [cpu: 5ms, http: 10ms]}\nloop: {}\nprocess: {workers: 4, cores: 1}",
        ServiceModel,
    )
    traffic = TrafficPlan(rate=100.0, duration=20.0)
    found = forecast_run(service, traffic=traffic, replications=2).run
    assert found.resources["processor"].utilisation.value == pytest.approx(0.5, rel=0.06)
    assert found.capacity is not None
    assert found.capacity.resource == "processor"
    assert found.capacity.per_s == pytest.approx(200.0, rel=0.02)


def test_what_a_quiet_loop_says_of_a_full_one_is_asked_again_where_idleness_costs() -> None:
    """Code takes 4 ms on a busy loop, and nearly twice as long when it has slept."""
    model = service({"do": "cpu", "time": {"family": "constant", "value": 0.004}})
    cold = model.loop.cold.model_copy(update={"extra": 1.0, "reach": 1.0})
    loop = model.loop.model_copy(update={"cold": cold})
    model = model.model_copy(update={"loop": loop})
    quiet = TrafficPlan(rate=20.0, duration=30.0, warmup=0.0)
    found = forecast_run(model, traffic=quiet, replications=2).run
    assert found.loop is not None
    assert found.loop.utilisation.value > 1.6 * 20.0 * 0.004
    assert found.capacity is not None
    assert found.capacity.per_s == pytest.approx(250.0, rel=0.05)
    assert found.capacity.demand_s == pytest.approx(0.004, rel=0.05)
