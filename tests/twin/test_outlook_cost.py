"""What the hours to come cost: as deployed, and with as many units as each of them needs."""

import numpy as np
import pytest

from fastsim.errors import UnknownNameError
from fastsim.model import Constant, CpuStep, Endpoint, Resource, ServiceModel, Variant
from fastsim.scenario import Deployment, ResolvedDeployment, TrafficPlan
from fastsim.twin.outlook_cost import cost_ahead
from fastsim.twin.plan import Plan
from fastsim.twin.planning import make_plan

REPLICAS, WORKERS = "deployment.replicas", "deployment.workers"


@pytest.fixture
def plan() -> Plan:
    steps = Variant(steps=[CpuStep(time=Constant(value=0.01))])
    model = ServiceModel(
        service="s",
        resources={"db": Resource(capacity=5)},
        endpoints=[Endpoint(name="GET /", share=1.0, variants=[steps])],
    )
    return make_plan(model, TrafficPlan(rate=10.0), Deployment(replicas=2, workers=3))


class Holds:
    """Holds 100/s with each replica, and notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, deployment: ResolvedDeployment) -> float:
        self.asked.append(deployment.replicas)
        return 100.0 * deployment.replicas


def test_each_hour_has_what_it_needs_and_no_more(plan: Plan) -> None:
    holds = Holds()
    asked = np.array([40.0, 100.0, 101.0, 350.0])
    found, needed, costs = cost_ahead(plan, {REPLICAS: 0.5, WORKERS: 0.1}, asked, holds)
    assert needed.tolist() == [1, 1, 2, 4]
    assert costs.tolist() == pytest.approx([0.8, 0.8, 1.3, 2.3])
    # 2 replicas and 3 workers are deployed; the latter stay.
    assert found.units == {REPLICAS: 2, WORKERS: 3}
    assert found.per_hour == pytest.approx(1.3)
    assert found.total == pytest.approx(4 * 1.3)
    assert found.following == pytest.approx(4 * 0.3 + 0.5 * (1 + 1 + 2 + 4))
    assert (found.fewest, found.most, found.enough) == (1, 4, True)
    assert holds.asked == [2, 4]  # the deployed one, and what the peak asks for


def test_what_is_no_help_is_said(plan: Plan) -> None:
    found, needed, _ = cost_ahead(plan, {REPLICAS: 1.0}, np.array([500.0]), lambda _: 90.0)
    assert not found.enough
    assert needed.tolist() == [found.most]


def test_slots_of_a_resource_have_a_price_too(plan: Plan) -> None:
    path = "deployment.resources.db.capacity"
    found, _, _ = cost_ahead(plan, {path: 2.0}, np.array([1.0]), lambda _: 100.0)
    assert found.units == {path: 5}
    assert found.total == 10.0


def test_what_has_no_number_has_no_price(plan: Plan) -> None:
    with pytest.raises(UnknownNameError):
        cost_ahead(plan, {"deployment.balancer": 1.0}, np.array([1.0]), lambda _: 1.0)
