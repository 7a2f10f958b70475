"""Code that holds the event loop for long is named."""

import pytest

from fastsim.model import ServiceModel
from fastsim.scenario import TrafficPlan
from fastsim.twin import forecast_run
from fastsim.twin.blocking import long_code
from fastsim.yaml_source import parse_yaml

SHOP = """\
version: 1
endpoints:
  POST /login: [cpu: 1ms, {cpu: {exponential: 302ms}, where: "auth.py:9 hashed"}]
  GET /report: [use: db]
  GET /thread: [thread: [cpu: 400ms]]
  GET /: [cpu: 49ms]
resources: {db: 1}
loop: {}
""".replace("[use: db]", "[{use: db, steps: [cpu: 80ms]}]")


def test_the_longest_are_named_first_and_threads_are_not() -> None:
    first, second = long_code(parse_yaml(SHOP, ServiceModel))
    assert first.startswith("POST /login holds the event loop for 302ms (auth.py:9 hashed) at a")
    assert second.startswith("GET /report holds the event loop for 80ms at a time")


@pytest.mark.parametrize("mix", [{"GET /": 1.0}, {"GET /thread": 0.5, "GET /": 0.5}])
def test_who_is_not_asked_for_holds_nobody_up(mix: dict[str, float]) -> None:
    assert long_code(parse_yaml(SHOP, ServiceModel), mix) == []


def test_a_forecast_says_so() -> None:
    model = parse_yaml(SHOP, ServiceModel)
    run, _ = forecast_run(model, traffic=TrafficPlan(rate=1.0, duration=20.0), replications=2)
    assert any("POST /login holds the event loop" in said for said in run.warnings)
    asked = TrafficPlan(rate=1.0, duration=20.0, mix={"GET /": 1.0})
    run, _ = forecast_run(model, traffic=asked, replications=2)
    assert not any("holds the event loop" in said for said in run.warnings)
