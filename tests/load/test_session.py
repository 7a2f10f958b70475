import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable

import numpy as np
import pytest
from aiohttp import web

from fastsim.errors import InputError
from fastsim.load.address import parse_address
from fastsim.load.precise_loop import precise_loop
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import check_reachable, run_load
from fastsim.load.traffic_file import parse_mix

Serve = Callable[[Callable[[web.Request], object]], str]


def test_ctrl_c_keeps_what_finished(serve: Serve) -> None:
    seen = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        if seen == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return web.Response()

    schedule = draw_schedule(parse_mix("GET /=100%"), rate_per_s=100, duration_s=60)
    before = signal.getsignal(signal.SIGINT)
    result = run_load(serve(handler), schedule)
    assert result.stopped
    assert 1 <= (~np.isnan(result.done_s)).sum() < len(schedule)
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_listening_is_one_clear_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = parse_address(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(InputError, match="connection refused"):
            check_reachable(address)


def test_precise_loop_waits_less_than_a_millisecond_when_asked() -> None:
    """The kernel is asked for the true time: no rounding up to whole milliseconds."""

    async def shortest() -> float:
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(50):
            before_s = loop.time()
            await asyncio.sleep(300e-6)
            waits.append(loop.time() - before_s)
        return min(waits)

    with asyncio.Runner(loop_factory=precise_loop) as runner:
        found_s = runner.run(shortest())
    assert found_s >= 299e-6
    if sys.platform == "linux":
        # The default loop cannot do this at all: its shortest wait is 1 ms.
        assert found_s < 1e-3


def test_precise_loop_still_serves_sockets() -> None:
    async def echo() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello\n")
            line = await asyncio.wait_for(reader.readline(), 10)
            writer.close()
            await writer.wait_closed()
            return line

    with asyncio.Runner(loop_factory=precise_loop) as runner:
        assert runner.run(echo()) == b"hello\n"
