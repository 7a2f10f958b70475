"""redis-py's asynchronous ``ConnectionPool`` and ``BlockingConnectionPool``.

Every command borrows a connection, a pipeline or a subscription keeps one. The slot is
taken before the connection is made or checked.
"""

import functools
from types import ModuleType
from typing import Any

from fastsim.collector.pools.slots import Holders, watch_births

_held = Holders("redis")


def hook_redis(module: ModuleType) -> None:
    """Watch every pool of ``redis.asyncio.connection``."""
    kind: Any = module.ConnectionPool
    watch_births(kind, "redis", lambda pool: int(pool.max_connections))
    take, release = kind.get_available_connection, kind.release

    @functools.wraps(take)
    def watched_take(self: Any) -> Any:
        connection = take(self)
        _held.take(connection, lambda: (self, self.max_connections))
        return connection

    @functools.wraps(release)
    async def watched_release(self: Any, connection: Any) -> Any:
        try:
            return await release(self, connection)
        finally:
            _held.give_back(connection)

    kind.get_available_connection = watched_take
    kind.release = watched_release
