import asyncio
import errno
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from fastsim.load.driver import (
    OUT_OF_SOCKETS,
    LoadResult,
    Progress,
    drive,
    failure_cause,
    trace_context_ids,
)
from fastsim.load.schedule import Schedule, draw_schedule
from fastsim.load.template import json_template, text_template
from fastsim.load.traffic_file import MixEntry, parse_mix

Serve = Callable[[Callable[[web.Request], object]], str]


def evenly(n: int, mix: str = "GET /a=100%", seed: int = 1) -> Schedule:
    return draw_schedule(
        parse_mix(mix), rate_per_s=100, duration_s=n / 100, arrivals="uniform", seed=seed
    )


def driven(url: str, schedule: Schedule, timeout_s: float = 30.0) -> LoadResult:
    return asyncio.run(drive(url, schedule, timeout_s=timeout_s))


async def answer_ok(request: web.Request) -> web.Response:
    return web.Response(text="ok")


def test_every_request_is_sent_once_and_counted(serve: Serve) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path_qs)
        return web.Response(text="hello")

    schedule = evenly(30, "GET /a/{1..9}?x=1=50%,GET /b=50%")
    result = driven(serve(handler), schedule)
    assert sorted(seen) == sorted(schedule.path)
    assert (result.status == 200).all()
    assert (result.received_bytes == 5).all()
    assert set(result.cause) == {""}
    assert not result.stopped
    assert (result.sent_s >= schedule.at_s).all()
    assert (result.done_s >= result.sent_s).all()


def test_requests_leave_whether_or_not_earlier_ones_were_answered(serve: Serve) -> None:
    """The server answers nobody until all have come: only an open loop gets through."""
    waiting: list[asyncio.Event] = []

    async def handler(request: web.Request) -> web.Response:
        event = asyncio.Event()
        waiting.append(event)
        if len(waiting) == 40:
            for other in waiting:
                other.set()
        await event.wait()
        return web.Response()

    result = driven(serve(handler), evenly(40), timeout_s=20)
    assert set(result.cause) == {""}
    last_sent_s = result.sent_s.max()
    assert (result.done_s > last_sent_s).all()


def test_latency_includes_the_queue_of_a_stalled_server(serve: Serve) -> None:
    """One stall of 0.5 s: nothing can be answered before it ends (no coordinated omission)."""
    stalled = threading.Event()

    async def handler(request: web.Request) -> web.Response:
        if not stalled.is_set():
            stalled.set()
            time.sleep(0.5)  # noqa: ASYNC251 - the stall is the point
        return web.Response()

    schedule = evenly(40)
    result = driven(serve(handler), schedule)
    latency_s = result.done_s - schedule.at_s
    # Due at k * 10 ms, answered after 500 ms at the earliest.
    assert (latency_s >= 0.5 - schedule.at_s).all()
    assert (latency_s > 0.1).sum() == 40


def test_failures_are_named_by_cause(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/broken":
            raise web.HTTPServiceUnavailable
        if request.path == "/moved":
            raise web.HTTPFound("/a")
        if request.path == "/gone":
            assert request.transport is not None
            request.transport.abort()
        if request.path == "/slow":
            await asyncio.sleep(30)
        return web.Response()

    schedule = evenly(40, "GET /broken=25%,GET /moved=25%,POST /gone=25%,GET /slow=25%", seed=3)
    result = driven(serve(handler), schedule, timeout_s=1.5)
    causes = dict(zip(schedule.path, result.cause, strict=True))
    assert causes == {
        "/broken": "status 503",
        "/moved": "",
        "/gone": "disconnected",
        "/slow": "timeout",
    }
    assert not np.isnan(result.done_s).any()
    slow = np.array(schedule.path) == "/slow"
    assert (result.done_s - result.sent_s)[slow].min() >= 1.49


def test_refused_connections_are_failures_not_a_crash() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        result = driven(f"http://127.0.0.1:{port}", evenly(5))
    assert result.cause == ("refused",) * 5
    assert (result.status == 0).all()


def test_every_request_carries_its_own_traceparent(serve: Serve) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers["traceparent"])
        return web.Response()

    result = driven(serve(handler), evenly(20))
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", text) for text in seen)
    assert sorted(text[3:35] for text in seen) == sorted(result.trace_ids)
    assert len(set(seen)) == 20


def test_trace_ids_come_from_seed_and_plan() -> None:
    assert trace_context_ids(evenly(5)) == trace_context_ids(evenly(5))
    ids = [trace_context_ids(evenly(n, seed=seed))[0] for n, seed in ((5, 1), (5, 2), (6, 1))]
    assert len(set(ids)) == 3


def test_bodies_and_headers_arrive(serve: Serve) -> None:
    seen: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        assert "Accept-Encoding" not in request.headers
        seen.append((request.method, request.headers["x-key"], request.content_type))
        seen.append(await request.json())
        return web.Response()

    entry = MixEntry(
        "POST /o",
        "POST",
        1.0,
        text_template("/o"),
        json_template({"n": "{4..4}"}),
        (("x-key", "1"), ("Content-Type", "application/json")),
    )
    schedule = draw_schedule((entry,), rate_per_s=10, duration_s=0.1, arrivals="uniform")
    driven(serve(handler), schedule)
    assert seen == [("POST", "1", "application/json"), {"n": 4}]
    assert schedule.body == (json.dumps({"n": 4}),)


def test_stop_returns_what_finished(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/never":
            await asyncio.sleep(30)
        return web.Response()

    async def main(url: str, schedule: Schedule) -> LoadResult:
        stop = asyncio.Event()

        def watch(progress: Progress) -> None:
            if progress.finished >= 5:
                stop.set()

        return await drive(url, schedule, on_progress=watch, stop=stop)

    schedule = evenly(3000, "GET /a=50%,GET /never=50%")
    result = asyncio.run(main(serve(handler), schedule))
    sent = ~np.isnan(result.sent_s)
    assert result.stopped
    assert 10 <= sent.sum() < 3000
    never = np.array(schedule.path) == "/never"
    assert np.isnan(result.done_s[never]).all()
    assert (~np.isnan(result.done_s)).sum() >= 5
    assert set(result.cause) == {""}


def test_cancellation_leaves_nothing_running(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def main(url: str) -> set[asyncio.Task[object]]:
        started = asyncio.Event()

        def watch(progress: Progress) -> None:
            if progress.sent:
                started.set()

        task = asyncio.create_task(drive(url, evenly(3000), on_progress=watch))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main(serve(handler))) == set()


def test_a_bug_in_the_progress_callback_is_not_swallowed(serve: Serve) -> None:
    def broken(progress: Progress) -> None:
        raise ZeroDivisionError

    async def main(url: str) -> None:
        await drive(url, evenly(100), on_progress=broken)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main(serve(answer_ok)))


def test_progress_ends_with_everything_finished(serve: Serve) -> None:
    seen: list[Progress] = []
    url = serve(answer_ok)
    asyncio.run(drive(url, evenly(10), on_progress=seen.append))
    assert (seen[-1].sent, seen[-1].finished, seen[-1].failed) == (10, 10, 0)


def test_empty_schedule_ends_at_once(serve: Serve) -> None:
    # With this seed the first arrival of 0.001/s lies beyond the second.
    schedule = draw_schedule(parse_mix("GET /=100%"), rate_per_s=0.001, duration_s=1)
    assert len(schedule) == 0
    assert len(driven(serve(answer_ok), schedule).sent_s) == 0


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TimeoutError(), "timeout"),
        (aiohttp.ServerTimeoutError(), "timeout"),
        (ConnectionRefusedError(), "refused"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), OUT_OF_SOCKETS),
        (aiohttp.ServerDisconnectedError(), "disconnected"),
        (ConnectionResetError(), "disconnected"),
        (aiohttp.ClientPayloadError(), "broken answer"),
        (OSError(), "other"),
    ],
)
def test_failure_causes(error: aiohttp.ClientError | OSError, cause: str) -> None:
    assert failure_cause(error) == cause
