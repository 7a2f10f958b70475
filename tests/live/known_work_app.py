"""Known work in every way FastAPI code is written. The truth is in ``test_known_work``."""

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from anyio import create_task_group
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.responses import Response

app = FastAPI(title="Known work")
own_pool = concurrent.futures.ThreadPoolExecutor(2)


def burn(milliseconds: float) -> None:
    end = time.thread_time() + milliseconds / 1e3
    while time.thread_time() < end:
        pass


async def part() -> None:
    burn(4)
    await asyncio.sleep(0.020)
    burn(2)


def threaded() -> None:
    time.sleep(0.020)  # first, so that threads do not fight for the GIL while they are timed
    burn(5)


@app.get("/nothing")
async def nothing() -> None:
    """What FastAPI itself costs."""


@app.get("/spin")
async def spin() -> None:
    burn(10)


@app.get("/sleep")
async def sleep() -> None:
    await asyncio.sleep(0.020)
    burn(5)
    await asyncio.sleep(0.030)


@app.get("/blocking")
async def blocking() -> None:
    time.sleep(0.060)  # noqa: ASYNC251
    burn(5)


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
    burn(4)
    await other


@app.get("/def")
def plain() -> None:
    threaded()


@app.get("/to-thread")
async def to_thread() -> None:
    await asyncio.to_thread(threaded)


@app.get("/executor")
async def executor() -> None:
    await asyncio.get_running_loop().run_in_executor(own_pool, threaded)


@app.get("/executors")
async def executors() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(own_pool, threaded) for _ in range(2)))


def sync_dependency() -> None:
    threaded()


async def async_dependency() -> AsyncIterator[None]:
    burn(4)
    yield
    burn(4)


@app.get("/depends")
async def depends(
    _first: Annotated[None, Depends(sync_dependency)],
    _second: Annotated[None, Depends(async_dependency)],
) -> None:
    burn(2)


async def pieces() -> AsyncIterator[str]:
    for _ in range(10):
        burn(1)
        await asyncio.sleep(0.005)
        yield "data: piece\n\n"


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(pieces(), media_type="text/event-stream")


async def endless() -> AsyncIterator[str]:
    while True:
        await asyncio.sleep(0.005)
        yield "again and again\n"


@app.get("/endless")
async def stream_endlessly() -> StreamingResponse:
    return StreamingResponse(endless())


async def after() -> None:
    burn(6)
    await asyncio.sleep(0.010)


@app.get("/background")
async def background(tasks: BackgroundTasks) -> None:
    burn(4)
    tasks.add_task(after)


kept: set[asyncio.Task[None]] = set()


@app.get("/detached")
async def detached() -> None:
    burn(4)
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
    burn(5)
    raise RuntimeError("a bug of the service")


@app.post("/upload")
async def upload(request: Request) -> int:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    burn(5)
    return size


def answer_late(listening: socket.socket) -> None:
    """Answer every connection 20 ms after its first byte, from a thread of its own."""

    def serve(client: socket.socket) -> None:
        with client:
            while client.recv(100):
                time.sleep(0.020)
                client.sendall(b"x")

    while True:
        client, _ = listening.accept()
        threading.Thread(target=serve, args=(client,), daemon=True).start()


peer = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=answer_late, args=(peer,), daemon=True).start()


@app.get("/peer")
async def ask_peer() -> None:
    reader, writer = await asyncio.open_connection(*peer.getsockname())
    writer.write(b"?")
    await reader.readexactly(1)
    writer.close()


@app.websocket("/socket")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


outer = APIRouter(prefix="/v1")
inner = APIRouter(prefix="/users/{user}")


@inner.get("/orders/{order}")
async def order(user: int, order: int) -> int:
    return user + order


outer.include_router(inner)
app.include_router(outer, prefix="/api")

layered = FastAPI()


@layered.middleware("http")
async def layer(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    burn(2)
    return await call_next(request)


@layered.get("/spin/{times}")
async def spin_below(times: int) -> None:
    burn(10.0 * times)


app.mount("/layered", layered)
