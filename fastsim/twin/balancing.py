"""Which replica a balancer sends a request to.

What a balancer knows is how many requests it has sent to each replica that have not come back.
"""

from collections.abc import Callable, Sequence

from fastsim.model import Expon
from fastsim.scenario import Balancing, Network
from fastsim.twin.draws import key_of, uniform
from fastsim.twin.tables import table_of

Choose = Callable[[int, Sequence[int]], int]
"""Called with the number of a request and the requests under way on each replica."""


def balancer(policy: Balancing, replicas: int, seed: int) -> Choose:
    """Return how a policy chooses; the same request draws the same on every deployment.

    ``round robin``
        One after the other, whatever they are doing.
    ``random``
        Each with equal probability.
    ``least connections``
        The one with fewest requests under way; among equals in turn, as nginx does.
    ``power of two``
        The less busy of two different ones drawn at random (Mitzenmacher 1996), as Envoy's
        least-request policy does.
    """
    key = key_of(seed, "balancer")
    turn = -1

    def in_turn(_request: int, _under_way: Sequence[int]) -> int:
        nonlocal turn
        turn = (turn + 1) % replicas
        return turn

    def at_random(request: int, _under_way: Sequence[int]) -> int:
        return int(uniform(key, request) * replicas)

    def least(_request: int, under_way: Sequence[int]) -> int:
        nonlocal turn
        fewest = min(under_way)
        turn = (turn + 1) % replicas
        while under_way[turn] > fewest:
            turn = (turn + 1) % replicas
        return turn

    def of_two(request: int, under_way: Sequence[int]) -> int:
        first = int(uniform(key, request) * replicas)
        second = int(uniform(key, request, 1) * (replicas - 1))
        second += second >= first
        return second if under_way[second] < under_way[first] else first

    if replicas == 1:
        return lambda _request, _under_way: 0
    policies: dict[Balancing, Choose] = {
        "round robin": in_turn,
        "random": at_random,
        "least connections": least,
        "power of two": of_two,
    }
    return policies[policy]


THERE, BACK, HELLO, WELCOME = range(4)
"""Ways over the network: a request, its response, and before them those of a new connection."""


class Ways:
    """How long each way between balancer and replica takes: half the round trip, and jitter."""

    def __init__(self, network: Network, seed: int) -> None:
        self.instant = not (network.rtt or network.jitter)
        self._least_s = network.rtt / 2.0
        self._more = table_of(Expon(mean=network.jitter / 2.0)) if network.jitter else None
        self._key = key_of(seed, "network")

    def takes_s(self, request: int, way: int) -> float:
        """Return seconds; the same request has the same luck on every deployment."""
        if self._more is None:
            return self._least_s
        return self._least_s + self._more.one(uniform(self._key, request, way))
