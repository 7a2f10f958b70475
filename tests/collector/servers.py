"""PostgreSQL and Redis for the tests that need them; where they do not run, those are skipped."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

POSTGRES = os.environ.get(
    "FASTSIM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test"
).replace("+asyncpg", "")
REDIS = os.environ.get("FASTSIM_TEST_REDIS", "redis://127.0.0.1:6379")


def need_postgres() -> Any:
    """Return asyncpg, or skip the test."""
    asyncpg = pytest.importorskip("asyncpg")

    async def connect() -> None:
        await (await asyncpg.connect(POSTGRES)).close()

    _need(connect, "PostgreSQL (FASTSIM_TEST_POSTGRES)")
    return asyncpg


def need_redis() -> Any:
    """Return redis.asyncio, or skip the test."""
    redis = pytest.importorskip("redis.asyncio")

    async def connect() -> None:
        client = redis.from_url(REDIS)
        try:
            await client.ping()
        except redis.ConnectionError as reason:
            raise OSError(reason) from None
        finally:
            await client.aclose()

    _need(connect, "Redis (FASTSIM_TEST_REDIS)")
    return redis


def _need(connect: Callable[[], Awaitable[None]], what: str) -> None:
    reason = _why_not(connect, what)
    if reason:
        pytest.skip(f"{what} does not answer: {reason}")


_answers: dict[str, str] = {}


def _why_not(connect: Callable[[], Awaitable[None]], what: str) -> str:
    async def attempt() -> None:
        await asyncio.wait_for(connect(), 5.0)

    if what not in _answers:
        _answers[what] = ""
        try:
            asyncio.run(attempt())
        except (OSError, TimeoutError) as error:
            _answers[what] = str(error) or type(error).__name__
    return _answers[what]
