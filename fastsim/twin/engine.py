"""Run a workload on a deployment: the simulation itself.

Each worker is replayed by itself (``fastsim.twin.worker``). What workers share happens here, at
its true instant, by SimPy's clock: which of them a request reaches, and the connections that it
comes through. Same input, same bytes out.
"""

import math
import re
from collections.abc import Callable, Generator, Sequence
from heapq import heappop, heappush
from random import Random

import numpy as np
from simpy import Environment, Event

from fastsim.model import LoopCosts
from fastsim.scenario import ResolvedDeployment
from fastsim.twin.code import Code
from fastsim.twin.connections import Connections
from fastsim.twin.draws import Draws
from fastsim.twin.host import Host
from fastsim.twin.hosted import Hosted, HostedThreads
from fastsim.twin.limits import Gate
from fastsim.twin.records import Records, Usage
from fastsim.twin.slots import DIRECT, WAKES_ALL, WAKES_ONE, Stations
from fastsim.twin.speed import Speed
from fastsim.twin.tasks import Tasks
from fastsim.twin.threads import HANDOVER_OTHER_CORE_S, HANDOVER_SAME_CORE_S, Threads
from fastsim.twin.worker import Worker
from fastsim.twin.workload import Outcome, Slots, Workload

_APPLICATION_FAILED, _REJECTED = 1, 2
_BACKGROUND = 2**40
"""Number of the first task of no request: what it draws, no request draws."""
_A_WHILE_S = 1.0
_LONGEST, _LONGEST_S = 20.0, 600.0
"""Beside work of no request, requests that have not ended by then never will."""
_AHEAD = 4096
"""Requests that are given to a worker at once where nobody else can get them."""


def simulate(
    workload: Workload,
    deployment: ResolvedDeployment,
    costs: LoopCosts,
    *,
    seed: int = 0,
    until_s: float | None = None,
    window_s: float = 1.0,
) -> Outcome:
    """Run every request of ``workload`` through the deployment.

    Parameters
    ----------
    seed
        For the random course of the machine's speed.
    until_s
        Stop then, seconds after the start; by default when every request has ended.
    window_s
        Length of the windows of ``Outcome.window_busy_s``, seconds.
    """
    return _Simulation(workload, deployment, costs, seed, window_s).run(until_s)


def _handover_s(deployment: ResolvedDeployment) -> float:
    if deployment.handover is not None:
        return deployment.handover
    if deployment.cores > deployment.workers:
        return HANDOVER_OTHER_CORE_S
    return HANDOVER_SAME_CORE_S


def _mode(deployment: ResolvedDeployment, name: str) -> int:
    """Return how a station hands its slots over."""
    if deployment.hand_over.get(name, "direct") == "direct":
        return DIRECT
    return WAKES_ALL if _version(deployment.python) >= (3, 13) else WAKES_ONE


def _crowded(code: Code, deployment: ResolvedDeployment) -> bool:
    """Tell whether more may want to run at a time than there are cores."""
    loops = deployment.workers
    if loops > 1 and any(limit.scope == "service" for limit in deployment.limits.values()):
        return True  # what all of them pass has to be passed in the order of time
    runnable = loops
    if not deployment.gil and code.uses_threads():
        runnable *= 1 + deployment.thread_tokens
    quota = deployment.cpu_quota
    if quota is not None and quota < min(runnable, deployment.cores):
        return True
    return runnable > deployment.cores


def _version(python: str) -> tuple[int, ...]:
    """Return major and minor version; of an unknown one, that of the newest."""
    found = re.match(r"(\d+)\.(\d+)", python)
    return (3, 99) if found is None else (int(found[1]), int(found[2]))


def _together(uses: Sequence[Usage]) -> Slots:
    """Return the use of one kind of slots by all workers."""
    return Slots(
        busy_s=sum(use.busy_s for use in uses),
        wait_s=sum(use.wait_s for use in uses),
        acquires=sum(use.acquires for use in uses),
        max_queue=max(use.max_queue for use in uses),
    )


class _Simulation:
    def __init__(
        self,
        workload: Workload,
        deployment: ResolvedDeployment,
        costs: LoopCosts,
        seed: int,
        window_s: float,
    ) -> None:
        self.workload = workload
        self.window_s = window_s
        self.limit = deployment.limit_concurrency
        code = workload.program.code
        self.records = Records(len(workload), len(workload.kinds))
        self.worker = np.zeros(len(workload), np.int64)
        self.rejected: list[int] = []
        self.env = Environment()
        self.costs, self.code, self.deployment = costs, code, deployment
        self.draws = Draws(workload.seed, code.names, code.tables, code.shares)
        # One machine: all workers feel the same neighbours.
        self.speed = Speed(costs.wander, Random(f"{seed}/speed")) if costs.wander.sigma else None
        self.limits = [deployment.limits[name] for name in workload.program.limits]
        self.shared = [Gate(limit) if limit.scope == "service" else None for limit in self.limits]
        self.host: Host | None = None
        if _crowded(code, deployment):
            self.host = Host(self.env, deployment.cores, deployment.cpu_quota)
        self.endless = bool(workload.program.background)
        self.hosted: list[Hosted] = []
        self.workers = [self._make_worker(number) for number in range(deployment.workers)]

    def _make_worker(self, number: int) -> Worker:
        deployment, names = self.deployment, self.workload.program.stations
        threads = self._make_threads()
        tasks = Tasks(self.code, self.draws, self.records)
        stations = Stations(
            tasks,
            [deployment.resources[name] for name in names],
            [_mode(deployment, name) for name in names],
            [deployment.timeouts.get(name, math.inf) for name in names],
            refusals=any(limit.full == "refuse" or limit.station for limit in self.limits),
        )
        worker = Worker(
            tasks,
            stations,
            threads,
            self.costs,
            gates=[
                shared or Gate(limit)
                for shared, limit in zip(self.shared, self.limits, strict=True)
            ],
            speed=self.speed,
            rounds_timers=deployment.loop == "asyncio",
            hosted=self.host is not None,
            window_s=self.window_s,
        )
        worker.start_background(self.workload.program.background, _BACKGROUND * (number + 1))
        if self.host is not None and isinstance(threads, HostedThreads):
            self.hosted.append(Hosted(worker, threads, self.host))
        return worker

    def _make_threads(self) -> Threads:
        tokens, gil = self.deployment.thread_tokens, self.deployment.gil
        handover_s = _handover_s(self.deployment)
        if self.host is None:
            return Threads(tokens, gil=gil, handover_s=handover_s)
        return HostedThreads(tokens, self.host, gil=gil, handover_s=handover_s)

    def run(self, until_s: float | None) -> Outcome:
        until = np.inf if until_s is None else until_s
        if len(self.workers) == 1 and self.limit is None and self.host is None:
            self._run_alone(self.workers[0], until)
        else:
            _Together(self, until).run()
        return self._outcome(until)

    def _run_alone(self, worker: Worker, until: float) -> None:
        """Replay the only worker: nobody else decides anything."""
        arrival, entry = self.workload.arrival_s, self.workload.entry
        for begin in range(0, len(arrival), _AHEAD):
            end = begin + _AHEAD
            worker.inbox.extend(
                zip(
                    arrival[begin:end].tolist(),
                    range(begin, end),
                    entry[begin:end].tolist(),
                    strict=False,
                )
            )
            last = end >= len(arrival)
            known = float(arrival[-1 if last else end])
            worker.advance(min(known if not last or self.endless else np.inf, until))
            worker.ended.clear()
        self.run_out(until, worker.advance)

    def run_out(self, until: float, advance: Callable[[float], None]) -> None:
        """Go on until every request has ended, where the work of no request never does."""
        at = float(self.workload.arrival_s[-1]) if len(self.workload) else 0.0
        until = min(until, _LONGEST * at + _LONGEST_S)
        while self.endless and at < until and any(worker.goes_on() for worker in self.workers):
            at = min(at + _A_WHILE_S, until)
            advance(at)

    def _outcome(self, until_s: float) -> Outcome:
        records, loops, n = self.records, self.workers, len(self.workload)
        # Loops compute ahead of the clock as far as nothing else happens.
        end = max(loop.now if loop.busy else loop.idle_since for loop in loops)
        if until_s < np.inf:
            end = max(end, until_s)
        for loop in loops:
            loop.close(end)
        respond = np.array(records.respond)
        waits = np.array(records.waits[: n * records.kinds]).reshape(n, records.kinds)
        running, pool_wait = np.array(records.running), np.array(records.pool_wait)
        total = respond - self.workload.arrival_s
        failure = np.where(np.array(records.failed, np.int64) > 0, _APPLICATION_FAILED, 0)
        failure[self.rejected] = _REJECTED
        windows = max((len(loop.window_busy) for loop in loops), default=0)
        window_busy = np.zeros((len(loops), windows))
        for row, loop in enumerate(loops):
            window_busy[row, : len(loop.window_busy)] = loop.window_busy
        used = [self._used(number) for number in range(len(self.workload.resources))]
        return Outcome(
            start_s=np.array(records.start),
            respond_s=respond,
            done_s=np.array(records.done),
            worker=self.worker,
            failure=failure.astype(np.int64),
            path=np.array(records.path, np.int64),
            running_s=running,
            loop_wait_s=total - running - pool_wait - waits.sum(axis=1),
            pool_wait_s=pool_wait,
            wait_s=waits,
            resource_busy_s=np.array([use.busy_s for use in used]),
            resource_wait_s=np.array([use.wait_s for use in used]),
            resource_acquires=np.array([use.acquires for use in used], np.int64),
            resource_max_queue=np.array([use.max_queue for use in used], np.int64),
            threads=_together([loop.threads.usage for loop in loops]),
            processor_s=None if self.host is None else self.host.used_s,
            gil_lost_s=sum(loop.threads.lost_s() for loop in loops),
            loop_busy_s=np.array([loop.busy_s for loop in loops]),
            passes=np.array([loop.passes for loop in loops], np.int64),
            idle_wakeups=np.array([loop.idle_wakeups for loop in loops], np.int64),
            ready_integral=np.array([loop.ready_integral for loop in loops]),
            ready_max=np.array([loop.ready_max for loop in loops], np.int64),
            lag_s=np.array([lag for loop in loops for lag in loop.lags]),
            window_s=self.window_s,
            window_busy_s=window_busy,
            end_s=end,
        )

    def _used(self, number: int) -> Slots:
        """Return the use of a resource, or of a limit, by all workers together."""
        stations = len(self.workload.program.stations)
        if number < stations:
            uses = [worker.stations.usage[number] for worker in self.workers]
        else:
            shared = self.shared[number - stations]
            gates = [worker.gates[number - stations] for worker in self.workers]
            uses = [gate.usage for gate in ([shared] if shared else gates)]
        return _together(uses)


class _Together:
    """Several workers, or a limit on connections: who gets a request depends on what they do."""

    def __init__(self, simulation: _Simulation, until: float) -> None:
        self.simulation = simulation
        self.workers = simulation.workers
        self.until = until
        self.env = simulation.env
        self.connections = Connections(self.workers)
        self.ended: list[tuple[float, int]] = []

    def run(self) -> None:
        """Replay all of them."""
        simulation, until = self.simulation, self.until
        self.env.process(self._arrivals())
        if simulation.endless and len(simulation.workload):
            until = min(until, float(simulation.workload.arrival_s[-1]) + _A_WHILE_S)
        self._go_to(until)
        simulation.run_out(self.until, self._go_to)

    def _go_to(self, at: float) -> None:
        self.env.run(until=None if at == np.inf else max(at, self.env.now + 1e-9))
        if not self.simulation.hosted:
            for worker in self.workers:
                worker.advance(at)

    def _arrivals(self) -> Generator[Event, None, None]:
        workload = self.simulation.workload
        pairs = zip(workload.arrival_s.tolist(), workload.entry.tolist(), strict=True)
        for request, (at, entry) in enumerate(pairs):
            yield self.env.timeout(at - self.env.now)
            self._catch_up(at)
            self._arrive(at, request, entry)

    def _catch_up(self, at: float) -> None:
        """Bring every worker to this moment, and give back the connections that are free by now."""
        for worker in self.workers:
            if not worker.hosted:
                worker.advance(at)
            for ended in worker.ended:
                heappush(self.ended, ended)
            worker.ended.clear()
        while self.ended and self.ended[0][0] <= at:
            moment, request = heappop(self.ended)
            self.connections.free(request, moment)

    def _arrive(self, at: float, request: int, entry: int) -> None:
        simulation = self.simulation
        number = self.connections.assign(request, at)
        simulation.worker[request] = number
        # As uvicorn counts: the connection that the request comes by is one of them.
        if simulation.limit is not None and self.connections.opened[number] >= simulation.limit:
            simulation.rejected.append(request)
            records = simulation.records
            records.start[request] = records.respond[request] = records.done[request] = at
            self.connections.free(request, at)
            return
        self.workers[number].inbox.append((at, request, entry))
        if simulation.hosted:
            simulation.hosted[number].poke()
