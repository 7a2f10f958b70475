"""Comparisons: a perfect twin is inside noise, a wrong one is off, few requests say nothing."""

import dataclasses

import numpy as np
import pytest

from fastsim.errors import InputError, NotEnoughDataError, UnknownNameError
from fastsim.result import CompareRow, Comparison, RequestTable, Run
from fastsim.scenario import TrafficPlan
from fastsim.twin.compare import TOTAL, compare
from fastsim.twin.forecast import forecast_run
from fastsim.twin.live import LiveSample, simulate_live
from fastsim.twin.replicate import Replications, replicate, simulate_once
from tests.twin.replication_story import as_live, plan, random_replications, random_run, shop

TRIALS = 200
# Of 200 comparisons, each inside with 95 %, fewer than 177 or more than 199 are inside with
# a probability of 2e-4 and 4e-5 (binomial): the false-alarm rate on a fresh seed.
FEWEST, MOST = 177, 199


def row(found: Comparison, endpoint: str, metric: str) -> CompareRow:
    return next(r for r in found.rows if (r.endpoint, r.metric) == (endpoint, metric))


def live_run(sample: LiveSample) -> Run:
    """Write a sample as ``fastsim load`` does."""
    run, _ = forecast_run(shop(), traffic=TrafficPlan(rate=20.0, duration=2.0), replications=1)
    table = RequestTable(
        endpoints=list(sample.endpoints),
        endpoint=sample.endpoint.tolist(),
        scheduled_s=sample.at_s.tolist(),
        latency_s=sample.latency_s.tolist(),
        ok=sample.ok.tolist(),
    )
    return run.model_copy(
        update={
            "source": "live",
            "table": table,
            "rate_per_s": sample.rate_per_s,
            "duration_s": sample.duration_s,
        }
    )


def test_a_perfect_twin_is_inside_noise_in_95_percent() -> None:
    rng = np.random.default_rng(1)
    inside = {"p50": 0, "p95": 0, "mean": 0}
    for _ in range(TRIALS):
        twin = random_replications(rng, 10)
        found = compare(twin, as_live(random_run(rng)))
        for metric in inside:
            inside[metric] += row(found, TOTAL, metric).verdict == "inside noise"
    assert all(FEWEST <= count <= MOST for count in inside.values()), inside


def test_the_verdict_fails_a_perfect_twin_in_at_most_5_percent() -> None:
    # Seven rows count in each comparison; row by row, 20 % or more would fail.
    rng = np.random.default_rng(2)
    failed = sum(
        compare(random_replications(rng, 10), as_live(random_run(rng)), tolerance=STRICT).verdict
        == "no"
        for _ in range(TRIALS)
    )
    # More than 22 of 200 have a probability of 2e-4 at 5 %.
    assert failed <= 22


STRICT = {"p50": 1e-6, "p95": 1e-6}


def test_a_simulated_service_agrees_with_itself_at_another_seed() -> None:
    # One row of about 18 is off by chance; the verdict is wrong in at most 5 % of seeds.
    live = as_live(simulate_once(plan(), 1234))
    found = compare(simulate_live(shop(), live, replications=12, seed=1), live)
    assert found.verdict == "yes"
    assert sum(r.verdict == "off" for r in found.rows) <= 2


def test_a_twin_with_30_percent_longer_service_is_off() -> None:
    live = as_live(simulate_once(plan(duration=8.0), 1234))
    slower = shop(cpu=0.0013, query=0.013)
    found = compare(simulate_live(slower, live, replications=12, seed=1), live)
    assert row(found, "GET /items", "p50").verdict == "off"
    assert row(found, "GET /items", "p50").error > 0.2
    assert found.verdict == "no"


def test_errors_are_compared_as_a_difference() -> None:
    live = as_live(simulate_once(plan(duration=8.0, model=shop(failing=0.2)), 5))
    same = compare(simulate_live(shop(failing=0.2), live, replications=8, seed=1), live)
    assert row(same, "GET /items", "errors").verdict == "inside noise"
    never = compare(simulate_live(shop(), live, replications=8, seed=1), live)
    wrong = row(never, "GET /items", "errors")
    assert wrong.error == pytest.approx(-0.2, abs=0.05)
    assert wrong.verdict == "off"
    assert never.verdict == "no"


def test_replayed_arrivals_bring_the_twin_closer_to_live() -> None:
    # At 80 % load most of the difference between runs comes from when requests arrive.
    busy = plan(rate=280.0, duration=3.0)
    fresh = replicate(busy, replications=30, seed=1)
    errors: list[tuple[float, float]] = []
    for seed in range(8):
        live = as_live(simulate_once(busy, 1000 + seed), 280.0)
        replayed = simulate_live(shop(), live, mode="arrival replay", replications=6)
        assert {len(run.at_s) for run in replayed.runs} == {len(live.at_s)}
        free, replay = (
            abs(row(compare(twin, live), "GET /items", "p50").error) for twin in (fresh, replayed)
        )
        errors.append((free, replay))
    free_mean, replay_mean = np.mean(errors, axis=0)
    assert replay_mean < 0.8 * free_mean


def test_evenly_spaced_arrivals_are_simulated_as_such() -> None:
    live = as_live(simulate_once(plan(), 1))
    even = dataclasses.replace(live, at_s=np.linspace(0.0, 3.99, len(live.at_s)))
    assert simulate_live(shop(), even, replications=2).plan.arrivals == "uniform"
    assert simulate_live(shop(), live, replications=2).plan.arrivals == "poisson"


def test_few_requests_are_not_judged() -> None:
    rng = np.random.default_rng(3)
    twin = random_replications(rng, 5)
    found = compare(twin, as_live(random_run(rng, 150, factor=3.0)))
    verdicts = {r.metric: r.verdict for r in found.rows if r.endpoint == TOTAL}
    assert verdicts["p95"] == "off"
    assert verdicts["p99"] == "too few"
    few = compare(twin, as_live(random_run(rng, 20, factor=3.0)))
    assert {r.verdict for r in few.rows} == {"too few"}
    assert few.verdict == "yes"


def test_an_error_beyond_the_floor_but_not_the_tolerance_is_within_tolerance() -> None:
    rng = np.random.default_rng(4)
    quiet = Replications(plan(), 0, tuple(random_run(rng, 9000, unrest=0.0) for _ in range(10)))
    live = as_live(random_run(rng, 9000, factor=1.07, unrest=0.0))
    found = compare(quiet, live)
    assert row(found, TOTAL, "p50").verdict == "within tolerance"
    assert row(found, TOTAL, "p50").error == pytest.approx(1 / 1.07 - 1, abs=0.03)
    assert compare(quiet, live, tolerance={"p50": 0.02}).verdict == "no"


def test_only_metrics_that_count_decide_unless_asked_for() -> None:
    rng = np.random.default_rng(5)
    quiet = Replications(plan(), 0, tuple(random_run(rng, 5000, unrest=0.0) for _ in range(10)))
    stretched = random_run(rng, 5000, unrest=0.0)
    tail_s = np.quantile(stretched.client_s, 0.97)
    longer_s = np.where(stretched.client_s > tail_s, 3.0 * stretched.client_s, stretched.client_s)
    live = dataclasses.replace(as_live(stretched), latency_s=longer_s)
    assert row(compare(quiet, live), TOTAL, "p99").verdict == "off"
    assert compare(quiet, live).verdict == "yes"
    assert compare(quiet, live, tolerance={"p99": 0.2}).verdict == "no"


def test_a_large_floor_is_told() -> None:
    rng = np.random.default_rng(6)
    restless = Replications(plan(), 0, tuple(random_run(rng, unrest=0.4) for _ in range(10)))
    found = compare(restless, as_live(random_run(rng)))
    assert any("chance alone explains" in warning for warning in found.warnings)


def test_endpoints_the_twin_does_not_know_are_left_out_and_told() -> None:
    rng = np.random.default_rng(7)
    live = dataclasses.replace(as_live(random_run(rng)), endpoints=("GET /items", "GET /new"))
    found = compare(random_replications(rng, 5), live)
    assert {r.endpoint for r in found.rows if r.metric != "throughput"} == {"GET /items"}
    assert any("does not know GET /new" in warning for warning in found.warnings)
    simulated = simulate_live(shop(), live, replications=2)
    assert simulated.plan.rate_per_s == pytest.approx(100.0 * live.shares()["GET /items"])


def test_nothing_in_common_is_no_answer() -> None:
    rng = np.random.default_rng(8)
    live = dataclasses.replace(as_live(random_run(rng)), endpoints=("GET /x", "GET /y"))
    with pytest.raises(NotEnoughDataError, match="no endpoint in common"):
        compare(random_replications(rng, 5), live)


def test_an_overloaded_twin_is_told() -> None:
    live = as_live(simulate_once(plan(), 1))
    heavy = dataclasses.replace(live, rate_per_s=900.0)
    found = compare(simulate_live(shop(), heavy, replications=3), heavy)
    assert any("arrivals exceed capacity" in warning for warning in found.warnings)


def test_the_server_view_compares_span_durations() -> None:
    rng = np.random.default_rng(9)
    run = random_run(rng, 5000, unrest=0.0)
    quiet = Replications(plan(), 0, tuple(random_run(rng, 5000, unrest=0.0) for _ in range(5)))
    spans = dataclasses.replace(as_live(run), latency_s=run.server_s)
    assert row(compare(quiet, spans, view="server"), TOTAL, "p50").verdict == "inside noise"
    assert row(compare(quiet, spans), TOTAL, "p50").error == pytest.approx(1 / 0.9 - 1, abs=0.03)


def test_a_live_run_gives_its_requests() -> None:
    live = as_live(simulate_once(plan(), 3))
    sample = LiveSample.of_run(live_run(live))
    assert sample.latency_s.tolist() == live.latency_s.tolist()
    assert sample.shares() == pytest.approx(live.shares())


def test_a_run_without_requests_is_refused() -> None:
    run, _ = forecast_run(shop(), traffic=TrafficPlan(rate=20.0, duration=1.0), replications=1)
    for wrong in (run, run.model_copy(update={"source": "live"})):
        with pytest.raises(InputError, match="not a live run"):
            LiveSample.of_run(wrong)


def test_a_stored_run_gives_about_the_floor_of_replications() -> None:
    # The stored run is 8 times as long: unscaled, its floor would be a third.
    live = as_live(simulate_once(plan(duration=2.0), 1234))
    stored, _ = forecast_run(
        shop(), traffic=TrafficPlan(rate=100.0, duration=16.0), replications=40, seed=9
    )
    exact = row(compare(simulate_live(shop(), live, replications=40), live), TOTAL, "p50")
    derived = row(compare(stored, live), TOTAL, "p50")
    # Both deviations are known to about 11 %, their ratio to 16 %: 0.55 to 1.8 is beyond 3.5.
    assert 0.55 < derived.floor / exact.floor < 1.8
    assert derived.twin == pytest.approx(exact.twin, rel=0.05)


def test_a_stored_run_at_another_load_is_told() -> None:
    live = as_live(simulate_once(plan(), 1234))
    other = TrafficPlan(rate=60.0, duration=4.0, mix={"GET /items": 0.3})
    stored, _ = forecast_run(shop(), traffic=other, replications=3)
    warnings = compare(stored, live).warnings
    assert any("the loads differ" in warning for warning in warnings)
    assert any("the mix differs" in warning for warning in warnings)


def test_one_replication_cannot_tell_chance() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(NotEnoughDataError, match="one replication"):
        compare(random_replications(rng, 1), as_live(random_run(rng)))


def test_wrong_tolerances_are_refused() -> None:
    rng = np.random.default_rng(1)
    twin, live = random_replications(rng, 3), as_live(random_run(rng))
    with pytest.raises(UnknownNameError) as error:
        compare(twin, live, tolerance={"p59": 0.1})
    assert error.value.hint is not None
    with pytest.raises(InputError, match="above 0"):
        compare(twin, live, tolerance={"p95": 0.0})
