"""Run a Workload on CPython's own event loop: what the twin must do, request by request."""

import asyncio
import itertools
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from typing import Protocol

import numpy as np

from fastsim.twin import code as ops
from fastsim.twin.draws import Draws
from fastsim.twin.workload import FloatArray, Workload
from tests.virtual.loop import Feed, VirtualLoop, answer, burn, virtual_loop


class Limit(Protocol):
    async def acquire(self) -> object: ...

    def release(self) -> None: ...


class QueuePool:
    """Hands a slot directly to who waits first, as connection pools do."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._waiting: list[asyncio.Future[None]] = []

    async def acquire(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it had got a slot
                self.release()
            raise

    def release(self) -> None:
        while self._waiting:
            future = self._waiting.pop(0)
            if not future.done():
                future.set_result(None)
                return
        self._free += 1


class Server:
    """Serves so many calls at a time, in a process of its own, whatever the loop is at."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._ends_s: list[float] = []

    async def call(self, now_s: float, served_s: float) -> None:
        there = sorted(end for end in self._ends_s if end > now_s)
        begin_s = now_s if len(there) < self._slots else there[len(there) - self._slots]
        self._ends_s = [*there, begin_s + served_s]
        await answer(begin_s + served_s - now_s)


def respond_times(
    workload: Workload,
    pools: Mapping[str, int],
    make_pool: Callable[[int], Limit] = QueuePool,
    served: Collection[int] | None = None,
    timer_late_s: float = 0.0,
) -> FloatArray:
    """Return when each request responds, seconds, shape (n,); NaN for those not served."""
    rows = range(len(workload)) if served is None else served
    with virtual_loop(timer_late_s=timer_late_s) as loop:
        slots = [make_pool(pools[name]) for name in workload.resources]
        servers = [Server(pools[name]) for name in workload.resources]
        return _Truth(loop, workload, slots, servers).run(rows)


class _Truth:
    """Runs the code of a workload as coroutines; shares nothing with the twin but the draws."""

    def __init__(
        self, loop: VirtualLoop, workload: Workload, pools: list[Limit], servers: list[Server]
    ) -> None:
        self._loop = loop
        self._pools = pools
        self._servers = servers
        self._code = code = workload.program.code
        self._draws = Draws(workload.seed, code.names, code.tables, code.shares, code.sizes)
        self._entry = workload.entry.tolist()
        self._arrival_s = workload.arrival_s.tolist()
        self._respond_s = np.full(len(workload), np.nan)
        self._left = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, served: Collection[int]) -> FloatArray:
        self._left = len(served)
        for request in served:
            self._loop.at(self._arrival_s[request], self._arrive, request)
        self._loop.run_forever()
        return self._respond_s

    def _arrive(self, request: int) -> None:
        task = self._loop.create_task(self._request(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _request(self, request: int) -> None:
        await self._steps(request, self._entry[request], 0)
        if np.isnan(self._respond_s[request]):
            self._respond_s[request] = self._loop.time()
        self._left -= 1
        if not self._left:
            self._loop.stop()

    def _value(self, at: int, request: int, occasion: int) -> float:
        node = self._code.node[at]
        if node < 0:
            return self._code.value[at]
        return self._draws.value(node, request, occasion)

    async def _steps(self, request: int, at: int, occasion: int) -> None:
        held: list[int] = []
        try:
            await self._run(request, at, occasion, held)
        except asyncio.CancelledError:
            for pool in held:
                self._pools[pool].release()
            raise

    async def _run(self, request: int, at: int, occasion: int, held: list[int]) -> None:
        code = self._code
        repeats: list[tuple[int, int]] = []
        feeds: list[Feed | None] = []
        came_s = read_s = 0.0
        while code.operation[at] != ops.END:
            op, arg = code.operation[at], code.argument[at]
            value = self._value(at, request, occasion)
            at += 1
            if op == ops.CPU:
                burn(value)
            elif op == ops.WAIT:
                came_s = self._loop.time() + value
                if arg == ops.TIMER:
                    await asyncio.sleep(value)
                else:
                    read_s = await answer(value)
            elif op == ops.ASK:
                await self._servers[arg].call(self._loop.time(), value)
            elif op == ops.NEXT:
                feed = feeds[-1]
                if feed is None:
                    follows = bool(code.kind[at - 2])
                    began_s = came_s if follows else self._loop.time()
                    gaps_s = [
                        self._value(at - 1, request, occasion + chunk)
                        for chunk in range(repeats[-1][0])
                    ]
                    times_s = itertools.accumulate(gaps_s, initial=began_s)
                    feed = feeds[-1] = Feed(list(times_s)[1:], read_s if follows else -1.0)
                await feed.next()
            elif op == ops.YIELD:
                await asyncio.sleep(0)
            elif op == ops.ACQUIRE:
                await self._pools[arg].acquire()
                held.append(arg)
            elif op == ops.RELEASE:
                self._pools[arg].release()
                held.remove(arg)
            elif op == ops.FORK:
                await self._fork(list(self._branches(request, arg, occasion)), code.kind[at - 1])
            elif op == ops.REPEAT:
                repeats.append((int(value), occasion))
                feeds.append(None)
                occasion *= 65_537
                if not value:
                    at = arg
                    feeds.pop()
                    _, occasion = repeats.pop()
            elif op == ops.AGAIN:
                left, before = repeats.pop()
                if left > 1:
                    repeats.append((left - 1, before))
                    occasion += 1
                    at = arg
                else:
                    feeds.pop()
                    occasion = before
            elif op == ops.CHOOSE:
                at = code.choices[arg][int(value)]
            elif op == ops.JUMP:
                at = arg
            elif op == ops.RESPOND:
                self._respond_s[request] = self._loop.time()
            else:
                assert op == ops.MARK

    async def _fork(self, branches: list[Coroutine[None, None, None]], join: int) -> None:
        if join == ops.ALL:
            await asyncio.gather(*branches)
            return
        tasks = [self._loop.create_task(branch) for branch in branches]
        self._tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(self._tasks.discard)
        if join == ops.NONE or not tasks:
            return
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                if not task.done():
                    task.cancel()

    def _branches(
        self, request: int, number: int, occasion: int
    ) -> Iterator[Coroutine[None, None, None]]:
        for branch in self._code.forks[number]:
            count = branch.count
            if branch.node >= 0:
                count = int(self._draws.value(branch.node, request, occasion))
            for which in range(count):
                yield self._steps(request, branch.entry, occasion * 65_537 + which)
