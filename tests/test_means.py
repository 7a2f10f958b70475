"""How often steps run, and what they take, by formula."""

import pytest

from fastsim.means import endpoint_mean_s, step_mean_s, times_run
from fastsim.model import ServiceModel, StreamStep
from fastsim.yaml_source import parse_yaml

MODEL = """
version: 1
endpoints:
  GET /:
    steps:
      - cpu: 1ms
      - repeat: 4
        steps:
          - db: 2ms
          - choose: {rare 25%: [cpu: 8ms], usual 75%: [cpu: 0ms]}
      - parallel: [[http: 20ms], [http: 30ms]]
      - use: pool
        steps: [{db: 5ms}]
      - thread: [{cpu: 3ms}]
resources: {pool: {capacity: 2}}
"""


@pytest.fixture
def model() -> ServiceModel:
    return parse_yaml(MODEL, ServiceModel, name="model.yaml")


def test_steps_run_as_often_as_what_holds_them(model: ServiceModel) -> None:
    steps = model.endpoints[0].variants[0].steps
    run: dict[str, float] = {}
    for times, step in times_run(steps):
        run[step.do] = run.get(step.do, 0.0) + times
    # Of code: once before, four times either way; none of what threads run.
    assert run["cpu"] == pytest.approx(1 + 4)
    assert run["wait"] == pytest.approx(4 + 2 + 1)
    assert run["repeat"] == run["parallel"] == run["use"] == 1


def test_the_mean_of_an_endpoint_counts_rounds_ways_and_the_longest_branch(
    model: ServiceModel,
) -> None:
    # 1 + 4 (2 + 2) + 30 + 5 ms, and 3 in the thread.
    assert endpoint_mean_s(model.endpoints[0]) == pytest.approx(0.055)


def test_chunks_that_are_pushed_come_while_others_are_handled() -> None:
    def stream(**fields: object) -> StreamStep:
        return StreamStep.model_validate(
            {
                "do": "stream",
                "kind": "llm",
                "chunks": {"values": [10], "weights": [1.0]},
                "gap": {"family": "constant", "value": "6ms"},
                "cpu": {"family": "constant", "value": "1ms"},
                **fields,
            }
        )

    assert step_mean_s(stream()) == pytest.approx(0.061)
    assert step_mean_s(stream(cpu={"family": "constant", "value": "8ms"})) == pytest.approx(0.086)
    assert step_mean_s(stream(pushed=False)) == pytest.approx(0.070)
    assert step_mean_s(stream(via="timer")) == pytest.approx(0.070)
