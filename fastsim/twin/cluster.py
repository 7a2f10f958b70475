"""How requests get to the workers: the balancer, the network, connections, and their limit.

Workers are computed up to the moment of a decision before it is made, so that whoever decides
sees what is true then, and nothing that is not.
"""

import math
from collections.abc import Generator, Sequence
from heapq import heappop, heappush

import numpy as np
from simpy import Environment, Event

from fastsim.scenario import ResolvedDeployment
from fastsim.twin.alarm import Alarm, set_alarm
from fastsim.twin.balancing import BACK, HELLO, THERE, WELCOME, Ways, balancer
from fastsim.twin.connections import Connections
from fastsim.twin.hosted import Hosted
from fastsim.twin.records import Records
from fastsim.twin.worker import Worker
from fastsim.twin.workload import Workload


class Cluster:
    """Several workers, or a limit on connections: who gets a request depends on what they do.

    Parameters
    ----------
    workers
        Those of the first replica, then those of the second, and so on.
    hosted
        The same workers, where they are run by the clock of their machine; else empty.
    """

    def __init__(
        self,
        env: Environment,
        workload: Workload,
        deployment: ResolvedDeployment,
        records: Records,
        *,
        workers: Sequence[Worker],
        hosted: Sequence[Hosted],
    ) -> None:
        self._env, self._workload, self._records = env, workload, records
        self._workers, self._hosted = workers, hosted
        self._each = each = deployment.workers
        self._limit = deployment.limit_concurrency
        self._connections = [
            Connections(workers[first : first + each]) for first in range(0, len(workers), each)
        ]
        self._choose = balancer(deployment.balancer, deployment.replicas, workload.seed)
        self._under_way = [0] * deployment.replicas
        self._ways = Ways(deployment.network, workload.seed)
        self._due = [0.0] * len(workers)
        """Until when it makes no difference whether each worker is computed, seconds."""
        self._ended: list[tuple[float, int]] = []
        """When what responses become known to who sent the requests."""
        self.worker = np.zeros(len(workload), np.int64)
        """Which worker served each request."""
        self.there_s = np.zeros(len(workload))
        self.back_s = np.zeros(len(workload))
        """How long requests and responses were on their way, seconds."""
        self.rejected: list[int] = []
        self._users = workload.users
        if hosted and self._users is not None:
            for worker in workers:
                worker.tell = self._answered

    def start(self) -> None:
        """Begin to send requests."""
        if self._users is None:
            self._env.process(self._arrivals())
            return
        for user in range(self._users.count):
            set_alarm(self._env, self._users.first_s(user), self._user_asks)

    def go_to(self, at: float) -> None:
        """Let happen what does before ``at``, seconds."""
        if self._users is not None and not self._hosted:
            self._step_to(at)
            return
        self._env.run(until=None if at == np.inf else max(at, self._env.now + 1e-9))
        if not self._hosted:
            for worker in self._workers:
                worker.advance(at)

    def _arrivals(self) -> Generator[Event, None, None]:
        workload, env = self._workload, self._env
        pairs = zip(workload.arrival_s.tolist(), workload.entry.tolist(), strict=True)
        for request, (at, entry) in enumerate(pairs):
            yield env.timeout(at - env.now)
            self._catch_up(at)
            self._send(at, request, entry)

    def _step_to(self, until: float) -> None:
        """Replay the workers pass by pass, always the one that is furthest behind.

        An answer may have its user ask again at once, so nobody may be ahead of it.
        """
        env = self._env
        while True:
            worker = min(self._workers, key=Worker.next_moment)
            moment, alarm = worker.next_moment(), env.peek()
            if min(moment, alarm) >= until:
                return
            if alarm <= moment:
                env.step()
                continue
            worker.advance(math.nextafter(moment, math.inf))
            for at, request in worker.ended:
                self._answered(at, request)
            worker.ended.clear()

    def _user_asks(self, alarm: Alarm) -> None:
        del alarm
        users, at = self._users, self._env.now
        if users is None:
            return
        request = users.send(self._workload, at)
        if request is None:
            return
        self._return_until(at)
        self._send(at, request, int(self._workload.entry[request]))

    def _answered(self, moment: float, request: int) -> None:
        """Have the user of a request think and ask again."""
        users = self._users
        if users is None:
            return
        back = moment + self._way_back(request)
        heappush(self._ended, (back, request))
        set_alarm(self._env, back + users.pause_s(request) - self._env.now, self._user_asks)

    def _return_until(self, at: float) -> None:
        """Give back the connections whose answers have arrived by now."""
        while self._ended and self._ended[0][0] <= at:
            self._come_back(*heappop(self._ended))

    def _catch_up(self, at: float) -> None:
        """Bring every worker to this moment, and give back the connections that are free by now."""
        for number, due in enumerate(self._due):
            if due >= at:
                continue
            worker = self._workers[number]
            if not worker.hosted:
                worker.advance(at)
                self._due[number] = worker.due()
            if worker.ended:
                for moment, request in worker.ended:
                    heappush(self._ended, (moment + self._way_back(request), request))
                worker.ended.clear()
        self._return_until(at)

    def _way_back(self, request: int) -> float:
        if self._ways.instant:
            return 0.0
        self.back_s[request] = back_s = self._ways.takes_s(request, BACK)
        return back_s

    def _come_back(self, moment: float, request: int) -> None:
        replica = int(self.worker[request]) // self._each
        self._under_way[replica] -= 1
        self._connections[replica].free(request, moment)

    def _send(self, at: float, request: int, entry: int) -> None:
        replica = self._choose(request, self._under_way)
        self._under_way[replica] += 1
        number, new = self._connections[replica].assign(request, at)
        self.worker[request] = replica * self._each + number
        if self._ways.instant:
            self._deliver(at, request, entry)
            return
        ways = (HELLO, WELCOME, THERE) if new else (THERE,)
        self.there_s[request] = there_s = sum(self._ways.takes_s(request, way) for way in ways)
        set_alarm(self._env, there_s, self._delivered, (at + there_s, request, entry))

    def _delivered(self, alarm: Alarm) -> None:
        self._deliver(*alarm.value)

    def _deliver(self, at: float, request: int, entry: int) -> None:
        number = int(self.worker[request])
        # As uvicorn counts: the connection that the request comes by is one of them.
        if self._limit is not None and self._opened(number) >= self._limit:
            self.rejected.append(request)
            self._connections[number // self._each].drop(request)
            records = self._records
            records.start[request] = records.respond[request] = records.done[request] = at
            if self._users is not None:
                self._answered(at, request)
            elif self._ways.instant:
                self._come_back(at, request)
            else:
                heappush(self._ended, (at + self._way_back(request), request))
            return
        worker = self._workers[number]
        worker.inbox.append((at, request, entry))
        if not worker.busy:
            self._due[number] = min(self._due[number], at)
        if self._hosted:
            self._hosted[number].poke()

    def _opened(self, number: int) -> int:
        replica, own = divmod(number, self._each)
        return self._connections[replica].opened[own]

    def finish(self) -> None:
        """Note when the last responses got back."""
        if self._users is not None:
            return
        for worker in self._workers:
            for _, request in worker.ended:
                self._way_back(request)
            worker.ended.clear()
