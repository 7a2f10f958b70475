"""Intervals of a forecast hold what the recording does not know."""

import importlib
import math
from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.fit import fit_distribution
from fastsim.laws import Distribution, Fit, Gamma, Lognorm
from fastsim.model import (
    CpuStep,
    Endpoint,
    LoopCosts,
    ServiceModel,
    SpeedDoubt,
    Variant,
    WaitStep,
)
from fastsim.result import Estimate, Run
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.spans import StepKind
from fastsim.twin.counterpart import FromReplications, FromRun
from fastsim.twin.forecast import forecast_run
from fastsim.twin.law_doubt import draw_model
from fastsim.twin.model_doubt import doubt_of, has_doubt
from fastsim.twin.planning import make_plan
from fastsim.twin.replicate import replicate
from fastsim.twin.statistics import METRICS

CODE, QUERY = Gamma(mean=0.004, shape=2.0), Lognorm(median=0.02, sigma=0.6)
TRAFFIC = TrafficPlan(rate=100.0, duration=20.0, warmup=2.0)
BUSY = TRAFFIC.model_copy(update={"rate": 165.0})


def service(code: Distribution = CODE, query: Distribution = QUERY, **loop: object) -> ServiceModel:
    steps = [CpuStep(time=code), WaitStep(kind=StepKind.DB, time=query)]
    endpoint = Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])
    return ServiceModel(loop=LoopCosts.model_validate(loop), endpoints=[endpoint])


def uncertain(law: Distribution, level: float) -> Distribution:
    return law.model_copy(update={"fit": Fit(n=100, level_error=level, spread_error=0.0)})


def width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return math.log(estimate.high / estimate.low)


def p50(run: Run) -> Estimate:
    assert run.total.latency is not None
    return run.total.latency.p50


def forecast(model: ServiceModel, **wishes: object) -> Run:
    asked = {"traffic": TRAFFIC, "replications": 6, "with_doubt": True, **wishes}
    return forecast_run(model, **asked).run  # type: ignore[arg-type]


def test_a_model_by_hand_has_no_doubt() -> None:
    assert not has_doubt(make_plan(service(), TRAFFIC, Deployment()))
    sure = forecast(service())
    assert sure == forecast(service(), with_doubt=False)
    assert p50(sure).doubt is None


def test_doubt_about_a_law_is_in_the_interval_and_the_value_stays() -> None:
    sure, unsure = forecast(service()), forecast(service(query=uncertain(QUERY, 0.1)))
    assert p50(unsure).value == p50(sure).value
    assert p50(unsure).doubt is not None
    # The query is most of a request: 95 % of a tenth is a fifth, as far as six models tell.
    assert 0.07 < (p50(unsure).doubt or 0.0) < 0.5
    assert width(p50(unsure)) > 2.0 * width(p50(sure))


def test_more_replications_do_not_lessen_it() -> None:
    model = service(query=uncertain(QUERY, 0.1))
    few, many = forecast(model, replications=8), forecast(model, replications=24)
    assert width(p50(many)) > 0.5 * width(p50(few))
    sure = forecast(service(), replications=24)
    assert width(p50(many)) > 3.0 * width(p50(sure))


def test_doubt_about_the_machine_is_in_the_use_of_the_loop() -> None:
    sure = forecast(service())
    unsure = forecast(service(doubt=SpeedDoubt(error=0.1)))
    assert sure.loop is not None
    assert unsure.loop is not None
    assert width(unsure.loop.utilisation) > 3.0 * width(sure.loop.utilisation)


def test_the_same_chance_in_both_leaves_the_model() -> None:
    """With the same draws, two models that differ by a tenth of a per cent hardly differ."""
    found = replicate(
        make_plan(service(query=uncertain(QUERY, 0.001)), TRAFFIC, Deployment()),
        replications=6,
        seed=1,
    )
    _, doubt = doubt_of(found)
    assert 0.0 < doubt.latency(None, "client")[METRICS.index("p50")] < 0.01


def test_ctrl_c_in_the_second_half_keeps_the_first() -> None:
    model = service(query=uncertain(QUERY, 0.1))

    def impatient(done: int, total: int) -> None:
        assert total == 12
        if done == 7:
            raise KeyboardInterrupt

    found = forecast_run(
        model, traffic=TRAFFIC, replications=6, with_doubt=True, keep=True, on_progress=impatient
    )
    assert found.replications.stopped
    assert len(found.replications) == 6
    with pytest.raises(KeyboardInterrupt):
        forecast_run(model, traffic=TRAFFIC, replications=6, with_doubt=True, on_progress=impatient)


def test_a_goal_inside_doubt_asks_for_a_longer_recording() -> None:
    model = service(query=uncertain(QUERY, 0.2))
    limit = p50(forecast(model)).value * 1.05
    said = forecast(model, slo=[f"p50 < {limit * 1000:.3f}ms"]).warnings
    assert any("too close to call" in one and "longer recording" in one for one in said)
    sure = p50(forecast(service()))
    near = forecast(service(), slo=[f"p50 < {(sure.high or 0.0) * 999:.4f}ms"]).warnings
    assert any("too close to call" in one and "more replications" in one for one in near)


def test_no_error_in_so_many_requests_has_an_upper_limit() -> None:
    model = service()
    model.endpoints[0].requests = 500
    run = forecast(model, slo=["errors < 0.5%"])
    [goal] = run.slo
    assert (goal.value, goal.low) == (0.0, 0.0)
    assert goal.high == pytest.approx(1.0 - 0.025 ** (1 / 500))
    assert goal.met
    assert any("too few requests" in one for one in run.warnings)
    by_hand = forecast(service(), slo=["errors < 0.5%"])
    assert by_hand.slo[0].high == 0.0


def test_a_comparison_with_replications_knows_what_a_longer_run_would_not_lessen() -> None:
    shares = []
    for level in (0.0, 0.2):
        plan = make_plan(
            service(query=uncertain(QUERY, level)), TRAFFIC, Deployment(), doubtful=True
        )
        found = replicate(plan, replications=30, seed=1)
        row = FromReplications(found, "client").compared(None, "p50", 0.03, 2000, 0.1)
        assert row is not None
        shares.append(row[0].fixed)
    assert shares[0] == 0.0
    assert shares[1] > 0.8


def test_a_stored_run_keeps_its_doubt_for_a_long_live_run() -> None:
    """However long the live run, the model is no better known for it."""
    model = service(query=uncertain(QUERY, 0.1))
    unsure, sure = FromRun(forecast(model), "client"), FromRun(forecast(service()), "client")
    deviations = []
    for side in (unsure, sure):
        row = side.compared(None, "p50", 0.03, 1_000_000, 0.1)
        assert row is not None
        deviations.append(row[0].deviation)
    assert deviations[0] > 3.0 * deviations[1]


def test_intervals_hold_the_truth_that_a_short_recording_misses() -> None:
    """Fits of 150 requests each, forecast at two thirds of the capacity: p50 and mean.

    A 95 % interval misses the truth in at most 4 of 16 with a probability of 99.9 %. What chance
    alone does to the simulation misses it most of the time.
    """
    brief = BUSY.model_copy(update={"duration": 10.0})
    plan = make_plan(service(), brief, Deployment())
    truth = replicate(plan, replications=40, seed=99).pooled_statistics(None)
    missed = {True: 0, False: 0}
    for seed in range(16):
        rng = np.random.default_rng(seed)
        code = fit_distribution(rng.gamma(2.0, 0.002, 150), np.zeros(150))
        query = fit_distribution(rng.lognormal(math.log(0.02), 0.6, 150), np.zeros(150))
        for with_doubt in missed:
            run = forecast(
                service(code, query), replications=6, seed=seed, with_doubt=with_doubt,
                traffic=brief,
            )  # fmt: skip
            found = p50(run)
            inside = (found.low or 0.0) <= truth[METRICS.index("p50")] <= (found.high or 0.0)
            missed[with_doubt] += not inside
    assert missed[True] <= 4
    assert missed[False] >= 6


def test_runs_without_a_second_are_as_they_were() -> None:
    plan = make_plan(service(), TRAFFIC, Deployment())
    found = replicate(plan, replications=3, seed=2)
    same, doubt = doubt_of(found)
    assert same is found
    assert doubt.of(lambda run: run.loop.utilisation) == 0.0
    doubtful = replicate(replace(plan, doubtful=True), replications=3, seed=2)
    assert doubt_of(doubtful)[0] is doubtful


def test_a_comparison_draws_its_models_once_however_many_rows_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each replication draws its own, and nobody again: rows that did made a demo endless."""
    module = importlib.import_module("fastsim.twin.simulation")
    drawn: list[int] = []

    def counted(model: ServiceModel, seed: int) -> ServiceModel:
        drawn.append(seed)
        return draw_model(model, seed)

    monkeypatch.setattr(module, "draw_model", counted)
    monkeypatch.setattr("fastsim.twin.law_doubt.draw_model", counted)
    plan = make_plan(service(query=uncertain(QUERY, 0.1)), TRAFFIC, Deployment(), doubtful=True)
    found = replicate(plan, replications=20, seed=1)
    side = FromReplications(found, "client")
    for endpoint in (None, "GET /"):
        for metric in METRICS:
            assert side.compared(endpoint, metric, 0.03, 2000, 0.1) is not None
    assert len(drawn) == len(found)
