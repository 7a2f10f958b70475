"""Small services, each of which does one thing that a twin can get wrong.

``FIDELITY_SERVICE=mixed uvicorn benchmarks.fidelity.services:app`` serves one of them.
Code is counted in turns of a loop, not in time, so that it takes longer when others take the core.
"""

import asyncio
import math
import os
import random
import time
from collections.abc import AsyncIterator, Callable

import httpx
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

UPSTREAM = os.environ.get("FIDELITY_UPSTREAM", "")
DATABASE = os.environ.get(
    "FIDELITY_DATABASE", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"
)
_TURNS_PER_MS = 9_000


def work(mean_ms: float, sigma: float = 0.3) -> float:
    """Run code of a lognormal length; 1 ms is what a fast core of 2024 takes, roughly."""
    drawn = random.lognormvariate(math.log(mean_ms) - sigma**2 / 2.0, sigma)
    total = 0.0
    for turn in range(int(drawn * _TURNS_PER_MS)):
        total += turn * 0.5
    return total


def a_while(mean_s: float) -> float:
    """Draw a time that waiting takes, seconds."""
    return random.gammavariate(4.0, mean_s / 4.0)


def def_cpu(app: FastAPI) -> None:
    """Code in threads, which take the GIL from the loop."""

    @app.get("/work")
    def in_a_thread() -> float:
        return work(2.0)


def def_io(app: FastAPI) -> None:
    """Waits in threads, with a little code."""

    @app.get("/wait")
    def in_a_thread() -> float:
        time.sleep(a_while(0.020))
        return work(0.3)


def mixed(app: FastAPI) -> None:
    """Threads beside code and waits on the loop."""

    @app.get("/work")
    def in_a_thread() -> float:
        time.sleep(a_while(0.005))
        return work(1.0)

    @app.get("/wait")
    async def on_the_loop() -> float:
        await asyncio.sleep(a_while(0.010))
        return work(0.7)


def semaphore(app: FastAPI) -> None:
    """A limit within the process."""
    limit = asyncio.Semaphore(4)

    @app.get("/item")
    async def item() -> float:
        work(0.4)
        async with limit:
            await asyncio.sleep(a_while(0.008))
            work(0.2)
        return work(0.4)


def fan_out(app: FastAPI) -> None:
    """Three calls side by side to another service."""
    client = httpx.AsyncClient(base_url=UPSTREAM, limits=httpx.Limits(max_connections=100))

    @app.get("/page")
    async def page() -> float:
        answers = await asyncio.gather(*(client.get("/item") for _ in range(3)))
        return work(0.2 * len(answers))


def database(app: FastAPI) -> None:
    """A pool of four connections to PostgreSQL, held for two queries."""
    engine = create_async_engine(DATABASE, pool_size=4, max_overflow=0, pool_timeout=30.0)
    numbers = text("select generate_series(1, 20)")

    @app.get("/rows")
    async def rows() -> float:
        async with engine.connect() as connection:
            await connection.execute(text("select pg_sleep(:s)"), {"s": a_while(0.012)})
            found = (await connection.execute(numbers)).all()
        return work(0.02 * len(found))


def stream(app: FastAPI) -> None:
    """Answers in many parts."""

    async def parts() -> AsyncIterator[str]:
        for _ in range(random.randint(10, 30)):
            await asyncio.sleep(a_while(0.004))
            work(0.05)
            yield "word "

    @app.get("/chat")
    async def chat() -> StreamingResponse:
        work(0.3)
        return StreamingResponse(parts(), media_type="text/plain")


def cache(app: FastAPI) -> None:
    """Mostly from memory, now and then from far away."""

    @app.get("/item")
    async def item() -> float:
        work(0.4)
        if random.random() < 0.1:
            await asyncio.sleep(a_while(0.040))
            work(1.5)
        return work(0.2)


def upstream(app: FastAPI) -> None:
    """What ``fan_out`` calls."""

    @app.get("/item")
    async def item() -> str:
        await asyncio.sleep(a_while(0.015))
        return "item"


SERVICES: dict[str, tuple[Callable[[FastAPI], None], str]] = {
    "def_cpu": (def_cpu, "GET /work=100%"),
    "def_io": (def_io, "GET /wait=100%"),
    "mixed": (mixed, "GET /work=50%, GET /wait=50%"),
    "semaphore": (semaphore, "GET /item=100%"),
    "database": (database, "GET /rows=100%"),
    "fan_out": (fan_out, "GET /page=100%"),
    "stream": (stream, "GET /chat=100%"),
    "cache": (cache, "GET /item=100%"),
}
"""What each service is made by, and what is asked of it."""


def _make() -> FastAPI:
    random.seed(os.getpid())
    made = FastAPI()
    name = os.environ.get("FIDELITY_SERVICE", "")
    if name == "upstream":
        upstream(made)
    elif name in SERVICES:
        SERVICES[name][0](made)
    return made


app = _make()
