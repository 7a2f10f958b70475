"""One worker process: its event loop, pools and threads, and what is measured of them."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush

from fastsim.loop_costs import LoopCosts
from fastsim.twin.calls import start_call
from fastsim.twin.code import CALL
from fastsim.twin.footprints import Caches
from fastsim.twin.limits import Gate
from fastsim.twin.passes import passes
from fastsim.twin.peers import Peer
from fastsim.twin.slots import Stations
from fastsim.twin.speed import Speed
from fastsim.twin.tasks import CALLBACK, CANCELLED, EVENT, FAILED, KIND_BITS, STEP, Tasks
from fastsim.twin.threads import Threads

_NEVER = math.inf


class Worker:
    """The event loop of one worker.

    Parameters
    ----------
    gates
        The limits that requests pass.
    peers
        Those that serve so many calls at a time, by number of the station.
    speed
        How fast the machine runs code as it wanders; None for always as fast.
    rounds_timers
        Whether the loop sleeps whole milliseconds (asyncio's does, uvloop's does not) and runs
        callbacks as handles of their own.
    hosted
        Whether the loop shares its cores with others, so that somebody else says how long its
        code takes.
    window_s
        Length of the windows of ``window_busy``, seconds.
    """

    def __init__(
        self,
        tasks: Tasks,
        stations: Stations,
        threads: Threads,
        costs: LoopCosts,
        *,
        gates: Sequence[Gate],
        peers: Mapping[int, Peer],
        speed: Speed | None,
        rounds_timers: bool,
        hosted: bool,
        window_s: float,
    ) -> None:
        self.tasks = tasks
        self.costs = costs
        code, cold = tasks.code, costs.cold
        self.caches = None
        if cold.matters:
            self.caches = Caches(cold, code.own, code.shared, len(code.footprints))
        self.stations = stations
        self.threads = threads
        self.gates = gates
        self.peers = peers
        self.speed = speed
        self.rounds_timers = rounds_timers
        self.hosted = hosted
        self.window_s = window_s
        self.inbox: deque[tuple[float, int, int]] = deque()
        """Requests on their way: time, number, where their program begins."""
        self.ended: list[tuple[float, int]] = []
        """Responses that nobody outside has seen: time and request."""
        self.tell: Callable[[float, int], None] | None = None
        """Told of every response at once, instead."""
        self.busy = False
        self.busy_at_start = False
        self.now = 0.0
        """Until when the loop has been computed: the end of its last pass while it is busy."""
        self.cost_s = 0.0
        """How much a hosted loop wants of what ``go_on`` returned, seconds."""
        self.woken_s = 0.0
        """When a hosted loop was woken, which may have had to wait for the GIL since."""
        self.idle_since = 0.0
        self.sockets: list[tuple[float, int, int]] = []
        self.timers: list[tuple[float, int, int]] = []
        self.number = 0
        self._tickets: dict[int, int] = {}
        """Which of its waits for a slot a task is in, by the number of the timer that ends it."""
        self.busy_s = 0.0
        self.passes = 0
        self.idle_wakeups = 0
        self.ready_integral = 0.0
        self.ready_max = 0
        self.lags: list[float] = []
        self.window_busy: list[float] = []
        self.until = _NEVER if hosted else 0.0
        stations.unblock, threads.lose_patience = self._unblock_thread, self._lose_patience
        self._passes = passes(self)

    def advance(self, until: float) -> None:
        """Replay the loop until nothing happens before ``until``; a pass may end later."""
        self.until = until
        next(self._passes)

    def due(self) -> float:
        """Return from when on there is more to compute, seconds; later arrivals apart."""
        if self.busy:
            return self.now
        return 0.0 if self.threads.active else self.next_due()

    def next_moment(self) -> float:
        """Return when this loop does something next, seconds; infinity if nothing is left."""
        if self.busy:
            return self.now
        due = self.next_due()
        return min(due, self.threads.next_due()) if self.threads.active else due

    def go_on(self) -> int:
        """Replay a hosted loop from ``now`` to where it has to wait; return what it wants."""
        return next(self._passes)

    def start_background(self, entries: Sequence[int], offset: int) -> None:
        """Start what the loop does for no request.

        Parameters
        ----------
        offset
            Number of the first one, beyond those of all requests: it decides what they draw.
        """
        for number, entry in enumerate(entries):
            self.tasks.start_background(number, entry, offset)
        if entries:
            # The loop begins awake, to have them take their first step.
            self.busy_at_start = True

    def goes_on(self) -> bool:
        """Tell whether anything but the work of no request is still going to happen."""
        if self.inbox or self.threads.works() or (self.hosted and self.busy):
            return True
        if not self.tasks.live:
            return False
        waiting = len(self.sockets) + len(self.timers)
        return bool(self.tasks.ready) or waiting > self.tasks.background

    def close(self, end: float) -> None:
        """Add up what is measured over time until ``end``, seconds."""
        if self.busy:
            self.busy_s += end
        self.stations.close(end)
        for peer in self.peers.values():
            peer.close(end)
        self.threads.account(max(end, self.threads.usage.since))

    # --- threads ----------------------------------------------------------------------------

    def thread_step(self, task: int, at: int, now: float) -> None:
        """Give a task's work at place ``at`` of its program to the thread pool."""
        tasks = self.tasks
        code, draws = tasks.code, tasks.draws
        if code.operation[at] == CALL:
            self.threads.submit(task, now, 0.0, 0.0, start_call(self, task, code.argument[at]))
            if self.threads.calls:
                self.take_calls()
            return
        request, occasion = tasks.request[task], tasks.occasion[task]
        cpu, off = code.value[at], code.second[at]
        if code.node[at] >= 0:
            cpu = draws.value(code.node[at], request, occasion)
        if code.second_node[at] >= 0:
            off = draws.value(code.second_node[at], request, occasion)
        if tasks.responded[task] < 0.0:
            tasks.records.waits[tasks.waits_at[task] + code.kind[at]] += cpu + off
        self.threads.submit(task, now, cpu, off)
        if self.threads.calls:
            self.take_calls()

    def thread_wait(self, task: int, now: float, value: float, cpu: float) -> None:
        """Wait for a thread that needs the GIL for its own code.

        It cannot begin before the loop lets go of the GIL, after its own bookkeeping; the wait
        as recorded contains that.
        """
        self.tasks.awaits[task] = 0
        begin = min(self.costs.per_suspend, value)
        cpu = min(cpu, value - begin)
        self.threads.begin(task, now + begin, cpu, value - begin - cpu)

    def block_thread(self, station: int, task: int, now: float) -> None:
        """Have the thread of a task wait for a slot, for as long as it has patience."""
        self.stations.blocked.add(task)
        self.threads.block(task, now + self.stations.timeouts_s[station])

    def _unblock_thread(self, task: int, now: float) -> None:
        """Let a thread go on with the slot that it has waited for."""
        self.stations.blocked.discard(task)
        self.threads.unblock(task, now)

    def _lose_patience(self, task: int, now: float) -> None:
        """Let a thread go on without the slot that it has waited for: its request fails."""
        self.stations.blocked.discard(task)
        self.stations.give_up(task, now)
        self.tasks.held[task].pop()
        self.tasks.failing[task] = FAILED

    def take_calls(self) -> None:
        """Have what threads are done with call the loop back."""
        tasks = self.tasks
        for at, task, waited in self.threads.calls:
            if waited and tasks.responded[task] < 0.0:
                tasks.pool_wait[task] += waited
            tasks.since[task] = at
            self.number += 1
            heappush(self.sockets, (at, self.number, task << KIND_BITS | CALLBACK))
            tasks.awaits[task] = -self.number
        self.threads.calls.clear()

    def let_go(self, now: float, *, asleep: bool = False) -> float:
        """Give the GIL to the threads that wait for it; return when the loop has it again."""
        threads = self.threads
        back = threads.loop_waits(now) if asleep else threads.loop_lets_go(now)
        if threads.calls:
            self.take_calls()
        return back

    def interrupted(self, now: float, spent: float, off_core: float) -> float:
        """Return when code ends that threads interrupt after their patience."""
        end = self.threads.run_code(now, spent)
        if off_core > 0.0:
            end = self.threads.run_without(end, off_core)
        if self.threads.calls:
            self.take_calls()
        return end

    def answer(self, task: int, at: float) -> None:
        """Have something outside answer a task at a time, through a socket."""
        self.number += 1
        heappush(self.sockets, (at, self.number, task << KIND_BITS | EVENT))
        self.tasks.awaits[task] = self.number

    def call_peer(self, task: int, place: int, now: float, served_s: float) -> None:
        """Have a peer of so many slots serve a call, in its turn."""
        tasks, code = self.tasks, self.tasks.code
        delay_s = self.peers[code.argument[place]].call(now, served_s)
        if tasks.responded[task] < 0.0:
            tasks.records.waits[tasks.waits_at[task] + code.kind[place]] += served_s
            tasks.pool_wait[task] += delay_s
        tasks.since[task] = now + delay_s + served_s
        self.answer(task, tasks.since[task])

    def awaits_chunk(self, task: int, place: int, now: float, gap_s: float) -> bool:
        """Have a task wait for a stream's next chunk; tell if it was not read with the last."""
        tasks = self.tasks
        before = tasks.came[task]
        due = tasks.came[task] = (before if before >= 0.0 else now) + gap_s
        if due <= tasks.read[task]:
            return False
        there = max(due, now)
        if tasks.responded[task] < 0.0:
            tasks.records.waits[tasks.waits_at[task] + tasks.code.kind[place]] += there - now
        tasks.since[task] = there
        self.answer(task, due)
        return True

    # --- patience ---------------------------------------------------------------------------

    def wait_in_line(self, station: int, task: int, now: float) -> None:
        """Have a task give up when it has waited too long for a slot."""
        self._tickets[task] = self.number = self.number + 1
        timeout_s = self.stations.timeouts_s[station]
        if timeout_s < _NEVER:
            heappush(self.timers, (now + timeout_s, self.number, ~task))

    def _still_waits(self, task: int, ticket: int) -> bool:
        """Tell whether a task stands in the line in which it got a ticket."""
        return self.stations.in_line(task) and self._tickets[task] == ticket

    def give_up(self, task: int, ticket: int, now: float) -> bool:
        """End a task's patience, unless it has got its slot meanwhile; tell whether it ended."""
        if not self._still_waits(task, ticket):
            return False
        tasks = self.tasks
        self.stations.give_up(task, now)
        tasks.held[task].pop()
        tasks.failing[task] = FAILED
        tasks.awaits[task] = ticket
        tasks.since[task] = now
        return True

    def unwind(self, task: int, now: float) -> None:
        """Let the exception that goes through a task give back all that the task holds."""
        self.tasks.failing[task] = self.tasks.failing[task] or FAILED
        for station in self.tasks.held[task]:
            self.stations.give_back(station, now)
        self.tasks.fail(task)

    def wait_for_turn(self, task: int, now: float, delay_s: float) -> None:
        """Have a task wait for a limit to let it pass."""
        tasks = self.tasks
        if tasks.responded[task] < 0.0:
            tasks.pool_wait[task] += delay_s
        tasks.since[task] = now + delay_s
        self.number += 1
        heappush(self.timers, (now + delay_s, self.number, task))
        tasks.awaits[task] = self.number

    def drop_stale(self) -> None:
        """Forget the timers and sockets that nobody waits for any longer, as asyncio does."""
        timers, sockets, awaits = self.timers, self.sockets, self.tasks.awaits
        while timers:
            _, ticket, task = timers[0]
            if task < 0:
                if self._still_waits(~task, ticket):
                    break
            elif not self.tasks.cancels or awaits[task] == ticket:
                break
            heappop(timers)
        if self.tasks.cancels:
            while sockets and abs(awaits[sockets[0][2] >> KIND_BITS]) != sockets[0][1]:
                heappop(sockets)

    # --- cancellation -----------------------------------------------------------------------

    def cancel_losers(self, task: int, now: float) -> None:
        """Cancel the children of a task that has waited for the first of them."""
        for child in self.tasks.children[task]:
            self.tasks.leave(child)
            self.cancel(child, now)
        self.tasks.children[task].clear()

    def cancel(self, task: int, now: float) -> None:
        """Have a task end when it runs next: at once, unless it waits for what cannot be left.

        That is its thread, or children that are all waited for, which are cancelled first.
        """
        tasks = self.tasks
        if tasks.failing[task]:
            return
        tasks.failing[task] = CANCELLED
        if tasks.joins[task] > 0:
            if not tasks.first[task]:
                for child in tuple(tasks.children[task]):
                    self.cancel(child, now)
                return
            tasks.joins[task], tasks.awaits[task] = -1, 0
        elif self.stations.in_line(task) and task not in self.stations.blocked:
            self.stations.give_up(task, now)
            tasks.held[task].pop()
        elif tasks.awaits[task] > 0:
            tasks.awaits[task] = 0
        else:
            return
        tasks.since[task] = now
        tasks.ready.append(task << KIND_BITS | STEP)

    # --- sleep ------------------------------------------------------------------------------

    def next_due(self) -> float:
        """Return when an idle loop wakes next by itself, seconds."""
        if self.stations.fallible:
            self.drop_stale()
        due = self.inbox[0][0] if self.inbox else _NEVER
        if self.sockets and self.sockets[0][0] < due:
            due = self.sockets[0][0]
        if self.timers and self.timers[0][0] < due:
            timer = self.timers[0][0]
            if self.rounds_timers and timer > self.idle_since:
                # epoll sleeps whole milliseconds, counted from when it began, and the kernel
                # takes a while to wake it.
                slept = timer - self.idle_since
                whole = math.ceil(slept * 1000.0 - 1e-6) / 1000.0
                timer = max(timer, self.idle_since + whole + self.costs.timer_late)
            due = min(due, timer)
        return due

    def sleep_until(self, until: float) -> float:
        """Have threads work while the loop sleeps; return when it wakes, or infinity for later."""
        threads = self.threads
        while True:
            due = self.next_due()
            at = threads.next_due() if threads.active else _NEVER
            if at > due or at >= until:
                return due if due < until else _NEVER
            threads.step(at)
            if threads.calls:
                self.take_calls()

    def book(self, start: float, duration: float) -> None:
        """Count busy time for the window it began in, seconds."""
        window = int(start / self.window_s)
        if window >= len(self.window_busy):
            self.window_busy.extend([0.0] * (window + 1 - len(self.window_busy)))
        self.window_busy[window] += duration
