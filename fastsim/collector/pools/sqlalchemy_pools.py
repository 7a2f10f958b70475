"""SQLAlchemy's connection pools (2.0 and 2.1), asynchronous and in threads.

A slot is taken before its connection is made, where one is made, else at the checkout;
it is given back after the reset, and after closing a connection that is one too many.
"""

import functools
from types import ModuleType
from typing import Any

from fastsim.collector.faults import note_fault
from fastsim.collector.pools.slots import Slot, take, watch_births

_SLOT = "_fastsim_slot"


def hook_sqlalchemy_pools(module: ModuleType) -> None:
    """Listen to every connection pool; the events need all of SQLAlchemy to be there."""
    event: Any = module.event
    kind: Any = module.pool.Pool
    watch_births(kind, "sqlalchemy", _capacity)
    event.listen(kind, "checkout", _checkout)
    make, give_back = kind._create_connection, kind._return_conn

    @functools.wraps(make)
    def watched_make(self: Any) -> Any:
        slot = _take(self)
        try:
            entry = make(self)
        except BaseException:
            if slot is not None:
                slot.give_back()
            raise
        if slot is not None:
            _attach(entry, slot)
        return entry

    @functools.wraps(give_back)
    def watched_return(self: Any, entry: Any) -> None:
        slot = getattr(entry, _SLOT, None)
        if slot is not None:
            setattr(entry, _SLOT, None)
        try:
            give_back(self, entry)
        finally:
            if slot is not None:
                slot.give_back()

    kind._create_connection = watched_make
    kind._return_conn = watched_return


def _attach(entry: Any, slot: Slot) -> None:
    try:
        setattr(entry, _SLOT, slot)
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _take(pool: Any) -> Slot | None:
    try:
        return take(pool, _capacity(pool), "sqlalchemy")
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)
        return None


def _checkout(_connection: Any, entry: Any, proxy: Any) -> None:
    try:
        if getattr(entry, _SLOT, None) is None:
            setattr(entry, _SLOT, _take(proxy._pool))
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _capacity(pool: Any) -> int:
    """Return the most connections at a time; 0 without a limit (or without a pool at all)."""
    size = getattr(pool, "size", None)
    overflow = int(getattr(pool, "_max_overflow", -1))
    if not callable(size) or overflow < 0:
        return 0
    return int(size()) + overflow
