"""Run a workload on a deployment: the simulation itself.

SimPy keeps the clock; ``EventLoop`` holds the mechanics of one worker. Same input,
same bytes out.
"""

import re
from random import Random

import numpy as np
from simpy import Environment

from fastsim.model import LoopCosts
from fastsim.scenario import ResolvedDeployment
from fastsim.twin.alarm import Alarm, set_alarm
from fastsim.twin.connections import Connections
from fastsim.twin.eventloop import EventLoop
from fastsim.twin.gil import HANDOVER_OTHER_CORE_S, HANDOVER_SAME_CORE_S
from fastsim.twin.speed import Speed
from fastsim.twin.state import Pool, Requests, WakingPool
from fastsim.twin.workload import Outcome, Slots, Workload

_APPLICATION_FAILED, _REJECTED = 1, 2


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


def _make_pool(deployment: ResolvedDeployment, name: str) -> Pool:
    capacity = deployment.resources[name]
    if deployment.hand_over.get(name, "direct") == "direct":
        return Pool(capacity)
    return WakingPool(capacity, wakes_all=_version(deployment.python) >= (3, 13))


def _version(python: str) -> tuple[int, ...]:
    """Return major and minor version; of an unknown one, that of the newest."""
    found = re.match(r"(\d+)\.(\d+)", python)
    return (3, 99) if found is None else (int(found[1]), int(found[2]))


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
        self.env = Environment()
        self.n = len(workload)
        self.arrival = workload.arrival_s.tolist()
        self.requests = Requests(
            (
                workload.op_code.tolist(),
                workload.op_arg.tolist(),
                workload.op_kind.tolist(),
                workload.op_value.tolist(),
                workload.op_extra.tolist(),
            ),
            workload.op_first.tolist(),
            len(workload.kinds),
        )
        self.worker = [-1] * self.n
        self.rejected: list[int] = []
        self.loops = [
            EventLoop(
                self.env,
                self.requests,
                costs,
                [_make_pool(deployment, name) for name in workload.resources],
                thread_tokens=deployment.thread_tokens,
                gil=deployment.gil,
                handover_s=_handover_s(deployment),
                round_timers=deployment.loop == "asyncio",
                on_free=self._connection_free,
                window_s=window_s,
            )
            for _ in range(deployment.workers)
        ]
        self.connections = Connections(self.loops)
        if costs.wander.sigma > 0.0:
            # One machine: all workers feel the same neighbours.
            speed = Speed(costs.wander, Random(f"{seed}/speed"))
            for loop in self.loops:
                loop.speed = speed
        if deployment.workers > deployment.cores:
            for loop in self.loops:
                loop.stretch = self._stretch
            self.cores = deployment.cores

    def run(self, until_s: float | None) -> Outcome:
        if self.n:
            self._schedule(0)
        self.env.run(until=until_s)
        return self._outcome()

    def _schedule(self, request: int) -> None:
        set_alarm(self.env, self.arrival[request] - self.env.now, self._arrive, request)

    def _arrive(self, event: Alarm) -> None:
        request: int = event.value
        if request + 1 < self.n:
            self._schedule(request + 1)
        worker = self.connections.assign(request)
        self.worker[request] = worker
        loop = self.loops[worker]
        if self.limit is not None and loop.in_flight >= self.limit:
            self.rejected.append(request)
            self.requests.start[request] = self.env.now
            self.requests.respond[request] = self.env.now
            self.requests.done[request] = self.env.now
            self.connections.free(request, self.env.now)
            return
        loop.arrive(request)

    def _connection_free(self, request: int, at_s: float) -> None:
        self.connections.free(request, at_s)

    def _stretch(self) -> float:
        """Slow-down of busy workers that share too few cores: fair processor sharing.

        Taken at the start of each pass for its whole length, so it is approximate when
        workers start or stop meanwhile.
        """
        busy = sum(loop.busy for loop in self.loops)
        return max(busy / self.cores, 1.0)

    def _outcome(self) -> Outcome:
        r, loops = self.requests, self.loops
        # Loops compute ahead of the clock as far as nothing else happens.
        end = max(float(self.env.now), *(loop.idle_since for loop in loops))
        n = self.n  # tasks of parallel steps have numbers beyond
        for loop in loops:
            if loop.busy:
                loop.busy_s += end
            for pool in (*loop.pools, loop.threads):
                pool.account(max(end, pool.since))
        respond = np.array(r.respond[:n])
        waits = np.array(r.waits[: n * r.kinds]).reshape(n, r.kinds)
        running, pool_wait = np.array(r.running[:n]), np.array(r.pool_wait[:n])
        total = respond - self.workload.arrival_s
        failure = np.where(self.workload.failed, _APPLICATION_FAILED, 0)
        failure[self.rejected] = _REJECTED
        windows = max((len(loop.window_busy) for loop in loops), default=0)
        window_busy = np.zeros((len(loops), windows))
        for row, loop in enumerate(loops):
            window_busy[row, : len(loop.window_busy)] = loop.window_busy
        resources = range(len(self.workload.resources))
        return Outcome(
            start_s=np.array(r.start[:n]),
            respond_s=respond,
            done_s=np.array(r.done[:n]),
            worker=np.array(self.worker, np.int64),
            failure=failure.astype(np.int64),
            running_s=running,
            loop_wait_s=total - running - pool_wait - waits.sum(axis=1),
            pool_wait_s=pool_wait,
            wait_s=waits,
            resource_busy_s=np.array([sum(x.pools[k].busy_s for x in loops) for k in resources]),
            resource_wait_s=np.array([sum(x.pools[k].wait_s for x in loops) for k in resources]),
            resource_acquires=np.array(
                [sum(x.pools[k].acquires for x in loops) for k in resources], np.int64
            ),
            resource_max_queue=np.array(
                [max(x.pools[k].max_queue for x in loops) for k in resources], np.int64
            ),
            threads=Slots(
                busy_s=sum(loop.threads.busy_s for loop in loops),
                wait_s=sum(loop.threads.wait_s for loop in loops),
                acquires=sum(loop.threads.acquires for loop in loops),
                max_queue=max(loop.threads.max_queue for loop in loops),
            ),
            gil_lost_s=sum(loop.gil.lost_s for loop in loops),
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
