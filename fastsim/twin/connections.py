"""Keep-alive connections between who sends requests and the workers of one machine.

The client, or the balancer, reuses the connection it used last; a new one is accepted by an idle
worker if there is one, and stays with it. So the workers of one machine need not share the
load evenly. A connection that nobody used for ``KEEP_ALIVE_S`` is closed by the server.
"""

from collections.abc import Sequence
from typing import Protocol

KEEP_ALIVE_S = 5.0
"""uvicorn's ``--timeout-keep-alive``."""


class _Worker(Protocol):
    busy: bool


class Connections:
    """The connection pool to one machine, last used first."""

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._workers = workers
        self._idle: list[tuple[float, int]] = []
        self._of_request: dict[int, int] = {}
        self._next = 0
        self.opened = [0] * len(workers)
        """Connections of each worker, those that nobody uses at the moment included."""

    def assign(self, request: int, at_s: float) -> tuple[int, bool]:
        """Return the worker that serves a request sent now, and whether by a new connection."""
        self._close(at_s)
        new = not self._idle
        worker = self._accept() if new else self._idle.pop()[1]
        self._of_request[request] = worker
        return worker, new

    def free(self, request: int, at_s: float) -> None:
        """Put the request's connection back, unless it is closed."""
        worker = self._of_request.pop(request, None)
        if worker is not None:
            self._idle.append((at_s, worker))

    def drop(self, request: int) -> None:
        """Close the request's connection, as uvicorn does with one that it turned away."""
        self.opened[self._of_request.pop(request)] -= 1

    def _close(self, at_s: float) -> None:
        """Close what has been idle for long; those used last are at the end."""
        closed = 0
        for since_s, worker in self._idle:
            if since_s > at_s - KEEP_ALIVE_S:
                break
            self.opened[worker] -= 1
            closed += 1
        del self._idle[:closed]

    def _accept(self) -> int:
        """Choose among idle workers in turn; when all are busy, the one with fewest connections."""
        count = len(self._workers)
        chosen = min(range(count), key=lambda worker: (self.opened[worker], worker))
        for step in range(count):
            worker = (self._next + step) % count
            if not self._workers[worker].busy:
                self._next = (worker + 1) % count
                chosen = worker
                break
        self.opened[chosen] += 1
        return chosen
