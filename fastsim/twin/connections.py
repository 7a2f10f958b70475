"""Keep-alive connections between the client and the workers.

The client reuses the connection it used last; a new one is accepted by an idle worker
if there is one, and stays with it. So the workers of one service need not share the
load evenly.
"""

from collections.abc import Sequence
from typing import Protocol


class _Worker(Protocol):
    busy: bool
    in_flight: int


class Connections:
    """The client's connection pool, last used first."""

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._workers = workers
        self._idle: list[tuple[float, int]] = []
        self._of_request: dict[int, int] = {}
        self._next = 0

    def assign(self, request: int) -> int:
        """Return the worker that serves the request."""
        worker = 0
        if len(self._workers) > 1:
            worker = self._idle.pop()[1] if self._idle else self._accept()
            self._of_request[request] = worker
        return worker

    def free(self, request: int, at_s: float) -> None:
        """Put the request's connection back."""
        worker = self._of_request.pop(request, None)
        if worker is not None:
            self._idle.append((at_s, worker))

    def _accept(self) -> int:
        """Choose among idle workers in turn; when all are busy, the one with least in flight."""
        count = len(self._workers)
        for step in range(count):
            worker = (self._next + step) % count
            if not self._workers[worker].busy:
                self._next = (worker + 1) % count
                return worker
        return min(range(count), key=lambda worker: (self._workers[worker].in_flight, worker))
