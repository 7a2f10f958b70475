"""A comparison allows for a machine that ran at another speed than while recording."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fastsim.distributions import mean as distribution_mean_s
from fastsim.model import ColdCost, CpuStep, LoopCosts, ServiceModel, SpeedDoubt, Wander
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.compare import compare
from fastsim.twin.counterpart import FromReplications
from fastsim.twin.doubt import (
    Processor,
    busy_loop_sd,
    draw_processor,
    in_surroundings,
    on_processor,
    processor_warnings,
    speed_sd,
)
from fastsim.twin.live import LiveSample, simulate_live
from fastsim.twin.planning import make_plan
from fastsim.twin.replicate import Replications, replicate
from fastsim.twin.simulation import simulate_once
from fastsim.twin.statistics import METRICS
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
    assert draw_processor(LoopCosts(), 10.0, 1) == Processor(0.0, 0.0, 0.0)


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
    draws = [draw_processor(doubtful, 10.0, seed) for seed in range(400)]
    assert np.std([each.cpu_log for each in draws]) == pytest.approx(0.05, rel=0.1)
    assert draws[:3] == [draw_processor(doubtful, 10.0, seed) for seed in range(3)]


def test_each_replication_runs_at_its_own_speed() -> None:
    model = service(costs(0.1))
    traffic = TrafficPlan(rate=RATE, duration=DURATION_S)
    plan = make_plan(model, traffic, Deployment(), doubtful=True)
    found = replicate(plan, replications=5, seed=3)
    usual = replicate(replace(plan, doubtful=False), replications=5, seed=3)
    factor = np.exp([each.cpu_log for each in found.processors()])
    busy = found.each(lambda run: run.loop.utilisation)
    assert busy == pytest.approx(factor * usual.each(lambda run: run.loop.utilisation), rel=0.02)
    assert not usual.processors()


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
    assert said["sure"].count("off") >= 3


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
    assert fixed(costs(0.05, 0.05, over=20.0)) < 0.7 * fixed(costs(0.05))


def test_a_speed_that_changed_is_said() -> None:
    assert processor_warnings(costs(0.005), 10.0) == []
    [said] = processor_warnings(costs(0.05), 10.0)
    assert "10% more or less CPU" in said
    live = live_of(service(LoopCosts()), seed=1)
    found = compare(simulate_live(service(costs(0.05)), live, replications=20), live)
    assert said in found.warnings


# --- what idleness adds to the cost of code ----------------------------------------------


def cold(extra: float, error: float, seen: float) -> LoopCosts:
    return LoopCosts(cold=ColdCost(extra=extra, error=error, seen=seen))


def test_draws_of_the_cost_of_idleness_are_never_below_zero() -> None:
    drawn = [draw_processor(cold(0.1, 0.1, 0.3), 10.0, seed).cold_extra for seed in range(400)]
    assert min(drawn) == 0.0
    assert np.mean(np.array(drawn) == 0.0) == pytest.approx(0.16, abs=0.05)
    assert np.median(drawn) == pytest.approx(0.1, abs=0.02)


def test_doubt_about_warmth_is_of_where_it_saves_something() -> None:
    law = cold(0.2, 0.1, 0.4)
    none = law.model_copy(update={"cold": law.cold.model_copy(update={"less_error": 0.1})})
    assert {draw_processor(none, 10.0, seed).less for seed in range(20)} == {0.0}
    some = law.model_copy(
        update={"cold": law.cold.model_copy(update={"less": 0.1, "less_error": 0.1, "warm": 0.4})}
    )
    drawn = [draw_processor(some, 10.0, seed).less for seed in range(400)]
    # Never none, which would make idleness another law.
    assert 0.0 < min(drawn) < 1e-5
    assert np.median(drawn) == pytest.approx(0.1, abs=0.02)
    model = service(some)
    other = on_processor(model, Processor(0.0, 0.2, 0.6))
    [before], [after] = (
        [step.time for step in each.endpoints[0].variants[0].steps if isinstance(step, CpuStep)]
        for each in (model, other)
    )
    kept = (1.0 + 0.2 * 0.4 - 0.1 * 0.4) / (1.0 + 0.2 * 0.4 - 0.6 * 0.4)
    assert distribution_mean_s(after) == pytest.approx(kept * distribution_mean_s(before))


def test_what_the_recording_knows_of_code_stays() -> None:
    model = service(cold(0.2, 0.1, 0.4))
    other = on_processor(model, Processor(0.0, 0.5, 0.0))
    [before], [after] = (
        [step.time for step in each.endpoints[0].variants[0].steps if isinstance(step, CpuStep)]
        for each in (model, other)
    )
    assert other.loop.cold.extra == 0.5
    # At the recorded idleness the same total, on a busy loop less.
    known = distribution_mean_s(before) * (1.0 + 0.2 * 0.4)
    assert distribution_mean_s(after) * (1.0 + 0.5 * 0.4) == pytest.approx(known)


def test_what_threads_do_does_not_depend_on_how_busy_the_loop_is() -> None:
    thread = {"do": "thread", "cpu": {"family": "constant", "value": 0.01}}
    model = ServiceModel.model_validate(
        {
            "service": "s",
            "loop": cold(0.2, 0.1, 0.4).model_dump() | {"accept": 0.001},
            "endpoints": [{"name": "GET /", "share": 1.0, "variants": [{"steps": [thread]}]}],
        }
    )
    other = on_processor(model, Processor(0.0, 0.5, 0.0))
    assert other.endpoints == model.endpoints
    assert other.loop.accept == pytest.approx(0.001 * 1.08 / 1.2)


def test_an_unknown_cost_of_idleness_makes_another_load_uncertain() -> None:
    """The recording was idle; live, the loop is three quarters busy."""
    sure, unsure = service(cold(0.0, 0.0, 0.4)), service(cold(0.0, 0.2, 0.4))
    traffic = TrafficPlan(rate=75.0, duration=DURATION_S)
    spreads = []
    for model in (sure, unsure):
        plan = make_plan(model, traffic, Deployment(), doubtful=True)
        found = replicate(plan, replications=40, seed=1)
        spreads.append(float(np.log(found.statistics(None)[:, METRICS.index("p50")]).std()))
    assert spreads[1] > 1.25 * spreads[0]
    assert busy_loop_sd(unsure.loop) == pytest.approx(0.08)


def test_a_longer_live_run_does_not_lessen_it() -> None:
    traffic = TrafficPlan(rate=75.0, duration=DURATION_S)
    shares = []
    for error in (0.0, 0.4):
        model = service(cold(0.0, error, 0.6))
        plan = make_plan(model, traffic, Deployment(), doubtful=True)
        found = replicate(plan, replications=40, seed=1)
        row = FromReplications(found, "client").compared(None, "p50", 0.02, 1000, 0.1)
        assert row is not None
        shares.append(row[0].fixed)
    assert shares[0] == 0.0
    assert 0.2 < shares[1] < 1.0


def test_an_unknown_cost_of_idleness_is_said() -> None:
    assert processor_warnings(cold(0.2, 0.02, 0.4), 10.0) == []
    [said] = processor_warnings(cold(0.2, 0.2, 0.4), 10.0)
    assert "15% more or less" in said


def test_what_was_beside_the_live_run_is_doubt_where_it_is_known() -> None:
    doubt = SpeedDoubt(error=math.hypot(0.03, 0.2), drift=0.01, over=10.0, taken=0.4)
    model = service(LoopCosts(doubt=doubt))
    assert in_surroundings(model, None) is model

    def error(taken: float) -> float:
        return in_surroundings(model, taken).loop.doubt.error

    # As much as while recording: what nobody knew is known.
    assert error(0.4) == pytest.approx(0.03)
    assert error(0.0) == pytest.approx(math.hypot(0.03, math.log(0.6)))
    assert error(0.7) == pytest.approx(math.hypot(0.03, math.log(0.6 / 0.3)))
    assert error(1.0) == 1.0


def test_a_live_run_that_others_disturbed_cannot_be_told() -> None:
    """Others took a third of its loop: code takes half as long again, which is no twin's fault."""
    model = service(costs(error=0.005))
    slow = live_of(with_cpu_scaled(model, 1.5), 5)
    found = compare(simulate_live(model, slow), slow)
    assert found.verdict == "off"
    told = replace(slow, taken=1.0 / 3.0)
    allowed = compare(simulate_live(model, told), told)
    assert allowed.verdict == "cannot tell"
    assert any("took 33% of the event loop's time in the live run" in w for w in allowed.warnings)
