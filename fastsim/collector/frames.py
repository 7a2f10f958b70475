"""Which library a code object belongs to, and what being inside it means.

Each code object is classified once, by its file and its qualified name. The table of
libraries is the only place that knows them; ``register_library`` adds to it.
"""

import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import CodeType, FrameType
from typing import Any

from fastsim.spans import StepKind

_KINDS: dict[StepKind, tuple[str, ...]] = {
    StepKind.DB: (
        *("asyncpg", "psycopg", "aiomysql", "asyncmy", "aioodbc", "oracledb", "motor", "pymongo"),
        *("tortoise", "databases", "edgedb", "gel", "neo4j", "cassandra", "clickhouse_connect"),
        *("elasticsearch", "opensearchpy", "qdrant_client", "duckdb", "peewee_async", "surrealdb"),
    ),
    StepKind.CACHE: ("redis", "valkey", "coredis", "aredis", "aiomcache", "emcache", "aiocache"),
    StepKind.HTTP: (
        *("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "niquests", "grpc", "zeep"),
        *("aiobotocore", "aioboto3", "botocore", "boto3"),
    ),
    StepKind.LLM: (
        *("openai", "anthropic", "mistralai", "cohere", "groq", "together", "litellm", "ollama"),
        *("google.genai", "google.generativeai", "vertexai", "cerebras", "xai_sdk"),
    ),
    StepKind.IO: (
        *("aiokafka", "aio_pika", "aiormq", "nats", "aiomqtt", "faststream", "stomp", "arq"),
        *("aiofiles", "aiosmtplib", "asyncssh", "websockets", "dns"),
    ),
}

_libraries: dict[str, str] = {
    package: kind.value for kind, packages in _KINDS.items() for package in packages
}

_NAMESPACES = frozenset({"google", "azure"})
"""Folders that many distributions share: what is in them is the library."""

_FRAMEWORK = frozenset(
    {
        *("fastapi", "starlette", "uvicorn", "anyio", "opentelemetry", "greenlet", "uvloop"),
        *("async_timeout", "gunicorn", "sse_starlette", "tenacity", "backoff", "sniffio"),
    }
)
"""Packages that say nothing about what is waited for: they pass waits on."""

LIBRARY_KINDS = ("llm", "db", "cache", "http", "io")
"""Kinds of wait a library can stand for; the first that takes part in a wait names it."""

# Where a library's own pool makes a caller wait for a slot: (package, qualified name).
_POOLS = frozenset(
    {
        ("httpcore", "AsyncPoolRequest.wait_for_connection"),
        ("httpcore2", "AsyncPoolRequest.wait_for_connection"),
        ("aiohttp", "BaseConnector._wait_for_available_connection"),
        ("redis", "ConnectionPool.get_connection"),
        ("redis", "BlockingConnectionPool.get_connection"),
    }
)

_LOCKS = {
    "Lock.acquire": "lock",
    "Semaphore.acquire": "lock",
    "Event.wait": "event",
    "Condition.wait": "event",
    "Barrier.wait": "event",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What one code object says about a wait that passes through it.

    Attributes
    ----------
    package
        The library's top-level module; empty for the service's own code.
    role
        ``user``, a kind of step, or a word that ``fastsim.collector.waits`` knows.
    name
        Label of the wait, where it is more telling than the package.
    where
        File name and function of the service's code (or of an unknown library's).
    """

    package: str
    role: str
    name: str = ""
    where: tuple[str, str] = ("", "")


known_frames: dict[int, Frame] = {}
"""Every code object met so far, by its identity: equal ones may be in different files."""
known_paths: dict[object, Any] = {}
"""Chains of awaits met so far, by the identities of their code objects (see ``waits``)."""
_met: list[CodeType] = []
"""Keeps them alive, so that no other gets the identity of one."""
_taken: dict[int, CodeType] = {}
_places: dict[tuple[int, int], str] = {}
_MOST_MET = 50_000
"""A service that makes code as it runs must not fill the memory with it."""
_own_packages: set[str] = set()
_site_dirs = tuple(
    {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    | {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
)
_stdlib_dir = sysconfig.get_path("stdlib")
_own_dir = str(Path(__file__).parent)


def look_up(code: CodeType) -> Frame:
    """Return what is known about a code object."""
    frame = known_frames.get(id(code))
    if frame is None:
        if len(_met) >= _MOST_MET:
            forget_frames()
        frame = known_frames[id(code)] = _classify(code)
        _met.append(code)
    return frame


def take_for_users(code: CodeType) -> None:
    """Take a code object for the service's own."""
    if id(code) not in _taken:
        _taken[id(code)] = code
        forget_frames()


def forget_frames() -> None:
    """Classify everything anew from here on."""
    known_frames.clear()
    known_paths.clear()
    _places.clear()
    _met.clear()


def place_of(frame: FrameType) -> str:
    """Return ``file.py:12 function`` for where a frame stands; its code has been looked up."""
    key = (id(frame.f_code), frame.f_lasti)
    place = _places.get(key)
    if place is None:  # finding the line takes long in long functions
        file, function = look_up(frame.f_code).where
        place = _places[key] = f"{file}:{frame.f_lineno or 0} {function}"
    return place


def register_library(module: str, kind: str) -> None:
    """Have waits inside a library recorded as ``kind``, with its name as their label.

    Parameters
    ----------
    module
        The library's top-level module, for example ``"acme_sdk"``.
    kind
        ``db``, ``http``, ``cache``, ``llm`` or ``io``.

    Raises
    ------
    ValueError
        When there is no such kind.
    """
    _libraries[module] = checked_kind(kind)
    forget_frames()


def own_packages(packages: Iterable[str]) -> None:
    """Take installed packages as the service's own code, except libraries that are known."""
    new = set(packages) - _own_packages - _FRAMEWORK - set(_libraries)
    if new:
        _own_packages.update(new)
        forget_frames()


def checked_kind(kind: str) -> str:
    """Return ``kind`` if it is a kind of wait."""
    if kind not in LIBRARY_KINDS:
        raise ValueError(f"kind must be one of {', '.join(LIBRARY_KINDS)}, not {kind!r}")
    return kind


def _classify(code: CodeType) -> Frame:
    filename = code.co_filename
    if id(code) in _taken:
        return Frame("", "user", where=(PurePath(filename).name, code.co_name))
    if filename.startswith(_own_dir):
        return Frame("fastsim", "")
    for site in _site_dirs:
        if filename.startswith(site):
            return _in_package(_package(filename[len(site) :]), code)
    if filename.startswith(_stdlib_dir):
        parts = PurePath(filename).parts
        if "asyncio" in parts:
            return _in_asyncio(PurePath(filename).stem, code.co_qualname)
        return Frame(PurePath(filename).stem, "")
    if filename.startswith("<"):
        return Frame("", "")
    module = _registered_module(filename)
    if module:
        return Frame(module, _libraries[module])
    return Frame("", "user", where=(PurePath(filename).name, code.co_name))


def _package(path: str) -> str:
    parts = PurePath(path.lstrip("/\\")).parts
    named = parts[:2] if parts[0] in _NAMESPACES else parts[:1]
    return ".".join(named).removesuffix(".py")


def _registered_module(filename: str) -> str:
    """Return the registered library that a file outside the site directories belongs to."""
    path = PurePath(filename)
    names = (path.stem, *reversed(path.parent.parts))
    return next((name for name in names if name in _libraries), "")


def _in_package(package: str, code: CodeType) -> Frame:
    name = code.co_qualname
    if package == "anyio":
        return _in_anyio(code.co_filename, name)
    if package == "uvicorn":
        role = {"receive": "receive", "drain": "send", "send": "send"}.get(code.co_name, "")
        return Frame(package, role)
    if package == "aiosqlite":
        return Frame(package, "db-thread")
    if package == "sqlalchemy":
        return Frame(package, "sqlalchemy")
    if package == "psycopg_pool":
        return Frame(package, "pool")
    if package == "asyncpg" and code.co_filename.endswith("pool.py"):
        return Frame(package, "pool")
    if (package, name) in _POOLS:
        return Frame(package, "pool")
    kind = _libraries.get(package)
    if kind is not None:
        # httpcore's own events stand between its pool and the event loop.
        return Frame(package, "" if "_synchronization" in code.co_filename else kind)
    if package in _FRAMEWORK:
        return Frame(package, "")
    # Perhaps it is the service itself all the same: its frame is better than none.
    role = "user" if package in _own_packages else "other"
    return Frame(package, role, where=(PurePath(code.co_filename).name, code.co_name))


def _in_anyio(filename: str, name: str) -> Frame:
    if name.endswith(("run_sync_in_worker_thread", "to_thread.run_sync")):
        return Frame("anyio", "thread", "anyio")
    if PurePath(filename).name == "to_thread.py":
        return Frame("anyio", "thread", "anyio")
    if name.startswith("CapacityLimiter."):
        return Frame("anyio", "lock", "anyio.CapacityLimiter")
    role = _LOCKS.get(name)
    if role is not None:
        return Frame("anyio", role, f"anyio.{name.partition('.')[0]}")
    if PurePath(filename).name == "memory.py" or name == "TaskGroup.__aexit__":
        return Frame("anyio", "join")
    if name.startswith(("SocketStream.", "UNIXSocketStream.", "UDPSocket.", "StreamReaderWrapper")):
        return Frame("anyio", "stream", "anyio")
    return Frame("anyio", "")


def _in_asyncio(module: str, name: str) -> Frame:
    first = name.partition(".")[0]
    if module == "locks":
        role = _LOCKS.get(name)
        return Frame("asyncio", role or "", f"asyncio.{first}" if role else "")
    if module == "queues":
        return Frame("asyncio", "queue", "asyncio.Queue")
    if module == "tasks":
        role = {"sleep": "sleep", "wait_for": "wait_for", "_wait": "join"}.get(name, "")
        return Frame("asyncio", role, "asyncio.sleep" if role == "sleep" else "")
    if module == "taskgroups":
        return Frame("asyncio", "join")
    if module == "threads":
        return Frame("asyncio", "thread", "executor")
    if module in {"streams", "selector_events", "sslproto"}:
        return Frame("asyncio", "stream", "asyncio")
    if module in {"subprocess", "base_subprocess", "unix_events"}:
        return Frame("asyncio", "stream", "subprocess")
    return Frame("asyncio", "")
