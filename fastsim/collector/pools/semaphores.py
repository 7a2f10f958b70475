"""Semaphores, locks and limiters that the service itself makes of asyncio or anyio.

Those that libraries keep for themselves are told apart by who acquires them. Their name is
the variable that holds them, else the function that acquires them first.
"""

import asyncio
import functools
import sys
import weakref
from types import FrameType, ModuleType
from typing import Any

from fastsim import spans
from fastsim.collector.faults import note_fault
from fastsim.collector.frames import look_up
from fastsim.collector.pools.slots import Slot, take, watch_births
from fastsim.collector.timeline import active_record

_PASSING = ("asyncio", "anyio", "contextlib")
"""Packages whose frames lie between the service's code and the semaphore."""


class _Limit:
    """A semaphore, and who holds its slots."""

    __slots__ = ("alive", "capacity", "event", "held", "name")

    def __init__(self, name: str, capacity: int, event: str = "acquire") -> None:
        self.name = name
        self.capacity = capacity
        self.event = event
        self.held: list[tuple[object, Slot | None]] = []
        """Who acquired, and the slot if that is recorded: a request, else a task. Slots that
        nobody records are kept, too: their end must not be taken for that of others."""
        self.alive: object = None


_limits: dict[int, _Limit] = {}
"""Every semaphore met, by its identity: locks are taken too often for anything slower."""


def _keep(semaphore: Any, limit: _Limit) -> None:
    key = id(semaphore)
    limit.alive = weakref.ref(semaphore, lambda _gone: _limits.pop(key, None))
    _limits[key] = limit


def hook_asyncio_limits(module: ModuleType) -> None:
    """Watch ``asyncio.Semaphore`` (and with it ``BoundedSemaphore``) and ``asyncio.Lock``."""
    for kind in (module.Semaphore, module.Lock):
        watch_births(kind)
        _watch(kind, "acquire", "release")


def hook_anyio_limits(module: ModuleType) -> None:
    """Watch anyio's semaphores, locks and capacity limiters on asyncio."""
    for kind in (getattr(module, "Semaphore", None), getattr(module, "Lock", None)):
        if kind is None:  # before anyio 4.5 they are built from what asyncio has
            continue
        watch_births(kind)
        _watch(kind, "acquire", "release")
        _watch_nowait(kind, "acquire_nowait")
    watch_births(module.CapacityLimiter)
    _watch(module.CapacityLimiter, "acquire_on_behalf_of", "release_on_behalf_of")
    backend = getattr(module, "AsyncIOBackend", None)
    if backend is None:  # anyio 3
        name = "current_default_thread_limiter"
        setattr(module, name, _of_the_thread_pool(getattr(module, name)))
        return
    inner = backend.__dict__["current_default_thread_limiter"].__func__
    backend.current_default_thread_limiter = classmethod(_of_the_thread_pool(inner))


def _of_the_thread_pool(inner: Any) -> Any:
    @functools.wraps(inner)
    def current_default_thread_limiter(*args: Any) -> Any:
        limiter = inner(*args)
        if id(limiter) not in _limits:
            _keep(limiter, _Limit("", 0))  # the thread pool is recorded as such, call by call
        return limiter

    return current_default_thread_limiter


def _watch(kind: Any, acquire_name: str, release_name: str) -> None:
    acquire, release = getattr(kind, acquire_name), getattr(kind, release_name)

    @functools.wraps(acquire)
    async def watched_acquire(self: Any, *args: Any) -> Any:
        limit = _limits.get(id(self))
        free = _free(self) if limit is None else 0
        result = await acquire(self, *args)
        if limit is None or limit.capacity:
            _acquired(self, free, sys._getframe())
        return result

    @functools.wraps(release)
    def watched_release(self: Any, *args: Any) -> Any:
        result = release(self, *args)
        limit = _limits.get(id(self))
        if limit is not None and limit.held:
            _released(limit)
        return result

    setattr(kind, acquire_name, watched_acquire)
    setattr(kind, release_name, watched_release)


def _watch_nowait(kind: Any, name: str) -> None:
    inner = getattr(kind, name)

    @functools.wraps(inner)
    def watched(self: Any, *args: Any) -> Any:
        free = _free(self)
        result = inner(self, *args)
        _acquired(self, free, sys._getframe())
        return result

    setattr(kind, name, watched)


def _free(semaphore: Any) -> int:
    """Return the slots that were free before the first acquisition seen: normally all."""
    for name in ("_bound_value", "_max_value", "_total_tokens", "_value"):
        value = getattr(semaphore, name, None)
        if isinstance(value, int):
            return value
    return 0 if hasattr(semaphore, "_total_tokens") else 1  # without a limit, or a lock


def _acquired(semaphore: Any, free: int, frame: FrameType) -> None:
    try:
        limit = _limits.get(id(semaphore)) or _meet(semaphore, free, frame)
        if limit.capacity:
            slot = take(semaphore, limit.capacity, limit.name, limit.event)
            limit.held.append((_holder(), slot))
            if len(limit.held) > limit.capacity:  # one was given back unseen
                del limit.held[0]
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _released(limit: _Limit) -> None:
    try:
        holder = _holder()
        # Who releases need not be who acquired: then it is the oldest slot that ends.
        place = next((n for n, (by, _) in enumerate(limit.held) if by is holder), 0)
        _, slot = limit.held.pop(place)
        if slot is not None:
            slot.give_back()
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _holder() -> object:
    """Return who acquires or releases: the request if it is recorded, else the task."""
    record = active_record()
    if record is not None:
        return record
    try:
        return asyncio.current_task()
    except RuntimeError:  # released from outside of the loop
        return None


def _meet(semaphore: Any, capacity: int, frame: FrameType) -> _Limit:
    """Learn whose a semaphore is; those of libraries get no capacity."""
    caller = _caller(frame)
    if caller is not None and look_up(caller.f_code).role == "user":
        name = _variable(semaphore, caller) or caller.f_code.co_name
        limit = _Limit(name, capacity, spans.WOKEN if _wakes(semaphore) else "acquire")
    else:
        limit = _Limit("", 0)
    _keep(semaphore, limit)
    return limit


def _wakes(semaphore: Any) -> bool:
    """Tell whether a free slot goes to nobody until the one that was woken for it has run."""
    return type(semaphore).__module__.startswith("asyncio.") and hasattr(semaphore, "_value")


def _caller(frame: FrameType) -> FrameType | None:
    """Return who acquires: the first frame outside this file, asyncio and anyio."""
    above: FrameType | None = frame
    while above is not None:
        code = above.f_code
        if code.co_filename != __file__ and look_up(code).package not in _PASSING:
            return above
        above = above.f_back
    return None


def _variable(semaphore: Any, frame: FrameType) -> str:
    """Return the module's variable or the object's attribute that keeps the semaphore."""
    owner = frame.f_locals.get("self")
    for names in (frame.f_globals, getattr(owner, "__dict__", {})):
        for name, value in list(names.items()):
            if value is semaphore or _adapts(value, semaphore):
                return str(name).lstrip("_")
    return ""


def _adapts(value: object, semaphore: object) -> bool:
    """Tell whether a value is anyio's stand-in for a semaphore made outside a loop."""
    if not type(value).__module__.startswith("anyio."):
        return False
    inner = ("_internal_semaphore", "_internal_lock", "_internal_limiter")
    return any(getattr(value, name, None) is semaphore for name in inner)
