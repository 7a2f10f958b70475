"""Short forms of model files: what they stand for, and what is said about mistakes."""

import json
import math
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.distributions import mean, percentile, quantile
from fastsim.errors import FastSimError
from fastsim.model import (
    ChooseStep,
    Constant,
    Distribution,
    Expon,
    ParallelStep,
    RepeatStep,
    ServiceModel,
    Step,
    StreamStep,
    UseStep,
    WaitStep,
)
from fastsim.scenario import Deployment, TrafficPlan, resolve_deployment
from fastsim.short_forms import DEFAULT_COSTS_WARNING
from fastsim.spans import StepKind, Via
from fastsim.twin import forecast_run, sample, simulate
from fastsim.yaml_source import SourceError, dump_yaml, parse_yaml

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "model.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)


def model(text: str) -> ServiceModel:
    return parse_yaml(text, ServiceModel)


def steps(*lines: str) -> list[Step]:
    body = "".join(f"    - {line}\n" for line in lines)
    text = f"endpoints:\n  GET /:\n{body}resources: {{db: 5}}\nloop: {{}}\n"
    return model(text).endpoints[0].variants[0].steps


def law(text: str) -> Distribution:
    [step] = steps(f"db: {text}")
    assert isinstance(step, WaitStep)
    return step.time


def problems(text: str) -> list[tuple[int, str, str | None]]:
    with pytest.raises(SourceError) as caught:
        model(text)
    return [(p.place.line + 1, p.message, p.hint) for p in caught.value.problems]


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_of_the_reference_run(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [own] = re.findall(r"```python\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    (tmp_path / "quota.py").write_text(own)
    monkeypatch.chdir(tmp_path)
    found = model(block)
    drawn = sample(found, rate_per_s=20.0, duration_s=5.0, seed=1)
    outcome = simulate(drawn, resolve_deployment(found, Deployment()), found.loop)
    assert np.isfinite(outcome.done_s).all()


def test_the_first_example_is_ten_lines_and_complete() -> None:
    block = BLOCKS[0]
    assert len(block.splitlines()) <= 13
    found = model(block)
    assert [round(endpoint.share, 9) for endpoint in found.endpoints] == [0.4, 0.6]
    assert found.resources["db"].capacity == 5
    assert found.warnings == [DEFAULT_COSTS_WARNING]
    assert found.loop.accept > 0.0


def test_an_answer_says_that_it_rests_on_usual_costs() -> None:
    for loop, said in (("", [DEFAULT_COSTS_WARNING]), ("loop: {}", [])):
        found = model(f"endpoints: {{GET /: [cpu: 1ms]}}\n{loop}")
        traffic = TrafficPlan(rate=20.0, duration=60.0)
        run = forecast_run(found, traffic=traffic, replications=2).run
        assert [each for each in run.warnings if each == DEFAULT_COSTS_WARNING] == said


def test_a_model_survives_being_written_in_its_long_form() -> None:
    for block in BLOCKS:
        found = model(block)
        again = model(dump_yaml(found))
        assert dump_yaml(again) == dump_yaml(found)


def test_steps_hold_others() -> None:
    use, parallel, choose, repeat, stream, sleep = steps(
        "{use: db, steps: [{db: 3ms}, respond]}",
        "parallel: [[http: 1ms], {count: 3, steps: [http: 2ms]}]",
        "choose: {hit 90%: [cache: 1ms], miss: [db: 2ms]}",
        "{repeat: 4, steps: [yield]}",
        "{stream: 7, gap: 1ms, cpu: 10us}",
        "sleep: {exponential: 5ms}",
    )
    assert isinstance(use, UseStep)
    assert [step.do for step in use.steps] == ["wait", "respond"]
    assert isinstance(parallel, ParallelStep)
    assert [branch.count.values for branch in parallel.branches] == [[1], [3]]
    assert isinstance(choose, ChooseStep)
    assert [(w.name, round(w.share, 9)) for w in choose.ways] == [("hit", 0.9), ("miss", 0.1)]
    assert isinstance(repeat, RepeatStep)
    assert repeat.count.values == [4]
    assert isinstance(stream, StreamStep)
    assert (stream.kind, stream.chunks.values, stream.gap) == (
        StepKind.LLM, [7], Constant(value=0.001)
    )  # fmt: skip
    assert isinstance(sleep, WaitStep)
    assert (sleep.kind, sleep.via, sleep.time) == (StepKind.SLEEP, Via.TIMER, Expon(mean=0.005))


def test_laws_by_what_people_know_of_them() -> None:
    assert law("8ms") == Constant(value=0.008)
    assert law("{exponential: 8ms, shift: 2ms}") == Expon(mean=0.008, shift=0.002)
    by_p95 = law("{lognormal: {median: 8ms, p95: 21ms}}")
    assert percentile(by_p95, 0.5) == pytest.approx(0.008)
    assert percentile(by_p95, 0.95) == pytest.approx(0.021)
    for name in ("lognorm", "gamma"):
        found = law(f"{{{name}: {{mean: 30ms, sd: 12ms}}}}")
        draws = quantile(found, (np.arange(200_000) + 0.5) / 200_000)
        assert mean(found) == pytest.approx(0.030, rel=1e-9)
        assert draws.std() == pytest.approx(0.012, rel=0.01)
    assert mean(law("{erlang: {mean: 9ms, k: 3}}")) == pytest.approx(0.009)
    assert mean(law("{uniform: {low: 5ms, high: 9ms}}")) == pytest.approx(0.007)
    mixed = law("{mixture: {weights: [9, 1], parts: [8ms, {exponential: 50ms}]}}")
    assert mean(mixed) == pytest.approx(0.9 * 0.008 + 0.1 * 0.050)


def test_work_of_no_request_takes_laws_too() -> None:
    jobs = "[{name: tick, every: 1s, time: {exponential: 5ms}}, {every: 2s, time: 1ms}]"
    found = model(f"endpoints: {{GET /: [cpu: 1ms]}}\nloop: {{background: {jobs}}}")
    assert [work.time for work in found.loop.background] == [
        Expon(mean=0.005),
        Constant(value=0.001),
    ]
    wrong = "endpoints: {GET /: [cpu: 1ms]}\nloop:\n  background:\n    - {every: 1s, time: 5}"
    [(line, message, _)] = problems(wrong)
    assert (line, message) == (4, "5 is not a duration")


def test_every_mistake_is_told_where_it_was_written() -> None:
    text = """\
endpoints:
  GET /a:
    share: 40%
    steps:
      - cpu: 8
      - use: db
        steps: [{db: {lognormall: {median: 8ms, p95: 21ms}}}]
      - paralel: [[http: 20ms]]
      - db: {normal: {mean: 3ms, sd: 1ms}}
      - choose: {hit 90%: [cache: 0.4ms], miss 20%: [db: 40ms]}
      - http: {lognorm: {median: 30ms, p95: 2ms}}
      - cpu: 3ms
        blocked: 5%
      - respnd
      - {cpu: 1ms, db: 2ms}
      - {uniform: {low: 1ms}}
      - db: {uniform: {low: 1ms}}
      - db: {gamma: 3}
      - db: {expon: 1ms, gamma: 2ms}
  GET /b: {share: 50%, steps: [cpu: 3sec]}
resources: {db: 5}
"""
    found = problems(text)
    assert [line for line, _, _ in found] == [1, 5, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20]
    said = {line: (message, hint or "") for line, message, hint in found}
    assert said[1][0] == "the shares of the endpoints add up to 90%, not 100%"
    assert said[7] == ("unknown law 'lognormall'", "did you mean 'lognormal'?")
    assert said[8] == ("unknown step 'paralel'", "did you mean 'parallel'?")
    assert "{gamma: {mean: 30ms, sd: 12ms}}" in said[9][1]
    assert said[10][0] == "the shares of the ways add up to 110%, not 100%"
    assert said[13] == ("unknown key 'blocked'", "did you mean 'blocking'?")
    assert said[15][0] == "a step is either cpu or db"
    assert said[17][0] == "a uniform law lies between low and high"
    assert said[19][0] == "a law has one name"


def test_a_problem_is_named_as_it_was_written() -> None:
    text = "endpoints:\n  GET /a:\n    steps:\n      - use: db\n        steps: [cpu: 3]\n"
    with pytest.raises(SourceError) as caught:
        model(text)
    [problem] = caught.value.problems
    assert problem.path == ("endpoints", "GET /a", "steps", 0, "steps", 0, "cpu")


def test_a_resource_that_is_not_listed() -> None:
    [(_, message, hint)] = problems("endpoints: {GET /: [{use: db, steps: [cpu: 1ms]}]}")
    assert "uses resource 'db'" in message
    assert hint == "write there, for example, db: 10"


def test_a_pool_as_sqlalchemy_names_it() -> None:
    top = "endpoints: {GET /: [cpu: 1ms]}\n"
    found = model(top + "resources: {db: {size: 5, overflow: 10, timeout: 2s}}")
    assert (found.resources["db"].capacity, found.resources["db"].timeout) == (15, 2.0)
    [wrong] = problems(top + "resources: {db: {size: five}}")
    assert wrong == (2, "'five' is not a whole number", None)


def test_a_loop_that_costs_nothing_must_be_said() -> None:
    free = model("endpoints: {GET /: [cpu: 1ms]}\nloop: {}")
    assert free.loop.accept == 0.0
    assert not free.warnings


TOKENS = st.sampled_from(
    ["cpu", "db", "use", "steps", "parallel", "choose", "repeat", "do", "share", "lognorm", "x",
     "endpoints", "resources", "variants", "mixture", "parts", "family", "shift", "uniform"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(["1ms", "50%", "respond", "db", "", "-3ms", "1e999ms"]),
        st.integers(-2, 9), st.none(), st.booleans(), st.floats(allow_nan=False),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TOKENS, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(VALUES, VALUES, VALUES)
def test_whatever_stands_there_is_read_or_refused(
    first: object, second: object, third: object
) -> None:
    text = json.dumps({"endpoints": {"GET /": first, "GET /b": [second]}, "resources": third})
    with suppress(FastSimError):
        found = model(text)
        total = sum(endpoint.share for endpoint in found.endpoints)
        assert math.isclose(total, 1.0, abs_tol=0.01)
