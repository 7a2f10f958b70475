"""What other processes took of the loop's time, as the kernel counted it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI

from fastsim import spans
from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.taken import Taken, fit_taken
from tests.calibrate.trace_formats import trace
from tests.virtual.loop import burn, current, starve
from tests.virtual.serving import poisson, serve

REQUESTS, GAP_S, CODE_S = 800, 0.02, 0.005


@pytest.fixture(scope="module")
def template() -> RequestSet:
    """Requests of anything, to be filled with other columns."""
    return collect_requests(trace(3), skip_first_s=0.0)


def recorded(
    template: RequestSet,
    waited_s: np.ndarray | float,
    *,
    threads_s: float = 0.0,
    cores: int = 1,
    uvloop: bool = False,
) -> RequestSet:
    """A request every 20 ms with 5 ms of code, for 16 s.

    Parameters
    ----------
    waited_s
        How long the loop was without a core for each of them.
    threads_s
        CPU of other threads of the process for each.
    """
    waited = np.cumsum(np.full(REQUESTS, waited_s) if np.ndim(waited_s) == 0 else waited_s)
    ran = np.arange(1, REQUESTS + 1) * CODE_S
    zeros = np.zeros(REQUESTS, np.int64)
    columns = {
        spans.LOOP_CPU_NS: ran,
        spans.PROCESS_CPU_NS: ran + np.arange(1, REQUESTS + 1) * threads_s,
        spans.LOOP_BUSY_NS: ran + waited,
        spans.CORE_WAIT_NS: waited,
    }
    counters = dict.fromkeys(template.counters, np.full(REQUESTS, -1))
    counters |= {name: np.round(values * 1e9).astype(np.int64) for name, values in columns.items()}
    if uvloop:
        counters[spans.LOOP_BUSY_NS] = np.full(REQUESTS, -1)
    instance = template.instances[0]
    resource = instance.resource | {spans.PROCESS_CORES: cores}
    return replace(
        template,
        instances=(replace(instance, resource=resource),),
        endpoints=("GET /",),
        endpoint=zeros,
        start_ns=(np.arange(REQUESTS) * GAP_S * 1e9).astype(np.int64),
        duration_ns=zeros,
        instance=zeros,
        rejected=zeros.astype(np.bool_),
        warm_up=zeros.astype(np.bool_),
        counters=counters,
    )


@pytest.mark.parametrize("uvloop", [False, True])
def test_what_others_took_all_the_time_is_known_well(template: RequestSet, uvloop: bool) -> None:
    found = fit_taken(recorded(template, CODE_S / 4.0, uvloop=uvloop))
    assert found is not None
    assert found.share == pytest.approx(0.2, rel=0.01)
    assert found.error < 0.002


def test_who_comes_and_goes_is_known_badly(template: RequestSet) -> None:
    """They take half of the second half: code takes 1.5 times its own time in the mean.

    Four stretches of 1, 1, 2 and 2 times: a standard error of 0.5 / sqrt(3) / 1.5.
    """
    waited = np.where(np.arange(REQUESTS) < REQUESTS // 2, 0.0, CODE_S)
    found = fit_taken(recorded(template, waited))
    assert found is not None
    assert found.share == pytest.approx(1.0 / 3.0, rel=0.02)
    assert found.error == pytest.approx(0.5 / 3.0**0.5 / 1.5, rel=0.05)


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_own_threads_are_nobody_else(template: RequestSet, cores: int) -> None:
    """They keep the loop waiting while they have all cores: 1.25 ms takes them that on each."""
    waited_s = CODE_S / 4.0
    alone = recorded(template, waited_s, threads_s=cores * waited_s, cores=cores)
    assert fit_taken(alone) == Taken(0.0, 0.0)
    half = fit_taken(recorded(template, waited_s, threads_s=cores * waited_s / 2.0, cores=cores))
    assert half is not None
    assert half.share == pytest.approx(0.1, rel=0.01)


def test_warm_up_does_not_count(template: RequestSet) -> None:
    waited = np.where(np.arange(REQUESTS) < REQUESTS // 2, CODE_S, 0.0)
    found = recorded(template, waited)
    assert fit_taken(replace(found, warm_up=np.arange(REQUESTS) <= REQUESTS // 2)) == Taken(0, 0)


def test_what_is_hardly_anything_is_nothing(template: RequestSet) -> None:
    assert fit_taken(recorded(template, 0.004 * CODE_S)) == Taken(0.0, 0.0)


def test_a_recording_that_does_not_say_is_told_apart(template: RequestSet) -> None:
    found = recorded(template, 0.0)
    silent = found.counters | {spans.CORE_WAIT_NS: np.full(REQUESTS, -1)}
    assert fit_taken(replace(found, counters=silent)) is None


def test_a_model_doubts_the_speed_where_others_came_and_went(tmp_path: Path) -> None:
    """One process alone, and one with another that takes half the core for seconds."""
    found = {}
    for name, busy in (("alone", False), ("beside", True)):
        app = FastAPI(title="virtual")

        async def work(busy: bool = busy) -> None:
            burn(CODE_S)
            if busy and current().time() % 8.0 < 4.0:
                starve(CODE_S)

        app.add_api_route("/", work, methods=["GET"], response_model=None)
        arrivals = poisson({"/": 1.0}, rate_per_s=40.0, requests=1_000, seed=7)
        serve(app, arrivals, record=tmp_path / name)
        found[name] = build_model(read_requests([tmp_path / name], skip_first_s=0.0))
    alone, beside = (found[name].loop.doubt for name in ("alone", "beside"))
    assert alone.taken == alone.error == alone.drift == 0.0
    assert beside.taken == pytest.approx(1.0 / 3.0, abs=0.08)
    assert beside.drift > 0.05
    assert beside.error == pytest.approx(np.hypot(beside.taken / 2.0, beside.drift), rel=1e-6)
    assert any("other processes took" in line for line in found["beside"].warnings)
