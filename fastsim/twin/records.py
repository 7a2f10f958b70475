"""What is noted while a simulation runs."""

import math
from array import array


class Records:
    """What became of each request, by its number; NaN for what has not happened."""

    __slots__ = (
        "_spare",
        "done",
        "failed",
        "kinds",
        "path",
        "pool_wait",
        "respond",
        "running",
        "start",
        "waits",
    )

    def __init__(self, requests: int, kinds: int) -> None:
        def unknown() -> "array[float]":
            return array("d", [math.nan]) * requests

        self.kinds = kinds
        self.start, self.respond, self.done = unknown(), unknown(), unknown()
        self.running, self.pool_wait = (array("d", bytes(8 * requests)) for _ in range(2))
        self.waits = array("d", bytes(8 * requests * kinds))
        """Seconds by kind of wait, request after request; branches of forks come behind."""
        self.path = array("q", bytes(8 * requests))
        """Which of the endpoint's paths it took."""
        self.failed = array("q", bytes(8 * requests))
        self._spare: list[int] = []

    def spare(self) -> int:
        """Return where in ``waits`` a branch adds up its own."""
        if not self._spare:
            self._spare.append(len(self.waits))
            self.waits.extend([0.0] * self.kinds)
        return self._spare.pop()

    def give_back(self, at: int) -> None:
        """Take back a place in ``waits`` from a branch that has ended."""
        for kind in range(at, at + self.kinds):
            self.waits[kind] = 0.0
        self._spare.append(at)


class Usage:
    """Use of one kind of slots of one worker."""

    __slots__ = ("acquires", "busy_s", "max_queue", "since", "wait_s")

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.since = 0.0
        """Until when ``busy_s`` has been added up."""
        self.wait_s = 0.0
        self.acquires = 0
        self.max_queue = 0
