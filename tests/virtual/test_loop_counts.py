"""The twin charges the loop's costs as often as the fit counts what they are for."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI

from fastsim import spans
from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.loop_costs import fit_loop_costs
from fastsim.calibrate.loop_windows import loop_windows, wait_ends
from fastsim.calibrate.variants import group_variants
from fastsim.model import ColdCost, LoopCosts
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin import sample_at, simulate
from tests.virtual.loop import answer, burn
from tests.virtual.serving import poisson, serve

COST_S = 10e-6


def make_app() -> FastAPI:
    """Wait, let others go first, and do two things at once."""
    app = FastAPI(title="Counts")

    async def part() -> None:
        burn(0.0002)
        await answer(0.003)
        burn(0.0001)

    @app.get("/work")
    async def work() -> dict[str, bool]:
        for _ in range(4):
            burn(0.0002)
            await asyncio.sleep(0)
        await answer(0.002)
        await asyncio.gather(part(), part())
        await asyncio.sleep(0.001)
        burn(0.0002)
        return {"ok": True}

    return app


def test_waits_are_counted_alike(tmp_path: Path) -> None:
    arrivals = poisson({"/work": 1.0}, rate_per_s=100, requests=200)
    served = serve(make_app(), arrivals, record=tmp_path)
    assert served.utilisation < 0.5
    requests = read_requests([tmp_path], skip_first_s=0.0)
    waits = len(wait_ends(requests, group_variants(requests), instance=0)) / 200
    # Four times it lets others go first, and waits for nothing: that costs a turn.
    assert waits == 1 + 1 + 2 + 1
    model = build_model(requests).model_copy(update={"loop": LoopCosts(handover=0.0)})
    deployment = resolve_deployment(model, Deployment())
    arrival_s = np.linspace(0.0, 2.0, 200)
    workload = sample_at(model, arrival_s, np.zeros(200, np.int64), 0)

    def busy_s(loop: LoopCosts) -> float:
        return float(simulate(workload, deployment, loop, seed=0).loop_busy_s.sum()) / 200

    free = busy_s(model.loop)
    for name in ("per_suspend", "per_event"):
        charged = (busy_s(model.loop.model_copy(update={name: COST_S})) - free) / COST_S
        assert charged == pytest.approx(waits, rel=0.001), name


def test_costs_of_turns_are_found_where_requests_share_readings(tmp_path: Path) -> None:
    arrivals = poisson({"/work": 1.0}, rate_per_s=150, requests=2_000)
    serve(make_app(), arrivals, record=tmp_path, per_turn_s=20e-6)
    requests = read_requests([tmp_path], skip_first_s=0.0)
    read = requests.counters[spans.LOOP_CPU_NS]
    assert len(np.unique(read)) < 0.7 * len(read)
    observed = group_variants(requests)
    windows = loop_windows(requests, observed)
    costs = fit_loop_costs(requests, observed, windows, ColdCost())
    assert costs.per_pass == pytest.approx(20e-6, rel=0.05)


def test_where_requests_were_left_out_windows_tell_nothing(tmp_path: Path) -> None:
    arrivals = poisson({"/work": 1.0}, rate_per_s=100, requests=400)
    serve(make_app(), arrivals, record=tmp_path, sample_ratio=0.5)
    requests = read_requests([tmp_path], skip_first_s=0.0)
    # Their code and waits would pass for time that others took.
    assert len(loop_windows(requests, group_variants(requests))) == 0
