"""Serve an ASGI application in virtual time, and record it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastsim.collector import instrument
from tests.collector.pool_numbers import number_from_one
from tests.virtual.loop import VirtualLoop, virtual_loop

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

FLUSH_EVERY = 500
"""Requests after which the recorder writes: its queue is bounded, its thread on real time."""


@dataclass(frozen=True)
class Arrivals:
    """Open-loop arrivals: when, and which path is asked for."""

    at_s: FloatArray
    path: IntArray
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.at_s)


@dataclass(frozen=True)
class Served:
    """What became of the requests of ``arrivals``, one entry each."""

    arrivals: Arrivals
    latency_s: FloatArray
    """From arrival to the last byte of the response."""
    status: IntArray
    utilisation: float
    """Busy share of the loop, over all the time that it took."""

    def of(self, path: str) -> FloatArray:
        """Return the latencies of one path."""
        chosen: FloatArray = self.latency_s[self.arrivals.path == self.arrivals.paths.index(path)]
        return chosen


def poisson(
    shares: dict[str, float], *, rate_per_s: float, requests: int, seed: int = 1
) -> Arrivals:
    """Draw Poisson arrivals of a mix of paths."""
    rng = np.random.default_rng([seed, 77])
    at_s = np.cumsum(rng.exponential(1.0 / rate_per_s, requests))
    weights = np.array(list(shares.values()))
    path = rng.choice(len(weights), requests, p=weights / weights.sum())
    return Arrivals(at_s, path.astype(np.int64), tuple(shares))


def one_by_one(paths: Sequence[str], *, every_s: float = 0.5) -> Arrivals:
    """Ask for these paths in this order, each when the one before is long done."""
    at_s = every_s * np.arange(1.0, len(paths) + 1.0)
    distinct = tuple(dict.fromkeys(paths))
    return Arrivals(at_s, np.array([distinct.index(path) for path in paths]), distinct)


def serve(
    app: App,
    arrivals: Arrivals,
    *,
    record: Path | None = None,
    sample_ratio: float = 1.0,
    accept_s: float = 0.0,
    per_turn_s: float = 0.0,
    timer_late_s: float = 0.0,
    beside: Callable[[], Awaitable[None]] | None = None,
    begin_s: float = 0.0,
) -> Served:
    """Serve all arrivals as uvicorn would: a readable socket, then a task one pass later.

    Parameters
    ----------
    record
        Directory for the traces; without one the application runs as it is.
    accept_s
        CPU of the server for each request, before the application.
    beside
        Something else that runs on the loop until all requests are served.
    begin_s
        When the process starts, seconds: of several recordings each has a time of its own.
    """
    with virtual_loop(per_turn_s=per_turn_s, timer_late_s=timer_late_s, begin_s=begin_s) as loop:
        return _Server(loop, app, arrivals, record, sample_ratio).run(accept_s, beside)


class _Server:
    def __init__(
        self,
        loop: VirtualLoop,
        app: App,
        arrivals: Arrivals,
        record: Path | None,
        sample_ratio: float,
    ) -> None:
        self._loop = loop
        self._app = app
        self._arrivals = arrivals
        self._recorder: Any = None
        if record is not None:
            number_from_one()  # as a process of its own
            random.seed(1 + round(loop.clock.wall_s))  # the recorder samples with it
            self._app = instrument(app, output=record, sample_ratio=sample_ratio, mode="light")
            self._recorder = self._app._fastsim_recorder  # type: ignore[attr-defined]
        self._done_s = np.full(len(arrivals), np.nan)
        self._status = np.zeros(len(arrivals), np.int64)
        self._left = len(arrivals)
        self._running: set[asyncio.Task[None]] = set()

    def run(self, accept_s: float, beside: Callable[[], Awaitable[None]] | None) -> Served:
        loop, clock = self._loop, self._loop.clock
        lifespan = loop.run_until_complete(self._start())
        begin_s, cpu_s = clock.wall_s, clock.cpu_s

        def arrive(number: int) -> None:
            clock.burn(accept_s)
            task = loop.create_task(self._request(number))
            self._running.add(task)
            task.add_done_callback(self._ended)

        at_s = begin_s + self._arrivals.at_s
        for number, when_s in enumerate(at_s.tolist()):
            loop.at(when_s, arrive, number)
        other = None if beside is None else loop.create_task(_run(beside))
        loop.run_forever()
        utilisation = (clock.cpu_s - cpu_s) / (clock.wall_s - begin_s)
        for task in filter(None, (other, lifespan)):
            task.cancel()
        if self._recorder is not None:
            assert self._recorder._writer.dropped == 0
            self._recorder.stop()
        return Served(self._arrivals, self._done_s - at_s, self._status, utilisation)

    async def _start(self) -> "asyncio.Task[None]":
        """Start the application's lifespan, where the recorder hooks into the loop."""
        started = self._loop.create_future()
        first: list[Message] = [{"type": "lifespan.startup"}]

        async def receive() -> Message:
            return first.pop() if first else await self._loop.create_future()

        async def send(message: Message) -> None:
            if not started.done():
                started.set_result(message["type"])

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        task = self._loop.create_task(_run(lambda: self._app(scope, receive, send)))
        assert await started == "lifespan.startup.complete"
        return task

    async def _request(self, number: int) -> None:
        path = self._arrivals.paths[int(self._arrivals.path[number])]
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:  # the client stays
                await self._loop.create_future()
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status[number] = message["status"]
            elif not message.get("more_body", False):
                self._done_s[number] = self._loop.time()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"virtual")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        await self._app(scope, receive, send)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the service's own errors are answers, seen by their status
        self._left -= 1
        if self._recorder is not None and self._left % FLUSH_EVERY == 0:
            self._recorder.flush()
        if not self._left:
            self._loop.stop()


async def _run(what: Callable[[], Awaitable[None]]) -> None:
    with suppress(asyncio.CancelledError):
        await what()
