"""One worker process: an asyncio event loop, replayed pass by pass.

A pass polls, then runs exactly the handles that were ready at that moment, in order:
first what the previous pass scheduled, then finished I/O, then due timers. A finished
wait costs a callback and wakes its task one pass later; a new request likewise. uvloop
runs these callbacks while it polls, so its tasks step in the same pass. Everything that
happens inside a pass is computed at its start, at the instants it happens; and as long as
nothing else of the simulation falls before its end, the next pass is computed right away.
So SimPy sees an event for what comes from outside, not for every pass.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence

from simpy import Environment

from fastsim.model import LoopCosts
from fastsim.twin.alarm import Alarm, set_alarm
from fastsim.twin.gil import Gil, call_at
from fastsim.twin.speed import Speed
from fastsim.twin.state import Pool, Requests, WakingPool
from fastsim.twin.workload import Op, ViaCode

_LAG_EVERY = 8

_ARRIVE, _EVENT, _STEP, _CALLBACK = range(4)

# Plain numbers: members of an enumeration are looked up and compared in Python.
_CPU, _RESPOND, _RELEASE, _ACQUIRE = map(int, (Op.CPU, Op.RESPOND, Op.RELEASE, Op.ACQUIRE))
_YIELD, _THREAD, _FORK = map(int, (Op.YIELD, Op.THREAD, Op.FORK))
_VIA_TIMER, _VIA_THREAD = int(ViaCode.TIMER), int(ViaCode.THREAD)


class EventLoop:
    """The event loop of one worker."""

    def __init__(
        self,
        env: Environment,
        requests: Requests,
        costs: LoopCosts,
        pools: Sequence[Pool],
        *,
        thread_tokens: int,
        gil: bool,
        handover_s: float,
        round_timers: bool,
        on_free: Callable[[int, float], None],
        window_s: float,
    ) -> None:
        self.env = env
        self.requests = requests
        self.costs = costs
        self.pools = pools
        self.woken: set[int] = set()
        """Waiters of waking pools that have a slot and have not run yet."""
        self.threads = Pool(thread_tokens)
        self.gil = Gil(env, enabled=gil, handover_s=handover_s)
        self.round_timers = round_timers
        self.on_free = on_free
        self.window_s = window_s
        self.stretch: Callable[[], float] | None = None
        self.cold_reach = costs.cold.reach
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
        self.requests.ready[request] = self.env.now
        self.events.append((_ARRIVE, request))
        if not self.busy:
            self._wake()

    def _finished(self, event: Alarm) -> None:
        request: int = event.value
        self.requests.ready[request] = self.env.now
        self.events.append((_EVENT, request))
        if not self.busy:
            self._wake()

    def _timer(self, event: Alarm) -> None:
        request: int = event.value
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
                set_alarm(self.env, late, self._timer_poll, self.idle_number)
                return
        self._wake()

    def _timer_poll(self, event: Alarm) -> None:
        if not self.busy and self.idle_number == event.value:
            self._wake()

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
            set_alarm(self.env, self.gil.free_at - now, self._begin_pass)
        else:
            self._run(now)

    def _begin_pass(self, _event: Alarm) -> None:
        self._run(self.env.now)

    def _end_pass(self, _event: Alarm) -> None:
        begin = self._poll(self.env.now)
        if begin is not None:
            self._run(begin)

    def _run(self, now: float) -> None:
        """Run passes from ``now`` until the loop falls idle or something else is due."""
        env = self.env
        begin: float | None = now
        while begin is not None:
            end = self._pass(begin)
            if env.peek() <= end:
                set_alarm(env, end - env.now, self._end_pass)
                return
            begin = self._poll(end)

    def _poll(self, now: float) -> float | None:
        """Poll at the end of a pass; return when the next one begins, None for not at once."""
        if self.ready or self.events or self.timers:
            lost = self.gil.let_go(now)
            if lost > 0.0:
                self._book(now, lost)
                now += lost
                if self.env.peek() <= now:
                    set_alarm(self.env, now - self.env.now, self._begin_pass)
                    return None
            return now
        self.busy = False
        self.busy_s += now
        self.idle_since = now
        self.gil.loop_idle(now)
        return None

    def _pass(self, begin: float) -> float:
        """Run one pass that begins with its poll; return when it ends."""
        costs = self.costs
        handles = self.ready
        self.ready = deque()
        polled = self.events
        self.events = []
        if self.timers:
            polled += [(_EVENT, request) for request in self.timers]
            self.timers = []
        self.passes += 1
        cold = costs.cold
        stretch = 1.0 if self.stretch is None else self.stretch()
        if self.speed is not None:
            stretch *= self.speed.at(begin)
        dearer = 0.0
        if cold.extra:
            idle = self.idle_at_wake * math.exp((self.awake_since - begin) / cold.memory)
            dearer = cold.extra * idle**cold.power
        all_of_it = stretch * (1.0 + dearer)
        now = begin + costs.per_pass * all_of_it
        accept, per_event = costs.accept * all_of_it, costs.per_event * all_of_it
        if self.round_timers:
            handles.extend(polled)
        else:
            # uvloop answers to what it polls in the poll itself; tasks step in this very pass.
            for kind, request in polled:
                if kind == _CALLBACK:
                    handles.append((kind, request))
                else:
                    now += accept if kind == _ARRIVE else per_event
                    handles.append((_STEP, request))
        length = len(handles)
        self.ready_max = max(self.ready_max, length)
        append = self.ready.append
        step = self._step
        queued_s = 0.0
        for kind, request in handles:
            before = now
            if kind == _STEP:
                now = step(request, now, stretch, dearer)
            else:
                now += accept if kind == _ARRIVE else per_event
                append((_STEP, request))
            queued_s += length * (now - before)
            length -= 1
        self.ready_integral += queued_s
        window = int(begin / self.window_s)
        if window < len(self.window_busy):
            self.window_busy[window] += now - begin
        else:
            self._book(begin, now - begin)
        return now

    def _book(self, start: float, duration: float) -> None:
        window = int(start / self.window_s)
        if window >= len(self.window_busy):
            self.window_busy.extend([0.0] * (window + 1 - len(self.window_busy)))
        self.window_busy[window] += duration

    # --- one task step ---------------------------------------------------------------------

    def _step(self, request: int, now: float, stretch: float, dearer: float) -> float:
        """Run a request's program from where it stands until it suspends; return the time."""
        r = self.requests
        code, value = r.code, r.value
        position = r.position[request]
        last = r.last[request]
        responded = r.respond[request] == r.respond[request]
        if r.start[request] != r.start[request]:
            r.start[request] = now
        self.lag_count += 1
        if self.lag_count % _LAG_EVERY == 0:
            self.lags.append(now - r.ready[request])
        if self.woken and request in self.woken:
            self._resumed(request, position - 1, now)
        while position < last:
            op = code[position]
            if op == _CPU:
                if self.gil.queue:
                    now += self.gil.long_running(now, value[position])
                off_core = r.extra[position]
                own = value[position] - off_core
                spent = (own + min(own, self.cold_reach) * dearer) * stretch + off_core
                now += spent
                if not responded:
                    r.running[request] += spent
            elif op == _RESPOND:
                now += self.gil.let_go(now)
                r.respond[request] = now
                responded = True
                self.on_free(request, now)
            elif op == _RELEASE:
                self._release(self.pools[r.arg[position]], now)
            elif op == _FORK:
                if r.arg[position]:
                    self._fork(request, position, now)
                    return now + self.costs.per_suspend * stretch * (1.0 + dearer)
            else:
                # Everything below may suspend; the program goes on behind it.
                r.position[request] = position + 1
                if op == _ACQUIRE:
                    if not self.pools[r.arg[position]].take(now, request):
                        return now
                elif op == _YIELD:
                    r.ready[request] = now
                    self.ready.append((_STEP, request))
                    return now
                else:
                    self._suspend(request, position, op, now, responded)
                    return now + self.costs.per_suspend * stretch * (1.0 + dearer)
            position += 1
        r.position[request] = position
        if request >= r.n:
            waiter = r.end_task(request)
            if waiter is not None:
                # The task's done callback runs in the next pass, its waiter one pass later.
                r.ready[waiter] = now
                self.ready.append((_EVENT, waiter))
            return now
        r.done[request] = now
        self.in_flight -= 1
        if not responded:
            r.respond[request] = now
            self.on_free(request, now)
        return now

    def _fork(self, request: int, position: int, now: float) -> None:
        """Start the tasks of a FORK; their first steps run in the next pass, in order."""
        r = self.requests
        r.joining[request] = r.arg[position]
        at = position + 1
        for _ in range(r.arg[position]):
            last = at + 1 + r.arg[at]
            self.ready.append((_STEP, r.start_task(request, at + 1, last, now)))
            at = last
        r.position[request] = at

    def _suspend(self, request: int, position: int, op: int, now: float, responded: bool) -> None:
        r = self.requests
        value, extra = r.value[position], r.extra[position]
        if not responded:
            r.waits[request * r.kinds + r.kind[position]] += (
                value + extra if op == _THREAD else value
            )
        if op == _THREAD:
            if self.threads.take(now, request):
                self._thread_work(request, now, value / 2, extra, token=True)
            return
        via = r.arg[position]
        if via == _VIA_THREAD and self.gil.enabled and extra > 0.0:
            # The thread cannot begin before the loop lets go of the GIL, after its own
            # bookkeeping; the wait as recorded contains that.
            begin = min(self.costs.per_suspend, value)
            cpu = min(extra, value - begin)
            self._thread_work(request, now + begin, cpu / 2, value - begin - cpu)
            return
        then = self._timer if via == _VIA_TIMER else self._finished
        set_alarm(self.env, now - self.env.now + value, then, request)

    # --- resources and threads ------------------------------------------------------------

    def _release(self, pool: Pool, now: float) -> None:
        granted = pool.give_back(now)
        if granted is not None:
            self._grant(pool, granted, now)

    def _resumed(self, request: int, position: int, now: float) -> None:
        """Let one that a waking pool has woken wake the next."""
        self.woken.discard(request)
        pool = self.pools[self.requests.arg[position]]
        if isinstance(pool, WakingPool):
            for granted in pool.resumed(now):
                self._grant(pool, granted, now)

    def _grant(self, pool: Pool, granted: tuple[int, float], now: float) -> None:
        request, waited = granted
        if isinstance(pool, WakingPool):
            self.woken.add(request)
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
        self.events.append((_CALLBACK, request))
        if not self.busy:
            self._wake()
