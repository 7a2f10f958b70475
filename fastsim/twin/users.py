"""Closed traffic: users who wait for the answer, think, and ask again.

How many requests come is decided by how fast they are answered, so arrivals are not known in
advance. What the requests are and draw is: it hangs on their number alone, as ever.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastsim.errors import InputError
from fastsim.means import mix_mean_s
from fastsim.model import ServiceModel
from fastsim.scenario import Users
from fastsim.twin.draws import key_of, uniform

if TYPE_CHECKING:
    from fastsim.twin.workload import Outcome, Workload

_TIMES = ("start_s", "respond_s", "done_s", "there_s", "back_s", "running_s")
_OTHERS = ("worker", "failure", "path", "loop_wait_s", "pool_wait_s", "wait_s")
_ROOM, _MORE = 1.3, 200


@dataclasses.dataclass(slots=True)
class UserTraffic:
    """Users at work: who sends the next request, and when."""

    count: int
    think_s: float
    steady: bool
    overhead_s: float
    """What a client needs by itself between the answer and its thinking."""
    until_s: float
    seed: int
    cycle_s: float
    """How long a request and thinking take without any queue."""
    sent: int = 0

    def first_s(self, user: int) -> float:
        """Return when a user begins: spread over the time of one round."""
        return self.cycle_s * uniform(key_of(self.seed, "first"), user)

    def pause_s(self, request: int) -> float:
        """Return how long the user of a request takes from its answer to the next request."""
        if self.steady or self.think_s <= 0.0:
            return self.overhead_s + self.think_s
        drawn = uniform(key_of(self.seed, "think"), request)
        return self.overhead_s - self.think_s * math.log(drawn)

    def send(self, workload: "Workload", at_s: float) -> int | None:
        """Return the number of the request that is sent now; None when it is over."""
        if at_s >= self.until_s:
            return None
        if self.sent == len(workload):
            raise InputError(
                f"{self.count} users send more than {len(workload)} requests",
                hint="fewer users, a longer think time or a shorter duration",
            )
        request = self.sent
        workload.arrival_s[request] = at_s
        self.sent += 1
        return request


def most_requests(users: Users, duration_s: float, cycle_s: float) -> int:
    """Return how many requests to make ready: more than users without any queue would send."""
    return int(_ROOM * users.count * duration_s / cycle_s) + users.count + _MORE


def idle_cycle_s(model: ServiceModel, users: Users, mix: Mapping[str, float] | None) -> float:
    """Return how long a user's round takes where nobody waits for anybody, seconds."""
    return mix_mean_s(model, mix) + model.client.overhead + users.think


def sent_only(workload: "Workload", outcome: "Outcome", sent: int) -> "tuple[Workload, Outcome]":
    """Return what was sent alone; requests are numbered in the order in which they were."""
    changed = {name: getattr(outcome, name)[:sent] for name in (*_TIMES, *_OTHERS)}
    rows = {name: getattr(workload, name)[:sent] for name in ("arrival_s", "endpoint", "entry")}
    return dataclasses.replace(workload, **rows), dataclasses.replace(outcome, **changed)
