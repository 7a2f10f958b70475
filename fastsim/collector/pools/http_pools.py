"""Connection limits of HTTP clients: httpcore (under httpx and most API clients), aiohttp.

A slot is a connection while a request or its answer is on it. HTTP/2 shares connections
between requests: pools that may speak it are left out.
"""

import functools
import sys
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from fastsim.collector.faults import note_fault
from fastsim.collector.pools.slots import Holders, Slot, take, watch_births


class _Asking:
    """A request on its way through a pool of httpcore."""

    __slots__ = ("library", "pool", "slot")

    def __init__(self, pool: Any, library: str) -> None:
        self.pool = pool
        self.library = library
        self.slot: Slot | None = None

    def granted(self) -> None:
        try:
            if self.slot is None:
                self.slot = take(self.pool, _capacity(self.pool), self.library)
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)

    def give_back(self) -> None:
        slot, self.slot = self.slot, None
        if slot is not None:
            slot.give_back()


_asking: ContextVar[_Asking | None] = ContextVar("fastsim_http_pool", default=None)


def _capacity(pool: Any) -> int:
    return 0 if getattr(pool, "_http2", False) else int(pool._max_connections)


def hook_httpcore(module: ModuleType) -> None:
    """Watch every asynchronous pool of ``httpcore`` or ``httpcore2``."""
    inside: Any = sys.modules[f"{module.__name__}._async.connection_pool"]
    library = "httpx2" if module.__name__ == "httpcore2" else "httpx"
    pool, ask, body = inside.AsyncConnectionPool, inside.AsyncPoolRequest, inside.PoolByteStream
    watch_births(pool, library, _capacity)
    handle, wait, close = pool.handle_async_request, ask.wait_for_connection, body.aclose

    @functools.wraps(handle)
    async def watched_handle(self: Any, request: Any) -> Any:
        asking = _Asking(self, library)
        token = _asking.set(asking)
        try:
            response = await handle(self, request)
        except BaseException:
            asking.give_back()
            raise
        finally:
            _asking.reset(token)
        try:
            response.stream._fastsim = asking
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)
        return response

    @functools.wraps(wait)
    async def watched_wait(self: Any, *args: Any, **kwargs: Any) -> Any:
        asking = _asking.get()
        if asking is not None:
            asking.give_back()  # the connection it had got was busy after all: back in the queue
        connection = await wait(self, *args, **kwargs)
        if asking is not None:
            asking.granted()
        return connection

    @functools.wraps(close)
    async def watched_close(self: Any) -> None:
        try:
            await close(self)
        finally:
            asking = getattr(self, "_fastsim", None)
            if asking is not None:
                asking.give_back()

    pool.handle_async_request = watched_handle
    ask.wait_for_connection = watched_wait
    body.aclose = watched_close


_held = Holders("aiohttp")


def hook_aiohttp(module: ModuleType) -> None:
    """Watch every connector of ``aiohttp.connector``."""
    kind: Any = module.BaseConnector
    watch_births(kind, "aiohttp")
    connect, release = kind.connect, kind._release

    @functools.wraps(connect)
    async def watched_connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = await connect(self, *args, **kwargs)
        _held.take(getattr(connection, "protocol", None), lambda: (self, self._limit))
        return connection

    @functools.wraps(release)
    def watched_release(self: Any, key: Any, protocol: Any, **kwargs: Any) -> Any:
        try:
            return release(self, key, protocol, **kwargs)
        finally:
            _held.give_back(protocol)

    kind.connect = watched_connect
    kind._release = watched_release
