"""A service with many kinds of answers, to compare byte for byte with and without recording."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from fastapi import BackgroundTasks, Cookie, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    StreamingResponse,
)
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = request.method
        return response


app = FastAPI(title="Varied")
app.add_middleware(GZipMiddleware, minimum_size=500)
app.add_middleware(Stamp)
app.add_middleware(CORSMiddleware, allow_origins=["*"], expose_headers=["x-stamp"])
inner = FastAPI(title="Inner")


@app.get("/json/{number}")
async def as_json(number: int, q: list[str] | None = None) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"number": number, "q": q, "text": "åß∂ƒ\u2028"}


def locale(request: Request) -> str:
    return request.headers.get("accept-language", "none")


@app.get("/sync")
def sync(language: str = Depends(locale)) -> str:
    return language


@app.get("/cookies")
async def cookies(response: Response, seen: str | None = Cookie(default=None)) -> str | None:
    response.set_cookie("a", "1", max_age=60, httponly=True)
    response.set_cookie("b", "two words", samesite="strict")
    response.headers.append("x-many", "1")
    response.headers.append("x-many", "2")
    return seen


@app.get("/html", response_class=HTMLResponse)
async def html() -> str:
    return "<p>hello</p>" * 200  # long enough to be compressed


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0.002)
            yield f"chunk {number}\n".encode()

    return StreamingResponse(chunks(), media_type="text/plain")


@app.get("/stream-sync")
async def stream_sync() -> StreamingResponse:
    def chunks() -> Iterator[str]:
        for number in range(3):
            time.sleep(0.001)
            yield f"piece {number};"

    return StreamingResponse(chunks())


@app.get("/stream-breaks")
async def stream_breaks() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("half way")

    return StreamingResponse(chunks())


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(Path(__file__), filename="varied.py")


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@app.post("/count")
async def count(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@app.post("/ignores-body")
async def ignores_body() -> str:
    return "did not look"


@app.get("/moved")
async def moved() -> RedirectResponse:
    return RedirectResponse("/json/1", status_code=308)


@app.delete("/empty", status_code=204)
async def empty() -> None:
    return None


@app.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, {"why": "tea"}, headers={"x-tea": "green"})


@app.get("/crash")
async def crash() -> None:
    raise RuntimeError("a bug of the service")


@app.get("/crash-sync")
def crash_sync() -> None:
    raise ValueError("another")


@app.get("/background")
async def background(tasks: BackgroundTasks) -> JSONResponse:
    tasks.add_task(asyncio.sleep, 0.001)
    return JSONResponse({"queued": True}, background=tasks)


@app.get("/gather")
async def gather() -> list[int]:
    async def part(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part(number)) for number in range(3)]
    return [task.result() for task in tasks]


@inner.get("/deep/{name}")
async def deep(name: str) -> str:
    return name


app.mount("/inner", inner)
