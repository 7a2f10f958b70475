"""What is a suspended coroutine waiting for? Read it off its await chain.

The chain runs from the task's coroutine through every ``await`` down to the
future at the end. Library modules on it say what kind of wait it is; the last
frame of the service's own code says where. Each code object is classified once.
"""

import asyncio
import gc
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import PurePath
from types import AsyncGeneratorType, CodeType, CoroutineType, GeneratorType
from typing import NamedTuple

from fastsim.spans import StepKind, Via

MAX_DEPTH = 100

_DB = ("asyncpg", "psycopg", "aiomysql", "asyncmy", "motor", "pymongo", "tortoise", "databases")
_CACHE = ("redis", "aiomcache", "aiocache")
_HTTP = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp")
_LLM = ("openai", "anthropic")
_FRAMEWORK = ("fastapi", "starlette", "uvicorn", "anyio", "opentelemetry", "fastsim", "greenlet")


class Wait(NamedTuple):
    """Kind, wake-up and label of a suspension, and the user's frame it happened in."""

    kind: str
    via: str
    label: str
    where: str
    known_s: float
    """The exact wait where the chain tells it (``asyncio.sleep``), else -1."""
    extra_hops: bool
    """The wake-up takes more loop passes than the usual two."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What one code object says about a wait that passes through it."""

    package: str
    role: str
    where: str


_frames: dict[CodeType, _Frame] = {}
_site_dirs = tuple(
    {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    | {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
)
_stdlib_dir = sysconfig.get_path("stdlib")


def _classify(code: CodeType) -> _Frame:
    filename = code.co_filename
    name = code.co_name
    for site in _site_dirs:
        if filename.startswith(site):
            package = PurePath(filename[len(site) :].lstrip("/\\")).parts[0]
            return _Frame(package, _role_in_package(package, filename, name), "")
    if "fastsim" in filename and PurePath(filename).parent.name == "collector":
        return _Frame("fastsim", "", "")
    if filename.startswith(_stdlib_dir):
        module = PurePath(filename).stem
        package = "asyncio" if "asyncio" in PurePath(filename).parts else module
        return _Frame(package, _role_in_stdlib(module, name) if package == "asyncio" else "", "")
    if filename.startswith("<"):
        return _Frame("", "", "")
    return _Frame("", "user", f"{PurePath(filename).name}:{name}")


def _role_in_package(package: str, filename: str, name: str) -> str:
    if package == "anyio":
        return _role_in_anyio(filename, name)
    if package == "aiosqlite":
        return "db-thread"
    if package == "sqlalchemy":
        return "sqlalchemy"
    if package == "psycopg_pool" or (package == "asyncpg" and filename.endswith("pool.py")):
        return "db-pool"
    if package in _HTTP and name in {"wait_for_connection", "_wait_for_available_connection"}:
        return "pool"
    if package == "uvicorn":
        return {"receive": "receive", "drain": "send", "send": "send"}.get(name, "")
    for role, packages in (("db", _DB), ("cache", _CACHE), ("http", _HTTP), ("llm", _LLM)):
        if package in packages:
            return role
    return "" if package in _FRAMEWORK else "other"


def _role_in_anyio(filename: str, name: str) -> str:
    if "run_sync" in name or filename.endswith("to_thread.py"):
        return "thread"
    if filename.endswith("memory.py") or name == "__aexit__":
        return "join"
    return ""


def _role_in_stdlib(module: str, name: str) -> str:
    if module == "tasks" and name == "sleep":
        return "sleep"
    if module == "tasks" and name == "wait_for":
        return "wait_for"
    if module == "taskgroups":
        return "join"
    if module == "queues":
        return "lock"
    if module == "locks":
        return "event" if name == "wait" else "lock"
    return ""


def classify_wait(coro: object, yielded: object) -> Wait:
    """Name what ``coro`` is suspended on; ``yielded`` is the future at the end of its chain."""
    packages: dict[str, str] = {}
    where = ""
    last_role = ""
    known_s = -1.0
    depth = 0
    current: object | None = coro
    while current is not None and depth < MAX_DEPTH:
        depth += 1
        code, following = _next(current)
        if code is not None:
            frame = _frames.get(code)
            if frame is None:
                frame = _frames[code] = _classify(code)
            if frame.role == "user":
                where = frame.where
            elif frame.role:
                packages.setdefault(frame.role, frame.package)
                last_role = frame.role
                if frame.role == "sleep":
                    known_s = _sleep_delay(current)
        current = following
    kind, via, label = _decide(packages, last_role, yielded)
    if kind != StepKind.SLEEP.value:
        known_s = -1.0
    return Wait(kind, via, label, where, known_s, "wait_for" in packages)


def _decide(packages: dict[str, str], last_role: str, yielded: object) -> tuple[str, str, str]:
    if yielded is None:
        return StepKind.SLEEP.value, Via.LOOP.value, "yield"
    if "thread" in packages and "db-thread" not in packages:
        return StepKind.THREAD.value, Via.THREAD.value, "anyio"
    pooled = "pool" in packages or "db-pool" in packages or "sqlalchemy" in packages
    if last_role == "lock" and "db-thread" not in packages:
        label = packages.get("db-pool") or packages.get("sqlalchemy") or packages.get("pool", "")
        return StepKind.POOL.value, Via.LOOP.value, label or "lock"
    if "pool" in packages and pooled and last_role == "event":
        return StepKind.POOL.value, Via.LOOP.value, packages["pool"]
    if "llm" in packages:
        return StepKind.LLM.value, Via.SOCKET.value, packages["llm"]
    if "db-thread" in packages:
        return StepKind.DB.value, Via.THREAD.value, packages["db-thread"]
    for role, kind in (("db", StepKind.DB), ("cache", StepKind.CACHE), ("http", StepKind.HTTP)):
        if role in packages:
            return kind.value, Via.SOCKET.value, packages[role]
    if "sqlalchemy" in packages:
        # No driver below it: SQLAlchemy waits for a task of its own (closing a session).
        return StepKind.IO.value, Via.LOOP.value, "join"
    if "sleep" in packages:
        return StepKind.SLEEP.value, Via.TIMER.value, "asyncio.sleep"
    for role in ("receive", "send"):
        if role in packages:
            return StepKind.IO.value, Via.SOCKET.value, role
    if "join" in packages or isinstance(yielded, asyncio.Task):
        return StepKind.IO.value, Via.LOOP.value, "join"
    if type(yielded).__name__ == "_GatheringFuture":
        return StepKind.IO.value, Via.LOOP.value, "join"
    return StepKind.IO.value, Via.SOCKET.value, packages.get("other", "")


def _next(item: object) -> tuple[CodeType | None, object | None]:
    if isinstance(item, CoroutineType):
        return item.cr_code, item.cr_await
    if isinstance(item, GeneratorType):
        return item.gi_code, item.gi_yieldfrom
    if isinstance(item, AsyncGeneratorType):
        return item.ag_code, item.ag_await
    if type(item).__name__ in {"async_generator_asend", "async_generator_athrow"}:
        # These objects do not say which generator they drive; the garbage collector knows.
        return None, _referent(item, AsyncGeneratorType)
    if type(item).__name__ == "coroutine_wrapper":
        return None, _referent(item, CoroutineType)
    return None, None


def _referent(item: object, kind: type) -> object | None:
    for referent in gc.get_referents(item):
        if isinstance(referent, kind):
            return referent
    return None


def _sleep_delay(coro: object) -> float:
    frame = getattr(coro, "cr_frame", None)
    delay = frame.f_locals.get("delay") if frame is not None else None
    return float(delay) if isinstance(delay, (int, float)) else -1.0
