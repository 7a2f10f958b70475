"""The global interpreter lock of one worker, between its event loop and its threads.

A pool thread that needs the GIL while the loop is busy gets it when the loop falls idle,
or when the loop lets go of it around a poll or a send, or
when it has asked for ``SWITCH_S``. Meanwhile the loop waits.
"""

from collections import deque
from collections.abc import Callable

from simpy import Environment

from fastsim.twin.alarm import Alarm, set_alarm

SWITCH_S = 0.005
"""CPython's switch interval (``sys.getswitchinterval``)."""

HANDOVER_SAME_CORE_S = 20e-6
HANDOVER_OTHER_CORE_S = 100e-6
"""What the loop loses, beyond the thread's own CPU, each time a thread has had the GIL.

Found by full replay of recordings of ``examples/shop`` at utilisation 0.3 to 0.75: pinned to
one core, a switch is cheap; across cores, sleeping threads must be woken (docs/decisions/0005).
"""

Then = Callable[[float], None]
"""What follows a piece of a thread's work; called with the time."""


def call_at(env: Environment, at: float, then: Then) -> None:
    """Call ``then(at)`` when the simulation gets there."""
    set_alarm(env, at - env.now, _call, (env, then))


def _call(event: Alarm) -> None:
    env, then = event.value
    then(env.now)


class Gil:
    """Who has the GIL, and who waits for it."""

    __slots__ = ("enabled", "env", "free_at", "handover_s", "lost_s", "queue", "released")

    def __init__(self, env: Environment, *, enabled: bool, handover_s: float) -> None:
        self.env = env
        self.enabled = enabled
        self.handover_s = handover_s
        self.queue: deque[tuple[float, float, Then]] = deque()
        """Pieces waiting for a busy loop: wanted since, CPU seconds, what follows."""
        self.lost_s = 0.0
        """What threads took from the busy loop, seconds."""
        self.free_at = 0.0
        """When the threads that have it now are done; the loop cannot start before."""
        self.released = 0.0
        """When the loop last let go of it: a waiting thread's patience starts anew then."""

    def need(self, now: float, cpu: float, then: Then, *, loop_busy: bool) -> None:
        """Run ``cpu`` seconds of a thread's Python as soon as it can have the GIL."""
        if not self.enabled:
            call_at(self.env, now + cpu, then)
        elif loop_busy:
            self.queue.append((now, cpu, then))
        else:
            self._run(now, cpu, then)

    def loop_idle(self, now: float) -> None:
        """Let everybody who waits run: the loop has nothing to do."""
        while self.queue:
            wanted, cpu, then = self.queue.popleft()
            self._run(max(wanted, now), cpu, then)

    def let_go(self, now: float) -> float:
        """Release it around a system call of the loop; return how long the loop is without."""
        if not self.queue or self.queue[0][0] >= now:
            self.released = now
            return 0.0
        self.released = now
        return self._serve(now)

    def long_running(self, now: float, running_s: float) -> float:
        """Interrupt code that runs longer than a thread's patience; return the loss."""
        asked = max(self.queue[0][0], self.released) + SWITCH_S
        if asked >= now + running_s or self.queue[0][0] >= now:
            return 0.0
        self.released = now
        return self._serve(now)

    def _serve(self, now: float) -> float:
        """Let every thread that waits by now run, at most a switch interval each."""
        delay = 0.0
        for _ in range(len(self.queue)):
            wanted, cpu, then = self.queue.popleft()
            if wanted > now:
                self.queue.append((wanted, cpu, then))
                continue
            slice_s = min(cpu, SWITCH_S)
            delay += slice_s + self.handover_s
            if cpu > slice_s:
                self.queue.append((now + delay, cpu - slice_s, then))
            else:
                call_at(self.env, now + delay, then)
        self.lost_s += delay
        return delay

    def _run(self, now: float, cpu: float, then: Then) -> None:
        self.free_at = max(now, self.free_at) + cpu
        call_at(self.env, self.free_at, then)
