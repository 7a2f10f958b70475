"""Libraries are hooked where the service uses them, harmlessly."""

import asyncio
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI

from fastsim.collector import frames as frames_module
from fastsim.collector.faults import fault_count
from fastsim.collector.frames import look_up, own_packages
from fastsim.collector.imports import when_imported
from fastsim.collector.libraries import endpoint_packages
from fastsim.collector.pools import semaphores, slots
from tests.collector.answering import answering
from tests.collector.recording import Handler, record
from tests.collector.servers import POSTGRES, REDIS, need_postgres, need_redis
from tests.collector.test_traps import routed

LIBRARIES = (
    *("asyncpg", "psycopg_pool", "redis", "httpcore", "httpcore2", "aiohttp", "sqlalchemy"),
    *("openai", "anthropic"),
)


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, cwd=Path.cwd()
    )
    return found.stdout.strip()


def test_hooking_imports_no_library() -> None:
    found = python(
        "import sys\n"
        "from fastsim.collector.libraries import hook_libraries\n"
        "hook_libraries(object())\n"
        f"print([name for name in {LIBRARIES!r} if name in sys.modules])"
    )
    assert found == "[]"


@pytest.mark.parametrize("first", [True, False])
def test_a_library_imported_later_is_hooked_just_as_well(*, first: bool) -> None:
    pytest.importorskip("asyncpg")
    lines = [
        "import asyncpg.pool",
        "from fastsim.collector.libraries import hook_libraries; hook_libraries(object())",
    ]
    lines = lines if first else lines[::-1]
    question = "print(asyncpg.pool.PoolConnectionHolder.acquire.__code__.co_name)"
    assert python("\n".join([*lines, question])) == "watched_acquire"


@pytest.fixture
def module_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "to_come.py").write_text("value = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "to_come", raising=False)
    return "to_come"


def test_a_hook_runs_once_after_its_module(module_to_come: str) -> None:
    seen: list[int] = []
    when_imported(module_to_come, lambda module: seen.append(module.value))
    assert seen == []
    importlib.import_module(module_to_come)
    importlib.import_module(module_to_come)
    assert seen == [7]
    when_imported(module_to_come, lambda module: seen.append(-module.value))
    assert seen == [7, -7]


def test_looking_whether_a_module_is_there_does_not_use_up_its_hook(module_to_come: str) -> None:
    seen: list[int] = []
    when_imported(module_to_come, lambda module: seen.append(module.value))
    for _ in range(2):
        assert importlib.util.find_spec(module_to_come) is not None
    assert seen == []
    importlib.import_module(module_to_come)
    assert seen == [7]


def test_a_module_that_fails_at_first_is_hooked_when_it_loads(
    module_to_come: str, tmp_path: Path
) -> None:
    seen: list[int] = []
    when_imported(module_to_come, lambda module: seen.append(module.value))
    (tmp_path / "to_come.py").write_text("raise ImportError('not yet')\n")
    with pytest.raises(ImportError, match="not yet"):
        importlib.import_module(module_to_come)
    (tmp_path / "to_come.py").write_text("value = 77  # at last\n")
    importlib.invalidate_caches()
    importlib.import_module(module_to_come)
    assert seen == [77]


def test_a_hook_that_fails_does_not_stop_the_import(module_to_come: str) -> None:
    def fail(_module: ModuleType) -> None:
        raise RuntimeError("a version of the library we do not know")

    before = fault_count()
    when_imported(module_to_come, fail)
    assert importlib.import_module(module_to_come).value == 7
    assert fault_count() == before + 1


def test_waiting_for_a_module_that_does_not_exist_changes_nothing() -> None:
    when_imported("no_such_module_anywhere", lambda _module: None)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        importlib.import_module("no_such_module_anywhere")


# --- the recorder's own mistakes ---------------------------------------------------------


def explode(*_args: object, **_kwargs: object) -> Any:
    raise RuntimeError("a bug of the recorder")


async def use_asyncpg() -> None:
    asyncpg = pytest.importorskip("asyncpg")
    async with asyncpg.create_pool(POSTGRES, min_size=1, max_size=1) as pool:
        assert await pool.fetchval("select 7") == 7


async def use_redis() -> None:
    redis = pytest.importorskip("redis.asyncio")
    pool = redis.BlockingConnectionPool.from_url(REDIS, max_connections=1)
    async with redis.Redis(connection_pool=pool) as client:
        assert await client.ping()
    await pool.disconnect()


async def use_sqlalchemy() -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import AsyncAdaptedQueuePool

    engine = create_async_engine("sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool)
    async with engine.connect() as connection:
        assert (await connection.execute(sqlalchemy.text("select 7"))).scalar() == 7
    await engine.dispose()


async def use_httpx() -> None:
    httpx = pytest.importorskip("httpx")
    with answering(lambda _path, _body: ("text/plain", [(0.0, b"ok")])) as url:
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).text == "ok"


async def use_aiohttp() -> None:
    aiohttp = pytest.importorskip("aiohttp")
    with answering(lambda _path, _body: ("text/plain", [(0.0, b"ok")])) as url:
        async with aiohttp.ClientSession() as session, session.get(url) as found:
            assert await found.text() == "ok"


async def use_semaphore() -> None:
    async with asyncio.Semaphore(1), asyncio.Lock():
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "use", [use_asyncpg, use_redis, use_sqlalchemy, use_httpx, use_aiohttp, use_semaphore]
)
def test_faults_of_the_hooks_never_reach_the_service(
    use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {use_asyncpg: need_postgres, use_redis: need_redis}
    needed.get(use, lambda: None)()

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        yield lambda _path: use()

    record(service, ["/"])  # hooks are in place from here on
    before = fault_count()
    monkeypatch.setattr(slots, "active_record", explode)
    monkeypatch.setattr(semaphores, "active_record", explode)
    asyncio.run(use())
    assert fault_count() > before


# --- whose code is it? -------------------------------------------------------------------


def test_the_packages_of_the_endpoints_are_found_through_routers_and_mounts() -> None:
    app, mounted = FastAPI(), routed(FastAPI())
    assert __name__.partition(".")[0] not in endpoint_packages(app)
    app.mount("/mounted", mounted)
    assert "tests" in endpoint_packages(app)


def test_a_service_installed_as_a_package_is_not_taken_for_a_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames_module, "_own_packages", set())
    frames_module.forget_frames()
    site = next(iter(frames_module._site_dirs))
    code = compile("async def work(): pass", f"{site}/acme_shop/api.py", "exec").co_consts[0]
    assert look_up(code).role == "other"
    own_packages({"acme_shop", "fastapi", "sqlalchemy"})
    assert look_up(code).role == "user"
    library = compile("async def work(): pass", f"{site}/sqlalchemy/api.py", "exec").co_consts[0]
    assert look_up(library).role == "sqlalchemy"
