"""Figures of a model: every kind of step can be drawn."""

from fastsim.model import ServiceModel
from fastsim.report.bars import model_figure
from fastsim.yaml_source import parse_yaml

MODEL = """
endpoints:
  GET /:
    - cpu: 1ms
    - use: db
      steps: [db: 3ms, {repeat: 3, steps: [db: 1ms]}]
    - parallel: [[http: 2ms], [http: 3ms]]
    - choose: {hit 90%: [cache: 1ms], miss 10%: [http: 20ms]}
    - {stream: 5, gap: 2ms, cpu: 10us}
    - {thread: 1ms, off_gil: 2ms}
    - limit: api
    - yield
    - respond
    - sleep: 4ms
    - {do: acquire, resource: db}
    - {do: release, resource: db}
resources: {db: 5}
limits: {api: 10/s}
"""


def test_every_kind_of_step_is_drawn_and_listed() -> None:
    [endpoint] = parse_yaml(MODEL, ServiceModel).endpoints
    drawn = str(model_figure(endpoint))
    for name in ("db", "http", "llm stream", "thread", "sleep", "repeat", "choose", "parallel"):
        assert name in drawn
    # What a slot is held for is drawn by itself, and the slot named in the table.
    assert "use db" in drawn
    assert "nan" not in drawn
