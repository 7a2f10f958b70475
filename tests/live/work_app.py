"""A service whose endpoints do known work, one way of writing FastAPI code each."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from fastsim.collector import resource

app = FastAPI(title="Known work")
slots = resource("slots", capacity=1)


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@app.get("/spin")
async def spin() -> str:
    burn(0.005)
    return "spun"


@app.get("/sleep")
async def sleep() -> str:
    await asyncio.sleep(0.010)
    await asyncio.sleep(0.010)
    return "slept"


@app.get("/blocking")
async def blocking() -> str:
    time.sleep(0.005)  # noqa: ASYNC251
    return "blocked the loop"


async def part() -> None:
    burn(0.001)
    await asyncio.sleep(0.005)


@app.get("/gather")
async def gather() -> str:
    await asyncio.gather(part(), part(), part())
    return "gathered"


@app.get("/thread")
def thread() -> str:
    time.sleep(0.005)
    burn(0.002)
    return "threaded"


async def pieces() -> AsyncIterator[str]:
    for _ in range(5):
        burn(0.001)
        await asyncio.sleep(0.002)
        yield "piece"


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(pieces())


@app.get("/limited")
async def limited() -> str:
    async with slots:
        await asyncio.sleep(0.010)
    return "had a slot"


@app.get("/held")
async def held() -> str:
    async with slots:
        await asyncio.sleep(0.200)  # far longer than three requests need to arrive
    return "had a slot for long"


@app.get("/items/{item}")
async def item(item: int) -> int:
    return item


@app.get("/refuse")
async def refuse() -> None:
    raise HTTPException(503, "refused")


@app.get("/crash")
async def crash() -> None:
    raise RuntimeError("a bug of the service")
