"""The virtual laboratory itself: repeatable, and not disturbed by recording."""

import random
from pathlib import Path

import numpy as np
from fastapi import FastAPI

from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import collect_requests
from fastsim.calibrate.timeline import Timeline
from tests.virtual.loop import answer, burn
from tests.virtual.serving import Served, poisson, serve


def service(seed: int = 3) -> FastAPI:
    app = FastAPI(title="virtual")
    draw = random.Random(seed)

    @app.get("/io")
    async def io() -> dict[str, int]:
        burn(draw.uniform(0.001, 0.002))
        await answer(draw.lognormvariate(0.0, 0.4) * 0.03)
        burn(0.001)
        return {"ok": 1}

    return app


def served(record: Path | None = None, **options: float) -> Served:
    arrivals = poisson({"/io": 1.0}, rate_per_s=250.0, requests=500)
    return serve(service(), arrivals, record=record, **options)  # type: ignore[arg-type]


def test_the_same_service_is_served_the_same_to_the_last_bit() -> None:
    first, second = served(), served()
    np.testing.assert_array_equal(first.latency_s, second.latency_s)
    assert set(first.status.tolist()) == {200}


def test_recording_takes_no_virtual_time(tmp_path: Path) -> None:
    plain, recorded = served(), served(tmp_path)
    np.testing.assert_array_equal(plain.latency_s, recorded.latency_s)
    assert sum(path.stat().st_size for path in tmp_path.glob("traces-*.jsonl")) > 100_000


def test_recordings_repeat_to_the_last_bit(tmp_path: Path) -> None:
    def timelines(directory: Path) -> list[Timeline]:
        served(directory)
        found = collect_requests(open_traces([directory]), skip_first_s=0.0)
        return [timeline for _, timeline in found.timelines()]

    first = timelines(tmp_path / "first")
    assert len(first) == 500
    assert first == timelines(tmp_path / "second")


def test_the_servers_own_work_counts() -> None:
    idle, busy = served(), served(accept_s=0.0005, per_turn_s=0.00005)
    assert busy.utilisation > idle.utilisation + 0.1
    assert busy.latency_s.mean() > idle.latency_s.mean() + 0.0005
