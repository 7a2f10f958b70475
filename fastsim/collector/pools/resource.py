"""``resource``: a semaphore under a name, for what the service limits by itself."""

import asyncio
from types import TracebackType
from typing import Self

from fastsim.collector.pools.slots import note_resource
from fastsim.collector.timeline import active_record


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
