"""Known work in every way FastAPI code is written. The truth is in ``test_known_work``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from anyio import create_task_group
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from fastsim.collector import resource
from tests.virtual.loop import answer, block, burn


async def part() -> None:
    burn(0.004)
    await asyncio.sleep(0.020)
    burn(0.002)


async def after() -> None:
    burn(0.006)
    await asyncio.sleep(0.010)


async def pieces() -> AsyncIterator[str]:
    for _ in range(10):
        burn(0.001)
        await asyncio.sleep(0.005)
        yield "data: piece\n\n"


async def dependency() -> AsyncIterator[None]:
    burn(0.004)
    yield
    burn(0.003)


def make_app() -> FastAPI:
    """Return a new application: it keeps what belongs to its loop."""
    app = FastAPI(title="Known work")
    kept: set[asyncio.Task[None]] = set()
    slots = resource("slots", capacity=1)

    @app.get("/nothing")
    async def nothing() -> None:
        """FastAPI itself takes no virtual time."""

    @app.get("/spin")
    async def spin() -> None:
        burn(0.010)

    @app.get("/sleep")
    async def sleep() -> None:
        await asyncio.sleep(0.020)
        burn(0.005)
        await asyncio.sleep(0.030)

    @app.get("/peer")
    async def ask_peer() -> None:
        burn(0.001)
        await answer(0.0204)
        burn(0.002)

    @app.get("/blocking")
    async def blocking() -> None:
        block(0.060)
        burn(0.005)

    @app.get("/gather")
    async def gather() -> None:
        await asyncio.gather(part(), part(), part())

    @app.get("/group")
    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(part())
            tasks.create_task(part())

    @app.get("/anyio-group")
    async def anyio_group() -> None:
        async with create_task_group() as tasks:
            tasks.start_soon(part)
            tasks.start_soon(part)

    @app.get("/task")
    async def task() -> None:
        other = asyncio.create_task(part())
        burn(0.004)
        await other

    @app.get("/depends")
    async def depends(_: Annotated[None, Depends(dependency)]) -> None:
        burn(0.002)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces(), media_type="text/event-stream")

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> None:
        burn(0.004)
        tasks.add_task(after)

    @app.get("/detached")
    async def detached() -> None:
        burn(0.004)
        job = asyncio.create_task(after())
        kept.add(job)
        job.add_done_callback(kept.discard)

    @app.get("/timeout")
    async def timeout() -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.020):
                await asyncio.sleep(10.0)
        return "too late"

    @app.get("/crash")
    async def crash() -> None:
        burn(0.005)
        raise RuntimeError("a bug of the service")

    @app.get("/limited")
    async def limited() -> str:
        async with slots:
            await answer(0.010)
        return "had a slot"

    layered = FastAPI()

    @layered.middleware("http")
    async def layer(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        burn(0.002)
        return await call_next(request)

    @layered.get("/spin/{times}")
    async def spin_below(times: int) -> None:
        burn(0.010 * times)

    app.mount("/layered", layered)
    return app
