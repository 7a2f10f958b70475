"""What the loop does for no request takes it from the requests."""

import numpy as np
import pytest

from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin import engine, sample, simulate
from fastsim.twin.whatif import with_cpu_scaled
from fastsim.twin.workload import Outcome, Workload
from fastsim.yaml_source import parse_yaml

MODEL = """
endpoints: {{GET /: [cpu: {code}, http: 20ms, cpu: 1us]}}
loop: {{background: {jobs}}}
process: {{workers: {workers}, cores: {workers}}}
"""
CHANCE = "[{every: 50ms, time: {family: constant, value: 10ms}}]"
STEADY = "[{name: tick, every: 50ms, time: {family: constant, value: 10ms}, regular: true}]"


def model(jobs: str, code: str = "1us", workers: int = 1) -> ServiceModel:
    return parse_yaml(MODEL.format(jobs=jobs, code=code, workers=workers), ServiceModel)


def ran(service: ServiceModel, rate: float, n: int) -> tuple[Workload, Outcome]:
    drawn = sample(service, rate_per_s=rate, duration_s=n / rate, seed=3)
    return drawn, simulate(drawn, resolve_deployment(service, Deployment()), service.loop)


@pytest.mark.parametrize("jobs", [CHANCE, STEADY])
def test_requests_wait_for_the_rest_of_a_run(jobs: str) -> None:
    drawn, outcome = ran(model(jobs), 100.0, 40_000)
    assert outcome.loop_busy_s.sum() / outcome.end_s == pytest.approx(0.2, rel=0.03)
    # A fifth of the requests, and of their answers, come in a run: half of its 10 ms is left.
    before = outcome.start_s - drawn.arrival_s
    assert (before > 1e-5).mean() == pytest.approx(0.2, rel=0.06)
    assert before.mean() == pytest.approx(0.2 * 0.005, rel=0.08)
    took = outcome.respond_s - drawn.arrival_s
    assert took.mean() == pytest.approx(0.020 + 2 * 0.2 * 0.005, rel=0.01)
    assert (outcome.running_s < 1e-5).all()


def test_it_ends_with_the_requests_and_changes_nothing_of_what_they_draw() -> None:
    _, alone = ran(model("[]", "2ms"), 50.0, 500)
    drawn, beside = ran(model(CHANCE, "2ms"), 50.0, 500)
    assert np.isfinite(beside.done_s).all()
    assert beside.running_s == pytest.approx(alone.running_s)
    assert beside.end_s < drawn.arrival_s[-1] + 3.0


def test_requests_that_never_end_do_not_keep_it_going() -> None:
    service = parse_yaml(
        "endpoints: {GET /: [{do: acquire, resource: a}, cpu: 1ms]}\n"
        f"resources: {{a: 2}}\nloop: {{background: {CHANCE}}}",
        ServiceModel,
    )
    _, outcome = ran(service, 20.0, 60)
    assert np.isfinite(outcome.done_s).sum() == 2


def test_every_worker_has_its_own() -> None:
    _, outcome = ran(model(STEADY, workers=3), 60.0, 3_000)
    assert outcome.loop_busy_s / outcome.end_s == pytest.approx([0.2] * 3, rel=0.05)


def test_it_is_the_same_by_the_clock_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    service = model(CHANCE, "3ms")
    found = []
    for crowded in (False, True):
        monkeypatch.setattr(engine, "_crowded", lambda *_, crowded=crowded: crowded)
        found.append(ran(service, 80.0, 600)[1])
    np.testing.assert_allclose(found[0].respond_s, found[1].respond_s, rtol=0.0, atol=1e-9)


def test_it_takes_longer_on_a_slower_machine() -> None:
    service = with_cpu_scaled(model(STEADY), 1.5)
    _, outcome = ran(service, 10.0, 600)
    assert outcome.loop_busy_s.sum() / outcome.end_s == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("last", ["cpu: 4s", "{thread: 1ms, off_gil: 4s}"])
def test_what_takes_long_at_the_end_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    jobs = "[{every: 3s, time: 1ms}]"
    text = f"endpoints: {{GET /: [{last}]}}\nloop: {{background: {jobs}}}"
    for crowded in (False, True):
        monkeypatch.setattr(engine, "_crowded", lambda *_, crowded=crowded: crowded)
        _, outcome = ran(parse_yaml(text, ServiceModel), 0.5, 3)
        assert np.isfinite(outcome.done_s).all()
