"""Applications that end in every way; none of them hears of lifespan."""

import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any


async def plain(
    scope: MutableMapping[str, Any],
    _receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    """Serve HTTP and nothing else."""
    assert scope["type"] == "http"
    if scope["path"] == "/exit":
        os._exit(7)
    if scope["path"] == "/kill":
        os.kill(os.getpid(), signal.SIGKILL)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})


async def cannot_start(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Fail in lifespan."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
