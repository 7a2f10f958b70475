"""Users who wait for the answer, think, and ask again."""

import dataclasses
import math

import numpy as np
import pytest

from fastsim.errors import InputError
from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, Network, TrafficPlan, Users, resolve_deployment
from fastsim.twin.engine import simulate
from fastsim.twin.forecast import forecast_run
from fastsim.twin.goals import parse_goals
from fastsim.twin.limit import find_limit
from fastsim.twin.planning import make_plan
from fastsim.twin.sampling import sample_users
from fastsim.twin.users import sent_only
from fastsim.twin.workload import Outcome, Workload
from fastsim.yaml_source import parse_yaml

EXPONENTIAL = "version: 1\nloop: {}\nendpoints:\n  GET /: [cpu: {expon: {mean: 10ms}}]\n"
CONSTANT = "version: 1\nloop: {}\nendpoints:\n  GET /: [cpu: 10ms]\n"
SHOP = """\
version: 1
process: {cores: 4}
resources: {db: 3}
endpoints:
  GET /a: {share: 70%, steps: [cpu: 1ms, {use: db, steps: [{db: {expon: {mean: 8ms}}}]}, cpu: 1ms]}
  GET /b: {share: 30%, steps: [cpu: 2ms, {do: thread, cpu: 1ms, off_gil: 3ms}]}
"""


def model(text: str) -> ServiceModel:
    return parse_yaml(text, ServiceModel)


def closed(
    text: str, users: Users, deployment: Deployment, duration_s: float = 20.0
) -> tuple[Workload, Outcome]:
    """What users send to a service, and what becomes of it."""
    service = model(text)
    workload = sample_users(service, users, duration_s=duration_s, seed=5)
    resolved = resolve_deployment(service, deployment)
    outcome = simulate(workload, resolved, service.loop, seed=5)
    assert workload.users is not None
    return sent_only(workload, outcome, workload.users.sent)


def test_one_steady_user_asks_as_often_as_answers_and_thinking_allow() -> None:
    workload, outcome = closed(CONSTANT, Users(think=0.1, steady=True), Deployment())
    assert np.diff(workload.arrival_s) == pytest.approx(0.11)
    assert outcome.respond_s - workload.arrival_s == pytest.approx(0.01)
    assert workload.arrival_s[-1] < 20.0
    assert workload.arrival_s[-1] + 0.11 >= 20.0


def machine_repair(users: int, think_s: float, service_s: float) -> tuple[float, float]:
    """Throughput and mean response time of M/M/1//N, by mean value analysis (exact)."""
    length = throughput = response = 0.0
    for number in range(1, users + 1):
        response = service_s * (1.0 + length)
        throughput = number / (response + think_s)
        length = throughput * response
    return throughput, response


@pytest.mark.parametrize(("users", "think_s"), [(1, 0.1), (5, 0.1), (20, 0.1), (50, 0.6)])
def test_machine_repair(users: int, think_s: float) -> None:
    # 20 runs of 50 s: off by more than 4 standard errors once in 1,300 tries (Student).
    traffic = TrafficPlan(users=Users(count=users, think=think_s), duration=50.0)
    _, found = forecast_run(model(EXPONENTIAL), traffic=traffic, replications=20, seed=3)
    throughput, response = machine_repair(users, think_s, 0.01)
    for each, expected in (
        (found.each(lambda run: run.throughput_per_s(None)), throughput),
        (found.each(lambda run: float(run.latency_s(None).mean())), response),
    ):
        error = float(each.std(ddof=1)) / math.sqrt(len(each))
        assert abs(float(each.mean()) - expected) < 4.0 * error


def test_as_many_users_as_there_are_are_somewhere() -> None:
    # Little: users = throughput * (response + thinking).
    traffic = TrafficPlan(users=Users(count=40, think=0.05), duration=30.0)
    run, _ = forecast_run(model(SHOP), traffic=traffic, replications=6)
    assert run.total.latency is not None
    rounds = run.total.throughput.value * (run.total.latency.mean.value + 0.05)
    assert rounds == pytest.approx(40.0, rel=0.01)
    assert run.users == 40
    assert run.rate_per_s == pytest.approx(run.total.throughput.value, rel=0.01)
    assert not any("more arrives than leaves" in text for text in run.warnings)


@pytest.mark.parametrize(
    "deployment",
    [
        Deployment(),
        Deployment(workers=2, cores=4),
        Deployment(workers=3, cores=2),
        Deployment(replicas=2, workers=2, cores=4, balancer="least connections"),
        Deployment(network=Network(rtt=0.002, jitter=0.001)),
    ],
    ids=["alone", "workers", "hosted", "replicas", "network"],
)
def test_what_users_sent_is_answered_as_if_it_had_been_known_before(
    deployment: Deployment,
) -> None:
    users = Users(count=25, think=0.02)
    workload, outcome = closed(SHOP, users, deployment, duration_s=5.0)
    assert len(workload) > 800
    assert np.all(np.diff(workload.arrival_s) >= 0.0)
    service = model(SHOP)
    replayed = dataclasses.replace(workload, users=None)
    again = simulate(replayed, resolve_deployment(service, deployment), service.loop, seed=5)
    assert again.respond_s == pytest.approx(outcome.respond_s, abs=1e-9)
    assert again.worker.tolist() == outcome.worker.tolist()


def test_nobody_asks_twice_at_a_time() -> None:
    users = Users(count=7, think=0.0)
    workload, outcome = closed(SHOP, users, Deployment(workers=2, cores=2))
    begins = np.sort(workload.arrival_s)
    ends = np.sort(outcome.respond_s)
    in_flight = np.searchsorted(begins, ends) - np.arange(len(ends))
    assert in_flight.max() <= 7
    assert np.median(in_flight) == 7


def test_users_who_are_turned_away_come_again() -> None:
    traffic = TrafficPlan(users=Users(count=20, think=0.05), duration=10.0)
    deployment = Deployment(limit_concurrency=6)
    run, _ = forecast_run(model(SHOP), traffic=traffic, deployment=deployment, replications=2)
    assert run.total.errors["status 503"] > 100
    assert run.total.completed > 100


def test_more_workers_let_users_ask_more_often() -> None:
    rates = []
    for workers in (1, 2, 3):
        traffic = TrafficPlan(users=Users(count=60, think=0.02), duration=10.0)
        deployment = Deployment(workers=workers, cores=4)
        run, _ = forecast_run(model(SHOP), traffic=traffic, deployment=deployment, replications=2)
        rates.append(run.rate_per_s)
    assert rates[0] < rates[1] < rates[2]


def test_users_have_no_rate() -> None:
    with pytest.raises(InputError, match="rate says it a second time"):
        make_plan(
            model(SHOP),
            TrafficPlan(users=Users(count=3)).model_copy(update={"rate": 5.0}),
            Deployment(),
        )
    with pytest.raises(ValueError, match="second time"):
        TrafficPlan(users=Users(count=3), rate=5.0)
    plan = make_plan(model(SHOP), TrafficPlan(users=Users(count=3)), Deployment())
    with pytest.raises(InputError, match="a limit is a rate"):
        find_limit(plan, parse_goals(["p95 < 1s"], ["GET /a"]))
