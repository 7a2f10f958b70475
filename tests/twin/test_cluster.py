"""Replicas behind a balancer, and the network between them."""

import itertools
from math import inf

import numpy as np
import pytest

from fastsim.model import LoopCosts, Scope
from fastsim.scenario import Balancing, Network
from fastsim.twin.engine import simulate
from fastsim.twin.workload import FloatArray, Outcome, Workload
from tests.twin.programs import ACQUIRE, FREE, RELEASE, cpu, deployment, wait, workload
from tests.twin.test_theory import interval, latency

POLICIES: list[Balancing] = ["round robin", "random", "least connections", "power of two"]


def farm(
    replicas: int, balancer: Balancing, n: int, load: float, seed: int = 1
) -> tuple[Workload, Outcome]:
    """Poisson arrivals to single servers with exponential service of mean 1 s."""
    rng = np.random.default_rng(seed)
    drawn = workload(
        np.cumsum(rng.exponential(1.0 / (load * replicas), n)),
        [[cpu(float(s))] for s in rng.exponential(1.0, n)],
    )
    return drawn, simulate(drawn, deployment(replicas=replicas, balancer=balancer), FREE)


def test_round_robin_takes_replicas_in_turn() -> None:
    _, outcome = farm(3, "round robin", 7, 0.5)
    assert outcome.worker.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_least_connections_sends_to_who_has_fewest_under_way() -> None:
    arrivals = [0.0, 0.1, 0.2, 0.3, 0.4, 1.2]
    programs = [[cpu(s)] for s in (1.0, 9.0, 9.0, 9.0, 9.0, 1.0)]
    outcome = simulate(
        workload(arrivals, programs),
        deployment(replicas=3, balancer="least connections"),
        FREE,
    )
    # The first has come back at 1.0, so its replica has but one under way, as the third.
    assert outcome.worker.tolist() == [0, 1, 2, 0, 1, 2]


def test_two_choices_are_different_and_the_less_busy_is_taken() -> None:
    outcome = simulate(
        workload([0.0, 0.1, 0.2, 0.3], [[cpu(9.0)]] * 4),
        deployment(replicas=2, balancer="power of two"),
        FREE,
    )
    assert sorted(outcome.worker[:2].tolist()) == [0, 1]
    assert sorted(outcome.worker[2:].tolist()) == [0, 1]


def test_at_random_each_replica_is_a_queue_of_its_own() -> None:
    drawn, outcome = farm(4, "random", 60_000, 0.7)
    low, high = interval(latency(drawn, outcome))
    assert low <= 1.0 / (1.0 - 0.7) <= high
    served = np.bincount(outcome.worker, minlength=4)
    assert abs(served - 15_000).max() < 5.0 * np.sqrt(60_000 * 0.25 * 0.75)


def test_two_choices_shorten_queues_as_theory_has_it() -> None:
    load = 0.9
    # Many servers: Mitzenmacher (1996), Vvedenskaya et al. (1996).
    limit = sum(load ** (2**i - 2) for i in range(1, 12))
    found = {}
    for policy in ("random", "power of two"):
        drawn, outcome = farm(60, policy, 60_000, load)
        found[policy] = interval(latency(drawn, outcome))
    low, high = found["power of two"]
    # Finitely many servers are worse, by about 1/60.
    assert low <= limit * (1.0 + 2.0 / 60.0)
    assert high >= limit
    assert found["random"][0] > 2.5 * high


def test_policies_are_ordered_as_what_they_know() -> None:
    means = {}
    for policy in POLICIES:
        drawn, outcome = farm(5, policy, 30_000, 0.85)
        means[policy] = float(latency(drawn, outcome).mean())
    assert (
        means["random"]
        > means["round robin"]
        > means["power of two"]
        > means["least connections"]
        > 1.0
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_replicas_do_not_touch_each_other(policy: Balancing) -> None:
    """Each one's requests fare as on a machine of their own."""
    drawn, outcome = farm(3, policy, 900, 0.8)
    together = latency(drawn, outcome)
    for replica in range(3):
        mine = np.flatnonzero(outcome.worker == replica)
        alone = workload(
            drawn.arrival_s[mine],
            [[cpu(drawn.program.code.value[entry])] for entry in drawn.entry[mine]],
        )
        alone_s = latency(alone, simulate(alone, deployment(), FREE))
        assert together[mine] == pytest.approx(alone_s, abs=1e-9)


@pytest.mark.parametrize("workers", [1, 2])
def test_replicas_with_crowded_cores_share_nothing_either(workers: int) -> None:
    """Two workers on one core, on each of two machines: four equal pieces end together by two."""
    programs = [[cpu(0.01)]] * 4
    outcome = simulate(workload([0.0] * 4, programs), deployment(replicas=2, workers=workers), FREE)
    expected = [0.02] * 4 if workers == 2 else [0.01, 0.01, 0.02, 0.02]
    assert sorted(outcome.respond_s) == pytest.approx(expected, abs=1e-9)
    assert sorted(np.bincount(outcome.worker).tolist()) == [4 // (2 * workers)] * 2 * workers


# --- network ------------------------------------------------------------------------------------


def over(
    network: Network, arrivals: list[float], limit: int | None = None
) -> tuple[FloatArray, Outcome]:
    drawn = workload(arrivals, [[cpu(0.01)]] * len(arrivals))
    outcome = simulate(drawn, deployment(network=network, limit=limit), FREE)
    return outcome.respond_s + outcome.back_s - drawn.arrival_s, outcome


def test_a_request_travels_there_and_back_and_a_connection_once_more() -> None:
    seen_s, outcome = over(Network(rtt=0.004), [0.0, 1.0, 2.0, 9.0])
    # The first opens a connection, and so does the last: after 5 s the server has closed it.
    assert seen_s == pytest.approx([0.018, 0.014, 0.014, 0.018])
    assert outcome.start_s - [0.0, 1.0, 2.0, 9.0] == pytest.approx([0.006, 0.002, 0.002, 0.006])
    assert outcome.loop_wait_s == pytest.approx(np.zeros(4), abs=1e-12)


def test_a_balancer_learns_of_a_response_when_it_is_back() -> None:
    programs = [[cpu(0.02)], [cpu(0.001)], [cpu(0.02)]]

    def servers(last: float, rtt: float) -> list[int]:
        how = deployment(replicas=2, balancer="least connections", network=Network(rtt=rtt))
        outcome = simulate(workload([0.0, 0.001, last], programs), how, FREE)
        served: list[int] = outcome.worker.tolist()
        return served

    # The first one, sent by a new connection, runs for 20 ms and is back at 24 ms.
    assert servers(0.025, 0.002) == [0, 1, 0]
    assert servers(0.0235, 0.002) == [0, 1, 1]
    assert servers(0.0235, 0.0) == [0, 1, 0]


def test_jitter_has_its_mean_and_keeps_no_order() -> None:
    n = 20_000
    arrivals = (np.arange(n) * 0.05).tolist()
    seen_s, outcome = over(Network(rtt=0.002, jitter=0.004), arrivals)
    low, high = interval(seen_s - 0.01)
    assert low <= 0.006 <= high
    assert outcome.there_s.min() >= 0.001
    # Requests sent together do not arrive in the order in which they were sent.
    drawn = workload([0.0] * 50, [[cpu(1e-6)]] * 50)
    jumbled = simulate(drawn, deployment(network=Network(jitter=0.1)), FREE)
    assert (np.diff(jumbled.start_s) < 0.0).any()
    assert (outcome.loop_wait_s > -1e-9).all()


def test_who_is_rejected_travels_too() -> None:
    seen_s, outcome = over(Network(rtt=0.004), [0.0, 0.009], limit=2)
    assert outcome.failure.tolist() == [0, 2]
    assert seen_s[1] == pytest.approx(0.008)


# --- what is shared -----------------------------------------------------------------------------


def test_slots_of_the_service_are_shared_by_its_processes() -> None:
    programs = [[ACQUIRE, wait(1.0), RELEASE]] * 4
    drawn = workload([0.0, 0.1, 0.2, 0.3], programs)
    ends: dict[Scope, list[float]] = {
        "worker": [1.0, 1.1, 1.2, 1.3],
        "replica": [1.0, 1.1, 2.0, 2.1],
        "service": [1.0, 2.0, 3.0, 4.0],
    }
    for scope, expected in ends.items():
        how = deployment(replicas=2, cores=2, workers=2, scope=scope)
        outcome = simulate(drawn, how, FREE)
        assert outcome.respond_s == pytest.approx(expected, abs=1e-9), scope
        assert outcome.resource_busy_s[0] == pytest.approx(4.0)
        assert outcome.resource_acquires[0] == 4
        assert outcome.resource_wait_s[0] == pytest.approx(sum(expected) - 4.6)


def test_a_shared_slot_is_heard_of_through_a_socket() -> None:
    costs = LoopCosts(per_event=0.001)
    programs = [[ACQUIRE, wait(1.0), RELEASE]] * 2
    drawn = workload([0.0, 0.1], programs)
    own = simulate(drawn, deployment(), costs)
    shared = simulate(drawn, deployment(scope="service", replicas=2), costs)
    assert own.respond_s.tolist() == pytest.approx([1.001, 2.002])
    assert shared.respond_s.tolist() == pytest.approx([1.001, 2.003])


def test_impatience_with_a_shared_slot() -> None:
    resolved = deployment(scope="service", replicas=2).model_copy(
        update={"timeouts": {"pool": 0.5}}
    )
    programs = [[ACQUIRE, wait(1.0), RELEASE]] * 3
    outcome = simulate(workload([0.0, 0.1, 0.9], programs), resolved, FREE)
    assert outcome.respond_s == pytest.approx([1.0, 0.6, 2.0], abs=1e-3)
    assert outcome.failure.tolist() == [0, 1, 0]


def test_shared_slots_are_an_m_m_c_queue() -> None:
    """Whoever takes them: as one pool of one process, request by request."""
    rng = np.random.default_rng(3)
    drawn = workload(
        np.cumsum(rng.exponential(0.02, 3_000)),
        [[ACQUIRE, wait(float(s)), RELEASE] for s in rng.exponential(0.07, 3_000)],
    )
    alone = simulate(drawn, deployment(pool=4), FREE)
    for policy in POLICIES:
        how = deployment(pool=4, scope="service", replicas=3, balancer=policy)
        shared = simulate(drawn, how, FREE)
        assert shared.respond_s == pytest.approx(alone.respond_s, abs=1e-9)


def test_the_same_input_gives_the_same_bytes() -> None:
    network = Network(rtt=0.001, jitter=0.002)
    for policy, workers in itertools.product(POLICIES, (1, 2)):
        drawn, _ = farm(2, policy, 300, 0.8)
        how = deployment(replicas=2, workers=workers, balancer=policy, network=network)
        first, again = (simulate(drawn, how, FREE) for _ in range(2))
        assert first.respond_s.tobytes() == again.respond_s.tobytes()
        assert first.respond_s.max() < inf


def test_a_connection_that_is_turned_away_is_closed() -> None:
    # The second comes by a connection of its own while the first is served: one too many. After
    # that there is one connection again, which the third reuses.
    asked = workload(np.array([0.0, 0.01, 1.0]), [[wait(0.05)], [wait(0.05)], [wait(0.05)]])
    found = simulate(asked, deployment(limit=2), FREE)
    assert found.failure.tolist() == [0, 2, 0]
