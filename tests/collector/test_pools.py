"""Pools: capacity, wait for a slot and hold, against what the service measured itself."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

from fastsim.calibrate.recorded import Timeline
from fastsim.calibrate.timeline import normalise
from fastsim.collector import frames, resource
from fastsim.collector.pools.psycopg_pools import hook_psycopg_pool
from fastsim.spans import StepKind
from tests.collector.answering import answering
from tests.collector.pool_numbers import number_from_one
from tests.collector.recording import (
    SLACK_S,
    SLACK_SHARE,
    Handler,
    Service,
    Stopwatch,
    events,
    holds,
    near,
    record,
    waits,
)
from tests.collector.servers import POSTGRES, REDIS, need_postgres, need_redis

pytestmark = pytest.mark.timed

SLOTS = 2
PATHS = [f"/{number}" for number in range(6)]
HOLD_S = 0.030
"""Three rounds of two: the last ones wait twice as long as they hold."""


@pytest.fixture(autouse=True)
def first_of_its_name() -> None:
    """Count pools from one in every test, as a service does when it starts."""
    number_from_one()


def check(watch: Stopwatch, lines: list[Timeline], name: str, *, capacity: int = SLOTS) -> None:
    """Compare every request's wait and hold with its own stopwatch."""
    assert max(watch.waited.values()) > HOLD_S, "nobody waited: the test tests nothing"
    for path, line in zip(PATHS, lines, strict=True):
        found = events(line, name)
        assert [event.event for event in found] == ["acquire", "release"]
        assert {event.capacity for event in found} == {capacity}
        assert holds(line, name) == [near(watch.held[path])]
        waited = sum(waits(line, StepKind.POOL))
        assert waited == near(watch.waited[path]) or watch.waited[path] < 0.25 * HOLD_S
    in_line = [line for path, line in zip(PATHS, lines, strict=True) if watch.waited[path] > 0.02]
    assert len(in_line) == len(PATHS) - SLOTS
    for line in in_line:
        # Calibration turns the wait into the acquisition itself.
        acquired = [step for step in normalise(line) if step.do == "acquire"]
        assert [step.resource for step in acquired] == [name]
        assert acquired[0].wall_s > 0.02


@pytest.fixture
def postgres() -> str:
    need_postgres()
    return POSTGRES


@pytest.fixture
def redis_url() -> str:
    need_redis()
    return REDIS


def test_asyncpg(postgres: str) -> None:
    import asyncpg

    watch = Stopwatch()

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async with asyncpg.create_pool(postgres, min_size=SLOTS, max_size=SLOTS) as pool:
            yield lambda path: watch.use(path, pool.acquire(), HOLD_S)

    check(watch, record(service, PATHS), "asyncpg")


def test_asyncpg_holds_the_slot_while_it_connects_and_resets(postgres: str) -> None:
    import asyncpg

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async with asyncpg.create_pool(postgres, min_size=0, max_size=SLOTS) as pool:

            async def handle(_path: str) -> None:
                async with pool.acquire() as connection:
                    await connection.fetchval("select 1")

            yield handle

    [line] = record(service, ["/"])
    acquire, release = events(line, "asyncpg")
    dbs = [
        (line.start_s[step], line.start_s[step] + line.wall_s[step])
        for step in range(len(line))
        if line.kind[step] is StepKind.DB
    ]
    assert len(dbs) >= 3, "connecting, the query, the reset"
    assert acquire.at_s <= min(begin for begin, _ in dbs)
    assert release.at_s >= max(end for _, end in dbs)


def test_asyncpg_gives_the_slot_back_when_it_cannot_connect() -> None:
    asyncpg = pytest.importorskip("asyncpg")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        pool = asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0, max_size=1)
        async with pool:

            async def handle(_path: str) -> None:
                with pytest.raises(OSError, match="Connect"):
                    await pool.acquire()

            yield handle

    [line] = record(service, ["/"])
    assert [event.event for event in events(line, "asyncpg")] == ["acquire", "release"]


@pytest.mark.parametrize("blocking", [True, False])
def test_redis(redis_url: str, *, blocking: bool) -> None:
    import redis.asyncio as redis

    watch = Stopwatch()

    @asynccontextmanager
    async def borrowed(pool: Any) -> AsyncIterator[None]:
        connection = await pool.get_connection()
        try:
            yield
        finally:
            await pool.release(connection)

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        kind = redis.BlockingConnectionPool if blocking else redis.ConnectionPool
        pool: Any = kind.from_url(redis_url, max_connections=SLOTS if blocking else 6)
        if blocking:
            ready = [await pool.get_connection() for _ in range(SLOTS)]
            for connection in ready:
                await pool.release(connection)
        yield lambda path: watch.use(path, borrowed(pool), HOLD_S)
        await pool.disconnect()

    lines = record(service, PATHS)
    if blocking:
        check(watch, lines, "redis")
        return
    for path, line in zip(PATHS, lines, strict=True):
        [hold] = holds(line, "redis")
        # Every request connects here, and the slot is held meanwhile.
        check_share(line, hold, watch.held[path] + watch.waited[path])
        assert {event.capacity for event in events(line, "redis")} == {6}


def check_share(line: Timeline, found_s: float, whole_s: float) -> None:
    """Nothing but code of the library may be missing from what the service measured."""
    rows = zip(line.kind, line.wall_s, strict=True)
    code_s = sum(wall_s for kind, wall_s in rows if kind is StepKind.CPU)
    slack_s = max(SLACK_S, SLACK_SHARE * whole_s)
    assert whole_s - code_s - slack_s <= found_s <= whole_s + slack_s


@pytest.fixture
def url() -> Iterator[str]:
    with answering(lambda _path, _body: ("text/plain", [(HOLD_S, b"ok")])) as url:
        yield url


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_httpx(name: str, url: str) -> None:
    httpx = pytest.importorskip(name)
    ends: dict[str, float] = {}

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        limits = httpx.Limits(max_connections=SLOTS)
        async with httpx.AsyncClient(limits=limits) as client:
            loop = asyncio.get_running_loop()

            async def handle(path: str) -> None:
                begin = loop.time()
                assert (await client.get(url)).text == "ok"
                ends[path] = loop.time() - begin

            yield handle

    lines = record(service, PATHS)
    for path, line in zip(PATHS, lines, strict=True):
        hold = sum(holds(line, name))  # two, where a connection was busy after all
        assert {event.capacity for event in events(line, name)} == {SLOTS}
        # What the service can see is the whole call: the wait for a connection and its use.
        check_share(line, sum(waits(line, StepKind.POOL)) + hold, ends[path])
    queued = [line for line in lines if sum(waits(line, StepKind.POOL)) > 0.5 * HOLD_S]
    assert len(queued) == len(PATHS) - SLOTS


def test_a_client_made_for_one_request_limits_nobody_else(url: str) -> None:
    httpx = pytest.importorskip("httpx")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(_path: str) -> None:
            own = asyncio.Semaphore(1)
            async with httpx.AsyncClient() as client, own:
                assert (await client.get(url)).text == "ok"

        yield handle

    assert [line.events for line in record(service, PATHS)] == [()] * len(PATHS)


def test_aiohttp(url: str) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        connector = aiohttp.TCPConnector(limit=SLOTS)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def handle(_path: str) -> None:
                async with session.get(url) as answer:
                    assert await answer.text() == "ok"

            yield handle

    lines = record(service, PATHS)
    for line in lines:
        assert len(holds(line, "aiohttp")) == 1
        assert {event.capacity for event in events(line, "aiohttp")} == {SLOTS}
    assert sum(sum(waits(line, StepKind.POOL)) > 0.5 * HOLD_S for line in lines) == 4


# --- what the service makes itself -------------------------------------------------------

gate: Any = None


def limited(make: Callable[[], Any]) -> tuple[Stopwatch, Service]:
    watch = Stopwatch()

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        global gate  # noqa: PLW0603  as services keep theirs
        gate = make()

        yield lambda path: watch.use(path, gate, HOLD_S)

    return watch, service


@pytest.mark.parametrize(
    ("make", "wakes"),
    [
        (lambda: asyncio.Semaphore(SLOTS), True),
        (lambda: asyncio.BoundedSemaphore(SLOTS), True),
        (lambda: anyio.Semaphore(SLOTS), False),
        (lambda: anyio.CapacityLimiter(SLOTS), False),
        (lambda: resource("gate", capacity=SLOTS), False),
    ],
)
def test_semaphores_of_the_service(make: Callable[[], Any], wakes: bool) -> None:
    watch, service = limited(make)
    lines = record(service, PATHS)
    names = {event.name for line in lines for event in line.events}
    assert len(names) == 1
    taken = [event for line in lines for event in line.events if event.event == "acquire"]
    assert {event.wakes for event in taken} == {wakes}
    check(watch, lines, names.pop())


def test_a_slot_that_nobody_records_ends_by_itself() -> None:
    """A job of the service, or a request that sampling leaves out, holds the second slot."""
    watch = Stopwatch()

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        global gate  # noqa: PLW0603  as services keep theirs
        gate = asyncio.Semaphore(SLOTS)

        async def job() -> None:
            while True:
                async with gate:
                    await asyncio.sleep(0.004)

        beside = asyncio.create_task(job())
        yield lambda path: watch.use(path, gate, HOLD_S)
        beside.cancel()

    lines = record(service, PATHS[:3], at_once=False)
    [name] = {event.name for line in lines for event in line.events}
    for path, line in zip(PATHS, lines, strict=False):
        assert holds(line, name) == [near(watch.held[path])]


def test_one_lock_per_key_is_no_resource() -> None:
    """The first few look like resources; then it is clear that they are keys."""
    locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(path: str) -> None:
            key = path[:3]
            lock = locks.setdefault(key, asyncio.Lock())
            async with lock:
                await asyncio.sleep(0)

        for number in range(12):
            locks[f"/{number:02}"] = asyncio.Lock()
        yield handle

    first = [f"/{number:02}/a" for number in range(12)]
    again = [f"/{number:02}/b" for number in range(12)]
    lines = record(service, first + again, at_once=False)
    assert [event.event for event in lines[0].events] == ["acquire", "release"]
    assert all(line.events == () for line in lines[12:])


# --- SQLAlchemy, which has no telemetry of its own from 2.1 on ---------------------------


def sqlalchemy_service(url: str, watch: Stopwatch) -> Service:
    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        from sqlalchemy.ext.asyncio import create_async_engine

        # The one beyond pool_size is made and closed each time: its slot is held meanwhile.
        engine = create_async_engine(url, pool_size=1, max_overflow=SLOTS - 1)
        yield lambda path: watch.use(path, engine.connect(), HOLD_S)
        await engine.dispose()

    return service


def test_sqlalchemy_on_sqlite(tmp_path: Path) -> None:
    pytest.importorskip("aiosqlite")
    watch = Stopwatch()
    service = sqlalchemy_service(f"sqlite+aiosqlite:///{tmp_path}/a.db", watch)
    check_sqlalchemy(watch, record(service, PATHS))


def test_sqlalchemy_on_postgresql(postgres: str) -> None:
    watch = Stopwatch()
    url = postgres.replace("postgresql://", "postgresql+asyncpg://")
    check_sqlalchemy(watch, record(sqlalchemy_service(url, watch), PATHS))


def check_sqlalchemy(watch: Stopwatch, lines: list[Timeline]) -> None:
    for path, line in zip(PATHS, lines, strict=True):
        found = events(line, "sqlalchemy")
        assert [event.event for event in found] == ["acquire", "release"]
        assert {event.capacity for event in found} == {SLOTS}
        # From asking to giving back: waiting, connecting where needed, and holding.
        [hold] = holds(line, "sqlalchemy")
        whole = watch.waited[path] + watch.held[path]
        check_share(line, sum(waits(line, StepKind.POOL)) + hold, whole)
    queued = [line for line in lines if sum(waits(line, StepKind.POOL)) > 0.5 * HOLD_S]
    assert len(queued) == len(PATHS) - SLOTS
    for line in queued:
        [acquired] = [step for step in normalise(line) if step.do == "acquire"]
        assert acquired.wall_s > 0.5 * HOLD_S


def test_pools_are_numbered_as_they_were_made(postgres: str) -> None:
    """Several workers name the same pool alike, whichever of two is used first."""
    pytest.importorskip("sqlalchemy")

    def names(first: str) -> dict[str, str]:
        number_from_one()
        engines: dict[str, Any] = {}

        @asynccontextmanager
        async def service() -> AsyncIterator[Handler]:
            from sqlalchemy.ext.asyncio import create_async_engine
            from sqlalchemy.pool import NullPool

            url = postgres.replace("postgresql://", "postgresql+asyncpg://")
            engines["none"] = create_async_engine(url, poolclass=NullPool)
            for name in ("/reader", "/writer"):
                engines[name] = create_async_engine(url, pool_size=1, max_overflow=0)
            # As a worker does that was forked: pools take the places of others.
            await engines["/reader"].dispose()
            await engines["/writer"].dispose()

            async def handle(path: str) -> None:
                async with engines[path[:7]].connect():
                    pass

            yield handle
            for engine in engines.values():
                await engine.dispose()

        paths = [f"{first}/0", "/reader/1", "/writer/2"]
        lines = record(service, paths, at_once=False)
        return {
            path[:7]: event.name
            for path, line in zip(paths, lines, strict=True)
            for event in line.events
        }

    expected = {"/reader": "sqlalchemy", "/writer": "sqlalchemy-2"}
    assert names("/reader") == expected
    assert names("/writer") == expected


@pytest.mark.parametrize("name", ["NullPool", "StaticPool"])
def test_sqlalchemy_without_a_limit_is_no_resource(name: str, tmp_path: Path) -> None:
    pytest.importorskip("aiosqlite")
    sqlalchemy = pytest.importorskip("sqlalchemy")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        from sqlalchemy.ext.asyncio import create_async_engine

        kind = getattr(sqlalchemy.pool, name)
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/a.db", poolclass=kind)

        async def handle(_path: str) -> None:
            async with engine.connect() as connection:
                await connection.execute(sqlalchemy.text("select 1"))

        yield handle
        await engine.dispose()

    [line] = record(service, ["/"])
    assert line.events == ()
    assert StepKind.DB in line.kind


# --- psycopg_pool ------------------------------------------------------------------------


def test_psycopg_pool(postgres: str) -> None:
    psycopg_pool = pytest.importorskip("psycopg_pool", reason="psycopg_pool is not installed")
    watch = Stopwatch()

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        made = psycopg_pool.AsyncConnectionPool(
            postgres, min_size=SLOTS, max_size=SLOTS, open=False
        )
        async with made as pool:
            await pool.wait()
            yield lambda path: watch.use(path, pool.connection(), HOLD_S)

    check(watch, record(service, PATHS), "psycopg")


LENDING = """
import asyncio
from contextlib import asynccontextmanager


class AsyncConnectionPool:
    def __init__(self, max_size):
        self.max_size = max_size
        self.free = [object() for _ in range(max_size)]
        self.changed = asyncio.Condition()

    async def getconn(self, timeout=30.0):
        async with self.changed:
            while not self.free:
                await WAIT
            return self.free.pop()

    async def putconn(self, conn):
        async with self.changed:
            self.free.append(conn)
            self.changed.notify()

    @asynccontextmanager
    async def connection(self):
        conn = await self.getconn()
        try:
            yield conn
        finally:
            await self.putconn(conn)
"""


@pytest.mark.parametrize(
    "wait", ["self.changed.wait()", "asyncio.wait_for(self.changed.wait(), timeout)"]
)
def test_a_pool_that_lends_connections_as_psycopg_pool_does(wait: str) -> None:
    """The real one is under a licence that we do not install; this has its shape and name."""
    watch = Stopwatch()
    module = ModuleType("psycopg_pool")
    file = f"{next(iter(frames._site_dirs))}/psycopg_pool/pool_async.py"
    exec(compile(LENDING.replace("WAIT", wait), file, "exec"), module.__dict__)  # noqa: S102
    hook_psycopg_pool(module)

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        pool = module.__dict__["AsyncConnectionPool"](SLOTS)
        yield lambda path: watch.use(path, pool.connection(), HOLD_S)

    lines = record(service, PATHS)
    if "wait_for" not in wait or sys.version_info >= (3, 12):
        check(watch, lines, "psycopg")
        return
    # The wait is over in a task of its own, a moment before the slot is there.
    for path, line in zip(PATHS, lines, strict=True):
        assert holds(line, "psycopg") == [near(watch.held[path])]
        if watch.waited[path] > 0.02:
            assert sum(waits(line, StepKind.POOL)) == near(watch.waited[path])
