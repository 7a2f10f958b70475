"""What if something took longer."""

import numpy as np
import pytest

from fastsim.distributions import mean, percentile, percentiles
from fastsim.errors import UnknownNameError
from fastsim.laws import Empirical
from fastsim.means import step_mean_s
from fastsim.model import ServiceModel, WaitStep
from fastsim.twin.law_doubt import errors_of
from fastsim.twin.whatif import parts_of, slowed
from fastsim.yaml_source import parse_yaml

TEXT = """
version: 1
endpoints:
  GET /:
    - cpu: 1ms
    - {db: 8ms, label: asyncpg}
    - {db: 4ms, label: redis}
    - use: pool
      steps: [{http: 20ms}]
    - thread: 1ms
      off_gil: 10ms
    - thread: [cpu: 1ms, db: 3ms]
    - stream: 10
      gap: 5ms
      cpu: 100us
resources: {pool: 5}
loop: {accept: 1ms}
"""
MODEL = parse_yaml(TEXT, ServiceModel)


def times(model: ServiceModel) -> list[float]:
    steps = model.endpoints[0].variants[0].steps
    return [round(1000.0 * step_mean_s(step), 6) for step in steps]


def test_a_part_takes_so_many_times_as_long_and_nothing_else_does() -> None:
    assert parts_of(MODEL) == ["cpu", "db", "http", "llm", "asyncpg", "redis", "thread", "tokens"]
    usual = [1.0, 8.0, 4.0, 20.0, 11.0, 4.0, 50.1]
    assert times(MODEL) == usual
    assert times(slowed(MODEL, "db", 2.0)) == [1.0, 16.0, 8.0, 20.0, 11.0, 7.0, 50.1]
    assert times(slowed(MODEL, "redis", 3.0)) == [1.0, 8.0, 12.0, 20.0, 11.0, 4.0, 50.1]
    assert times(slowed(MODEL, "http", 0.5)) == [1.0, 8.0, 4.0, 10.0, 11.0, 4.0, 50.1]
    assert times(slowed(MODEL, "llm", 2.0)) == [1.0, 8.0, 4.0, 20.0, 11.0, 4.0, 100.1]
    assert times(slowed(MODEL, "tokens", 1.55)) == [1.0, 8.0, 4.0, 20.0, 11.0, 4.0, 77.6]
    assert times(slowed(MODEL, "thread", 2.0)) == [1.0, 8.0, 4.0, 20.0, 21.0, 4.0, 50.1]
    cpu = slowed(MODEL, "cpu", 2.0)
    assert times(cpu) == [2.0, 8.0, 4.0, 20.0, 12.0, 5.0, 50.2]
    assert cpu.loop.accept == pytest.approx(0.002)
    assert times(MODEL) == usual


WRITES = """
version: 1
endpoints:
  GET /:
    - llm: {lognorm: {median: 2s, sigma: 0.5}}
      tokens:
        output: {values: [50, 100, 200], weights: [1, 1, 1]}
        each: 10ms
        first: 500ms
        spread: 0.3
loop: {}
"""


def wait_of(model: ServiceModel) -> WaitStep:
    [step] = model.endpoints[0].variants[0].steps
    assert isinstance(step, WaitStep)
    assert step.tokens is not None
    return step


def test_more_tokens_take_longer_by_what_each_takes() -> None:
    """Of a law that is that of its pieces."""
    rng = np.random.default_rng(1)
    around = np.exp(0.3 * rng.standard_normal(200_000))
    number = rng.choice([50, 100, 200], 200_000)
    once, more = ((0.5 + each * number) * around for each in (0.01, 0.02))
    grid = np.linspace(0.0, 1.0, 2001)
    law = Empirical(probabilities=grid.tolist(), values=np.quantile(once, grid).tolist())
    model = parse_yaml(WRITES, ServiceModel)
    step = wait_of(model).model_copy(update={"time": law})
    model = model.model_copy(update={"endpoints": [model.endpoints[0].with_steps(lambda _: step)]})
    twice = wait_of(slowed(model, "tokens", 2.0))
    at = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(percentiles(twice.time, at), np.quantile(more, at), rtol=0.02)
    assert mean(twice.time) == pytest.approx(float(more.mean()), rel=0.01)
    assert twice.tokens is not None
    assert twice.tokens.output.values == [100, 200, 400]
    usual = wait_of(slowed(model, "tokens", 1.0))
    np.testing.assert_allclose(percentiles(usual.time, at), percentiles(law, at), rtol=1e-3)


def test_a_slower_model_is_slower_in_all_its_pieces() -> None:
    slow = wait_of(slowed(parse_yaml(WRITES, ServiceModel), "llm", 3.0))
    assert slow.tokens is not None
    assert slow.tokens.each == pytest.approx(0.03)
    assert slow.tokens.first == pytest.approx(1.5)
    assert percentile(slow.time, 0.5) == pytest.approx(6.0)


def test_what_is_not_there_cannot_be_slower() -> None:
    with pytest.raises(UnknownNameError, match="kafka"):
        slowed(MODEL, "kafka", 2.0)


def test_a_slower_part_is_no_better_known() -> None:
    text = TEXT.replace(
        "{db: 8ms, label: asyncpg}",
        "{db: {lognorm: {median: 8ms, sigma: 0.5}, fit: "
        "{n: 100, level_error: 0.05, spread_error: 0.1, quantiles: [1ms, 40ms]}}, label: asyncpg}",
    )
    model = parse_yaml(text, ServiceModel)
    laws = [m.endpoints[0].variants[0].steps[1] for m in (model, slowed(model, "db", 2.0))]
    before, after = (step.time for step in laws if step.do == "wait")
    assert errors_of(after) == errors_of(before)
    assert mean(after) == pytest.approx(2.0 * mean(before))
    assert after.fit is not None
    assert after.fit.high == pytest.approx(0.080)
