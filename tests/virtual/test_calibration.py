"""Calibration finds what is there, nothing where there is nothing, and loses nothing rare.

In virtual time the truth is known: code costs what it burns, idle or busy, and the machine
does not wander.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from math import exp
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI, HTTPException

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.selfcheck import replay_recording
from fastsim.distributions import percentile
from fastsim.means import step_mean_s
from fastsim.model import (
    Constant,
    CpuStep,
    ParallelStep,
    RepeatStep,
    ServiceModel,
    UseStep,
    WaitStep,
)
from fastsim.spans import RECENT_NS
from tests.virtual.loop import answer, burn, current
from tests.virtual.services import SERVICES, gamma
from tests.virtual.serving import poisson, serve


def calibrated(
    app: FastAPI,
    traces: Path,
    *,
    rate: float,
    requests: int = 2_500,
    sample_ratio: float = 1.0,
    accept_s: float = 0.0,
) -> ServiceModel:
    arrivals = poisson({"/": 1.0}, rate_per_s=rate, requests=requests, seed=7)
    serve(app, arrivals, record=traces, sample_ratio=sample_ratio, accept_s=accept_s)
    return build_model(read_requests([traces], skip_first_s=0.0))


def app_of(work: Callable[[], Awaitable[object]]) -> FastAPI:
    app = FastAPI(title="virtual")
    app.add_api_route("/", work, methods=["GET"], response_model=None)
    return app


def test_tasks_for_different_things_have_laws_of_their_own(tmp_path: Path) -> None:
    """Medians 8, 10 and 12 ms, 4 standard errors of 1,500 requests apart from them at most."""
    service = SERVICES["gather"]
    arrivals = poisson({"/": 1.0}, rate_per_s=0.3 / service.code_s, requests=1_500, seed=3)
    serve(service.make(random.Random(3)), arrivals, record=tmp_path)
    model = build_model(read_requests([tmp_path], skip_first_s=0.0))
    [parallel] = [
        step for step in model.endpoints[0].variants[0].steps if isinstance(step, ParallelStep)
    ]
    waits = [
        step for branch in parallel.branches for step in branch.steps if isinstance(step, WaitStep)
    ]
    medians = [percentile(step.time, 0.5) for step in waits]
    assert medians == pytest.approx([0.008, 0.010, 0.012], rel=4 * 1.25 * 0.5 / 1_500**0.5)
    assert [branch.count.values for branch in parallel.branches] == [[1], [1], [1]]


def test_two_recordings_of_a_service_are_one_model(tmp_path: Path) -> None:
    """An hour lies between them, and each process numbers its semaphores for itself."""
    service = SERVICES["semaphore"]
    for number, load in enumerate((0.3, 0.6)):
        arrivals = poisson({"/": 1.0}, rate_per_s=load / service.code_s, requests=600, seed=number)
        serve(
            service.make(random.Random(number)),
            arrivals,
            record=tmp_path,
            begin_s=3600.0 * number,
        )
    model = build_model(read_requests([tmp_path], skip_first_s=0.0))
    assert {name: each.capacity for name, each in model.resources.items()} == {"handler": 5}
    assert model.process.workers == 1
    assert model.traffic is not None
    # As many requests at either load: the time of both together, not the hour between.
    expected = 1_200 / (600 / 300 + 600 / 600)
    assert model.traffic.rate == pytest.approx(expected, rel=0.1)


def code_s(model: ServiceModel) -> float:
    """Mean code of a request, seconds."""
    return sum(
        endpoint.share * variant.share * step_mean_s(step)
        for endpoint in model.endpoints
        for variant in endpoint.variants
        for step in variant.steps
        if isinstance(step, CpuStep)
    )


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("control", 0.3),
        ("sockets", 0.6),
        ("Pareto waits", 0.6),
        ("cache, 10 % misses", 0.3),
    ],
)
def test_nothing_is_found_where_nothing_is(name: str, load: float, tmp_path: Path) -> None:
    service = SERVICES[name]
    rate = load / service.code_s
    model = calibrated(service.make(random.Random(3)), tmp_path, rate=rate, requests=4_000)
    # Chance is in it, within its error: what it takes from the code of a busy loop is little, or
    # no more than the comparison allows for, where exponential code tells nothing.
    cold = model.loop.cold
    assert cold.extra <= 3.0 * cold.error
    assert cold.extra * cold.seen < max(0.02, 0.5 * cold.error * cold.seen)
    assert model.loop.wander.sigma == 0.0
    assert model.loop.pauses.time is None
    assert model.loop.accept < 1e-9


def test_steps_that_share_a_size_are_found_and_drawn_together(tmp_path: Path) -> None:
    service = SERVICES["shared sizes"]
    app = service.make(random.Random(3))
    model = calibrated(app, tmp_path, rate=0.4 / service.code_s, requests=2_000)
    [variant] = model.endpoints[0].variants
    sizes = [step.size for step in variant.steps if isinstance(step, (CpuStep, WaitStep))][:5]
    # A lognormal size of sigma 0.7 beside gamma shapes 6 (0.42 on the logarithm) and 10 (0.32).
    expected = [0.0, 0.86, 0.86, 0.0, 0.91]
    assert sizes == pytest.approx(expected, abs=0.12)
    # Long requests wait long and run long code: that is no cost of idleness.
    assert code_s(model) == pytest.approx(service.code_s, rel=0.06)


def test_code_that_blocks_is_not_taken_by_others(tmp_path: Path) -> None:
    """It was counted twice: as the code's own, and as time that others take of every request."""
    service = SERVICES["blocking"]
    app = service.make(random.Random(3))
    model = calibrated(app, tmp_path, rate=0.4 / service.code_s, requests=2_000)
    assert model.loop.accept < 1e-6
    assert model.loop.doubt.error < 0.02
    blocking = [step.blocking for step in model.endpoints[0].variants[0].steps if step.do == "cpu"]
    assert max(blocking) == pytest.approx(1.5 / 1.7, abs=0.02)
    assert code_s(model) == pytest.approx(service.code_s, rel=0.04)


def test_a_semaphore_hands_over_as_asyncio_does_and_a_pool_does_not(tmp_path: Path) -> None:
    for name, hand_over in (("semaphore", "wake"), ("pool", "direct")):
        service = SERVICES[name]
        rate = 0.5 / service.code_s
        made = service.make(random.Random(3))
        model = calibrated(made, tmp_path / name, rate=rate, requests=600)
        [resource] = model.resources.values()
        assert resource.hand_over == hand_over
        assert resource.capacity in {5, 6}


def test_a_part_of_a_long_recording_says_what_all_of_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stretches of two seconds, with breaks between them in which nothing is known."""
    service = SERVICES["peer"]
    arrivals = poisson(service.mix, rate_per_s=0.5 / service.code_s, requests=12_000, seed=7)
    app = service.make(random.Random(3))
    served = serve(app, arrivals, record=tmp_path, accept_s=50e-6, per_turn_s=5e-6)
    monkeypatch.setattr("fastsim.calibrate.collecting.MOST", 4_000)
    monkeypatch.setattr("fastsim.calibrate.thinning.STRETCHES", 5)
    requests = read_requests([tmp_path], skip_first_s=0.0)
    looked_at = int((~requests.left_out).sum())
    assert 1_500 < looked_at <= 4_000
    assert int(requests.recorded.sum()) == looked_at
    model = build_model(requests)
    assert model.warnings[0] == (
        f"of 12,000 requests {looked_at:,} were looked at in detail, in stretches of the time; all "
        "count for rates and shares"
    )
    # Of all requests, whatever was looked at of them.
    assert model.endpoints[0].requests == 12_000
    assert model.traffic is not None
    assert model.traffic.rate == pytest.approx(12_000 / arrivals.at_s[-1], rel=0.01)
    assert model.traffic.utilisation == pytest.approx(served.utilisation, abs=0.005)
    # Laws, the peer's slots and the loop's costs, to which the breaks add nothing.
    assert code_s(model) == pytest.approx(service.code_s, rel=0.03)
    assert [peer.capacity for peer in model.resources.values()] == [4]
    assert model.loop.accept == pytest.approx(50e-6, rel=0.05)
    assert model.loop.per_pass == pytest.approx(5e-6, rel=0.05)
    check = replay_recording(model, requests, replays=5)
    assert {row.verdict for row in check.rows} <= {"agrees", "cannot tell"}


def test_a_peer_has_as_many_slots_as_it_serves_at_a_time(tmp_path: Path) -> None:
    service = SERVICES["peer"]
    app = service.make(random.Random(3))
    model = calibrated(app, tmp_path, rate=0.6 / service.code_s, requests=2_000)
    [peer] = model.resources.values()
    assert (peer.capacity, peer.hand_over, peer.scope) == (4, "peer", "service")
    [variant] = model.endpoints[0].variants
    [use] = [step for step in variant.steps if isinstance(step, UseStep)]
    # Of 3.6 ms in the mean; with the time in line its calls took 4.2 ms.
    assert step_mean_s(use) == pytest.approx(0.0036, rel=0.05)


def test_pools_of_tasks_side_by_side_are_theirs(tmp_path: Path) -> None:
    service = SERVICES["gather with a pool"]
    app = service.make(random.Random(3))
    model = calibrated(app, tmp_path, rate=0.4 / service.code_s, requests=1_000)
    [variant] = model.endpoints[0].variants
    [fork] = [step for step in variant.steps if isinstance(step, ParallelStep)]
    [branch] = fork.branches
    assert branch.count.values == [3]
    [use] = [step for step in branch.steps if isinstance(step, UseStep)]
    assert use.resource == "pool"
    assert step_mean_s(use) == pytest.approx(0.00302, rel=0.05)


def test_queries_in_a_loop_are_one_step(tmp_path: Path) -> None:
    service = SERVICES["queries in a loop"]
    app = service.make(random.Random(3))
    model = calibrated(app, tmp_path, rate=0.4 / service.code_s, requests=2_000)
    [variant] = model.endpoints[0].variants
    [loop] = [step for step in variant.steps if isinstance(step, RepeatStep)]
    # The last round stays apart: its code is also what follows.
    assert loop.count.values == [1, 4, 11]
    assert loop.count.weights == pytest.approx([1 / 3] * 3, abs=0.04)
    assert [step.do for step in loop.steps] == ["wait", "cpu", "wait", "cpu"]
    assert step_mean_s(loop) == pytest.approx(16 / 3 * (0.00215 + 0.001 * exp(0.045)), rel=0.03)
    assert len(variant.steps) < 12


def moody(extra: float, sigma: float) -> FastAPI:
    """Code whose first half millisecond costs ``extra`` more after idleness, on a machine whose
    speed wanders."""
    app = FastAPI(title="virtual")
    draw = random.Random(4)
    speed: dict[int, float] = {}

    def spend(seconds: float) -> None:
        now_s = current().time()
        # As the recorder reckons it: that is the definition of recent idleness.
        clock = app._fastsim_recorder._clock  # type: ignore[attr-defined]
        idle = clock.idle_at_wake * exp((clock.busy_since - now_s * 1e9) / RECENT_NS)
        window = int(now_s / 0.2)
        if window not in speed:
            speed[window] = float(np.exp(sigma * draw.gauss(0.0, 1.0)))
        burn((seconds + extra * idle**3 * min(seconds, 0.0005)) * speed[window])

    @app.get("/")
    async def work() -> None:
        spend(gamma(draw, 0.001, 8.0))
        await answer(gamma(draw, 0.010, 3.0))
        spend(0.0008)

    return app


@pytest.mark.parametrize("sigma", [0.0, 0.15])
@pytest.mark.parametrize("extra", [0.0, 0.25])
def test_cold_code_and_a_wandering_machine_do_not_steal_from_each_other(
    extra: float, sigma: float, tmp_path: Path
) -> None:
    model = calibrated(moody(extra, sigma), tmp_path, rate=200.0, requests=6_000)
    assert model.loop.cold.extra == pytest.approx(extra, abs=0.04)
    assert model.loop.wander.sigma == pytest.approx(sigma, abs=0.03)
    # On a busy loop and a machine of mean speed, a request runs 1.8 ms of code.
    assert code_s(model) == pytest.approx(0.0018 * float(np.exp(sigma**2 / 2)), rel=0.05)


def test_a_size_that_all_steps_of_a_request_share_is_no_wandering(tmp_path: Path) -> None:
    draw = random.Random(5)

    async def work() -> None:
        size = float(np.exp(0.6 * draw.gauss(0.0, 1.0)))
        for _ in range(5):
            burn(size * 0.0004)
            await answer(0.002)

    model = calibrated(app_of(work), tmp_path, rate=200.0)
    assert model.loop.wander.sigma == 0.0


def test_heavy_tailed_code_is_no_stop_of_the_loop(tmp_path: Path) -> None:
    draw = random.Random(9)

    async def work() -> None:
        burn(0.001 * draw.paretovariate(1.6))
        await answer(0.002)

    model = calibrated(app_of(work), tmp_path, rate=100.0)
    assert model.loop.pauses.time is None


def cached(miss: float, failing: float) -> FastAPI:
    draw = random.Random(6)

    async def work() -> dict[str, int]:
        burn(0.0004)
        await answer(0.001)
        if draw.random() < miss:
            await answer(gamma(draw, 0.050, 4.0))
            burn(0.005)
        if draw.random() < failing:
            burn(0.001)
            raise HTTPException(500, "out of luck")
        return {"ok": 1}

    return app_of(work)


def test_rare_misses_and_failures_keep_their_share_code_and_waits(tmp_path: Path) -> None:
    model = calibrated(cached(0.017, 0.016), tmp_path, rate=300.0)
    [endpoint] = model.endpoints
    assert sum(variant.share for variant in endpoint.variants) == pytest.approx(1.0)
    failed = sum(variant.share for variant in endpoint.variants if variant.failed)
    # Of 2,500 requests 1.6 % are 40: 0.2 % a deviation, and 1.7 % likewise.
    assert failed == pytest.approx(0.016, abs=0.008)
    slow = [
        variant
        for variant in endpoint.variants
        if sum(step_mean_s(s) for s in variant.steps if isinstance(s, WaitStep)) > 0.020
    ]
    assert sum(variant.share for variant in slow) == pytest.approx(0.017, abs=0.008)
    true_s = 0.0004 + 0.017 * 0.005 + 0.016 * 0.001
    assert code_s(model) == pytest.approx(true_s, rel=0.08)


def test_ways_too_rare_to_fit_are_pooled_with_all_their_time(tmp_path: Path) -> None:
    draw = random.Random(8)

    async def work() -> None:
        burn(0.0005)
        # Of a thousand requests 60 take one of 64 ways, each with waits in an order of its own.
        if draw.random() < 0.06:
            for bit in f"{draw.randrange(64):06b}":
                await (answer if bit == "1" else asyncio.sleep)(0.002)
                burn(0.001)

    model = calibrated(app_of(work), tmp_path, rate=200.0, requests=1_500)
    names = [variant.name for variant in model.endpoints[0].variants]
    assert names[0] == "main"
    assert "rare paths" in names
    assert len(names) <= 4
    assert code_s(model) == pytest.approx(0.0005 + 0.06 * 6 * 0.001, rel=0.15)
    assert any("rare paths" in warning for warning in model.warnings)


@pytest.mark.parametrize("ratio", [1.0, 0.1])
def test_sampling_leaves_the_model_as_it_is(ratio: float, tmp_path: Path) -> None:
    service = SERVICES["sockets"]
    model = calibrated(
        service.make(random.Random(3)),
        tmp_path,
        rate=0.5 / service.code_s,
        requests=6_000 if ratio < 1.0 else 2_000,
        sample_ratio=ratio,
        accept_s=0.0001,
    )
    # Of every request 100 us belong to the server. Recorded in full they are found exactly; at
    # 10 % the code of the others is known in the mean of 600 (280 us a deviation): 11 us.
    assert model.loop.accept == pytest.approx(0.0001, abs=2e-6 if ratio == 1.0 else 4e-5)
    assert model.traffic is not None
    assert model.traffic.rate == pytest.approx(0.5 / service.code_s, rel=0.08)
    assert code_s(model) == pytest.approx(service.code_s, rel=0.04)


def test_how_late_timers_wake_the_loop_is_found_and_no_part_of_waits(tmp_path: Path) -> None:
    draw = random.Random(5)

    async def work() -> None:
        burn(0.001)
        await asyncio.sleep(gamma(draw, 0.010, 4.0))
        burn(0.001)

    arrivals = poisson({"/": 1.0}, rate_per_s=150.0, requests=2_000, seed=7)
    serve(app_of(work), arrivals, record=tmp_path, timer_late_s=0.0002)
    model = build_model(read_requests([tmp_path], skip_first_s=0.0))
    assert model.loop.timer_late == pytest.approx(0.0002, rel=0.01)
    [wait] = [step for step in model.endpoints[0].variants[0].steps if isinstance(step, WaitStep)]
    assert step_mean_s(wait) == pytest.approx(0.010, rel=0.025)


def test_a_periodic_job_is_found_and_costs_requests_nothing(tmp_path: Path) -> None:
    service = SERVICES["periodic job"]
    arrivals = poisson(service.mix, rate_per_s=0.4 / service.code_s, requests=2_000, seed=7)
    serve(service.make(random.Random(3)), arrivals, record=tmp_path, beside=service.beside)
    model = build_model(read_requests([tmp_path], skip_first_s=0.0))
    [work] = model.loop.background
    assert work.regular
    assert isinstance(work.time, Constant)
    assert work.time.value == pytest.approx(0.010, rel=0.02)
    # It sleeps 100 ms after each run; on a busy loop it is late.
    assert 0.110 <= work.every <= 0.114
    assert model.loop.accept + model.loop.per_pass + model.loop.per_event < 20e-6
