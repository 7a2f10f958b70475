"""The service of soak.py: many ways to write an endpoint, some of them failing."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response


class Tag(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-tag"] = "1"
        return response


app = FastAPI(title="Soak")
app.add_middleware(Tag)
inner = FastAPI(title="Inner")
app.mount("/inner", inner)
loose: set[asyncio.Task[None]] = set()


async def settings() -> AsyncIterator[int]:
    await asyncio.sleep(0.001)
    yield 7


def sync_settings() -> int:
    return 5


@app.get("/items/{item}")
async def read_item(item: int, number: int = Depends(settings)) -> dict[str, int]:
    await asyncio.sleep(0.002)
    return {"item": item, "number": number}


@app.get("/sync/{item}")
def read_sync(item: int, number: int = Depends(sync_settings)) -> dict[str, int]:
    time.sleep(0.001)
    return {"item": item, "number": number}


@app.get("/gather")
async def gather() -> int:
    await asyncio.gather(*(asyncio.sleep(0.001 * number) for number in range(4)))
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(asyncio.sleep(0.001))
    return 7


@app.get("/loose")
async def start_loose() -> int:
    task = asyncio.create_task(asyncio.sleep(0.02))
    loose.add(task)
    task.add_done_callback(loose.discard)
    return len(loose)


@app.get("/background")
async def background(tasks: BackgroundTasks) -> int:
    tasks.add_task(asyncio.sleep, 0.005)
    return 1


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def chunks() -> AsyncIterator[str]:
        for number in range(20):
            await asyncio.sleep(0.002)
            yield f"data: {number}\n\n"

    return StreamingResponse(chunks(), media_type="text/event-stream")


@app.get("/endless")
async def endless() -> StreamingResponse:
    async def chunks() -> AsyncIterator[str]:
        while True:
            await asyncio.sleep(0.005)
            yield "more\n"

    return StreamingResponse(chunks())


@app.get("/stream-sync")
def stream_sync() -> StreamingResponse:
    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield b"x" * 1000

    return StreamingResponse(chunks())


@app.post("/upload")
async def upload(request: Request) -> int:
    return len(await request.body())


@app.get("/refused")
async def refused() -> None:
    raise HTTPException(403, "no")


@app.get("/crash")
async def crash() -> None:
    raise RuntimeError("a bug of the service")


@app.get("/timeout")
async def times_out() -> PlainTextResponse:
    try:
        async with asyncio.timeout(0.005):
            await asyncio.sleep(1.0)
    except TimeoutError:
        return PlainTextResponse("late", 504)
    return PlainTextResponse("early")


@inner.get("/deep/{name}")
async def deep(name: str) -> str:
    return name
