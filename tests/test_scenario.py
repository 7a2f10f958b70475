import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from fastsim.errors import InputError
from fastsim.model import Resource, ServiceModel
from fastsim.scenario import (
    Deployment,
    Network,
    ResolvedDeployment,
    Scenario,
    TrafficPlan,
    parse_slo,
    resolve_deployment,
)
from fastsim.twin import forecast_run
from fastsim.yaml_source import parse_yaml
from tests.model_file import MODEL, SCENARIO


def test_a_scenario_reads_with_units() -> None:
    scenario = parse_yaml(SCENARIO, Scenario)
    assert scenario.traffic.rate == 300.0
    assert scenario.traffic.duration == 30.0


def test_what_a_scenario_leaves_open_comes_from_the_model() -> None:
    model = parse_yaml(MODEL, ServiceModel)
    same = resolve_deployment(model, Deployment())
    assert (same.workers, same.cores, same.resources) == (2, 2, {"db": 5})
    changed = resolve_deployment(model, parse_yaml(SCENARIO, Scenario).deployment)
    assert (changed.workers, changed.cores, changed.resources) == (3, 2, {"db": 8})


@pytest.mark.parametrize(
    ("text", "endpoint", "metric", "limit"),
    [
        ("p95 < 100ms", None, "p95", 0.1),
        ("GET /items/{id}: p99 <= 1s", "GET /items/{id}", "p99", 1.0),
        (" errors < 0.5% ", None, "errors", 0.005),
        ("p99.9<2s", None, "p999", 2.0),
        ("mean < 5ms", None, "mean", 0.005),
    ],
)
def test_goals_are_read(text: str, endpoint: str | None, metric: str, limit: float) -> None:
    goal = parse_slo(text)
    assert (goal.endpoint, goal.metric) == (endpoint, metric)
    assert goal.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text", ["", "p95 > 100ms", "p95 < 100", "p42 < 1s", "errors < 5ms", "p95 < 5%", "p95"]
)
def test_what_is_no_goal_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_slo(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["errors < -1%", "errors < 0%", "p95 < 0ms"])
def test_a_goal_that_nothing_can_meet_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="nothing can meet"):
        parse_slo(text)


REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "scenario.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
SHOP = """\
version: 1
endpoints:
  GET /: [limit: api, cpu: 1ms, {use: db, steps: [db: 5ms]}]
  POST /pay: {share: 10%, steps: [cpu: 1ms, http: 80ms]}
resources: {db: 5}
limits: {api: {rate: 100/s}}
"""


@pytest.mark.parametrize("text", BLOCKS)
def test_the_examples_of_the_reference_run(text: str) -> None:
    scenario = parse_yaml(text, Scenario)
    model = parse_yaml(SHOP, ServiceModel)
    short = scenario.traffic.model_copy(update={"duration": 2.0, "warmup": 0.5})
    run, _ = forecast_run(
        model,
        traffic=short,
        deployment=scenario.deployment,
        slo=scenario.slo,
        replications=1,
        seed=scenario.seed,
    )
    assert run.total.requests > 0
    assert len(run.slo) == len(scenario.slo)


def test_every_field_of_a_deployment_is_described() -> None:
    text = REFERENCE.read_text()
    for part in (Deployment, TrafficPlan, Network, Resource):
        for name in part.model_fields:
            assert f"`{name}`" in text, f"{part.__name__}.{name}"


def test_a_deployment_of_replicas() -> None:
    model = parse_yaml(MODEL, ServiceModel)
    same = resolve_deployment(model, Deployment())
    assert (same.replicas, same.processes) == (1, 2)
    asked = Deployment.model_validate(
        {"replicas": 3, "resources": {"db": {"capacity": 9, "scope": "service"}}}
    )
    resolved = resolve_deployment(model, asked)
    assert (resolved.processes, resolved.scopes) == (6, {"db": "service"})
    assert [resolved.copies(scope) for scope in ("worker", "replica", "service")] == [6, 3, 1]
    with pytest.raises(InputError, match="10000 processes"):
        resolve_deployment(model, Deployment(replicas=2500, workers=4))


def test_a_deployment_makes_no_pool_of_a_peer() -> None:
    text = """
version: 1
endpoints: {GET /: [{use: db, steps: [db: 4ms]}, {use: slots, steps: [cpu: 1ms]}]}
resources: {db: {capacity: 2, hand_over: peer, scope: service}, slots: 3}
"""
    model = parse_yaml(text, ServiceModel)

    def asked(name: str, **fields: object) -> ResolvedDeployment:
        resources = {name: {"capacity": 9, **fields}}
        return resolve_deployment(model, Deployment.model_validate({"resources": resources}))

    assert asked("db").is_peer("db")
    assert asked("db", hand_over="peer").resources["db"] == 9
    assert not asked("slots", hand_over="wake").is_peer("slots")
    with pytest.raises(InputError, match="'db' is a peer in the model"):
        asked("db", hand_over="direct")
    with pytest.raises(InputError, match="'slots' is no peer in the model"):
        asked("slots", hand_over="peer")
    with pytest.raises(InputError, match="calls have no timeout"):
        asked("db", timeout="1s")


def test_a_semaphore_is_of_one_process() -> None:
    with pytest.raises(ValidationError, match=r"asyncio\.Semaphore"):
        Resource(capacity=1, hand_over="wake", scope="service")


def test_nobody_runs_more_workers_than_can_be_simulated() -> None:
    Deployment(workers=4096, cores=4096)
    for field in ("workers", "cores"):
        with pytest.raises(ValidationError, match="4096"):
            Deployment.model_validate({field: 4097})
