"""A machine whose cores several processes share, on SimPy's clock.

Where there is a core for everything that may run at a time, nobody needs this: each worker is
computed by itself. Otherwise all that runs gets an equal part of the cores at every moment
(processor sharing), which is computed exactly: in the time of ``Host``'s own clock, which advances
by the part that each gets, nothing that others do moves an end.
"""

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from fastsim.twin.alarm import Alarm, Clock, set_alarm
from fastsim.twin.threads import SWITCH_S

Then = Callable[[], object]
"""Called when code is done; who returns something true in a thread has run more of it since."""

LOOP = -1
"""The event loop among those who want the GIL; threads go by their task."""

PERIOD_S = 0.1
"""Linux's period of CPU quotas (``cpu.max``), as Docker and Kubernetes leave it."""

_NOTHING_S = 1e-12
"""Work that is left over by rounding."""


class Job:
    """Work on some core; ``then`` is called when it is done."""

    __slots__ = ("end", "then")

    def __init__(self, end: float, then: Then | None) -> None:
        self.end = end
        self.then = then


class Host:
    """The cores of one machine.

    Parameters
    ----------
    quota
        Cores that a container may use in the mean of each ``PERIOD_S``; None for all of them. Who
        has used that up stands still until the next period, as Linux throttles a control group.
    """

    def __init__(self, env: Clock, cores: int, quota: float | None = None) -> None:
        self.env = env
        self._cores = cores
        self._jobs: list[tuple[float, int, Job]] = []
        self._running = 0
        self._work_s = 0.0
        """What anybody has been given who ran all along, seconds of a core."""
        self.used_s = 0.0
        """What all together have been given, seconds of a core."""
        self._at = 0.0
        self._number = 0
        self._version = 0
        self._going_on = False
        """Whether somebody whose work is done is about to begin with more."""
        self._allowed_s = math.inf if quota is None else quota * PERIOD_S
        self._left_s = self._allowed_s
        """What is left of this period's quota, seconds of a core."""
        self._period_end = math.inf if quota is None else PERIOD_S

    def start(self, work_s: float, then: Then) -> Job:
        """Run ``work_s`` seconds of code, then call ``then``."""
        self._advance()
        self._number += 1
        job = Job(self._work_s + work_s, then)
        heappush(self._jobs, (job.end, self._number, job))
        self._running += 1
        if not self._going_on:
            self._watch()
        return job

    def stop(self, job: Job) -> float:
        """Take a job off its core; return what is left of its work, seconds."""
        self._advance()
        job.then = None
        self._running -= 1
        if not self._going_on:
            self._watch()
        return max(job.end - self._work_s, 0.0)

    def _rate(self) -> float:
        """Return the part of a core that each job gets at the moment."""
        if self._left_s <= _NOTHING_S:
            return 0.0
        return min(1.0, self._cores / self._running) if self._running else 1.0

    def _advance(self) -> None:
        now = self.env.now
        rate, elapsed_s = self._rate(), now - self._at
        self._work_s += elapsed_s * rate
        used_s = elapsed_s * rate * self._running
        self.used_s += used_s
        self._left_s -= used_s
        self._at = now
        if now >= self._period_end - _NOTHING_S:
            # Nobody ran in periods that were left out, so nothing of them was used.
            self._period_end = (math.floor(now / PERIOD_S + 1e-9) + 1) * PERIOD_S
            self._left_s = self._allowed_s

    def _watch(self) -> None:
        """Come back when there is something to do."""
        self._come_back(self._delay_s())

    def _come_back(self, delay_s: float) -> None:
        self._version += 1
        if delay_s < math.inf:
            set_alarm(self.env, delay_s, self._due, self._version)

    def _delay_s(self) -> float:
        """Return when the next job is done, or the quota changes what anybody gets."""
        jobs = self._jobs
        while jobs and jobs[0][2].then is None:
            heappop(jobs)
        if not jobs:
            return math.inf
        left_s = jobs[0][0] - self._work_s
        if left_s <= _NOTHING_S:
            return 0.0  # it was done with the last of the quota
        rate = self._rate()
        delay_s = self._period_end - self._at
        if rate <= 0.0:
            return delay_s
        return min(delay_s, left_s / rate, self._left_s / (rate * self._running))

    def _due(self, alarm: Alarm) -> None:
        if alarm.value != self._version:
            return
        while True:
            self._advance()
            end, _, job = self._jobs[0]
            if end <= self._work_s + _NOTHING_S:
                heappop(self._jobs)
                self._work_s = max(self._work_s, end)
                self._running -= 1
                if job.then is not None:
                    self._going_on = True
                    job.then()
                    self._going_on = False
            elif 0.0 < self._left_s <= _NOTHING_S:  # it was the quota
                self._left_s = 0.0
            # Most often nothing else happens until then, and nobody has to be told.
            delay_s = self._delay_s()
            if delay_s == math.inf or not self.env.put_forward(delay_s):
                break
        self._come_back(delay_s)


class Lock:
    """The GIL of one process on such a machine: its holder runs, who wants it queues up.

    The rules are those of ``fastsim.twin.threads``. Without the GIL everybody runs.
    """

    def __init__(self, host: Host, *, enabled: bool, handover_s: float) -> None:
        self.lost_s = 0.0
        """What threads took from the busy loop, seconds."""
        self._env, self._host = host.env, host
        self._enabled = enabled
        self._handover_s = handover_s
        self._queue: deque[tuple[float, int]] = deque()
        self._left: dict[int, float] = {}
        self._then: dict[int, Then] = {}
        self._holder: int | None = None
        self._held_since = 0.0
        self._job: Job | None = None
        self._version = 0
        self._lost_at: float | None = None
        self._pieces = 0
        """Pieces of threads' work since the busy loop lost the lock."""

    def run(self, who: int, work_s: float, then: Then) -> None:
        """Run code that needs the lock, then call ``then``; a loop keeps the lock afterwards."""
        if not self._enabled:
            self._host.start(work_s, then)
            return
        self._left[who], self._then[who] = work_s, then
        if self._holder == who:
            self._go()
        elif self._holder is None:
            self._hold(who)
        else:
            self._queue.append((self._env.now, who))
            self._watch()

    def let_go(self, then: Then) -> bool:
        """Release the loop's lock around a system call; tell whether somebody else took it."""
        now = self._env.now
        if not self._queue or self._queue[0][0] >= now:
            self._held_since = now
            return False
        self._lose(0.0, then)
        return True

    def release(self) -> None:
        """Let others have the lock for as long as the loop sleeps."""
        if self._enabled:
            self._next()

    def _lose(self, left_s: float, then: Then) -> None:
        now = self._env.now
        self._left[LOOP], self._then[LOOP] = left_s, then
        self._lost_at, self._pieces = now, 0
        self._queue.append((now, LOOP))
        self._next()

    def _next(self) -> None:
        self._holder = None
        if self._queue:
            self._hold(self._queue.popleft()[1])

    def _hold(self, who: int) -> None:
        now = self._env.now
        self._holder, self._held_since = who, now
        if who != LOOP:
            self._pieces += 1
        elif self._lost_at is not None:
            late_s = self._pieces * self._handover_s
            self.lost_s += now + late_s - self._lost_at
            self._lost_at = None
            self._held_since = now + late_s
            if late_s > 0.0:
                set_alarm(self._env, late_s, self._handed_over)
                return
        self._go()

    def _handed_over(self, _alarm: Alarm) -> None:
        self._go()

    def _go(self) -> None:
        who = self._holder
        assert who is not None  # noqa: S101 - only a holder runs
        left_s = self._left[who]
        if left_s <= _NOTHING_S:
            self._done()
            return
        self._job = self._host.start(left_s, self._done)
        self._watch()

    def _watch(self) -> None:
        """Interrupt the holder when somebody has waited long enough."""
        self._version += 1
        if self._queue and self._job is not None:
            asked = max(self._queue[0][0], self._held_since) + SWITCH_S
            set_alarm(self._env, asked - self._env.now, self._interrupt, self._version)

    def _interrupt(self, alarm: Alarm) -> None:
        if alarm.value != self._version or self._job is None or self._holder is None:
            return
        left_s = self._host.stop(self._job)
        self._job = None
        who = self._holder
        if left_s <= _NOTHING_S:
            self._done()
        elif who == LOOP:
            self._lose(left_s, self._then[who])
        else:
            self._left[who] = left_s
            self._queue.append((self._env.now, who))
            self._next()

    def _done(self) -> None:
        self._job = None
        self._version += 1
        who = self._holder
        assert who is not None  # noqa: S101 - only a holder runs
        then = self._then.pop(who)
        keeps = then()
        if who != LOOP and not keeps:
            self._next()
