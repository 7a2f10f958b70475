import asyncio

import numpy as np
import numpy.typing as npt
import pytest
from aiohttp import web

from fastsim.errors import NotEnoughDataError
from fastsim.load.capacity import measure_capacity, rate_of
from fastsim.load.driver import LoadResult
from fastsim.load.schedule import draw_schedule
from fastsim.load.traffic_file import parse_mix
from tests.load.conftest import Serve

FloatArray = npt.NDArray[np.float64]


def test_a_service_with_two_slots_of_a_known_time_saturates_at_their_rate(serve: Serve) -> None:
    slots = asyncio.Semaphore(2)

    async def handler(_: web.Request) -> web.Response:
        async with slots:
            await asyncio.sleep(0.020)
        return web.Response()

    found = measure_capacity(serve(handler), parse_mix("GET /=100%"), duration_s=1.0)
    # Sleeps are never shorter, so never more than 100/s; how much less is the machine's matter.
    assert 20.0 < found.per_s <= 101.0
    assert found.requests == pytest.approx(found.per_s * found.elapsed_s)


def test_requests_that_fail_do_not_count(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=500)

    with pytest.raises(NotEnoughDataError, match="status 500"):
        measure_capacity(serve(handler), parse_mix("GET /=100%"), duration_s=0.2)


def test_requests_that_take_long_count_as_often_as_they_are_served() -> None:
    """Most slots hold long requests at any time, so what is done first is mostly short.

    Sixteen at a time share a processor; fixed seeds, and the mean of 100 orders
    of the same requests is known to 1 %.
    """
    work_s = [1.0] * 216 + [4.0] * 48 + [16.0] * 24
    true_per_s = 1.0 / np.mean(work_s)
    found, in_time = [], []
    for seed in range(100):
        slots, done = [0.0] * 16, list[float]()
        for each_s in np.random.default_rng(seed).permutation(work_s):
            free = slots.index(min(slots))
            slots[free] += 16.0 * float(each_s)
            done.append(float(slots[free]))
        found.append(rate_of(finished(np.array(done, np.float64)), 16, "http://here").per_s)
        first = np.sort(done)[:-16]
        in_time.append(len(first) / first[-1])
    assert np.mean(found) == pytest.approx(true_per_s, rel=0.01)
    assert np.mean(in_time) > 1.03 * true_per_s


def test_a_queue_of_those_who_all_began_together_counts_no_more_than_is_served() -> None:
    done_s = np.arange(0.5, 30.5, 0.5, dtype=np.float64)
    found = rate_of(finished(done_s), 16, "http://here")
    assert found.per_s == pytest.approx(2.0, rel=1e-9)
    assert found.requests == pytest.approx(found.per_s * found.elapsed_s)


def finished(done_s: FloatArray) -> LoadResult:
    count = len(done_s)
    schedule = draw_schedule(
        parse_mix("GET /=100%"), rate_per_s=count, duration_s=1.0, arrivals="uniform"
    )
    return LoadResult(
        base_url="http://here",
        schedule=schedule,
        sent_s=schedule.at_s,
        done_s=done_s,
        status=np.full(count, 200),
        cause=("",) * count,
        received_bytes=np.zeros(count, np.int64),
        trace_ids=("",) * count,
        started_unix_ns=0,
        elapsed_s=float(done_s.max()),
        cpu_s=0.0,
        stopped=False,
    )
