"""The account of slots: which request holds one of which pool.

A pool is recorded under its library's name (``asyncpg``, ``asyncpg-2``, ...). Those that are made
before any request are numbered in the order in which they were made, the same one in every worker
process; in which order requests use them first is chance. Pools made while a request runs and used
by that request alone limit nothing that requests share: they are left out.
"""

from collections import defaultdict
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from fastsim.collector import clocks
from fastsim.collector.faults import note_fault
from fastsim.collector.timeline import RequestRecord, active_record

UNLIMITED = 2**31
"""What some libraries set where no limit was asked for; ``sys.maxsize`` in others."""

MOST_OF_ONE_NAME = 8
"""Pools of one name; a service that makes more keeps one per user, tenant or key."""


def note_resource(record: RequestRecord | None, name: str, event: str, capacity: int) -> None:
    """Write one ``acquire`` or ``release`` into the record, now."""
    if record is None or record.closed:
        return
    record.events.append((name, event, clocks.perf_counter_ns() - record.start_clock, capacity))


class Slot:
    """A slot that a request holds."""

    __slots__ = ("capacity", "name", "record")

    def __init__(
        self, record: RequestRecord, name: str, capacity: int, event: str = "acquire"
    ) -> None:
        self.record = record
        self.name = name
        self.capacity = capacity
        note_resource(record, name, event, capacity)

    def give_back(self) -> None:
        """Note the release, now."""
        try:
            note_resource(self.record, self.name, "release", self.capacity)
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)


_names: "WeakKeyDictionary[Any, str]" = WeakKeyDictionary()
"""Names of the pools seen; empty for those that are not recorded."""
_makers: "WeakKeyDictionary[Any, int]" = WeakKeyDictionary()
"""The request that made a pool, for pools made by one (by its start on the clock)."""
_born: "WeakKeyDictionary[Any, _Birth]" = WeakKeyDictionary()
"""Of the pools that no request made and that are still there."""
_births = count()
_numbers: defaultdict[str, set[int]] = defaultdict(set)
"""Numbers that the pools of a library have got."""


class _Birth(NamedTuple):
    """How a pool came into the world."""

    library: str
    at: int
    """Which one in all."""
    capacity: Callable[[Any], int]


def _one(_pool: Any) -> int:
    return 1


def note_birth(pool: Any, library: str = "", capacity: Callable[[Any], int] = _one) -> None:
    """Remember which request makes a pool, or as which one of its library it is made."""
    try:
        record = active_record()
        if record is not None:
            _makers[pool] = record.start_clock
        elif library:
            _born[pool] = _Birth(library, next(_births), capacity)
    except Exception as fault:  # noqa: BLE001  never into the service
        note_fault(fault)


def take(pool: Any, capacity: int, library: str, event: str = "acquire") -> Slot | None:
    """Note that the running request got a slot of a pool; None if it is not recorded."""
    record = active_record()
    if record is None or not 1 <= capacity < UNLIMITED:
        return None
    name = _names.get(pool)
    if name is None:
        if _makers.get(pool) == record.start_clock:
            return None
        _makers.pop(pool, None)
        name = _names[pool] = _named(pool, library)
        if not name:
            _forget(library)
    return Slot(record, name, capacity, event) if name else None


def _named(pool: Any, base: str) -> str:
    """Return the name of a pool that is used first; empty when too many are to tell them apart."""
    taken = _numbers[base]
    if len(taken) >= MOST_OF_ONE_NAME:
        return ""
    mine = _born.get(pool)
    number = 1 + sum(
        birth.library == base
        and (mine is None or birth.at < mine.at)
        and 1 <= birth.capacity(other) < UNLIMITED
        for other, birth in list(_born.items())
    )
    while number in taken:
        number += 1
    taken.add(number)
    return base if number == 1 else f"{base}-{number}"


def watch_births(kind: Any, library: str = "", capacity: Callable[[Any], int] = _one) -> None:
    """Have ``note_birth`` called for every new object of a class.

    Parameters
    ----------
    library
        What its pools are called; none if they have names of their own.
    capacity
        Tells how many slots one has: those without a limit are not counted.
    """
    inner = kind.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        inner(self, *args, **kwargs)
        note_birth(self, library, capacity)

    __init__.__wrapped__ = inner  # type: ignore[attr-defined]  # for inspect.signature
    kind.__init__ = __init__


def _forget(base: str) -> None:
    """Record none of the pools of a name from here on, rather than the first few."""
    for pool, name in list(_names.items()):
        if name == base or name.startswith(f"{base}-"):
            _names[pool] = ""


class Holders:
    """Slots held by something of a library: its connection, its holder of a connection."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._slots: dict[int, Slot] = {}

    def take(self, holder: object, find: Callable[[], tuple[Any, int]]) -> None:
        """Note that ``holder`` is in use from now on; ``find`` gives its pool and capacity."""
        try:
            slot = take(*find(), self._library)
            if slot is not None:
                self._slots[id(holder)] = slot
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)

    def give_back(self, holder: object) -> None:
        """Note that ``holder`` is free again, if it was in use."""
        try:
            slot = self._slots.pop(id(holder), None)
            if slot is not None:
                slot.give_back()
        except Exception as fault:  # noqa: BLE001  never into the request
            note_fault(fault)
