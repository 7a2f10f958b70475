"""A service without FastSim: old and new FastAPI, pydantic 1 and 2, Python 3.11 and later.

Run as a script it serves itself, which is how many services start.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import anyio
from fastapi import FastAPI
from pydantic import BaseModel

FOREIGN = {"numpy", "scipy", "simpy", "typer", "rich", "opentelemetry", "yaml"}


class Item(BaseModel):
    number: int
    name: str = "thing"


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    eager = getattr(asyncio, "eager_task_factory", None)
    loop = asyncio.get_running_loop()
    if eager is not None and isinstance(loop, asyncio.BaseEventLoop):  # uvloop 0.22 fails with it
        loop.set_task_factory(eager)
    yield


app = FastAPI(title="beside", lifespan=lifespan)
inner = FastAPI()
app.mount("/v1", inner)


@app.get("/items/{number}", response_model=Item)
async def item(number: int) -> Item:
    await asyncio.sleep(0.001)
    return Item(number=number)


@app.get("/group")
async def group() -> int:
    """Has anyio's task group start tasks, which fails where its tasks are not recognised."""
    done: list[int] = []

    async def part(number: int) -> None:
        await anyio.sleep(0.001)
        done.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(part, number)
    with anyio.move_on_after(5.0):
        done += await asyncio.gather(asyncio.sleep(0, 3), asyncio.sleep(0, 4))
    return len(done)


@app.get("/thread")
def thread() -> str:
    return "threaded"


@inner.get("/fast/{name}")
async def fast(name: str) -> str:
    return name


@app.get("/loaded")
async def loaded() -> list[str]:
    return loaded_now()


def loaded_now() -> list[str]:
    """Name what is in the process of all that FastSim, too, might bring."""
    return sorted(FOREIGN & set(sys.modules))


def make_app() -> FastAPI:
    return app


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
