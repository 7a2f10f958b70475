"""Run a workload on a deployment: the simulation itself.

Each worker is replayed by itself (``fastsim.twin.worker``). What workers share happens at its true
instant, by SimPy's clock: which of them a request reaches (``fastsim.twin.cluster``), the cores of
a machine, and what the whole service shares. Same input, same bytes out.
"""

import functools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from fastsim.model import LoopCosts, Scope
from fastsim.scenario import Network, ResolvedDeployment
from fastsim.twin.alarm import Clock
from fastsim.twin.cluster import Cluster
from fastsim.twin.code import Code
from fastsim.twin.draws import Draws
from fastsim.twin.footprints import Caches
from fastsim.twin.host import Host
from fastsim.twin.hosted import Hosted, HostedThreads
from fastsim.twin.limits import Gate
from fastsim.twin.peers import Peer
from fastsim.twin.records import Records, Usage
from fastsim.twin.shared_slots import SharedSlots, SharingStations
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
    if deployment.hand_over.get(name) != "wake":
        return DIRECT
    return WAKES_ALL if _version(deployment.python) >= (3, 13) else WAKES_ONE


def _crowded(code: Code, deployment: ResolvedDeployment) -> bool:
    """Tell whether more may want to run at a time than there are cores, or has to be in step."""
    shared = {limit.scope for limit in deployment.limits.values()} | set(deployment.scopes.values())
    if deployment.copies("service") < deployment.processes and "service" in shared:
        return True  # what all of them pass has to be passed in the order of time
    if deployment.replicas < deployment.processes and "replica" in shared:
        return True
    runnable = deployment.workers
    if (not deployment.gil or code.native()) and code.uses_threads():
        runnable *= 1 + deployment.thread_tokens
    quota = deployment.cpu_quota
    if quota is not None and quota < min(runnable, deployment.cores):
        return True
    return runnable > deployment.cores


def _version(python: str) -> tuple[int, ...]:
    """Return major and minor version; of an unknown one, that of the newest."""
    found = re.match(r"(\d+)\.(\d+)", python)
    return (3, 99) if found is None else (int(found[1]), int(found[2]))


def _code_cost(caches: Sequence[Caches]) -> float:
    alone_s = sum(each.alone_s for each in caches)
    return sum(each.spent_s for each in caches) / alone_s if alone_s > 0.0 else 1.0


def _together(uses: Sequence[Usage]) -> Slots:
    """Return the use of one kind of slots by all workers."""
    return Slots(
        busy_s=sum(use.busy_s for use in uses),
        wait_s=sum(use.wait_s for use in uses),
        acquires=sum(use.acquires for use in uses),
        max_queue=max(use.max_queue for use in uses),
    )


@dataclass(frozen=True, slots=True)
class _Shared:
    """What several workers share, by number of the limit or of the station."""

    gates: dict[int, Gate]
    slots: dict[int, SharedSlots]
    peers: dict[int, Peer]

    def and_of(self, other: "_Shared") -> "_Shared":
        """Return these and those of another."""
        return _Shared(self.gates | other.gates, self.slots | other.slots, self.peers | other.peers)


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
        code = workload.program.code
        self.records = Records(len(workload), len(workload.kinds))
        self.env = Clock()
        self.costs, self.code, self.deployment = costs, code, deployment
        self.draws = Draws(
            workload.seed, code.names, code.tables, code.shares, code.sizes, rounds=code.rounds
        )
        self.limits = [deployment.limits[name] for name in workload.program.limits]
        self.endless = bool(workload.program.background)
        self.crowded = _crowded(code, deployment)
        self.hosts: list[Host] = []
        self.hosted: list[Hosted] = []
        self.workers: list[Worker] = []
        self._of_service = self._shared("service")
        for replica in range(deployment.replicas):
            self._make_replica(replica, seed)
        self.cluster: Cluster | None = None
        alone = len(self.workers) == 1 and not self.crowded and deployment.limit_concurrency is None
        if not alone or deployment.network != Network() or workload.users is not None:
            self.cluster = Cluster(
                self.env,
                workload,
                deployment,
                self.records,
                workers=self.workers,
                hosted=self.hosted,
            )

    def _shared(self, scope: Scope) -> _Shared:
        """Make what all workers of a machine, or of the service, share."""
        return _Shared(
            gates={n: Gate(limit) for n, limit in enumerate(self.limits) if limit.scope == scope},
            slots={n: SharedSlots(size) for n, size in self._sizes(scope, peers=False).items()},
            peers=self._peers(scope),
        )

    def _peers(self, scope: Scope) -> dict[int, Peer]:
        return {n: Peer(size) for n, size in self._sizes(scope, peers=True).items()}

    def _sizes(self, scope: Scope, *, peers: bool) -> dict[int, int]:
        """Return how many slots peers, or other stations, have that are shared so, by number."""
        deployment = self.deployment
        return {
            number: deployment.resources[name]
            for number, name in enumerate(self.workload.program.stations)
            if deployment.scopes.get(name, "worker") == scope and deployment.is_peer(name) == peers
        }

    def _make_replica(self, replica: int, seed: int) -> None:
        """Make a machine and its workers."""
        deployment, wander = self.deployment, self.costs.wander
        # One machine: all workers feel the same neighbours.
        name = f"{seed}/speed" if not replica else f"{seed}/speed/{replica}"
        speed = Speed(wander, Random(name)) if wander.sigma else None
        if self.crowded:
            self.hosts.append(Host(self.env, deployment.cores, deployment.cpu_quota))
        shared = self._of_service.and_of(self._shared("replica"))
        for _ in range(deployment.workers):
            self.workers.append(self._make_worker(speed, shared))

    def _make_worker(self, speed: Speed | None, shared: _Shared) -> Worker:
        deployment, names = self.deployment, self.workload.program.stations
        threads = self._make_threads()
        tasks = Tasks(self.code, self.draws, self.records)
        kind = functools.partial(SharingStations, shared.slots) if shared.slots else Stations
        stations = kind(
            tasks,
            [deployment.resources[name] for name in names],
            [_mode(deployment, name) for name in names],
            [deployment.timeouts.get(name, math.inf) for name in names],
            refusals=tasks.cancels
            or any(limit.full == "refuse" or limit.station for limit in self.limits),
        )
        tasks.leaves = stations.fallible
        peers = shared.peers | self._peers("worker")
        for station, peer in peers.items():
            stations.usage[station] = peer.usage
        worker = Worker(
            tasks,
            stations,
            threads,
            self.costs,
            gates=[shared.gates.get(n) or Gate(limit) for n, limit in enumerate(self.limits)],
            peers=peers,
            speed=speed,
            rounds_timers=deployment.loop == "asyncio",
            hosted=self.crowded,
            window_s=self.window_s,
        )
        number = len(self.workers)
        worker.start_background(self.workload.program.background, _BACKGROUND * (number + 1))
        if isinstance(threads, HostedThreads):
            hosted = Hosted(worker, threads, self.hosts[-1])
            self.hosted.append(hosted)
            if isinstance(stations, SharingStations):
                stations.answer = hosted.answer
        elif isinstance(stations, SharingStations):
            stations.answer = worker.answer
        return worker

    def _make_threads(self) -> Threads:
        tokens, gil = self.deployment.thread_tokens, self.deployment.gil
        handover_s = _handover_s(self.deployment)
        if not self.crowded:
            return Threads(tokens, gil=gil, handover_s=handover_s)
        return HostedThreads(tokens, self.hosts[-1], gil=gil, handover_s=handover_s)

    def run(self, until_s: float | None) -> Outcome:
        until = np.inf if until_s is None else until_s
        if self.cluster is None:
            self._run_alone(self.workers[0], until)
        else:
            self._run_together(self.cluster, until)
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
        self._run_out(until, worker.advance)

    def _run_together(self, cluster: Cluster, until: float) -> None:
        cluster.start()
        first = until
        if self.workload.users is not None:
            first = min(until, self.workload.users.until_s)
        elif self.endless and len(self.workload):
            first = min(until, float(self.workload.arrival_s[-1]) + _A_WHILE_S)
        cluster.go_to(first)
        self._run_out(until, cluster.go_to)
        cluster.finish()

    def _run_out(self, until: float, advance: Callable[[float], None]) -> None:
        """Go on until every request has ended, where the work of no request never does."""
        at = float(self.workload.arrival_s[-1]) if len(self.workload) else 0.0
        if self.workload.users is not None:
            at = self.workload.users.until_s
        until = min(until, _LONGEST * at + _LONGEST_S)
        goes_on = self.endless or self.workload.users is not None
        while goes_on and at < until and any(worker.goes_on() for worker in self.workers):
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
        cluster, nobody = self.cluster, np.zeros(n)
        there_s = nobody if cluster is None else cluster.there_s
        total = respond - self.workload.arrival_s - there_s
        failure = np.where(np.array(records.failed, np.int64) > 0, _APPLICATION_FAILED, 0)
        failure[[] if cluster is None else cluster.rejected] = _REJECTED
        windows = max((len(loop.window_busy) for loop in loops), default=0)
        window_busy = np.zeros((len(loops), windows))
        for row, loop in enumerate(loops):
            window_busy[row, : len(loop.window_busy)] = loop.window_busy
        used = [self._used(number) for number in range(len(self.workload.resources))]
        return Outcome(
            start_s=np.array(records.start),
            respond_s=respond,
            done_s=np.array(records.done),
            worker=np.zeros(n, np.int64) if cluster is None else cluster.worker,
            there_s=there_s,
            back_s=nobody if cluster is None else cluster.back_s,
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
            processor_s=sum(host.used_s for host in self.hosts) if self.hosts else None,
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
            code_cost=_code_cost([loop.caches for loop in loops if loop.caches is not None]),
        )

    def _used(self, number: int) -> Slots:
        """Return the use of a resource, or of a limit, by all workers together."""
        stations = len(self.workload.program.stations)
        if number < stations:
            uses = [worker.stations.usage[number] for worker in self.workers]
        else:
            uses = [worker.gates[number - stations].usage for worker in self.workers]
        # What is shared counts once.
        return _together(list({id(use): use for use in uses}.values()))
