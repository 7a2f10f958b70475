"""Forecasts: estimates, intervals, goals, and what is said about overload and trust."""

import numpy as np
import pytest

from fastsim.errors import InputError, NotEnoughDataError, UnknownNameError
from fastsim.model import CheckRow, Resource
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.forecast import Forecast, forecast_run
from fastsim.twin.planning import complete_mix, make_plan
from fastsim.twin.trust import find_overload
from tests.twin.replication_story import shop

SHORT = TrafficPlan(rate=150.0, duration=4.0, warmup=1.0)


def answer(**wishes: object) -> Forecast:
    return forecast_run(shop(), **{"traffic": SHORT, "replications": 4, **wishes})  # type: ignore[arg-type]


def test_same_seed_gives_the_same_text_and_another_seed_other_numbers() -> None:
    first = answer(seed=3).run.model_dump_json()
    assert first == answer(seed=3).run.model_dump_json()
    assert first != answer(seed=4).run.model_dump_json()


def test_estimates_are_those_of_the_pooled_requests() -> None:
    run, found = answer()
    latency = run.endpoints["GET /items"].latency
    assert latency is not None
    pooled_s = found.pooled_s("GET /items")
    assert latency.p95.value == pytest.approx(float(np.quantile(pooled_s, 0.95)))
    assert latency.mean.value == pytest.approx(float(pooled_s.mean()))
    assert latency.p95.low is not None
    assert latency.p95.high is not None
    assert latency.p95.low < latency.p95.value < latency.p95.high


def test_breakdown_adds_up_to_the_mean_client_latency() -> None:
    run, _ = answer()
    for summary in [run.total, *run.endpoints.values()]:
        assert summary.latency is not None
        assert sum(summary.breakdown.values()) == pytest.approx(
            summary.latency.mean.value, rel=1e-9
        )
    assert {"running", "loop", "db", "client"} <= set(run.endpoints["GET /items"].breakdown)


def test_total_is_the_sum_of_its_endpoints() -> None:
    run, _ = forecast_run(shop(failing=0.1), traffic=SHORT, replications=2)
    for name in ("requests", "completed", "failed", "in_flight"):
        parts = [getattr(summary, name) for summary in run.endpoints.values()]
        assert getattr(run.total, name) == sum(parts)
    assert run.total.requests == run.total.completed + run.total.failed + run.total.in_flight
    assert run.total.errors == {"status 500": run.total.failed}


def test_rejected_requests_are_status_503() -> None:
    run, _ = answer(deployment=Deployment(limit_concurrency=2))
    assert set(run.total.errors) == {"status 503"}
    assert run.total.failed > 0


def test_one_replication_has_no_interval_and_says_so() -> None:
    run, _ = answer(replications=1)
    assert run.total.latency is not None
    assert run.total.latency.p95.low is None
    assert any("one replication" in warning for warning in run.warnings)


def test_goals_are_judged_by_the_estimate() -> None:
    run, _ = answer(slo=["p95 < 10s", "GET /items: p50 < 1ms", "errors < 1%"])
    assert [goal.met for goal in run.slo] == [True, False, True]
    assert run.verdict == "no"
    assert answer(slo=["p95 < 10s"]).run.verdict == "yes"
    assert answer().run.verdict == "none"


def test_a_limit_inside_the_interval_is_called_close() -> None:
    latency = answer().run.total.latency
    assert latency is not None
    limit_ms = latency.p95.value * 1001.0  # just above the estimate
    run, _ = answer(slo=[f"p95 < {limit_ms}ms"])
    assert run.slo[0].met
    assert any("too close to call" in warning for warning in run.warnings)


def test_a_goal_on_an_unknown_endpoint_is_refused_before_simulating() -> None:
    seen: list[int] = []
    with pytest.raises(UnknownNameError) as error:
        answer(slo=["GET /itms: p95 < 1s"], on_progress=lambda done, _: seen.append(done))
    assert error.value.hint == "did you mean 'GET /items'?"
    assert not seen


def test_a_goal_on_an_endpoint_without_traffic_has_no_answer() -> None:
    quiet = TrafficPlan(rate=50.0, duration=1.0, mix={"GET /items": 1.0})
    for goal in ("POST /search: p95 < 1s", "POST /search: errors < 1%"):
        with pytest.raises(NotEnoughDataError, match="POST /search"):
            answer(traffic=quiet, slo=[goal])


def test_overload_names_what_is_full_and_meets_no_latency_goal() -> None:
    # 4 slots of about 11 ms serve less than 370 of the 70 % a second: 520/s of 600/s fit.
    heavy = TrafficPlan(rate=600.0, duration=4.0, warmup=1.0)
    run, found = forecast_run(
        shop(cpu=0.0001), traffic=heavy, slo=["p95 < 1000s", "errors < 1%"], replications=4
    )
    overload = find_overload(found)
    assert overload is not None
    assert overload.saturated == ("db",)
    assert [goal.met for goal in run.slo] == [False, True]
    assert run.verdict == "no"
    assert run.warnings[0].startswith("db is full from 5")
    assert "latency has no steady value" in run.warnings[0]


def test_a_full_loop_is_named_before_the_pool_that_fills_behind_it() -> None:
    heavy = TrafficPlan(rate=900.0, duration=3.0, warmup=1.0)
    overload = find_overload(forecast_run(shop(), traffic=heavy, replications=3).replications)
    assert overload is not None
    assert overload.saturated[0] == "event loop"


def test_a_small_excess_is_found_though_chance_hides_the_growth() -> None:
    # 4 % too much, in runs so short that the number in flight falls in some of them.
    traffic = TrafficPlan(rate=480.0, duration=6.0, warmup=2.0)
    roomy = Deployment(resources={"db": Resource(capacity=1000)})
    found = forecast_run(shop(), traffic=traffic, deployment=roomy, replications=4).replications
    assert find_overload(found) is not None


@pytest.mark.parametrize("rate", [50.0, 250.0])
def test_a_service_that_keeps_up_is_not_called_overloaded(rate: float) -> None:
    # At 250/s the loop is 65 % busy. False alarm needs both 98 % use and 0.5 % growth.
    run, found = answer(traffic=TrafficPlan(rate=rate, duration=4.0, warmup=1.0))
    assert find_overload(found) is None
    assert not any("grow" in warning for warning in run.warnings)


def test_a_run_that_ends_while_it_still_fills_is_called_not_steady() -> None:
    slow = shop(query=20.0)  # nothing is full at 1/s, but nobody has finished after 6 s
    unlimited = Deployment(resources={"db": Resource(capacity=1000)})
    brief = TrafficPlan(rate=20.0, duration=6.0, warmup=0.0)
    run, found = forecast_run(slow, traffic=brief, deployment=unlimited, replications=4)
    assert find_overload(found) is None
    assert any("still grow" in warning for warning in run.warnings)


def test_a_rate_beyond_the_recording_is_called_an_extrapolation() -> None:
    fast, _ = answer(traffic=TrafficPlan(rate=280.0, duration=1.0))
    assert any("280/s is an extrapolation (×1.4)" in warning for warning in fast.warnings)
    assert not any("extrapolation" in warning for warning in answer().run.warnings)


def test_a_bad_self_check_is_told() -> None:
    model = shop()
    row = CheckRow(
        endpoint="GET /items",
        metric="p95",
        recorded=0.02,
        twin=0.03,
        error=0.5,
        error_low=0.4,
        error_high=0.6,
        verdict="off",
    )
    model.self_check = [row, row.model_copy(update={"error": 0.02, "verdict": "agrees"})]
    run, _ = forecast_run(model, traffic=SHORT, replications=2)
    told = [warning for warning in run.warnings if "its own recording" in warning]
    assert len(told) == 1
    assert "1 of 2 values" in told[0]


def test_without_any_rate_the_question_is_refused() -> None:
    model = shop()
    model.traffic = None
    with pytest.raises(InputError, match="no recorded rate"):
        forecast_run(model, replications=1)


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"duration": 0.0}, {"warmup": -1.0}])
def test_traffic_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        make_plan(shop(), TrafficPlan(**wrong), Deployment())


def test_a_resource_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownNameError) as error:
        answer(deployment=Deployment(resources={"dbb": Resource(capacity=9)}))
    assert error.value.hint == "did you mean 'db'?"


def test_endpoints_not_named_in_the_mix_share_the_rest_as_recorded() -> None:
    assert complete_mix(shop(), {"GET /items": 0.2}) == pytest.approx(
        {"GET /items": 0.2, "POST /search": 0.8}
    )
    assert complete_mix(shop(), {"GET /items": 1.0})["POST /search"] == 0.0
    assert complete_mix(shop(), {}) == pytest.approx({"GET /items": 0.7, "POST /search": 0.3})


def test_a_mix_that_does_not_add_up_is_refused() -> None:
    for mix in ({"GET /items": 0.9, "POST /search": 0.2}, {"GET /items": 0.1, "POST /search": 0.1}):
        with pytest.raises(InputError, match="adds up to"):
            complete_mix(shop(), mix)
    with pytest.raises(UnknownNameError):
        complete_mix(shop(), {"GET /nothing": 0.5})


def test_the_series_covers_the_measured_time() -> None:
    run, found = answer()
    assert run.series is not None
    assert run.series.start_s == [0.0, 1.0, 2.0, 3.0]
    counted = np.mean([len(measures.at_s) for measures in found.runs])
    assert sum(run.series.arrivals) == pytest.approx(counted, abs=2.0)
    assert all(value is not None and value > 0.0 for value in run.series.p95_s)


def test_the_table_holds_the_first_replication() -> None:
    run, found = answer(with_table=True)
    assert run.table is not None
    assert run.table.latency_s == found.runs[0].client_s.tolist()
    assert answer().run.table is None
