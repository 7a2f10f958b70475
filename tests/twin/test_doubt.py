"""A comparison allows for a machine that ran at another speed than while recording."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fastsim.model import LoopCosts, ServiceModel, SpeedDoubt, Wander
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.compare import compare
from fastsim.twin.counterpart import FromReplications
from fastsim.twin.doubt import cpu_log, speed_sd, speed_warning
from fastsim.twin.forecast import make_plan
from fastsim.twin.live import LiveSample, simulate_live
from fastsim.twin.replicate import Replications, replicate, simulate_once
from fastsim.twin.whatif import with_cpu_scaled

RATE, DURATION_S = 25.0, 20.0


def costs(error: float, drift: float = 0.0, over: float = 10.0, **more: object) -> LoopCosts:
    doubt = SpeedDoubt(error=error, drift=drift, over=over)
    return LoopCosts(doubt=doubt, **more)


def service(loop: LoopCosts) -> ServiceModel:
    """10 ms of code: a quarter busy at the rate of these tests."""
    code = {"do": "cpu", "time": {"family": "gamma", "mean": 0.01, "shape": 4.0}}
    return ServiceModel.model_validate(
        {
            "service": "s",
            "loop": loop.model_dump(),
            "endpoints": [{"name": "GET /", "share": 1.0, "variants": [{"steps": [code]}]}],
        }
    )


def live_of(model: ServiceModel, seed: int) -> LiveSample:
    """A run of the service, as it would be measured."""
    traffic = TrafficPlan(rate=RATE, duration=DURATION_S)
    found = simulate_once(make_plan(model, traffic, Deployment()), seed)
    return LiveSample(
        endpoints=found.endpoints,
        endpoint=found.endpoint,
        at_s=found.at_s,
        latency_s=found.client_s,
        ok=np.ones(len(found.client_s), np.bool_),
        rate_per_s=RATE,
        duration_s=DURATION_S,
    )


def test_without_doubt_there_is_one_speed() -> None:
    assert speed_sd(LoopCosts(), 10.0) == 0.0
    assert cpu_log(LoopCosts(), 10.0, 1) == 0.0


def test_recording_and_live_run_both_drift() -> None:
    assert speed_sd(costs(0.03), 10.0) == pytest.approx(0.03)
    assert speed_sd(costs(0.03, 0.03), 10.0) == pytest.approx(0.03 * math.sqrt(2.0))
    assert speed_sd(costs(0.03, 0.03), 90.0) == pytest.approx(0.03 * math.sqrt(1.0 + 1.0 / 9.0))
    # Nobody has compared stretches shorter than a sixteenth of the recording.
    assert speed_sd(costs(0.03, 0.03), 1e-3) == pytest.approx(0.03 * math.sqrt(17.0))


def test_what_is_simulated_as_wandering_counts_once() -> None:
    quick = Wander(sigma=0.3, window=0.2, correlation=0.0)
    simulated = 0.3**2 * 0.2 / 10.0
    found = speed_sd(costs(0.05, 0.05, wander=quick), 10.0)
    assert found == pytest.approx(math.sqrt(2.0 * 0.05**2 - simulated))


def test_draws_follow_the_seed() -> None:
    doubtful = costs(0.05)
    draws = [cpu_log(doubtful, 10.0, seed) for seed in range(400)]
    assert np.std(draws) == pytest.approx(0.05, rel=0.1)
    assert draws[:3] == [cpu_log(doubtful, 10.0, seed) for seed in range(3)]


def test_each_replication_runs_at_its_own_speed() -> None:
    model = service(costs(0.1))
    traffic = TrafficPlan(rate=RATE, duration=DURATION_S)
    plan = make_plan(model, traffic, Deployment(), doubtful=True)
    found = replicate(plan, replications=5, seed=3)
    usual = replicate(replace(plan, doubtful=False), replications=5, seed=3)
    factor = np.exp(found.cpu_logs())
    busy = found.each(lambda run: run.loop.utilisation)
    assert busy == pytest.approx(factor * usual.each(lambda run: run.loop.utilisation), rel=0.02)
    assert not usual.cpu_logs().any()


def test_a_machine_that_drifts_as_it_did_is_not_held_against_the_twin() -> None:
    """Six live runs, each on a machine 22 % slower or faster, one standard error."""
    sure, doubtful = service(LoopCosts()), service(costs(0.2))
    said: dict[str, list[str]] = {"sure": [], "doubtful": []}
    for number, factor in enumerate((1.22, 1.0 / 1.22) * 3):
        live = live_of(with_cpu_scaled(sure, factor), seed=number)
        for name, model in (("sure", sure), ("doubtful", doubtful)):
            twin = simulate_live(model, live, replications=40, seed=1)
            said[name].append(compare(twin, live).verdict)
    assert "off" not in said["doubtful"]
    assert "agrees" not in said["doubtful"]
    assert said["sure"].count("off") >= 4


def test_a_twin_that_is_wrong_by_more_is_off_all_the_same() -> None:
    live = live_of(service(LoopCosts()), seed=1)
    slow = with_cpu_scaled(service(costs(0.02)), 1.4)
    found = compare(simulate_live(slow, live, replications=40, seed=1), live)
    assert found.verdict == "off"


def test_how_long_a_run_would_tell_knows_what_it_would_not_lessen() -> None:
    def fixed(loop: LoopCosts) -> float:
        live = live_of(service(LoopCosts()), seed=1)
        found: Replications = simulate_live(service(loop), live, replications=40, seed=1)
        row = FromReplications(found, "client").compared(None, "p50", 0.02, 1000, 0.1)
        assert row is not None
        return row[0].fixed

    assert fixed(LoopCosts()) == 0.0
    assert fixed(costs(0.01)) < fixed(costs(0.05)) < fixed(costs(0.15)) < 1.0
    # A drift of the live run is lessened by a longer one.
    assert fixed(costs(0.05, 0.05, over=20.0)) < 0.6 * fixed(costs(0.05))


def test_a_speed_that_changed_is_said() -> None:
    assert speed_warning(costs(0.005), 10.0) == []
    [said] = speed_warning(costs(0.05), 10.0)
    assert "10% more or less CPU" in said
    live = live_of(service(LoopCosts()), seed=1)
    found = compare(simulate_live(service(costs(0.05)), live, replications=20), live)
    assert said in found.warnings
