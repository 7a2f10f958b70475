"""Tasks of which only the first is waited for, or none.

That passes are those of CPython is held in ``tests/virtual``; here is what it cannot show: threads,
uvloop, failures, the account of time.
"""

import numpy as np
import pytest

from fastsim.means import step_mean_s
from fastsim.model import LoopCosts, ServiceModel
from fastsim.scenario import Deployment, ResolvedDeployment, resolve_deployment
from fastsim.twin import engine, sample, sample_at, simulate
from fastsim.twin.workload import Outcome
from fastsim.yaml_source import parse_yaml


def service(*steps: str, resources: str = "{db: 1}") -> ServiceModel:
    body = "".join(f"    - {step}\n" for step in steps)
    text = f"version: 1\nendpoints:\n  GET /:\n{body}resources: {resources}\nloop: {{}}\n"
    return parse_yaml(text, ServiceModel)


def at(arrivals: list[float], model: ServiceModel) -> Outcome:
    drawn = sample_at(model, np.array(arrivals), np.zeros(len(arrivals), np.int64), 1)
    return simulate(drawn, resolve_deployment(model, Deployment()), model.loop)


def test_the_first_decides_and_its_time_counts() -> None:
    model = service("{parallel: [[http: 30ms], [http: 10ms, cpu: 2ms]], join: first}", "cpu: 1ms")
    outcome = at([0.0], model)
    assert outcome.respond_s == pytest.approx([0.013])
    assert outcome.wait_s.sum() == pytest.approx(0.010)
    assert outcome.running_s == pytest.approx([0.003])
    assert step_mean_s(model.endpoints[0].variants[0].steps[0]) == pytest.approx(0.012)


def test_who_loses_gives_back_its_slot_and_does_no_more() -> None:
    holds = "{use: db, steps: [db: 500ms, cpu: 100ms]}"
    model = service(f"{{parallel: [[{holds}], [http: 10ms]], join: first}}", "cpu: 1ms", holds)
    outcome = at([0.0, 1.0], model)
    # The slot is free again for the request itself, once its code has run and the loser has seen
    # that it is cancelled: 10 + 1 + 500 + 100 ms.
    assert outcome.respond_s == pytest.approx([0.611, 1.611])
    assert outcome.loop_busy_s == pytest.approx([0.202])
    assert outcome.resource_busy_s[0] == pytest.approx(2 * 0.611)


def test_a_thread_goes_on_when_its_task_is_cancelled() -> None:
    model = service("{parallel: [[{thread: 0ms, off_gil: 50ms}], [http: 10ms]], join: first}")
    deployed = Deployment(thread_tokens=1)
    drawn = sample(model, rate_per_s=100.0, duration_s=2.0, seed=1)
    outcome = simulate(drawn, resolve_deployment(model, deployed), model.loop)
    assert outcome.respond_s - drawn.arrival_s == pytest.approx(0.010, abs=1e-6)
    # Every call runs to its end, 50 ms each.
    assert outcome.threads.busy_s == pytest.approx(0.050 * len(drawn))


def test_a_thread_that_waits_for_a_slot_gets_it_all_the_same() -> None:
    call = "{thread: [{use: db, steps: [db: 100ms]}]}"
    model = service(f"{{parallel: [[{call}], [http: 10ms]], join: first}}", "cpu: 1ms")
    outcome = at([0.0, 0.001], model)
    assert outcome.respond_s == pytest.approx([0.011, 0.012])
    assert outcome.resource_acquires[0] == 2
    assert outcome.resource_busy_s[0] == pytest.approx(0.200)


def test_a_first_one_that_fails_fails_the_request_and_a_loser_does_not() -> None:
    gives_up = "{use: db, steps: [db: 1s]}"
    pool = "{db: {capacity: 1, timeout: 20ms}}"
    model = service(
        f"{{parallel: [[{gives_up}], [sleep: 50ms]], join: first}}", gives_up, resources=pool
    )
    outcome = at([0.0, 0.100], model)
    # The first holds the slot until it loses, and takes it again; the second finds none.
    assert outcome.failure.tolist() == [0, 1]
    assert outcome.respond_s[1] == pytest.approx(0.120)


def test_nobody_waits_for_a_task_of_its_own() -> None:
    beside = "{parallel: [[cpu: 4ms, http: 100ms, cpu: 6ms]], join: none}"
    model = service("cpu: 1ms", beside, "http: 2ms", "cpu: 1ms")
    outcome = at([0.0], model)
    # Its first code runs while the request waits, which is longer for it.
    assert outcome.respond_s == pytest.approx([0.006])
    assert outcome.running_s == pytest.approx([0.002])
    assert outcome.loop_wait_s == pytest.approx([0.002])
    assert outcome.loop_busy_s == pytest.approx([0.012])
    assert step_mean_s(model.endpoints[0].variants[0].steps[1]) == 0.0


TINY = LoopCosts(accept=1.1e-7, per_event=2.3e-8, per_pass=1.7e-8, per_suspend=1.3e-8)
"""So that two things seldom happen at once."""
MIXED = service(
    "cpu: {exponential: 1ms}",
    "parallel: [[{use: db, steps: [db: {exponential: 6ms}, cpu: {exponential: 1ms}]}], "
    "[sleep: {exponential: 8ms}, cpu: {exponential: 1ms}], "
    "[{thread: {exponential: 1ms}, off_gil: {exponential: 5ms}}]]\n      join: first",
    "{parallel: [[cpu: {exponential: 2ms}, http: {exponential: 9ms}]], join: none}",
    "cpu: {exponential: 1ms}",
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("gil", [True, False])
def test_the_same_by_the_clock_of_a_host(
    monkeypatch: pytest.MonkeyPatch, loop: str, gil: bool
) -> None:
    update = {"loop": loop, "gil": gil, "cores": 100}
    deployed = resolve_deployment(MIXED, Deployment()).model_copy(update=update)

    def respond_s(*, hosted: bool, deployed: ResolvedDeployment) -> list[float]:
        monkeypatch.setattr(engine, "_crowded", lambda *_: hosted)
        drawn = sample(MIXED, rate_per_s=100.0, duration_s=5.0, seed=2)
        outcome = simulate(drawn, deployed, TINY)
        assert np.isfinite(outcome.respond_s).all()
        found: list[float] = outcome.respond_s.tolist()
        return found

    alone = respond_s(hosted=False, deployed=deployed)
    assert respond_s(hosted=True, deployed=deployed) == pytest.approx(alone, abs=1e-9)
