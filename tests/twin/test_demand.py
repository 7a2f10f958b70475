"""The least that requests ask of a deployment."""

import pytest

from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.capacity import overloaded
from fastsim.twin.demand import least_demand
from fastsim.twin.plan import Plan
from fastsim.twin.planning import make_plan
from fastsim.twin.simulation import simulate_once
from fastsim.yaml_source import parse_yaml

MODEL = """\
version: 1
resources: {db: 4}
loop: {cold: {extra: 50%}, per_pass: 20us}
endpoints:
  GET /a: {share: 75%, steps: [cpu: {expon: {mean: 2ms}}]}
  GET /b: {share: 25%, steps: [{use: db, steps: [{db: {expon: {mean: 40ms}}}, cpu: 2ms]}]}
"""


def plan(rate: float = 100.0, **deployment: object) -> Plan:
    asked = Deployment.model_validate(deployment)
    return make_plan(parse_yaml(MODEL, ServiceModel), TrafficPlan(rate=rate), asked)


def test_means_of_what_requests_do_without_meeting() -> None:
    found = least_demand(plan())
    # Three standard errors below the means, which are 2 ms and a quarter of 42 ms.
    assert 0.9 * 0.002 < found.code_s < 0.002
    assert 0.85 * 0.0105 < found.held_s["db"] < 0.0108


@pytest.mark.parametrize(
    ("deployment", "rate", "use"),
    [
        ({}, 250.0, 0.65),  # a quarter of them holds one of 4 slots for 42 ms
        ({"resources": {"db": {"capacity": 40}}}, 250.0, 0.5),
        ({"workers": 2, "cores": 2, "resources": {"db": {"capacity": 40}}}, 250.0, 0.25),
        ({"workers": 8, "cores": 2, "resources": {"db": {"capacity": 40}}}, 250.0, 0.25),
        ({"replicas": 2, "cores": 1, "resources": {"db": {"capacity": 40}}}, 250.0, 0.25),
        ({"cpu_quota": 0.5, "resources": {"db": {"capacity": 40}}}, 250.0, 1.0),
    ],
)
def test_use_is_of_what_is_used_most(
    deployment: dict[str, object], rate: float, use: float
) -> None:
    asked = plan(rate, **deployment)
    found = least_demand(asked).use_of(asked.deployment, rate)
    assert found == pytest.approx(use, rel=0.12)
    assert found < use * 1.02


@pytest.mark.parametrize(
    ("rate", "deployment"),
    [
        (420.0, {}),
        (560.0, {"resources": {"db": {"capacity": 40}}}),
        (1200.0, {"workers": 2, "cores": 4, "resources": {"db": {"capacity": 40}}}),
    ],
)
def test_what_is_said_to_be_too_much_piles_up(rate: float, deployment: dict[str, object]) -> None:
    asked = plan(rate, **deployment)
    assert least_demand(asked).use_of(asked.deployment, rate) > 1.0
    assert overloaded(simulate_once(asked.lasting(20.0, rate), seed=1))
