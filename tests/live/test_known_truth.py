"""Record a service with known laws at about 65 % utilisation and find the laws again."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.loop_costs import utilisation
from fastsim.calibrate.variants import group_variants
from fastsim.distributions import percentile
from fastsim.load.outcome import to_run
from fastsim.model import Distribution, WaitStep
from tests.live.attempts import holds_on_an_attempt
from tests.live.service import recorded_service, send

ROUNDING_S = {"asyncio": 0.0005, "uvloop": 0.0}
"""epoll rounds a timer on an idle loop up to a whole millisecond: so much of each wait, on
average, is real but was not drawn. libuv rounds to the nearest."""


def off(law: Distribution, p: float, truth: float) -> float:
    return abs(percentile(law, p) / truth - 1.0)


@pytest.mark.live
@pytest.mark.parametrize("loop", ROUNDING_S)
def test_censored_fits_find_the_truth_where_naive_ones_do_not(tmp_path: Path, loop: str) -> None:
    holds_on_an_attempt(lambda attempt: check(tmp_path / str(attempt), loop))


def check(output: Path, loop: str) -> None:
    with recorded_service("known_truth_app:app", output, loop=loop) as url:
        sent = send(url, "GET /work=100%", rate=125.0, duration_s=16.0)
        with urllib.request.urlopen(f"{url}/truth", timeout=10) as answer:  # noqa: S310
            truths = [np.array(drawn) for drawn in json.load(answer)]
    assert to_run(sent).total.failed == 0
    requests = read_requests([output], skip_first_s=0.0)
    busy = utilisation(requests)
    assert busy is not None
    assert 0.45 < busy < 0.88, "not the load this test is about"
    work = next(item for item in build_model(requests).endpoints if item.name == "GET /work")
    fitted = [step for step in work.variants[0].steps if isinstance(step, WaitStep)]
    observed = next(item for item in group_variants(requests) if item.name == "GET /work")
    raw = [
        np.array([step.wall_s for step in steps])
        for steps, _ in observed.variants[0].columns()
        if steps[0].do == "wait"
    ]
    assert len(fitted) == len(raw) == 2
    naive_off = fitted_off = 0.0
    for step, walls, truth in zip(fitted, raw, truths, strict=True):
        naive = fit_distribution(walls, np.zeros_like(walls))
        median, p95 = np.quantile(truth, [0.5, 0.95]) + ROUNDING_S[loop]
        assert off(step.time, 0.5, median) < 0.05
        assert off(step.time, 0.95, p95) < 0.10
        assert off(naive, 0.5, median) > 0.04
        naive_off += off(naive, 0.5, median)
        fitted_off += off(step.time, 0.5, median)
    # Over both steps: chance moves each median by a per cent or two, the bias moves them all.
    assert naive_off > 2.0 * fitted_off
