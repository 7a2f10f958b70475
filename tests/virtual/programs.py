"""Run a Workload on CPython's own event loop: what the twin must do, request by request."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from fastsim.twin.workload import FloatArray, Op, ViaCode, Workload
from tests.virtual.loop import VirtualLoop, answer, burn, virtual_loop


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
        await future

    def release(self) -> None:
        if self._waiting:
            self._waiting.pop(0).set_result(None)
        else:
            self._free += 1


def respond_times(
    workload: Workload,
    pools: Mapping[str, int],
    make_pool: Callable[[int], Limit] = QueuePool,
) -> FloatArray:
    """Return when each request responds, seconds, shape (n,)."""
    with virtual_loop() as loop:
        return _Truth(loop, workload, [make_pool(pools[name]) for name in workload.resources]).run()


class _Truth:
    def __init__(self, loop: VirtualLoop, workload: Workload, pools: list[Limit]) -> None:
        self._loop = loop
        self._pools = pools
        self._code = workload.op_code.tolist()
        self._arg = workload.op_arg.tolist()
        self._value = workload.op_value.tolist()
        self._first = workload.op_first.tolist()
        self._arrival_s = workload.arrival_s.tolist()
        self._respond_s = np.full(len(workload), np.nan)
        self._left = len(workload)
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> FloatArray:
        for request, at_s in enumerate(self._arrival_s):
            self._loop.at(at_s, self._arrive, request)
        self._loop.run_forever()
        return self._respond_s

    def _arrive(self, request: int) -> None:
        task = self._loop.create_task(self._request(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _request(self, request: int) -> None:
        await self._steps(request, self._first[request], self._first[request + 1])
        if np.isnan(self._respond_s[request]):
            self._respond_s[request] = self._loop.time()
        self._left -= 1
        if not self._left:
            self._loop.stop()

    async def _steps(self, request: int, at: int, end: int) -> None:
        while at < end:
            op, arg, value = self._code[at], self._arg[at], self._value[at]
            at += 1
            if op == Op.CPU:
                burn(value)
            elif op == Op.WAIT:
                await (asyncio.sleep(value) if arg == ViaCode.TIMER else answer(value))
            elif op == Op.YIELD:
                await asyncio.sleep(0)
            elif op == Op.ACQUIRE:
                await self._pools[arg].acquire()
            elif op == Op.RELEASE:
                self._pools[arg].release()
            elif op == Op.FORK:
                branches = []
                for _ in range(arg):
                    last = at + 1 + self._arg[at]
                    branches.append(self._steps(request, at + 1, last))
                    at = last
                await asyncio.gather(*branches)
            else:
                assert op == Op.RESPOND
                self._respond_s[request] = self._loop.time()
