"""What each phase of the traffic was like."""

import pytest

from fastsim.errors import InputError
from fastsim.model import Burst, ServiceModel, Traffic
from fastsim.phases import parse_phases
from fastsim.result import PhaseResult
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.forecast import forecast_run
from fastsim.twin.goals import parse_goals
from fastsim.twin.limit import find_limit
from fastsim.twin.planning import make_plan
from fastsim.twin.size import find_size
from fastsim.twin.trial import judge_trial, replicate_trial
from fastsim.yaml_source import parse_yaml

MODEL = """\
version: 1
loop: {}
endpoints:
  GET /a: {share: 50%, steps: [cpu: 5ms]}
  GET /b: {share: 50%, steps: [cpu: 5ms, db: 20ms]}
"""
SPIKE = "10s x1, spike: 5s x5, after: 15s x1"


def model() -> ServiceModel:
    return parse_yaml(MODEL, ServiceModel)


def plan(rate: float = 60.0, phases: str = SPIKE) -> TrafficPlan:
    return TrafficPlan(rate=rate, phases=parse_phases(phases), warmup=1.0)


def test_a_spike_beyond_capacity_is_seen_in_its_phase() -> None:
    # 200/s are the capacity: 300/s for 5 s leave 500 requests behind, which take 3.6 s more.
    traffic = plan().model_copy(update={"mix": {"GET /a": 1.0}})
    run, _ = forecast_run(model(), traffic=traffic, replications=4, slo=["p95 < 100ms"])
    before, spike, after = run.phases
    assert [phase.name for phase in run.phases] == ["phase 1", "spike", "after"]
    assert before.total.latency is not None
    assert before.total.latency.p95.value < 0.1
    assert spike.waiting == pytest.approx(500.0, rel=0.15)
    assert spike.utilisation == pytest.approx(1.0, abs=0.02)
    assert spike.end_per_s == pytest.approx(300.0)
    assert after.waiting < 20.0
    assert sum(phase.total.requests for phase in run.phases) == run.total.requests
    assert run.rate_per_s == pytest.approx(100.0)
    assert run.verdict == "no"
    assert run.slo[0].phase == "spike"
    assert spike.total.latency is not None
    assert run.slo[0].value == spike.total.latency.p95.value
    assert any(text.startswith("spike: more arrives than leaves") for text in run.warnings)
    assert run.capacity is not None
    assert run.capacity.per_s == pytest.approx(200.0, rel=0.05)


def test_a_goal_counts_in_every_phase() -> None:
    # The spike is so short that the p95 of all requests does not see it.
    short = "100s x1, spike: 1s x6, after: 20s x1"
    run, _ = forecast_run(
        model(), traffic=plan(phases=short), replications=3, slo=["p95 < 300ms", "errors < 1%"]
    )
    assert run.total.latency is not None
    assert run.total.latency.p95.value < 0.3
    assert run.verdict == "no"
    assert (run.slo[0].met, run.slo[0].phase) == (False, "spike")


def test_a_mix_of_its_own() -> None:
    traffic = TrafficPlan.model_validate(
        {
            "rate": 50.0,
            "phases": [
                {"for": 20.0, "rate": "x1"},
                {"for": 20.0, "rate": "x1", "mix": {"GET /b": 0.9}},
            ],
        }
    )
    _, found = forecast_run(model(), traffic=traffic, replications=2)
    for measures in found.runs:
        first = measures.endpoint[measures.at_s < 20.0].mean()
        second = measures.endpoint[measures.at_s >= 20.0].mean()
        assert first == pytest.approx(0.5, abs=0.06)
        assert second == pytest.approx(0.9, abs=0.06)


def test_the_limit_of_a_spike_is_that_of_its_peak() -> None:
    goals = parse_goals(["p95 < 100ms"], ["GET /a", "GET /b"])
    # A spike that lasts: it holds as high as a constant load does.
    shape = "5s x1, 30s x2"
    spiky = find_limit(make_plan(model(), plan(phases=shape), Deployment()), goals, replications=4)
    even = find_limit(
        make_plan(model(), TrafficPlan(rate=60.0, warmup=1.0), Deployment()), goals, replications=4
    )
    assert spiky.rate is not None
    assert even.rate is not None
    assert spiky.peak is not None
    assert spiky.unit is not None
    assert spiky.peak * spiky.rate.value == pytest.approx(even.rate.value, rel=0.05)
    assert spiky.peak == pytest.approx(2.0 * spiky.unit)
    assert spiky.saturation.value == pytest.approx(even.saturation.value, rel=0.05)


def test_a_size_for_a_spike() -> None:
    goals = parse_goals(["p95 < 100ms"], ["GET /a", "GET /b"])
    found = find_size(
        make_plan(model(), plan(), Deployment(cores=4)), goals, {"deployment.workers": [1, 2, 3]}
    )
    assert found.best is not None
    assert found.best.settings == {"deployment.workers": 2.0}


def test_a_trial_is_judged_by_its_worst_phase() -> None:
    goals = parse_goals(["p95 < 100ms"], ["GET /a", "GET /b"])
    whole = make_plan(model(), plan(), Deployment())
    trial = judge_trial(replicate_trial(whole, goals, replications=2, seed=1), goals)
    assert trial.margin > 5.0
    assert trial.overloaded == 0.0


def test_bursts_are_repeated_as_they_were_recorded() -> None:
    bursty = model().model_copy(
        update={
            "traffic": Traffic(
                rate=100.0,
                duration=60.0,
                pattern="bursty",
                burst=Burst(dispersion=40.0, memory=0.5),
            )
        }
    )
    traffic = TrafficPlan(rate=100.0, duration=30.0)
    by_chance, _ = forecast_run(bursty, traffic=traffic, replications=4)
    as_recorded, _ = forecast_run(
        bursty, traffic=traffic.model_copy(update={"arrivals": "bursty"}), replications=4
    )
    assert any("came in bursts" in text for text in by_chance.warnings)
    assert not any("came in bursts" in text for text in as_recorded.warnings)
    assert as_recorded.total.latency is not None
    assert by_chance.total.latency is not None
    assert as_recorded.total.latency.p95.value > 1.5 * by_chance.total.latency.p95.value
    with pytest.raises(InputError, match="no bursts"):
        make_plan(model(), TrafficPlan(rate=1.0, arrivals="bursty"), Deployment())


def test_phases_have_a_json_form() -> None:
    run, _ = forecast_run(model(), traffic=plan(phases="2s x1, 2s x2"), replications=2)
    again = type(run).model_validate_json(run.model_dump_json())
    assert again.phases == run.phases
    assert isinstance(again.phases[0], PhaseResult)
