"""Services of known laws for the virtual laboratory, by name.

Each is a FastAPI application and says how much code a request runs in the mean, so that loads
are shares of its capacity.
"""

import asyncio
import heapq
import itertools
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse

from fastsim.collector import resource
from tests.virtual.loop import Feed, answer, block, burn, current, starve


@dataclass(frozen=True)
class Service:
    """An application made anew for each run, with draws of its own."""

    make: Callable[[random.Random], FastAPI]
    code_s: float
    """Mean code of a request on the loop, seconds: its capacity is the inverse."""
    mix: dict[str, float] = field(default_factory=lambda: {"/": 1.0})
    beside: Callable[[], Awaitable[None]] | None = None
    """Something else that runs on the same loop."""


def lognormal(draw: random.Random, median: float, sigma: float) -> float:
    return median * math.exp(sigma * draw.gauss(0.0, 1.0))


def gamma(draw: random.Random, mean: float, shape: float) -> float:
    return draw.gammavariate(shape, mean / shape)


def _app(handler: Callable[..., Awaitable[object]]) -> FastAPI:
    app = FastAPI(title="laboratory")
    app.add_api_route("/", handler, methods=["GET"], response_model=None)
    return app


def _control(draw: random.Random) -> FastAPI:
    async def handler() -> dict[str, int]:
        await answer(draw.expovariate(1 / 0.010))
        burn(draw.expovariate(1 / 0.001))
        return {"ok": 1}

    return _app(handler)


def _sockets(draw: random.Random) -> FastAPI:
    async def handler() -> dict[str, int]:
        burn(lognormal(draw, 0.0005, 0.4))
        await answer(gamma(draw, 0.009, 3.0))
        burn(gamma(draw, 0.0004, 4.0))
        await answer(lognormal(draw, 0.008, 0.5))
        burn(gamma(draw, 0.0004, 4.0))
        return {"ok": 1}

    return _app(handler)


def _cache(miss: float) -> Callable[[random.Random], FastAPI]:
    def make(draw: random.Random) -> FastAPI:
        async def handler() -> dict[str, int]:
            burn(gamma(draw, 0.0004, 4.0))
            await answer(lognormal(draw, 0.0008, 0.3))
            if draw.random() < miss:
                await answer(lognormal(draw, 0.040, 0.5))
                burn(gamma(draw, 0.005, 4.0))
            burn(0.00002)
            return {"ok": 1}

        return _app(handler)

    return make


def _gather(draw: random.Random) -> FastAPI:
    async def part(mean: float) -> None:
        await answer(lognormal(draw, mean, 0.5))
        burn(gamma(draw, 0.0004, 4.0))

    async def handler() -> dict[str, int]:
        burn(lognormal(draw, 0.0004, 0.4))
        await asyncio.gather(part(0.008), part(0.010), part(0.012))
        burn(lognormal(draw, 0.0002, 0.4))
        return {"ok": 1}

    return _app(handler)


def _pool(draw: random.Random) -> FastAPI:
    slots = resource("pool", capacity=6)

    async def handler() -> dict[str, int]:
        burn(gamma(draw, 0.001, 4.0))
        async with slots:
            await answer(gamma(draw, 0.004, 2.0))
        burn(0.0002)
        return {"ok": 1}

    return _app(handler)


def _peer(draw: random.Random) -> FastAPI:
    free_s = [0.0] * 4
    """When each of the peer's connections is done with the calls that it has."""

    async def handler() -> dict[str, int]:
        burn(gamma(draw, 0.0006, 4.0))
        now_s = current().time()
        served_s = max(now_s, free_s[0]) + gamma(draw, 0.0036, 2.0)
        heapq.heapreplace(free_s, served_s)
        await answer(served_s - now_s)
        burn(gamma(draw, 0.0004, 4.0))
        return {"ok": 1}

    return _app(handler)


def _heavy(draw: random.Random) -> FastAPI:
    async def handler() -> dict[str, int]:
        burn(gamma(draw, 0.0006, 4.0))
        await answer(0.006 * draw.paretovariate(2.2))
        burn(0.0004)
        return {"ok": 1}

    return _app(handler)


def _stream(draw: random.Random) -> FastAPI:
    async def handler() -> StreamingResponse:
        burn(gamma(draw, 0.0004, 4.0))

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(10):
                await answer(gamma(draw, 0.012, 3.0))
                burn(gamma(draw, 0.0002, 4.0))
                yield b"piece of the answer."

        return StreamingResponse(pieces())

    return _app(handler)


def _relay(draw: random.Random) -> FastAPI:
    """Pass on what a peer writes at times of its own."""

    async def handler() -> StreamingResponse:
        burn(gamma(draw, 0.0004, 4.0))
        await answer(gamma(draw, 0.02, 4.0))
        burn(0.0002)
        gaps_s = [gamma(draw, 0.004, 3.0) for _ in range(draw.randint(4, 24))]
        words = Feed(list(itertools.accumulate(gaps_s, initial=current().time()))[1:])

        async def pieces() -> AsyncIterator[bytes]:
            for _ in gaps_s:
                await words.next()
                burn(gamma(draw, 0.0002, 4.0))
                yield b"piece of the answer."

        return StreamingResponse(pieces())

    return _app(handler)


def _loop(draw: random.Random) -> FastAPI:
    async def handler() -> dict[str, int]:
        burn(gamma(draw, 0.0004, 4.0))
        for _ in range(draw.choice((2, 5, 12))):
            await answer(gamma(draw, 0.002, 3.0))
            burn(gamma(draw, 0.0001, 4.0))
            await answer(lognormal(draw, 0.001, 0.3))
            burn(gamma(draw, 0.00005, 4.0))
        burn(0.0003)
        return {"ok": 1}

    return _app(handler)


def _sized(draw: random.Random) -> FastAPI:
    async def handler() -> dict[str, int]:
        rows = lognormal(draw, 1.0, 0.7)
        burn(gamma(draw, 0.0002, 4.0))
        await answer(rows * gamma(draw, 0.008, 6.0))
        burn(rows * gamma(draw, 0.0005, 6.0))
        await answer(lognormal(draw, 0.004, 0.4))
        burn(rows * gamma(draw, 0.0003, 10.0))
        return {"ok": 1}

    return _app(handler)


def _semaphore(draw: random.Random) -> FastAPI:
    limit: list[asyncio.Semaphore] = []

    async def handler() -> dict[str, int]:
        if not limit:  # it belongs to the loop that runs
            limit.append(asyncio.Semaphore(5))
        burn(gamma(draw, 0.0004, 4.0))
        async with limit[0]:
            await asyncio.sleep(gamma(draw, 0.004, 4.0))
            burn(gamma(draw, 0.0002, 4.0))
        burn(gamma(draw, 0.0004, 4.0))
        return {"ok": 1}

    return _app(handler)


def _blocking(draw: random.Random) -> FastAPI:
    async def handler() -> dict[str, int]:
        burn(gamma(draw, 0.0003, 4.0))
        await answer(gamma(draw, 0.006, 3.0))
        block(gamma(draw, 0.0015, 4.0))
        burn(gamma(draw, 0.0002, 4.0))
        return {"ok": 1}

    return _app(handler)


def _background(draw: random.Random) -> FastAPI:
    async def mail() -> None:
        burn(gamma(draw, 0.0003, 4.0))
        await answer(gamma(draw, 0.030, 3.0))
        burn(gamma(draw, 0.0006, 4.0))

    async def handler(tasks: BackgroundTasks) -> dict[str, int]:
        burn(gamma(draw, 0.0005, 4.0))
        await answer(gamma(draw, 0.006, 3.0))
        burn(gamma(draw, 0.0002, 4.0))
        tasks.add_task(mail)
        return {"ok": 1}

    return _app(handler)


def _gather_pool(draw: random.Random) -> FastAPI:
    slots = resource("pool", capacity=8)

    async def part() -> None:
        burn(0.00001)
        async with slots:  # which takes some time by itself, outside of virtual time
            burn(0.00001)
            await answer(gamma(draw, 0.003, 3.0))
            burn(0.00001)
        burn(gamma(draw, 0.0002, 4.0))

    async def handler() -> dict[str, int]:
        burn(gamma(draw, 0.0004, 4.0))
        await asyncio.gather(part(), part(), part())
        burn(gamma(draw, 0.0002, 4.0))
        return {"ok": 1}

    return _app(handler)


WARM_LESS, WARM_FORGETS_S = 0.6, 0.004
"""What code of the service "warm code" costs less that has just run, and how it cools down."""


class WarmCode:
    """Code that costs less the more recently it ran: in its endpoint, and in any."""

    def __init__(self) -> None:
        self._over_s: dict[object, float] = {}

    def burn(self, endpoint: str, place: int, seconds: float) -> None:
        """Run the code at a place of an endpoint, shorter than 0.5 ms."""
        now_s = current().time()
        what = ((endpoint, place), place)
        ages_s = [now_s - self._over_s.get(each, -math.inf) for each in what]
        warm = sum(math.exp(-math.sqrt(age_s / WARM_FORGETS_S)) for age_s in ages_s) / 2.0
        burn(seconds * (1.0 - WARM_LESS * warm))
        self._over_s |= dict.fromkeys(what, current().time())


def _warm(draw: random.Random) -> FastAPI:
    app, code = FastAPI(title="laboratory"), WarmCode()

    def handler(name: str) -> Callable[[], Awaitable[object]]:
        async def handle() -> dict[str, int]:
            code.burn(name, 0, gamma(draw, 0.0004, 40.0))
            await answer(gamma(draw, 0.006, 3.0))
            code.burn(name, 1, gamma(draw, 0.0004, 40.0))
            return {"ok": 1}

        return handle

    for name in ("/often", "/seldom"):
        app.add_api_route(name, handler(name), methods=["GET"], response_model=None)
    return app


async def _job() -> None:
    """A report every tenth of a second, while requests come and go."""
    while True:
        await asyncio.sleep(0.1)
        burn(0.010)


SERVICES: dict[str, Service] = {
    "control": Service(_control, 0.001),
    "sockets": Service(_sockets, 0.0005 * math.exp(0.08) + 0.0008),
    "cache, 10 % misses": Service(_cache(0.10), 0.00042 + 0.10 * 0.005),
    "cache, 1.7 % misses": Service(_cache(0.017), 0.00042 + 0.017 * 0.005),
    "gather": Service(_gather, 0.0006 * math.exp(0.08) + 0.0012),
    "pool": Service(_pool, 0.0012),
    "peer": Service(_peer, 0.001),
    "Pareto waits": Service(_heavy, 0.001),
    "periodic job": Service(_sockets, 0.0005 * math.exp(0.08) + 0.0008, beside=_job),
    "stream": Service(_stream, 0.0024),
    "relayed stream": Service(_relay, 0.0006 + 14 * 0.0002),
    "semaphore": Service(_semaphore, 0.001),
    "blocking": Service(_blocking, 0.002),
    "background task": Service(_background, 0.0016),
    "gather with a pool": Service(_gather_pool, 0.00129),
    "shared sizes": Service(_sized, 0.0002 + 0.0008 * math.exp(0.245)),
    "warm code": Service(_warm, 0.0005, mix={"/often": 0.7, "/seldom": 0.3}),
    "queries in a loop": Service(_loop, 0.0007 + 19 / 3 * 0.00015),
}


def beside_others(code_s: float, starved_s: float) -> FastAPI:
    """A service on a core that another process takes from it during each request."""
    app = FastAPI(title="virtual")

    async def work() -> None:
        burn(code_s)
        starve(starved_s)

    app.add_api_route("/", work, methods=["GET"], response_model=None)
    return app
