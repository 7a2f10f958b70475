"""Calls in the thread pool, step by step: slots are waited for inside a thread, which is taken."""

import numpy as np
import pytest
from pydantic import ValidationError

from fastsim.model import CallStep, Constant, CpuStep, RepeatStep, ServiceModel, WaitStep
from fastsim.scenario import Deployment, TrafficPlan, resolve_deployment
from fastsim.spans import StepKind
from fastsim.twin.engine import simulate
from fastsim.twin.forecast import forecast_run
from fastsim.twin.sampling import sample
from fastsim.twin.whatif import with_cpu_scaled, with_loop_cpu_scaled
from fastsim.twin.workload import Outcome
from fastsim.yaml_source import dump_yaml, parse_yaml
from tests.twin.programs import (
    FREE,
    IO,
    Call,
    Step,
    acquire,
    cpu,
    deployment,
    release,
    thread,
    wait,
    workload,
)

THREAD = workload([0.0], [[]]).kinds.index("thread")
TAKE, GIVE = acquire(1), release(1)
PATIENCE_S = 1.0


def run(
    arrivals: list[float],
    programs: list[list[Step]],
    *,
    tokens: int = 40,
    sessions: int = 1,
    patience_s: float | None = None,
) -> Outcome:
    drawn = workload(arrivals, programs, ("pool", "sessions"))
    how = deployment(tokens=tokens, sessions=sessions, patience_s=patience_s)
    return simulate(drawn, how, FREE)


def test_a_call_takes_the_time_of_its_pieces() -> None:
    query = [cpu(0.001), TAKE, wait(0.008), cpu(0.0005), GIVE, wait(0.004)]
    outcome = run([0.0], [[cpu(0.002), Call(query), cpu(0.003)]])
    assert outcome.respond_s[0] == pytest.approx(0.0185)
    # Waits inside go by their own kind, the thread's code by that of threads.
    assert outcome.wait_s[0, [THREAD, IO]] == pytest.approx([0.0015, 0.012])
    assert outcome.resource_busy_s[1] == pytest.approx(0.0085)
    assert outcome.threads.busy_s == pytest.approx(0.0135)


def test_a_plain_call_is_a_thread_step() -> None:
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(0.01, 300)).tolist()
    times = rng.exponential(0.004, (300, 2)).tolist()
    whole: list[list[Step]] = [[cpu(0.001), thread(c, w), cpu(0.002)] for c, w in times]
    pieces: list[list[Step]] = [
        [cpu(0.001), Call([cpu(c / 2.0), wait(w), cpu(c / 2.0)]), cpu(0.002)] for c, w in times
    ]
    assert run(arrivals, pieces, tokens=3).respond_s == pytest.approx(
        run(arrivals, whole, tokens=3).respond_s, abs=1e-9
    )


def test_who_waits_for_a_slot_keeps_the_thread() -> None:
    query: list[Step] = [Call([TAKE, wait(1.0), GIVE])]
    plain: list[Step] = [Call([wait(0.1)])]
    programs = [query, query, plain]
    arrivals = [0.0, 0.01, 0.02]
    assert run(arrivals, programs, tokens=2).respond_s == pytest.approx([1.0, 2.0, 1.1])
    assert run(arrivals, programs, tokens=3).respond_s == pytest.approx([1.0, 2.0, 0.12])


def held_over_two_calls() -> list[Step]:
    """A session of a ``def`` dependency: taken in one call, given back in another."""
    return [Call([TAKE, wait(0.1)]), cpu(0.001), Call([GIVE])]


def test_threads_that_wait_for_slots_lock_up_those_who_hold_them() -> None:
    """With as many waiting as there are threads, who holds the slot cannot give it back."""
    few = run([0.0, 0.01], [held_over_two_calls()] * 2, tokens=2)
    assert few.respond_s == pytest.approx([0.101, 0.202])
    many = [held_over_two_calls()] * 3
    for_ever = run([0.0, 0.01, 0.02], many, tokens=2)
    assert not np.isfinite(for_ever.respond_s).any()
    patient = run([0.0, 0.01, 0.02], many, tokens=2, patience_s=PATIENCE_S)
    # The second gives up at 1.01, and its thread gives the slot to the third an instant later.
    assert patient.failure.tolist() == [0, 1, 0]
    assert patient.respond_s == pytest.approx([1.01, 1.01, 1.111])


def test_who_gives_up_gives_back_what_the_call_and_the_request_hold() -> None:
    outer: list[Step] = [acquire(0), Call([TAKE, wait(3.0), GIVE]), release(0)]
    after: list[Step] = [acquire(0), wait(0.5), release(0)]
    outcome = run(
        [0.0, 0.1, 0.2],
        [[Call([TAKE, wait(3.0), GIVE])], outer, after],
        patience_s=PATIENCE_S,
    )
    assert outcome.failure.tolist() == [0, 1, 0]
    assert outcome.respond_s == pytest.approx([3.0, 1.1, 1.6])
    assert outcome.pool_wait_s[1] == pytest.approx(1.0)


SHOP = """\
version: 1
endpoints:
  GET /:
    - cpu: 1ms
    - thread:
        - cpu: 2ms
        - use: db
          steps: [{repeat: 3, steps: [db: 4ms, cpu: 0.5ms]}]
        - choose: {all 100%: [cache: 1ms]}
resources: {db: {size: 2, overflow: 0, timeout: 1s}}
loop: {}
"""


def test_a_model_says_what_threads_do() -> None:
    model = parse_yaml(SHOP, ServiceModel)
    [_, call] = model.endpoints[0].variants[0].steps
    assert isinstance(call, CallStep)
    drawn = sample(model, rate_per_s=1.0, duration_s=20.0, seed=1)
    outcome = simulate(drawn, resolve_deployment(model, Deployment()), model.loop)
    assert outcome.respond_s - drawn.arrival_s == pytest.approx(0.0175)
    again = parse_yaml(dump_yaml(model), ServiceModel)
    assert dump_yaml(again) == dump_yaml(model)


def test_a_processor_makes_all_code_dearer_and_the_loop_only_its_own() -> None:
    model = parse_yaml(SHOP, ServiceModel)

    def code_s(changed: ServiceModel) -> list[float]:
        cpu_step, call = changed.endpoints[0].variants[0].steps
        assert isinstance(cpu_step, CpuStep)
        assert isinstance(call, CallStep)
        assert isinstance(call.steps[0], CpuStep)
        times = cpu_step.time, call.steps[0].time
        return [time.value for time in times if isinstance(time, Constant)]

    assert code_s(with_cpu_scaled(model, 2.0)) == pytest.approx([0.002, 0.004])
    assert code_s(with_loop_cpu_scaled(model, 2.0)) == pytest.approx([0.002, 0.002])


def test_what_only_the_loop_can_do_is_refused() -> None:
    wrong = [WaitStep(kind=StepKind.DB, time=Constant(value=1.0))]
    CallStep(steps=wrong)
    text = SHOP.replace("cache: 1ms", "respond")
    with pytest.raises(Exception, match="a thread cannot do 'respond'"):
        parse_yaml(text, ServiceModel)
    with pytest.raises(ValidationError, match="a thread cannot do 'call'"):
        CallStep(steps=[RepeatStep.model_validate({"count": _two(), "steps": [_call()]})])


def _two() -> dict[str, list[float]]:
    return {"values": [2], "weights": [1.0]}


def _call() -> dict[str, object]:
    return {"do": "call", "steps": [{"do": "release", "resource": "db"}]}


def test_a_lock_up_is_overload_with_errors() -> None:
    """Forty threads and fifteen sessions: fine at a low rate, nothing but errors at a high one."""
    model = parse_yaml(
        """\
version: 1
endpoints:
  GET /:
    - thread: [{do: acquire, resource: db}, db: 100ms]
    - cpu: 1ms
    - thread: [{do: release, resource: db}]
resources: {db: {capacity: 15, timeout: 2s}}
loop: {}
""",
        ServiceModel,
    )
    runs = {
        rate: forecast_run(
            model, traffic=TrafficPlan(rate=rate, duration=40.0), replications=2, seed=1
        )[0]
        for rate in (60.0, 200.0)
    }
    assert runs[60.0].total.failed == 0
    assert runs[200.0].total.failed > 0.5 * runs[200.0].total.requests


def test_a_model_says_what_needs_no_gil() -> None:
    text = """
    version: 1
    endpoints:
      POST /login:
        - thread: [{cpu: 120ms, gil: false}]
    process: {cores: 2}
    """
    model = parse_yaml(text, ServiceModel)
    [step] = model.endpoints[0].variants[0].steps
    assert isinstance(step, CallStep)
    assert parse_yaml(dump_yaml(model), ServiceModel) == model
    traffic = TrafficPlan(rate=12.0, duration=20.0)
    # 1.44 of two cores: Python's code would be far beyond what one GIL lets through.
    run = forecast_run(model, traffic=traffic, replications=2).run
    assert run.capacity is not None
    assert run.capacity.resource == "processor"
    assert run.capacity.per_s == pytest.approx(2.0 / 0.12, rel=0.05)


def test_native_code_cannot_be_blocking() -> None:
    with pytest.raises(ValidationError, match="it computes"):
        CpuStep(time=Constant(value=0.01), gil=False, blocking=0.5)
