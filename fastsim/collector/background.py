"""Loop time of no request: websockets, periodic jobs, consumers; timed by the name of the task.

Only the service's own coroutines are watched, and only how long they hold the loop: two clocks a
resume. A task that a request passes through is a server of its own, and is not counted.
"""

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, NamedTuple, TypeVar

from fastsim.collector import clocks
from fastsim.collector.driven import DrivenCoroutine
from fastsim.collector.faults import note_fault
from fastsim.collector.waits import is_users_code

T = TypeVar("T")

MOST_NAMES = 50
_OTHERS = "others"


class Work(NamedTuple):
    """What one kind of task took from the loop, nanoseconds."""

    name: str
    wall: int
    runs: int
    square_us2: int
    """Sum of the squares of the runs, square microseconds: few long ones are not many short."""


class Background:
    """Sums over all tasks of a loop that belong to no request."""

    __slots__ = ("_by_name", "cpu", "running", "wall")

    def __init__(self) -> None:
        self.running: TimedBackground[Any] | None = None
        """The task that has the loop, if it is one of these."""
        self.wall = 0
        self.cpu = 0
        self._by_name: dict[str, list[int]] = {}

    def add(self, name: str, wall: int, cpu: int) -> None:
        """Count one resume."""
        self.wall += wall
        self.cpu += cpu
        found = self._by_name.get(name)
        if found is None:
            if len(self._by_name) >= MOST_NAMES:
                name = _OTHERS
            found = self._by_name.setdefault(name, [0, 0, 0])
        found[0] += wall
        found[1] += 1
        found[2] += (wall // 1000) ** 2

    def take(self) -> list[Work]:
        """Return what was added since the last call, by name."""
        taken, self._by_name = self._by_name, {}
        return [Work(name, *sums) for name, sums in taken.items()]


class TimedBackground(DrivenCoroutine[T]):
    """Drives ``inner`` and adds the time of each resume to what has its name."""

    __slots__ = ("_name", "_sums", "serves")

    def __init__(
        self, inner: Coroutine[Any, Any, T], sums: Background, name: Callable[[], str]
    ) -> None:
        super().__init__(inner)
        self._sums = sums
        self._name = name
        self.serves = False
        """A request has passed through it."""

    def send(self, value: Any) -> Any:
        """Resume the coroutine, timed."""
        return self._run(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        """Resume the coroutine with an exception, timed."""
        return self._run(self._inner.throw, *error)

    def close(self) -> None:
        """Close the coroutine."""
        self._inner.close()

    def _run(self, resume: Callable[..., Any], *values: Any) -> Any:
        sums = self._sums
        outer, sums.running = sums.running, self
        cpu, wall = clocks.thread_time_ns(), clocks.perf_counter_ns()
        try:
            return resume(*values)
        finally:
            sums.running = outer
            try:
                if not self.serves:
                    wall = clocks.perf_counter_ns() - wall
                    sums.add(self._name(), wall, clocks.thread_time_ns() - cpu)
            except Exception as fault:  # noqa: BLE001  never into the service
                note_fault(fault)


def watch_background(coro: Any, sums: Background) -> Any:
    """Return the coroutine of a task that no request made, timed if it is the service's own."""
    if type(coro) is not CoroutineType or not is_users_code(coro.cr_code):
        return coro
    name = str(coro.cr_code.co_qualname)
    return TimedBackground(coro, sums, lambda: name)
