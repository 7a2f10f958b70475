"""One worker process: an asyncio event loop, replayed pass by pass, and its GIL.

A pass polls, then runs exactly the handles that were ready at that moment, in order:
first what the previous pass scheduled, then finished I/O, then due timers. A finished
wait costs a callback and wakes its task one pass later; a new request likewise. The
whole pass is one SimPy event: everything that happens inside it is computed at its
start, at the instants it happens.

The GIL: a pool thread that needs it while the loop is busy gets it when the loop falls
idle, or with probability ``GIL_WIN`` when the loop lets go of it around a poll or a send, or
when it has asked for ``SWITCH_S``. Meanwhile the loop waits.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from simpy import Environment
from simpy.events import Timeout

from fastsim.model import LoopCosts
from fastsim.twin.workload import Op, ViaCode

GIL_WIN = 1.0
"""Chance that a waiting thread gets the GIL when the loop lets go of it for a moment."""

SWITCH_S = 0.005
"""CPython's switch interval (``sys.getswitchinterval``)."""

HANDOVER_SAME_CORE_S = 20e-6
HANDOVER_OTHER_CORE_S = 100e-6
"""What the loop loses, beyond the thread's own CPU, each time a thread has had the GIL.

Found by full replay of recordings of ``examples/shop`` at utilisation 0.3 to 0.75: pinned to
one core, a switch is cheap; across cores, sleeping threads must be woken (docs/decisions/0005).
"""

_LAG_EVERY = 8

_ARRIVE, _EVENT, _STEP = range(3)

Piece = tuple[float, float, Callable[[float], None]]
"""A stretch of Python in a pool thread: wanted since, CPU seconds, what follows."""


class Pool:
    """One resource of one worker, first come first served."""

    __slots__ = ("acquires", "busy_s", "capacity", "free", "max_queue", "queue", "since", "wait_s")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self.queue: deque[tuple[float, int]] = deque()
        self.busy_s = 0.0
        self.since = 0.0
        self.wait_s = 0.0
        self.acquires = 0
        self.max_queue = 0

    def account(self, now: float) -> None:
        """Add the slot-seconds since the last change."""
        self.busy_s += (self.capacity - self.free) * (now - self.since)
        self.since = now


class Requests:
    """The workload as plain lists, and what is being measured per request."""

    def __init__(
        self,
        n: int,
        ops: tuple[list[int], list[int], list[int], list[float], list[float]],
        first: list[int],
        arrival: list[float],
        kinds: int,
    ) -> None:
        self.code, self.arg, self.kind, self.value, self.extra = ops
        self.last = first[1:]
        self.position = first[:-1]
        self.arrival = arrival
        nan = math.nan
        self.start = [nan] * n
        self.respond = [nan] * n
        self.done = [nan] * n
        self.ready = [nan] * n
        self.running = [0.0] * n
        self.pool_wait = [0.0] * n
        self.waits = [0.0] * (n * kinds)
        self.kinds = kinds


class EventLoop:
    """The event loop of one worker."""

    def __init__(
        self,
        env: Environment,
        requests: Requests,
        costs: LoopCosts,
        capacities: Sequence[int],
        *,
        thread_tokens: int,
        gil: bool,
        handover_s: float,
        round_timers: bool,
        rng: Random,
        on_free: Callable[[int, float], None],
        window_s: float,
    ) -> None:
        self.env = env
        self.requests = requests
        self.costs = costs
        self.pools = [Pool(capacity) for capacity in capacities]
        self.threads = Pool(thread_tokens)
        self.gil = gil
        self.handover_s = handover_s
        self.round_timers = round_timers
        self.random = rng.random
        self.on_free = on_free
        self.window_s = window_s
        self.stretch: Callable[[], float] | None = None
        self.ready: deque[tuple[int, int]] = deque()
        self.events: list[tuple[int, int]] = []
        self.timers: list[int] = []
        self.busy = False
        self.idle_since = 0.0
        self.idle_number = 0
        self.idle_at_wake = 1.0
        self.awake_since = 0.0
        self.gil_queue: deque[Piece] = deque()
        self.gil_free_at = 0.0
        self.gil_released = 0.0
        self.in_flight = 0
        self.busy_s = 0.0
        self.passes = 0
        self.idle_wakeups = 0
        self.ready_integral = 0.0
        self.ready_max = 0
        self.lags: list[float] = []
        self.lag_count = 0
        self.window_busy: list[float] = []

    # --- from outside: arrivals, finished waits, timers ---------------------------------

    def arrive(self, request: int) -> None:
        """Take a request that has just reached this process's socket."""
        self.in_flight += 1
        self.events.append((_ARRIVE, request))
        if not self.busy:
            self._wake()

    def _finished(self, event: Any) -> None:
        request: int = event._value
        self.requests.ready[request] = self.env.now
        self.events.append((_EVENT, request))
        if not self.busy:
            self._wake()

    def _timer(self, event: Any) -> None:
        request: int = event._value
        self.requests.ready[request] = self.env.now
        self.timers.append(request)
        if self.busy:
            return
        now = self.env.now
        if self.round_timers:
            # epoll sleeps whole milliseconds, counted from when it began.
            slept = now - self.idle_since
            late = math.ceil(slept * 1000.0 - 1e-6) / 1000.0 - slept
            if late > 0.0:
                self._after(late, self._timer_poll, self.idle_number)
                return
        self._wake()

    def _timer_poll(self, event: Any) -> None:
        if not self.busy and self.idle_number == event._value:
            self._wake()

    def _after(self, delay: float, callback: Callable[[Any], None], value: object) -> None:
        timeout = Timeout(self.env, max(0.0, delay), value)
        timeout.callbacks.append(callback)

    # --- passes ---------------------------------------------------------------------------

    def _wake(self) -> None:
        self.busy = True
        self.idle_number += 1
        self.idle_wakeups += 1
        now = self.env.now
        memory = self.costs.cold.memory
        before = self.idle_at_wake * math.exp((self.awake_since - self.idle_since) / memory)
        self.idle_at_wake = 1.0 - (1.0 - before) * math.exp((self.idle_since - now) / memory)
        self.awake_since = now
        self.busy_s -= now
        # A pool thread may hold the GIL at this moment; the loop waits for its turn.
        if self.gil_free_at > now:
            self._after(self.gil_free_at - now, self._run_pass, None)
        else:
            self._pass()

    def _run_pass(self, _event: Any) -> None:
        self._pass()

    def _next_pass(self, _event: Any) -> None:
        """Poll at the end of a pass: go on, or fall idle."""
        now = self.env.now
        if self.ready or self.events or self.timers:
            if self.gil_queue:
                waited = now - max(self.gil_queue[0][0], self.gil_released)
                self.gil_released = now
                if waited >= SWITCH_S or self.random() < GIL_WIN:
                    delay = self._serve_threads(now)
                    self._book(now, delay)
                    self._after(delay, self._run_pass, None)
                    return
            self.gil_released = now
            self._pass()
            return
        self.busy = False
        self.busy_s += now
        self.idle_since = now
        while self.gil_queue:
            wanted, cpu, then = self.gil_queue.popleft()
            self._run_piece(max(wanted, now), cpu, then)

    def _let_go(self, now: float) -> float:
        """Release the GIL around a system call on a socket; return when the loop has it back."""
        if self.gil_queue and self.gil_queue[0][0] < now:
            self.gil_released = now
            if self.random() < GIL_WIN:
                now += self._serve_threads(now)
        return now

    def _forced_switch(self, now: float, running_s: float) -> float:
        """Give the GIL up inside long-running code that a thread has waited for too long."""
        asked = max(self.gil_queue[0][0], self.gil_released) + SWITCH_S
        if asked < now + running_s and self.gil_queue[0][0] < now:
            self.gil_released = now
            now += self._serve_threads(now)
        return now

    def _serve_threads(self, now: float) -> float:
        """Let every waiting thread run; return how long the loop is without the GIL."""
        delay = 0.0
        for _ in range(len(self.gil_queue)):
            wanted, cpu, then = self.gil_queue.popleft()
            if wanted > now:
                self.gil_queue.append((wanted, cpu, then))
                continue
            slice_s = min(cpu, SWITCH_S)
            delay += slice_s + self.handover_s
            if cpu > slice_s:
                self.gil_queue.append((now + delay, cpu - slice_s, then))
            else:
                self._call_at(now + delay, then)
        return delay

    def _pass(self) -> None:
        env_now = self.env.now
        costs = self.costs
        handles = self.ready
        self.ready = deque()
        if self.events:
            handles.extend(self.events)
            self.events = []
        if self.timers:
            handles.extend([(_EVENT, request) for request in self.timers])
            self.timers = []
        self.passes += 1
        cold = costs.cold
        stretch = 1.0 if self.stretch is None else self.stretch()
        if cold.extra:
            idle = self.idle_at_wake * math.exp((self.awake_since - env_now) / cold.memory)
            stretch *= 1.0 + cold.extra * idle
        now = env_now + costs.per_pass * stretch
        length = len(handles)
        self.ready_max = max(self.ready_max, length)
        append = self.ready.append
        for kind, request in handles:
            before = now
            if kind == _STEP:
                now = self._step(request, now, stretch)
            elif kind == _EVENT:
                now += costs.per_event * stretch
                append((_STEP, request))
            else:
                now += costs.accept * stretch
                append((_STEP, request))
            self.ready_integral += length * (now - before)
            length -= 1
        duration = now - env_now
        self._book(env_now, duration)
        self._after(duration, self._next_pass, None)

    def _book(self, start: float, duration: float) -> None:
        window = int(start / self.window_s)
        if window >= len(self.window_busy):
            self.window_busy.extend([0.0] * (window + 1 - len(self.window_busy)))
        self.window_busy[window] += duration

    # --- one task step ---------------------------------------------------------------------

    def _step(self, request: int, now: float, stretch: float) -> float:
        """Run a request's program from where it stands until it suspends; return the time."""
        r = self.requests
        code, value, extra = r.code, r.value, r.extra
        position = r.position[request]
        last = r.last[request]
        responded = r.respond[request] == r.respond[request]
        if r.start[request] != r.start[request]:
            r.start[request] = now
        else:
            self.lag_count += 1
            if self.lag_count % _LAG_EVERY == 0:
                self.lags.append(now - r.ready[request])
        while position < last:
            op = code[position]
            if op == Op.CPU:
                if self.gil_queue:
                    now = self._forced_switch(now, value[position])
                spent = (value[position] - extra[position]) * stretch + extra[position]
                now += spent
                if not responded:
                    r.running[request] += spent
            elif op == Op.RESPOND:
                now = self._let_go(now)
                r.respond[request] = now
                responded = True
                self.on_free(request, now)
            elif op == Op.RELEASE:
                self._release(self.pools[r.arg[position]], now)
            else:
                # Everything below may suspend; the program goes on behind it.
                r.position[request] = position + 1
                if op == Op.ACQUIRE:
                    if not self._acquire(self.pools[r.arg[position]], request, now):
                        return now
                else:
                    self._suspend(request, position, op, now, responded)
                    return now + self.costs.per_suspend * stretch
            position += 1
        r.position[request] = position
        r.done[request] = now
        self.in_flight -= 1
        if not responded:
            r.respond[request] = now
            self.on_free(request, now)
        return now

    def _suspend(self, request: int, position: int, op: int, now: float, responded: bool) -> None:
        r = self.requests
        value, extra = r.value[position], r.extra[position]
        if op == Op.YIELD:
            r.ready[request] = now
            self.ready.append((_STEP, request))
            return
        if not responded:
            r.waits[request * r.kinds + r.kind[position]] += (
                value + extra if op == Op.THREAD else value
            )
        if op == Op.THREAD:
            if self._take_token(request, now):
                self._start_thread(request, now, value, extra)
            return
        via = r.arg[position]
        if via == ViaCode.THREAD and self.gil and extra > 0.0:
            # The thread cannot begin before the loop lets go of the GIL, after its own
            # bookkeeping; the wait as recorded contains that.
            begin = min(self.costs.per_suspend, value)
            cpu = min(extra, value - begin)
            self._thread_work(request, now + begin, cpu / 2, value - begin - cpu)
            return
        timeout = Timeout(self.env, now - self.env.now + value, request)
        timeout.callbacks.append(self._timer if via == ViaCode.TIMER else self._finished)

    # --- resources ----------------------------------------------------------------------------

    def _acquire(self, pool: Pool, request: int, now: float) -> bool:
        pool.acquires += 1
        pool.account(now)
        if pool.free > 0:
            pool.free -= 1
            return True
        pool.queue.append((now, request))
        pool.max_queue = max(pool.max_queue, len(pool.queue))
        return False

    def _release(self, pool: Pool, now: float) -> None:
        pool.account(now)
        if not pool.queue:
            pool.free += 1
            return
        since, request = pool.queue.popleft()
        waited = now - since
        pool.wait_s += waited
        r = self.requests
        if r.respond[request] != r.respond[request]:
            r.pool_wait[request] += waited
        # The slot passes to the waiter now, though its coroutine must still wait for the loop.
        r.ready[request] = now
        self.ready.append((_STEP, request))

    # --- threads and the GIL --------------------------------------------------------------------

    def _take_token(self, request: int, now: float) -> bool:
        threads = self.threads
        threads.acquires += 1
        threads.account(now)
        if threads.free > 0:
            threads.free -= 1
            return True
        threads.queue.append((now, request))
        threads.max_queue = max(threads.max_queue, len(threads.queue))
        return False

    def _start_thread(self, request: int, now: float, cpu: float, off_gil: float) -> None:
        self._thread_work(request, now, cpu / 2, off_gil, token=True)

    def _thread_work(
        self, request: int, now: float, half_cpu: float, off_gil: float, *, token: bool = False
    ) -> None:
        """Python, then something off the GIL, then Python again, then call the loop back."""

        def end(at: float) -> None:
            if token:
                self._return_token(at)
            self._call_finished(request, at)

        def middle(at: float) -> None:
            self._call_at(at + off_gil, last)

        def last(at: float) -> None:
            self._need_gil(at, half_cpu, end)

        self._need_gil(now, half_cpu, middle)

    def _return_token(self, now: float) -> None:
        threads = self.threads
        threads.account(now)
        if not threads.queue:
            threads.free += 1
            return
        since, request = threads.queue.popleft()
        threads.wait_s += now - since
        r = self.requests
        if r.respond[request] != r.respond[request]:
            r.pool_wait[request] += now - since
        position = r.position[request] - 1
        self._start_thread(request, now, r.value[position], r.extra[position])

    def _need_gil(self, now: float, cpu: float, then: Callable[[float], None]) -> None:
        if not self.gil:
            self._call_at(now + cpu, then)
        elif self.busy:
            self.gil_queue.append((now, cpu, then))
        else:
            self._run_piece(now, cpu, then)

    def _run_piece(self, now: float, cpu: float, then: Callable[[float], None]) -> None:
        start = max(now, self.gil_free_at)
        self.gil_free_at = start + cpu
        self._call_at(self.gil_free_at, then)

    def _call_at(self, at: float, then: Callable[[float], None]) -> None:
        self._after(at - self.env.now, _call, then)

    def _call_finished(self, request: int, at: float) -> None:
        self.requests.ready[request] = at
        self.events.append((_EVENT, request))
        if not self.busy:
            self._wake()


def _call(event: Any) -> None:
    event._value(event.env.now)
