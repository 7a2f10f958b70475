"""One worker process: an asyncio event loop, replayed pass by pass.

A pass polls, then runs exactly the handles that were ready at that moment, in order:
first what the previous pass scheduled, then finished I/O, then due timers. A finished
wait costs a callback and wakes its task one pass later; a new request likewise. The
whole pass is one SimPy event: everything that happens inside it is computed at its
start, at the instants it happens.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from simpy import Environment
from simpy.events import Timeout

from fastsim.model import LoopCosts
from fastsim.twin.gil import Gil, call_at
from fastsim.twin.speed import Speed
from fastsim.twin.state import Pool, Requests
from fastsim.twin.workload import Op, ViaCode

_LAG_EVERY = 8

_ARRIVE, _EVENT, _STEP = range(3)


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
        self.gil = Gil(env, enabled=gil, handover_s=handover_s, rng=rng)
        self.round_timers = round_timers
        self.on_free = on_free
        self.window_s = window_s
        self.stretch: Callable[[], float] | None = None
        self.speed: Speed | None = None
        self.ready: deque[tuple[int, int]] = deque()
        self.events: list[tuple[int, int]] = []
        self.timers: list[int] = []
        self.busy = False
        self.idle_since = 0.0
        self.idle_number = 0
        self.idle_at_wake = 1.0
        self.awake_since = 0.0
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
        if self.gil.free_at > now:
            self._after(self.gil.free_at - now, self._run_pass, None)
        else:
            self._pass()

    def _run_pass(self, _event: Any) -> None:
        self._pass()

    def _next_pass(self, _event: Any) -> None:
        """Poll at the end of a pass: go on, or fall idle."""
        now = self.env.now
        if self.ready or self.events or self.timers:
            lost = self.gil.let_go(now)
            if lost > 0.0:
                self._book(now, lost)
                self._after(lost, self._run_pass, None)
            else:
                self._pass()
            return
        self.busy = False
        self.busy_s += now
        self.idle_since = now
        self.gil.loop_idle(now)

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
        if self.speed is not None:
            stretch *= self.speed.at(env_now)
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
        responded = r.responded(request)
        if r.start[request] != r.start[request]:
            r.start[request] = now
        else:
            self.lag_count += 1
            if self.lag_count % _LAG_EVERY == 0:
                self.lags.append(now - r.ready[request])
        while position < last:
            op = code[position]
            if op == Op.CPU:
                if self.gil.queue:
                    now += self.gil.long_running(now, value[position])
                spent = (value[position] - extra[position]) * stretch + extra[position]
                now += spent
                if not responded:
                    r.running[request] += spent
            elif op == Op.RESPOND:
                now += self.gil.let_go(now)
                r.respond[request] = now
                responded = True
                self.on_free(request, now)
            elif op == Op.RELEASE:
                self._release(self.pools[r.arg[position]], now)
            else:
                # Everything below may suspend; the program goes on behind it.
                r.position[request] = position + 1
                if op == Op.ACQUIRE:
                    if not self.pools[r.arg[position]].take(now, request):
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
            if self.threads.take(now, request):
                self._thread_work(request, now, value / 2, extra, token=True)
            return
        via = r.arg[position]
        if via == ViaCode.THREAD and self.gil.enabled and extra > 0.0:
            # The thread cannot begin before the loop lets go of the GIL, after its own
            # bookkeeping; the wait as recorded contains that.
            begin = min(self.costs.per_suspend, value)
            cpu = min(extra, value - begin)
            self._thread_work(request, now + begin, cpu / 2, value - begin - cpu)
            return
        timeout = Timeout(self.env, now - self.env.now + value, request)
        timeout.callbacks.append(self._timer if via == ViaCode.TIMER else self._finished)

    # --- resources and threads ------------------------------------------------------------

    def _release(self, pool: Pool, now: float) -> None:
        granted = pool.give_back(now)
        if granted is None:
            return
        request, waited = granted
        if not self.requests.responded(request):
            self.requests.pool_wait[request] += waited
        # The slot passes to the waiter now, though its coroutine must still wait for the loop.
        self.requests.ready[request] = now
        self.ready.append((_STEP, request))

    def _thread_work(
        self, request: int, now: float, half_cpu: float, off_gil: float, *, token: bool = False
    ) -> None:
        """Python, then something off the GIL, then Python again, then call the loop back."""

        def end(at: float) -> None:
            if token:
                self._return_token(at)
            self._call_back(request, at)

        def middle(at: float) -> None:
            call_at(self.env, at + off_gil, last)

        def last(at: float) -> None:
            self.gil.need(at, half_cpu, end, loop_busy=self.busy)

        self.gil.need(now, half_cpu, middle, loop_busy=self.busy)

    def _return_token(self, now: float) -> None:
        granted = self.threads.give_back(now)
        if granted is None:
            return
        request, waited = granted
        r = self.requests
        if not r.responded(request):
            r.pool_wait[request] += waited
        position = r.position[request] - 1
        self._thread_work(request, now, r.value[position] / 2, r.extra[position], token=True)

    def _call_back(self, request: int, at: float) -> None:
        self.requests.ready[request] = at
        self.events.append((_EVENT, request))
        if not self.busy:
            self._wake()
