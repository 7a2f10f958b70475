"""asyncpg's ``Pool``: a slot is one of its connection holders.

The slot is taken before the holder connects or runs its set-up, and given back only after
the reset of the connection: both hold it.
"""

import functools
from types import ModuleType
from typing import Any

from fastsim.collector.pools.slots import Holders, note_birth

_held = Holders("asyncpg")


def hook_asyncpg(module: ModuleType) -> None:
    """Watch every pool of ``asyncpg.pool``."""
    pool: Any = module.Pool
    initialize = pool._initialize

    @functools.wraps(initialize)
    async def watched_initialize(self: Any) -> Any:
        # A pool cannot be referred to weakly, its queue of free holders can.
        before = getattr(self, "_queue", None)
        answer = await initialize(self)
        queue = getattr(self, "_queue", None)
        if queue is not before:
            note_birth(queue, "asyncpg")
        return answer

    pool._initialize = watched_initialize
    kind: Any = module.PoolConnectionHolder
    acquire, release = kind.acquire, kind._release

    @functools.wraps(acquire)
    async def watched_acquire(self: Any) -> Any:
        _held.take(self, lambda: (self._pool._queue, self._pool._maxsize))
        try:
            return await acquire(self)
        except BaseException:
            _held.give_back(self)
            raise

    @functools.wraps(release)
    def watched_release(self: Any) -> None:
        release(self)
        _held.give_back(self)

    kind.acquire = watched_acquire
    kind._release = watched_release
