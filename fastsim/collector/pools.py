"""Resources with a limited number of slots: when a request got one and gave it back.

SQLAlchemy pools are seen through their own events; ``resource`` watches anything
else the service limits by itself.
"""

import asyncio
import sys
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Self

from fastsim.collector.faults import note_fault
from fastsim.collector.timeline import RequestRecord, active_record

_names: dict[int, str] = {}


def note_resource(record: RequestRecord | None, name: str, event: str, capacity: int) -> None:
    """Write one ``acquire`` or ``release`` into the record, now."""
    if record is None or record.finished:
        return
    record.events.append((name, event, perf_counter_ns() - record.start_clock, capacity))


def hook_sqlalchemy_pools() -> None:
    """Listen to every SQLAlchemy connection pool, if SQLAlchemy is in use."""
    if "sqlalchemy" not in sys.modules or _Installed.sqlalchemy:
        return
    try:
        from sqlalchemy import event
        from sqlalchemy.pool import Pool

        event.listen(Pool, "checkout", _checkout)
        event.listen(Pool, "checkin", _checkin)
        _Installed.sqlalchemy = True
    except Exception as fault:  # noqa: BLE001  never into the service
        note_fault(fault)


class _Installed:
    sqlalchemy = False


def _checkout(_connection: Any, entry: Any, proxy: Any) -> None:
    try:
        record = active_record()
        if record is None:
            return
        pool = proxy._pool
        capacity = _capacity(pool)
        if capacity > 0:
            name = _name_of(pool)
            entry.info["fastsim"] = (record, name, capacity)
            note_resource(record, name, "acquire", capacity)
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _checkin(_connection: Any, entry: Any) -> None:
    try:
        held = entry.info.pop("fastsim", None)
        if held is not None:
            record, name, capacity = held
            note_resource(record, name, "release", capacity)
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _capacity(pool: Any) -> int:
    size = getattr(pool, "size", None)
    if size is None:
        return 0
    overflow = max(int(getattr(pool, "_max_overflow", 0)), 0)
    return int(size()) + overflow


def _name_of(pool: Any) -> str:
    name = _names.get(id(pool))
    if name is None:
        count = len(_names) + 1
        name = _names[id(pool)] = "sqlalchemy" if count == 1 else f"sqlalchemy-{count}"
    return name


class resource:  # noqa: N801  used like a function: ``async with resource("gpu", capacity=2)``
    """A named semaphore that the recorder sees.

    Create it once, at module level, and use it with ``async with``. It limits like
    ``asyncio.Semaphore(capacity)``, recorded or not.

    Parameters
    ----------
    name
        Name of the resource in the model, for example ``"gpu"``.
    capacity
        Slots per worker process.
    """

    def __init__(self, name: str, *, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self.name = name
        self.capacity = capacity
        self._slots = asyncio.Semaphore(capacity)

    async def __aenter__(self) -> Self:
        await self._slots.acquire()
        note_resource(active_record(), self.name, "acquire", self.capacity)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        note_resource(active_record(), self.name, "release", self.capacity)
        self._slots.release()
