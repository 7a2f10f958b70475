"""Write what is left when Uvicorn ends, whatever the application does.

Uvicorn ends a process by the signal it was sent once it has shut down, so nothing registered with
``atexit`` runs; and an application without lifespan is not told.
"""

import functools
import weakref
from types import ModuleType
from typing import Any, Protocol

from fastsim.collector.faults import note_fault
from fastsim.collector.imports import when_imported


class Flushes(Protocol):
    """A recorder."""

    def flush(self) -> None:
        """Write everything recorded so far, in bounded time."""


_recorders: "weakref.WeakSet[Any]" = weakref.WeakSet()


class _Hooked:
    on = False


def flush_when_uvicorn_ends(recorder: Flushes) -> None:
    """Have a recorder flush after the server has answered its last request."""
    _recorders.add(recorder)
    if not _Hooked.on:
        _Hooked.on = True
        when_imported("uvicorn.server", _hook)


def _hook(module: ModuleType) -> None:
    kind: Any = module.Server
    inner = kind.shutdown

    @functools.wraps(inner)
    async def shutdown(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            await inner(self, *args, **kwargs)
        finally:
            _flush_all()

    kind.shutdown = shutdown


def _flush_all() -> None:
    for recorder in list(_recorders):
        try:
            recorder.flush()
        except Exception as fault:  # noqa: BLE001  the server must end
            note_fault(fault)
