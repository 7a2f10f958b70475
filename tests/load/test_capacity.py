import asyncio

import pytest
from aiohttp import web

from fastsim.errors import NotEnoughDataError
from fastsim.load.capacity import measure_capacity
from fastsim.load.traffic_file import parse_mix
from tests.load.conftest import Serve


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
