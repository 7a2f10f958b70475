"""Limits on how much goes on at once: who got a slot when, and gave it back when.

One file per library; each hooks it only where the service imports it. ``slots`` keeps
the account, ``resource`` is for what the service limits by itself.
"""

from fastsim.collector.imports import when_imported
from fastsim.collector.pools.asyncpg_pools import hook_asyncpg
from fastsim.collector.pools.http_pools import hook_aiohttp, hook_httpcore
from fastsim.collector.pools.psycopg_pools import hook_psycopg_pool
from fastsim.collector.pools.redis_pools import hook_redis
from fastsim.collector.pools.resource import resource
from fastsim.collector.pools.semaphores import hook_anyio_limits, hook_asyncio_limits
from fastsim.collector.pools.slots import note_resource
from fastsim.collector.pools.sqlalchemy_pools import hook_sqlalchemy_pools

__all__ = ["hook_pools", "note_resource", "resource"]

_HOOKS = {
    "asyncpg.pool": hook_asyncpg,
    "psycopg_pool": hook_psycopg_pool,
    "redis.asyncio.connection": hook_redis,
    "httpcore": hook_httpcore,
    "httpcore2": hook_httpcore,
    "aiohttp.connector": hook_aiohttp,
    "sqlalchemy": hook_sqlalchemy_pools,
    "asyncio.locks": hook_asyncio_limits,
    "anyio._backends._asyncio": hook_anyio_limits,
}


class _Installed:
    pools = False


def hook_pools() -> None:
    """Watch the pools of every library that is or will be imported; once per process."""
    if _Installed.pools:
        return
    _Installed.pools = True
    for module, hook in _HOOKS.items():
        when_imported(module, hook)
