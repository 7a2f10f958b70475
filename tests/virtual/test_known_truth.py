"""Record a service with known laws while it is busy, and find the laws again."""

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.variants import group_variants
from fastsim.distributions import percentile
from fastsim.model import Distribution, WaitStep
from tests.virtual.loop import answer, burn
from tests.virtual.serving import poisson, serve

CODE_S = 0.0045
"""Mean CPU of a request: three stretches of 1 to 2 ms."""


class Service:
    """Two waits a request, both drawn and kept; for a timer or for a peer."""

    def __init__(self, via: str) -> None:
        self.drawn: tuple[list[float], list[float]] = ([], [])
        self.app = FastAPI(title="Known truth")
        draw = random.Random(5)
        waiting = {"socket": answer, "timer": self._timer}[via]

        @self.app.get("/work")
        async def work() -> dict[str, bool]:
            burn(draw.uniform(0.001, 0.002))
            first = draw.lognormvariate(0.0, 0.4) * 0.030
            self.drawn[0].append(first)
            await waiting(first)
            burn(draw.uniform(0.001, 0.002))
            second = draw.gammavariate(2.0, 0.015)
            self.drawn[1].append(second)
            await waiting(second)
            burn(draw.uniform(0.001, 0.002))
            return {"ok": True}

    @staticmethod
    async def _timer(seconds: float) -> None:
        # Not asyncio.sleep, whose length the recorder would read off its coroutine.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(seconds, future.set_result, None)
        await future


def off(law: Distribution, p: float, truth: float) -> float:
    return abs(percentile(law, p) / truth - 1.0)


@pytest.mark.parametrize(("load", "via"), [(0.65, "socket"), (0.8, "timer")])
def test_censored_fits_find_the_truth_where_naive_ones_do_not(
    tmp_path: Path, load: float, via: str
) -> None:
    service = Service(via)
    arrivals = poisson({"/work": 1.0}, rate_per_s=load / CODE_S, requests=2_500)
    served = serve(service.app, arrivals, record=tmp_path)
    assert served.utilisation == pytest.approx(load, rel=0.06)
    requests = read_requests([tmp_path], skip_first_s=0.0)
    work = build_model(requests).endpoints[0]
    fitted = [step for step in work.variants[0].steps if isinstance(step, WaitStep)]
    raw = [
        np.array([step.wall_s for step in steps])
        for steps, _ in group_variants(requests)[0].variants[0].columns()
        if steps[0].do == "wait"
    ]
    assert len(fitted) == len(raw) == 2
    naive_off = fitted_off = 0.0
    for step, walls, drawn in zip(fitted, raw, map(np.array, service.drawn), strict=True):
        median, p95 = np.quantile(drawn, [0.5, 0.95])
        naive = fit_distribution(walls, np.zeros_like(walls))
        assert off(step.time, 0.5, median) < 0.03
        assert off(step.time, 0.95, p95) < 0.05
        assert off(naive, 0.5, median) > 0.04
        naive_off += off(naive, 0.5, median)
        fitted_off += off(step.time, 0.5, median)
    assert naive_off > 3.0 * fitted_off
