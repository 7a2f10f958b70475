"""Waits are named by what the await chain passes through, with no configuration."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from fastsim.calibrate.recorded import Timeline
from fastsim.collector import frames as frames_module
from fastsim.collector import register_library, step
from fastsim.spans import StepKind, Via
from tests.collector.answering import answering
from tests.collector.recording import Handler, Service, record
from tests.collector.servers import POSTGRES, REDIS, need_postgres, need_redis

pytestmark = pytest.mark.timed

WAIT_S = 0.02

Wait = tuple[str, str, str]
"""Kind, way of waking up, label."""


def longest(line: Timeline) -> tuple[Wait, str]:
    """Return the longest wait that is not for another task, and the code it is in."""
    steps = [
        step
        for step in range(len(line))
        if line.kind[step] is not StepKind.CPU and line.label[step] != "join"
    ]
    row = max(steps, key=line.wall_s.__getitem__)
    return (line.kind[row].value, line.via[row].value, line.label[row]), line.where[row]


def wait_of(handle: Handler) -> tuple[Wait, str]:
    """Record one request and return its longest wait."""

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        yield handle

    [line] = record(service, ["/"])
    return longest(line)


def wait_in(service: Service) -> tuple[Wait, str]:
    [line] = record(service, ["/"])
    return longest(line)


def here(where: str, function: str = "handle") -> bool:
    """Tell whether a place is a line of a function of this file."""
    file, _, rest = where.partition(":")
    line, _, name = rest.partition(" ")
    return file == Path(__file__).name and line.isdigit() and name == function


# --- databases ---------------------------------------------------------------------------


def test_asyncpg() -> None:
    asyncpg = need_postgres()

    async def handle(_path: str) -> None:
        connection = await asyncpg.connect(POSTGRES)
        await connection.fetchval("select pg_sleep(0.05)")
        await connection.close()

    wait, where = wait_of(handle)
    assert wait == ("db", "socket", "asyncpg")
    assert here(where)


def test_psycopg() -> None:
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    need_postgres()

    async def handle(_path: str) -> None:
        async with await psycopg.AsyncConnection.connect(POSTGRES) as connection:
            await connection.execute("select pg_sleep(0.05)")

    wait, where = wait_of(handle)
    assert wait == ("db", "socket", "psycopg")
    assert here(where)


@pytest.mark.parametrize("driver", ["asyncpg", "aiosqlite"])
def test_sqlalchemy_is_named_by_its_driver(driver: str, tmp_path: Path) -> None:
    """No telemetry supports SQLAlchemy 2.1: the await chain needs none."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    pytest.importorskip(driver)
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    url, nap = f"sqlite+aiosqlite:///{tmp_path}/a.db", "select nap()"
    if driver == "asyncpg":
        need_postgres()
        url, nap = POSTGRES.replace("postgresql:", "postgresql+asyncpg:"), "select pg_sleep(0.05)"

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        engine = create_async_engine(url)
        if driver == "aiosqlite":

            def add_nap(connection: Any, _record: Any) -> None:
                connection.run_async(lambda inner: inner.create_function("nap", 0, nap_a_while))

            sqlalchemy.event.listen(engine.sync_engine, "connect", add_nap)

        async def handle(_path: str) -> None:
            async with AsyncSession(engine) as session:
                await session.execute(sqlalchemy.text(nap))

        yield handle
        await engine.dispose()

    wait, where = wait_in(service)
    assert wait == ("db", "socket" if driver == "asyncpg" else "thread", driver)
    assert here(where)


def nap_a_while() -> int:
    time.sleep(0.05)
    return 1


def test_aiosqlite() -> None:
    aiosqlite = pytest.importorskip("aiosqlite")

    async def handle(_path: str) -> None:
        async with aiosqlite.connect(":memory:") as connection:
            await connection.create_function("nap", 0, nap_a_while)
            await connection.execute("select nap()")

    wait, where = wait_of(handle)
    assert wait == ("db", "thread", "aiosqlite")
    assert here(where)


def test_redis() -> None:
    redis = need_redis()

    async def handle(_path: str) -> None:
        async with redis.from_url(REDIS) as client:
            await client.blpop(["fastsim-test-nothing-here"], timeout=0.05)

    wait, where = wait_of(handle)
    assert wait == ("cache", "socket", "redis")
    assert here(where)


# --- what speaks HTTP --------------------------------------------------------------------

CHAT = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "small",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    ],
}
MESSAGE = {
    "id": "1",
    "type": "message",
    "role": "assistant",
    "model": "small",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def answer(path: str, _body: bytes) -> tuple[str, list[tuple[float, bytes]]]:
    data = {"/v1/chat/completions": CHAT, "/v1/messages": MESSAGE}.get(path, {})
    return "application/json", [(0.05, json.dumps(data).encode())]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with answering(answer) as url:
        yield url


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_httpx(name: str, url: str) -> None:
    httpx = pytest.importorskip(name)

    async def handle(_path: str) -> None:
        async with httpx.AsyncClient() as client:
            await client.get(url)

    wait, where = wait_of(handle)
    assert wait == ("http", "socket", name)
    assert here(where)


def test_aiohttp(url: str) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def handle(_path: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as found:
            await found.text()

    wait, where = wait_of(handle)
    assert wait == ("http", "socket", "aiohttp")
    assert here(where)


def test_openai(url: str) -> None:
    """Whatever carries it, httpx or httpx2: it is a wait for a language model."""
    openai = pytest.importorskip("openai")

    async def handle(_path: str) -> None:
        async with openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1") as client:
            await client.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "Hello"}]
            )

    wait, where = wait_of(handle)
    assert wait == ("llm", "socket", "openai")
    assert here(where)


def test_anthropic(url: str) -> None:
    anthropic = pytest.importorskip("anthropic")

    async def handle(_path: str) -> None:
        async with anthropic.AsyncAnthropic(api_key="none", base_url=url) as client:
            await client.messages.create(
                model="small", max_tokens=9, messages=[{"role": "user", "content": "Hello"}]
            )

    wait, where = wait_of(handle)
    assert wait == ("llm", "socket", "anthropic")
    assert here(where)


def test_aiobotocore(url: str) -> None:
    session = pytest.importorskip("aiobotocore.session")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        made = session.get_session().create_client(
            "s3",
            region_name="none",
            endpoint_url=url,
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        async with made as client:
            # The first call of a client loads what it needs in threads, for as long as it takes.
            await client.get_object(Bucket="bucket", Key="key")

            async def handle(_path: str) -> None:
                await client.get_object(Bucket="bucket", Key="key")

            yield handle

    wait, where = wait_in(service)
    assert wait == ("http", "socket", "aiobotocore")
    assert here(where)


def test_aiokafka() -> None:
    aiokafka = pytest.importorskip("aiokafka")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def never_answer(_reader: Any, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.2)
            writer.close()

        server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def handle(_path: str) -> None:
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=100
            )
            with suppress(aiokafka.errors.KafkaError):
                await producer.start()
            await producer.stop()

        async with server:
            yield handle
            await asyncio.sleep(0.2)

    wait, where = wait_in(service)
    assert (wait[0], wait[2]) == ("io", "aiokafka")
    assert here(where)


# --- asyncio and anyio -------------------------------------------------------------------


async def wait_for_event(event: Any) -> None:
    timer = asyncio.get_running_loop().call_later(WAIT_S, event.set)
    await event.wait()
    timer.cancel()


async def wait_for_queue() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    asyncio.get_running_loop().call_later(WAIT_S, queue.put_nowait, 1)
    await queue.get()


async def wait_for_condition() -> None:
    condition = asyncio.Condition()

    async def notify() -> None:
        async with condition:
            condition.notify()

    loop = asyncio.get_running_loop()
    loop.call_later(WAIT_S, lambda: tasks.append(loop.create_task(notify())))
    async with condition:
        await condition.wait()


tasks: list[asyncio.Task[None]] = []


async def wait_for(limit: Any) -> None:
    """Wait for a limit that code outside this request holds."""
    await limit.acquire()
    asyncio.get_running_loop().call_later(WAIT_S, limit.release)
    async with limit:
        pass


async def wait_for_limiter() -> None:
    limiter = anyio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody")
    asyncio.get_running_loop().call_later(WAIT_S, limiter.release_on_behalf_of, "somebody")
    async with limiter:
        pass


async def wait_for_stream() -> None:
    with answering(answer) as url:  # in a thread: a server on this loop would be recorded too
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def wait_for_subprocess() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()


CASES: dict[str, tuple[Callable[[], Awaitable[Any]], Wait]] = {
    "sleep": (lambda: asyncio.sleep(WAIT_S), ("sleep", "timer", "asyncio.sleep")),
    "anyio sleep": (lambda: anyio.sleep(WAIT_S), ("sleep", "timer", "asyncio.sleep")),
    "event": (lambda: wait_for_event(asyncio.Event()), ("io", "loop", "asyncio.Event")),
    "anyio event": (lambda: wait_for_event(anyio.Event()), ("io", "loop", "anyio.Event")),
    "queue": (wait_for_queue, ("io", "loop", "asyncio.Queue")),
    "condition": (wait_for_condition, ("io", "loop", "asyncio.Condition")),
    "lock": (lambda: wait_for(asyncio.Lock()), ("pool", "loop", "asyncio.Lock")),
    "semaphore": (lambda: wait_for(asyncio.Semaphore(1)), ("pool", "loop", "asyncio.Semaphore")),
    "anyio semaphore": (lambda: wait_for(anyio.Semaphore(1)), ("pool", "loop", "anyio.Semaphore")),
    "limiter": (wait_for_limiter, ("pool", "loop", "anyio.CapacityLimiter")),
    "anyio thread": (lambda: anyio.to_thread.run_sync(nap_a_while), ("thread", "thread", "anyio")),
    "thread": (lambda: asyncio.to_thread(nap_a_while), ("thread", "thread", "executor")),
    "executor": (
        lambda: asyncio.get_running_loop().run_in_executor(None, nap_a_while),
        ("thread", "thread", "executor"),
    ),
    "stream": (wait_for_stream, ("io", "socket", "asyncio")),
    "subprocess": (wait_for_subprocess, ("io", "socket", "subprocess")),
}


@pytest.mark.parametrize("case", CASES)
def test_primitives(case: str) -> None:
    make, expected = CASES[case]

    async def handle(_path: str) -> None:
        await make()

    wait, where = wait_of(handle)
    assert wait == expected
    assert where.startswith(Path(__file__).name)


def test_the_length_of_a_sleep_is_known() -> None:
    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(_path: str) -> None:
            await asyncio.sleep(WAIT_S)

        yield handle

    [line] = record(service, ["/"])
    [row] = [row for row in range(len(line)) if line.kind[row] is StepKind.SLEEP]
    assert line.wall_s[row] - line.late_s[row] == pytest.approx(WAIT_S)


def test_a_timeout_around_a_library_hides_neither_it_nor_the_code(url: str) -> None:
    """Before 3.12 ``wait_for`` runs what it waits for in a task of its own."""
    httpx = pytest.importorskip("httpx")

    async def handle(_path: str) -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.wait_for(client.get(url), 5.0)

    wait, where = wait_of(handle)
    assert wait == ("http", "socket", "httpx")
    assert here(where)


def test_a_library_that_waits_for_an_event_in_a_task_of_its_own_is_named() -> None:
    """As psycopg does: the task's own chain holds nothing but the event."""
    library = ModuleType("acme_wire")
    code = compile(
        "import asyncio\nasync def query(event):\n    await asyncio.wait_for(event.wait(), 5.0)\n",
        f"{next(iter(frames_module._site_dirs))}/asyncpg/wire.py",
        "exec",
    )
    exec(code, library.__dict__)  # noqa: S102  a library of the right name

    async def handle(_path: str) -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(WAIT_S, event.set)
        await library.query(event)

    wait, where = wait_of(handle)
    assert (wait[0], wait[2]) == ("db", "asyncpg")
    assert here(where)


# --- named by the service ----------------------------------------------------------------


async def other_protocol() -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[None] = loop.create_future()
    loop.call_later(WAIT_S, answer.set_result, None)
    await answer


@step("rates", kind="http")
async def fetch_rates() -> None:
    await other_protocol()


@step("rows", kind="db")
async def stream_rows() -> AsyncIterator[int]:
    for number in range(3):
        await other_protocol()
        yield number


def test_a_decorated_function_names_its_waits() -> None:
    async def handle(_path: str) -> None:
        await fetch_rates()

    wait, _ = wait_of(handle)
    assert wait == ("http", "socket", "rates")


def test_a_decorated_generator_names_its_own_waits_only() -> None:
    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(_path: str) -> None:
            assert [number async for number in stream_rows()] == [0, 1, 2]
            async for _ in stream_rows():
                await asyncio.sleep(WAIT_S)
                break

        yield handle

    [line] = record(service, ["/"])
    found = [(line.kind[row].value, line.label[row]) for row in range(len(line))]
    assert found.count(("db", "rows")) == 4
    assert found.count(("sleep", "asyncio.sleep")) == 1


def test_a_decorated_dependency_sees_the_errors_of_the_request() -> None:
    seen: list[str] = []

    @asynccontextmanager
    @step("session", kind="db")
    async def session() -> AsyncIterator[None]:
        try:
            yield
        except KeyError as error:
            seen.append(str(error))
            raise

    async def use() -> None:
        async with session():
            raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        asyncio.run(use())
    assert seen == ["'missing'"]


def test_many_requests_may_be_inside_one_step_object() -> None:
    shared = step("shared", kind="cache")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(_path: str) -> None:
            with shared:
                await asyncio.gather(other_protocol(), other_protocol())
                with step("inner", kind="io"):
                    await other_protocol()
                await other_protocol()

        yield handle

    for line in record(service, ["/1", "/2", "/3"]):
        labels = [(line.kind[row].value, line.label[row]) for row in range(len(line))]
        assert labels.count(("cache", "shared")) == 3
        assert labels.count(("io", "inner")) == 1


def test_a_pool_keeps_its_kind_inside_a_step() -> None:
    async def handle(_path: str) -> None:
        with step("orders", kind="db"):
            await wait_for(asyncio.Semaphore(1))

    assert wait_of(handle)[0] == ("pool", "loop", "asyncio.Semaphore")


def test_a_step_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of llm, db, cache, http, io"):
        step("x", kind="cpu")
    with pytest.raises(ValueError, match="not 'spoon'"):
        register_library("acme", "spoon")


@pytest.fixture
def forget_libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(frames_module, "_libraries", dict(frames_module._libraries))
    yield
    frames_module.forget_frames()


def library_in(folder: Path) -> Callable[[], Awaitable[None]]:
    """Return a coroutine function of a library that nobody knows."""
    space: dict[str, Any] = {"wait": other_protocol}
    code = "async def call(wait):\n    await wait\n"
    exec(compile(code, str(folder / "acme_sdk" / "client.py"), "exec"), space)  # noqa: S102

    async def call() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(WAIT_S, future.set_result, None)
        await space["call"](future)

    return call


@pytest.mark.usefixtures("forget_libraries")
@pytest.mark.parametrize("installed", [True, False])
def test_a_registered_library_is_named(tmp_path: Path, *, installed: bool) -> None:
    folder = Path(str(next(iter(frames_module._site_dirs)))) if installed else tmp_path
    call = library_in(folder)

    async def handle(_path: str) -> None:
        await call()

    wait, _ = wait_of(handle)
    assert wait == ("io", "socket", "acme_sdk" if installed else "")
    register_library("acme_sdk", "llm")
    wait, _ = wait_of(handle)
    assert wait == ("llm", "socket", "acme_sdk")


def test_the_current_client_span_names_what_nothing_else_does() -> None:
    tracer = TracerProvider().get_tracer("acme")
    attributes = {"db.system.name": "spannerdb"}

    async def handle(_path: str) -> None:
        with tracer.start_as_current_span(
            "query", kind=trace.SpanKind.CLIENT, attributes=attributes
        ):
            await other_protocol()

    assert wait_of(handle)[0] == ("db", "socket", "spannerdb")


def test_nested_client_spans_are_one_wait() -> None:
    tracer = TracerProvider().get_tracer("acme")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(_path: str) -> None:
            chat = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
            kind = trace.SpanKind.CLIENT
            with (
                tracer.start_as_current_span("chat small", kind=kind, attributes=chat),
                tracer.start_as_current_span("POST", kind=kind, attributes={"http.method": "POST"}),
                step("model", kind="llm"),
            ):
                await other_protocol()

        yield handle

    [line] = record(service, ["/"])
    waits = [row for row in range(len(line)) if line.kind[row] is not StepKind.CPU]
    assert [(line.kind[row], line.via[row]) for row in waits] == [(StepKind.LLM, Via.SOCKET)]


def test_equal_code_in_two_files_is_told_apart() -> None:
    text = "async def call(future):\n    await future\n"
    spaces: list[dict[str, Any]] = [{}, {}]
    for name, space in zip(("one.py", "two.py"), spaces, strict=True):
        exec(compile(text, f"/srv/shop/{name}", "exec"), space)  # noqa: S102
    assert spaces[0]["call"].__code__ == spaces[1]["call"].__code__

    async def handle(_path: str) -> None:
        loop = asyncio.get_running_loop()
        for space in spaces:
            future: asyncio.Future[None] = loop.create_future()
            loop.call_later(WAIT_S, future.set_result, None)
            await space["call"](future)

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        yield handle

    [line] = record(service, ["/"])
    assert [where for where in line.where if where] == ["one.py:2 call", "two.py:2 call"]
