"""Models are written in short forms, which are read back as the same."""

import pytest

from fastsim.model import ServiceModel
from fastsim.short_writing import shortened
from fastsim.yaml_source import dump_yaml, parse_yaml

EVERYTHING = """
version: 1
kind: model
resources: {db: {capacity: 3}}
limits: {quota: {rate: 150/s}}
loop:
  background: [{name: tick, every: 50ms, time: {exponential: 1ms}}]
  pauses: {per_request: 1%, time: {lognorm: {median: 2ms, sigma: 0.3}, fit: {n: 9}}}
endpoints:
- name: GET /
  share: 100%
  variants:
  - steps:
    - {do: cpu, time: {family: constant, value: 1ms}, blocking: 50%, size: 0.5}
    - {do: cpu, time: {family: constant, value: 1ms, shift: 1ms, fit: {n: 3}}, gil: false}
    - {do: wait, kind: db, via: thread, thread_cpu: 1us, time: {family: expon, mean: 5ms}}
    - {do: wait, kind: sleep, via: timer, time: {family: gamma, mean: 5ms, shape: 2}}
    - {do: wait, kind: sleep, time: {family: weibull, scale: 5ms, shape: 2}}
    - {do: wait, kind: pool, time: {family: invgauss, mean: 5ms, shape: 2}}
    - {do: yield}
    - {do: yield, where: "a.py:b"}
    - do: thread
      cpu: {family: expon, mean: 1ms}
      off_gil: {family: pareto, scale: 1ms, tail: 0.1}
    - {do: call, steps: [{do: cpu, time: {family: constant, value: 1ms}}]}
    - {do: call, label: x, steps: [{do: cpu, time: {family: constant, value: 1ms}}]}
    - do: use
      resource: db
      steps: [{do: wait, kind: http, time: {family: constant, value: 1ms}}]
    - {do: acquire, resource: db}
    - {do: release, resource: db}
    - {do: limit, limit: quota, label: api}
    - do: repeat
      count: {values: [3], weights: [1]}
      size: 0.3
      steps: [{do: wait, kind: cache, time: {family: constant, value: 1ms}}]
    - do: repeat
      count: {values: [3, 4], weights: [1, 2]}
      steps: [{do: yield}]
    - do: stream
      kind: llm
      chunks: {values: [5], weights: [1]}
      gap: {family: expon, mean: 1ms}
      cpu: {family: constant, value: 1us}
    - do: stream
      kind: http
      via: thread
      chunks: {values: [5, 6], weights: [1, 1]}
      gap: {family: expon, mean: 1ms}
      cpu: {family: constant, value: 1us}
    - do: parallel
      join: first
      branches:
      - steps: [{do: cpu, time: {family: constant, value: 1ms}}]
      - count: {values: [2], weights: [1]}
        steps: [{do: cpu, time: {family: constant, value: 1ms}}]
    - do: choose
      ways:
      - {name: hit, share: 90%, steps: [{do: cpu, time: {family: constant, value: 1ms}}]}
      - {name: miss, share: 10%, steps: []}
    - do: cpu
      time:
        family: mixture
        weights: [0.75, 0.25]
        parts: [{family: constant, value: 1ms}, {family: lognorm, median: 1ms, sigma: 1}]
        shift: 1us
    - do: cpu
      time:
        family: empirical
        probabilities: [0, 0.5, 1]
        values: [1ms, 2ms, 9ms]
        tail_share: 5%
        tail: {family: pareto, scale: 1ms, tail: 0.2}
        fit: {n: 425, accepted: false, quantiles: [1ms, 2ms], median: 1ms..2ms}
    - {do: respond}
"""


def test_every_step_and_law_is_read_back_as_it_was() -> None:
    model = parse_yaml(EVERYTHING, ServiceModel)
    text = dump_yaml(model)
    assert parse_yaml(text, ServiceModel) == model
    assert dump_yaml(parse_yaml(text, ServiceModel)) == text


@pytest.mark.parametrize(
    "line",
    [
        "- {cpu: 1ms, blocking: 50%, size: 0.5}\n",
        "- {cpu: {constant: 1ms, shift: 1ms, fit: {n: 3}}, gil: false}\n",
        "- {sleep: {gamma: {mean: 5ms, shape: 2.0}}}\n",
        "- {db: {expon: {mean: 5ms}}, via: thread, thread_cpu: 1us}\n",
        "- {do: wait, kind: sleep, time: {weibull: {scale: 5ms, shape: 2.0}}}\n",
        "- yield\n",
        "- {do: yield, where: 'a.py:b'}\n",
        "- thread: {expon: {mean: 1ms}}\n",
        "- thread:\n      - {cpu: 1ms}\n",
        "- use: db\n      steps:\n      - {http: 1ms}\n",
        "- {limit: quota, label: api}\n",
        "- repeat: 3\n      size: 0.3\n",
        "- {stream: 5, gap: {expon: {mean: 1ms}}, cpu: 1us}\n",
        "- parallel:\n",
        "- respond\n",
    ],
)
def test_what_is_written(line: str) -> None:
    assert line in dump_yaml(parse_yaml(EVERYTHING, ServiceModel))


def test_a_law_with_its_fit_is_one_thing_that_wraps() -> None:
    lines = dump_yaml(parse_yaml(EVERYTHING, ServiceModel)).splitlines()
    at = next(number for number, line in enumerate(lines) if "empirical" in line)
    assert (
        lines[at].lstrip().startswith("- cpu: {empirical: {probabilities: [0.0, 0.5, 1.0], values:")
    )
    assert lines[at + 1].lstrip().startswith("tail: {pareto:")
    assert lines[at + 2].endswith("median: 1ms..2ms}}")
    assert max(map(len, lines)) < 120


def test_what_is_no_step_and_no_law_is_left_alone() -> None:
    plain = {"a": [1, {"b": "c"}], "d": None}
    assert shortened(plain) == plain
