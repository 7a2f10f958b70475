"""Loop time that belongs to no request is counted by what took it, and by nobody else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient

from fastsim import spans
from fastsim.calibrate.background import background_share, background_warnings
from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.collector import instrument
from fastsim.collector.background import MOST_NAMES, Background, TimedBackground, watch_background

BURN_S = 0.002


def burn(seconds: float = BURN_S) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def poll() -> None:
    while True:
        burn()
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    # Tasks that were made before the service is up, by a factory that comes after ours.
    loop = asyncio.get_running_loop()
    job = asyncio.create_task(poll())
    loop.set_task_factory(lambda loop, coro, **more: asyncio.Task(coro, loop=loop, **more))
    yield
    job.cancel()


def make_app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/plain")
    async def plain() -> str:
        tasks = [asyncio.create_task(part()) for _ in range(2)]
        await asyncio.gather(*tasks)
        return "plain"

    async def part() -> None:
        burn(BURN_S / 10)
        await asyncio.sleep(0.001)

    @app.websocket("/rooms/{room}")
    async def talk(socket: WebSocket, room: str) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            burn()
            await socket.send_text(f"{room}: {text}")

    return app


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RequestSet:
    output = tmp_path_factory.mktemp("traces")
    with TestClient(instrument(make_app(), output=output)) as client:
        client.get("/plain")
        with client.websocket_connect("/rooms/blue") as socket:
            for number in range(20):
                socket.send_text(str(number))
                assert socket.receive_text() == f"blue: {number}"
                client.get("/plain")
    return collect_requests(open_traces([output]), skip_first_s=0.0)


def test_periodic_work_and_websockets_are_named(recorded: RequestSet) -> None:
    found = recorded.loop_series.background_s
    assert found["websocket /rooms/{room}"] >= 19 * BURN_S
    assert found["poll"] >= 5 * BURN_S
    assert not [name for name in found if "part" in name or "plain" in name]


def test_requests_keep_their_own_tasks(recorded: RequestSet) -> None:
    # Also after the service has set a task factory of its own.
    for _, line in recorded.timelines():
        assert len(set(line.task)) == 3


def test_the_counter_holds_what_the_names_add_up_to(recorded: RequestSet) -> None:
    wall = recorded.counters[spans.BACKGROUND_WALL_NS]
    cpu = recorded.counters[spans.BACKGROUND_CPU_NS]
    assert 20 * BURN_S <= cpu.max() / 1e9 <= wall.max() / 1e9 * 1.05
    assert background_share(recorded) > 0.02
    [said] = background_warnings(recorded)
    assert "websocket /rooms/{room}" in said


def test_names_are_bounded() -> None:
    background = Background()
    for number in range(3 * MOST_NAMES):
        background.add(f"job {number}", 10, 5)
    taken = background.take()
    assert len(taken) <= MOST_NAMES + 1
    assert sum(work.wall for work in taken) == background.wall == 30 * MOST_NAMES
    assert background.take() == []


@pytest.mark.parametrize("sample_ratio", [0.0, 1.0])
def test_neither_tasks_that_requests_pass_through_nor_their_own_are_background(
    sample_ratio: float, tmp_path: Path
) -> None:
    app = instrument(make_app(), output=tmp_path, sample_ratio=sample_ratio)
    recorder = app._fastsim_recorder  # type: ignore[attr-defined]

    async def drive() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            for _ in range(3):
                assert (await client.get("/plain")).status_code == 200

    async def serve() -> None:
        recorder._ready_clock()
        await asyncio.create_task(drive())

    asyncio.run(serve())
    names = [work.name for work in recorder._clock.background.take()]
    assert not [name for name in names if "drive" in name or "part" in name]


def test_errors_and_answers_pass_through() -> None:
    sums = Background()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def answers() -> int:
        await asyncio.sleep(0)
        return 7

    async def both() -> int:
        with pytest.raises(KeyError, match="mine"):
            await TimedBackground(fails(), sums, lambda: "fails")
        task = asyncio.create_task(watch_background(answers(), sums))
        cancelled = asyncio.create_task(watch_background(poll(), sums))
        await asyncio.sleep(0.002)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        answer: int = await task
        return answer

    assert asyncio.run(both()) == 7
    names = {work.name.rpartition(".")[2] for work in sums.take()}
    assert names == {"fails", "answers", "poll"}
