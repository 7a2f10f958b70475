"""psycopg_pool's ``AsyncConnectionPool``: a slot is a connection lent to the caller."""

import functools
from types import ModuleType
from typing import Any

from fastsim.collector.pools.slots import Holders, watch_births

_held = Holders("psycopg")


def hook_psycopg_pool(module: ModuleType) -> None:
    """Watch every asynchronous pool of ``psycopg_pool``."""
    kind: Any = module.AsyncConnectionPool
    watch_births(kind, "psycopg")
    getconn, putconn = kind.getconn, kind.putconn

    @functools.wraps(getconn)
    async def watched_getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = await getconn(self, *args, **kwargs)
        _held.take(connection, lambda: (self, self.max_size))
        return connection

    @functools.wraps(putconn)
    async def watched_putconn(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await putconn(self, conn, *args, **kwargs)
        finally:
            _held.give_back(conn)

    kind.getconn = watched_getconn
    kind.putconn = watched_putconn
