"""Fitted waits lie between the truth and what the walls of a real, busy service say.

How near they come to the truth on a quiet machine is a matter of ``tests/virtual``; here it is
that on either loop the bounds take queueing off and do not take off more than there was.
"""

import json
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.variants import group_variants
from fastsim.distributions import percentile
from fastsim.load.capacity import measure_capacity
from fastsim.load.outcome import to_run
from fastsim.load.traffic_file import parse_mix
from fastsim.model import WaitStep
from tests.live.attempts import holds_on_an_attempt
from tests.live.service import recorded_service, send

MIX = "GET /work=100%"
LOAD = 0.6
"""Of the capacity, which is measured first."""


@pytest.mark.live
@pytest.mark.timed
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_fits_take_queueing_off_and_nothing_else(tmp_path: Path, loop: str) -> None:
    holds_on_an_attempt(lambda attempt: check(tmp_path / str(attempt), loop))


def check(output: Path, loop: str) -> None:
    with recorded_service("known_truth_app:app", output, loop=loop) as url:
        begun = time.perf_counter()
        capacity = measure_capacity(url, parse_mix(MIX), duration_s=2.0).per_s
        saturated_s = time.perf_counter() - begun
        before = drawn(url)
        sent = send(url, MIX, rate=LOAD * capacity, duration_s=8.0)
        truths = [waits[len(old) :] for waits, old in zip(drawn(url), before, strict=True)]
    assert to_run(sent).total.failed == 0
    requests = read_requests([output], skip_first_s=saturated_s + 0.1)
    work = next(item for item in build_model(requests).endpoints if item.name == "GET /work")
    fitted = [step for step in work.variants[0].steps if isinstance(step, WaitStep)]
    observed = next(item for item in group_variants(requests) if item.name == "GET /work")
    raw = [
        np.array([step.wall_s for step in steps])
        for steps, _ in observed.variants[0].columns()
        if steps[0].do == "wait"
    ]
    assert len(fitted) == len(raw) == 2
    for step, walls, truth in zip(fitted, raw, truths, strict=True):
        median = percentile(step.time, 0.5)
        assert 0.85 * np.median(truth) <= median <= 1.02 * np.median(walls)


def drawn(url: str) -> list[list[float]]:
    with urllib.request.urlopen(f"{url}/truth", timeout=10) as answer:  # noqa: S310
        found: list[list[float]] = json.load(answer)
    return found
