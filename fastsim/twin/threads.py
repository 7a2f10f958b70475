"""The threads of one worker, and the global interpreter lock between them and its event loop.

CPython switches when the holder of the lock lets go of it (around a poll, a send, or anything off
the GIL), or when somebody has waited for ``SWITCH_S`` since the last switch; then the holder
queues up again. So threads that all compute take turns of ``SWITCH_S``, and so does code of the
loop that runs for long. Without the lock, threads run beside the loop.
"""

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from fastsim.twin.calls import BLOCKED, Call
from fastsim.twin.records import Usage

SWITCH_S = 0.005
"""CPython's switch interval (``sys.getswitchinterval``)."""

HANDOVER_SAME_CORE_S = 20e-6
HANDOVER_OTHER_CORE_S = 100e-6
"""What the loop loses, beyond the thread's own CPU, each time a thread has had the GIL.

Found by full replay of recordings of ``examples/shop`` at utilisation 0.3 to 0.75: pinned to
one core, a switch is cheap; across cores, sleeping threads must be woken (docs/decisions/0005).
"""

_LOOP = _NOBODY = -1
_NOTHING_S = 1e-12
"""Work that is left over by rounding."""


class _Work:
    """What the thread of a task still has to do; a call says so piece by piece."""

    __slots__ = ("call", "left_s", "native_s", "off_s", "second_s", "token", "waited_s")

    def __init__(
        self,
        left_s: float,
        off_s: float,
        second_s: float,
        waited_s: float,
        *,
        token: bool,
        call: Call | None,
    ) -> None:
        self.call = call
        self.left_s = left_s
        self.native_s = 0.0
        self.off_s = off_s
        self.second_s = second_s
        self.waited_s = waited_s
        self.token = token


class Threads:
    """The thread pool of one worker, and other threads that the loop waits for.

    There is a core for everybody, so native code is time off the GIL like any other.

    Attributes
    ----------
    active : bool
        Whether any thread works or waits for the GIL.
    loop_has : bool
        Whether the event loop has the GIL.
    calls : list of (time, task, seconds waited for a thread)
        Work that is done, and has not called the loop back yet.
    """

    tells_native = False
    """Whether native code has to find a core."""

    def __init__(self, tokens: int, *, gil: bool, handover_s: float) -> None:
        self.gil = gil
        self.active = False
        self.calls: list[tuple[float, int, float]] = []
        self.usage = Usage()
        self._lost_s = 0.0
        self.tokens = self._free = tokens
        self._handover_s = handover_s
        self._pending: deque[tuple[float, int, float, float, Call | None]] = deque()
        self._work: dict[int, _Work] = {}
        self._events: list[tuple[float, int, int]] = []
        """With the GIL, when a thread needs it; without it, when a thread's piece is done."""
        self._blocked: dict[int, int] = {}
        """Threads that wait for a slot, and the number of what ends their patience."""
        self._patience: list[tuple[float, int, int]] = []
        self.lose_patience: Callable[[int, float], None]
        """Called with a thread that has waited too long, and the time."""
        self._number = 0
        self._queue: deque[tuple[float, int]] = deque()
        """Who waits for the GIL, since when."""
        self._holder = _NOBODY
        """The thread that has the GIL while the loop does not."""
        self._held_since = 0.0
        """Since when its piece of code runs."""
        self._taken_at = 0.0
        self._loop_since = 0.0
        """When the loop last got the GIL, or could have lost it and did not."""
        self.loop_has = False

    # --- work ---------------------------------------------------------------------------------

    def submit(
        self, task: int, now: float, cpu_s: float, off_s: float, call: Call | None = None
    ) -> None:
        """Give a task's work to the thread pool, or queue it when every thread is taken."""
        self.catch_up(now)
        self.usage.acquires += 1
        if self._free == 0:
            self._pending.append((now, task, cpu_s, off_s, call))
            self.usage.max_queue = max(self.usage.max_queue, len(self._pending))
            return
        self.account(now)
        self._free -= 1
        self.begin(task, now, cpu_s, off_s, token=True, call=call)

    def begin(
        self,
        task: int,
        now: float,
        cpu_s: float,
        off_s: float,
        *,
        token: bool = False,
        waited_s: float = 0.0,
        call: Call | None = None,
    ) -> None:
        """Have a thread work: half of its CPU before what it does off the GIL, half after it."""
        first_s = cpu_s / 2.0 if off_s > 0.0 else cpu_s
        self._work[task] = _Work(first_s, off_s, cpu_s - first_s, waited_s, token=token, call=call)
        self._start(task, now)

    def _start(self, task: int, now: float) -> None:
        """Begin a task's work: with the GIL, ask for it; without, know when it is done."""
        work = self._work[task]
        needed_s = 0.0 if self.gil else work.left_s + work.off_s + work.second_s
        self._later(now + needed_s, task)

    def _later(self, at: float, task: int) -> None:
        """Have a thread go on at a time, with the GIL."""
        self.active = True
        self._number += 1
        heappush(self._events, (at, self._number, task))

    def block(self, task: int, until: float) -> None:
        """Have a thread wait for a slot, until then at most."""
        self._number += 1
        self._blocked[task] = self._number
        if until < math.inf:
            self._end_patience(until, task)

    def _end_patience(self, at: float, task: int) -> None:
        """Have a thread give up at a time, if it is still blocked then."""
        heappush(self._patience, (at, self._number, task))

    def _give_up(self, task: int, number: int, now: float) -> None:
        """Let a blocked thread go on without its slot, unless it has got it meanwhile."""
        if self._blocked.get(task) == number:
            self.lose_patience(task, now)
            self.unblock(task, now)

    def unblock(self, task: int, now: float) -> None:
        """Let a thread go on that has waited for a slot, as soon as it has the GIL."""
        del self._blocked[task]
        self._later(now, task)

    def _next_piece(self, task: int, now: float) -> bool:
        """Let a call go on; tell whether it has anything to do that needs no event of others."""
        work = self._work[task]
        assert work.call is not None  # noqa: S101 - only calls come in pieces
        try:
            work.left_s, work.native_s, off_s = work.call.send(now)
        except StopIteration:
            self._end(task, now)
            return False
        work.off_s = max(off_s, 0.0)
        if not self.tells_native:
            work.off_s += work.native_s
        return off_s != BLOCKED

    def works(self) -> bool:
        """Tell whether any thread has something to do."""
        return bool(self._work)

    def account(self, now: float) -> None:
        """Add the time since the last change to the use of the thread pool."""
        self.usage.busy_s += (self.tokens - self._free) * (now - self.usage.since)
        self.usage.since = now

    def lost_s(self) -> float:
        """Return what threads took from the busy loop, seconds."""
        return self._lost_s

    def _end(self, task: int, now: float) -> None:
        work = self._work.pop(task)
        self.calls.append((now, task, work.waited_s))
        if not work.token:
            return
        if not self._pending:
            self.account(now)
            self._free += 1
            return
        since, waiting, cpu_s, off_s, call = self._pending.popleft()
        waited_s = now - since
        self.usage.wait_s += waited_s
        self.begin(waiting, now, cpu_s, off_s, token=True, waited_s=waited_s, call=call)

    # --- while the loop sleeps ----------------------------------------------------------------

    def next_due(self) -> float:
        """Return when something changes by itself while the loop sleeps, seconds."""
        if not self.active:
            return math.inf
        due = self._due()
        return min(due, self._slice_end()) if self._holder != _NOBODY else due

    def step(self, at: float) -> None:
        """Let happen what is due at ``at`` while the loop sleeps."""
        if self._holder != _NOBODY and self._slice_end() <= at:
            self._end_slice(self._slice_end())
        else:
            self._need()
        self._check()

    def loop_sleeps(self, now: float) -> None:
        """Let go of the GIL for as long as the loop sleeps."""
        self.loop_has = False
        if self.gil:
            self._next(now)
        self._check()

    def loop_waits(self, now: float) -> float:
        """Return when a loop that has woken gets the GIL."""
        back = now
        if self._holder != _NOBODY:
            back = self._turn(now)
        self.loop_has = True
        self._loop_since = back
        self._check()
        return back

    # --- while the loop runs ------------------------------------------------------------------

    def catch_up(self, now: float) -> None:
        """Let happen what is due by ``now`` while the loop runs."""
        while self._due() <= now:
            self._need()
        self._check()

    def loop_lets_go(self, now: float) -> float:
        """Release the GIL around a system call; return when the loop has it again."""
        self.catch_up(now)
        self._loop_since = now
        if not self._queue or self._queue[0][0] >= now:
            return now
        return self._lose(now)

    def run_code(self, now: float, spent_s: float) -> float:
        """Return when code of the loop ends that takes ``spent_s`` seconds of its own."""
        end = now + spent_s
        if not self.gil:
            return end
        while True:
            asked = self._asked()
            if self._due() < min(end, asked):
                self._need()
            elif asked < end:
                end += self._lose(asked) - asked
            else:
                return end

    def run_without(self, now: float, away_s: float) -> float:
        """Return when a loop that does something off the GIL goes on."""
        until = now + away_s
        self.loop_sleeps(now)
        while self.next_due() <= until:
            self.step(self.next_due())
        return self.loop_waits(until)

    def _asked(self) -> float:
        """Return when the first in the queue has waited long enough."""
        if not self._queue:
            return math.inf
        return max(self._queue[0][0], self._loop_since) + SWITCH_S

    def _lose(self, now: float) -> float:
        """Let everybody who waits by now have a turn; return when the loop has the GIL again."""
        waiting = sum(since <= now for since, _ in self._queue)
        back = self._turn(now) + waiting * self._handover_s
        self._lost_s += back - now
        self._loop_since = back
        self.loop_has = True
        self._check()
        return back

    # --- who has the GIL ----------------------------------------------------------------------

    def _due(self) -> float:
        """Return when the next thread asks for the GIL, or has waited too long for a slot."""
        due = self._events[0][0] if self._events else math.inf
        if self._blocked and self._patience and self._patience[0][0] < due:
            return self._patience[0][0]
        return due

    def _need(self) -> None:
        """Let the first thread that is due ask for the GIL."""
        if self._blocked and self._patience:
            at, number, task = self._patience[0]
            if not self._events or at <= self._events[0][0]:
                heappop(self._patience)
                self._give_up(task, number, at)
                return
        at, _, task = heappop(self._events)
        if not self.gil:
            work = self._work[task]
            if work.call is None:
                self._end(task, at)
            elif self._next_piece(task, at):
                self._later(at + work.left_s + work.off_s, task)
        elif self._holder == _NOBODY and not self.loop_has:
            self._holder, self._held_since, self._taken_at = task, at, at
        else:
            self._queue.append((at, task))

    def _slice_end(self) -> float:
        end = self._held_since + self._work[self._holder].left_s
        if not self._queue:
            return end
        return min(end, max(self._taken_at, self._queue[0][0]) + SWITCH_S)

    def _end_slice(self, now: float) -> None:
        """Take the GIL from the thread that has it and give it to the next."""
        task, work = self._holder, self._work[self._holder]
        work.left_s -= now - self._held_since
        if work.left_s > _NOTHING_S:
            self._queue.append((now, task))
        elif work.off_s > 0.0 or work.second_s > 0.0:
            self._later(now + work.off_s, task)
            work.left_s, work.off_s, work.second_s = work.second_s, 0.0, 0.0
        elif work.call is not None:
            if self._next_piece(task, now):
                self._held_since = now
                return
        else:
            self._end(task, now)
        self._next(now)

    def _next(self, now: float) -> None:
        self._holder = _NOBODY
        if not self._queue:
            return
        _, task = self._queue.popleft()
        if task == _LOOP:
            self.loop_has = True
        else:
            self._holder, self._held_since, self._taken_at = task, now, now

    def _turn(self, now: float) -> float:
        """Queue the loop up and return when its turn comes."""
        self.loop_has = False
        self._queue.append((now, _LOOP))
        if self._holder == _NOBODY:
            self._next(now)
        at = now
        while not self.loop_has:
            at = self._slice_end()
            if self._due() < at:
                self._need()
            else:
                self._end_slice(at)
        return at

    def _check(self) -> None:
        impatient = self._blocked and self._patience
        self.active = bool(self._events or self._queue or self._holder != _NOBODY or impatient)
