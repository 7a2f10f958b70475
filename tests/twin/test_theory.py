"""The engine against queueing theory.

Fixed seeds. Every interval is Student's at 99.9 % from batch means, so one of these tests
would fail by chance for about one seed in a thousand.
"""

from math import factorial

import numpy as np
import pytest
from scipy.stats import t as student

from fastsim.twin.engine import simulate
from fastsim.twin.workload import FloatArray, Outcome, Workload
from tests.twin.programs import (
    ACQUIRE,
    FREE,
    RELEASE,
    Step,
    acquire,
    cpu,
    deployment,
    release,
    thread,
    wait,
    workload,
)

BATCHES = 40
CONFIDENCE = 0.999


def interval(values: FloatArray) -> tuple[float, float]:
    """Mean of correlated values with its interval, the first tenth left out as warm-up."""
    steady = values[len(values) // 10 :]
    means = np.array([batch.mean() for batch in np.array_split(steady, BATCHES)])
    half = student.ppf(0.5 + CONFIDENCE / 2, BATCHES - 1) * means.std(ddof=1) / np.sqrt(BATCHES)
    return float(means.mean() - half), float(means.mean() + half)


def single_server(service: FloatArray, rate: float, seed: int) -> tuple[Workload, Outcome]:
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, len(service)))
    drawn = workload(arrivals, [[cpu(float(seconds))] for seconds in service])
    return drawn, simulate(drawn, deployment(), FREE)


def latency(drawn: Workload, outcome: Outcome) -> FloatArray:
    return outcome.respond_s - drawn.arrival_s


def test_mm1_mean_time_in_system() -> None:
    service = np.random.default_rng(1).exponential(0.007, 60_000)
    low, high = interval(latency(*single_server(service, 100.0, 2)))
    assert low <= 0.007 / (1.0 - 0.7) <= high


def test_md1_mean_time_in_system() -> None:
    low, high = interval(latency(*single_server(np.full(60_000, 0.008), 100.0, 3)))
    assert low <= 0.008 + 0.8 * 0.008 / (2.0 * (1.0 - 0.8)) <= high


def test_mg1_mean_wait_is_pollaczek_khinchine() -> None:
    sigma, mean = 0.8, 0.006
    service = np.random.default_rng(4).lognormal(np.log(mean) - sigma**2 / 2, sigma, 80_000)
    second_moment = mean**2 * np.exp(sigma**2)
    low, high = interval(latency(*single_server(service, 100.0, 5)))
    assert low <= mean + 100.0 * second_moment / (2.0 * (1.0 - 0.6)) <= high


def test_one_station_follows_lindley_request_by_request() -> None:
    service = np.random.default_rng(6).gamma(2.0, 0.004, 5_000)
    drawn, outcome = single_server(service, 110.0, 7)
    waited = 0.0
    expected = []
    gaps = np.diff(drawn.arrival_s, append=drawn.arrival_s[-1])
    for seconds, gap in zip(service, gaps, strict=True):
        expected.append(waited + seconds)
        waited = max(waited + seconds - gap, 0.0)
    assert latency(drawn, outcome) == pytest.approx(expected, abs=1e-9)


def erlang_c(servers: int, offered: float) -> float:
    last = offered**servers / factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


def pooled(servers: int, rate: float, n: int) -> tuple[Workload, Outcome]:
    rng = np.random.default_rng(8)
    arrivals = np.cumsum(rng.exponential(1.0 / rate, n))
    held = rng.exponential(0.04, n)
    drawn = workload(arrivals, [[ACQUIRE, wait(float(s)), RELEASE] for s in held])
    return drawn, simulate(drawn, deployment(pool=servers), FREE)


def test_pool_wait_is_erlang_c() -> None:
    _, outcome = pooled(5, 95.0, 60_000)
    offered = 95.0 * 0.04
    low, high = interval(outcome.pool_wait_s)
    assert low <= erlang_c(5, offered) * 0.04 / (5 - offered) <= high


def test_servers_with_a_limited_waiting_room_turn_away_as_mmck_has_it() -> None:
    """M/M/3/8 with more arriving than three servers do: eight sessions that nobody waits for."""
    servers, room, rate, mean = 3, 8, 90.0, 0.04
    rng = np.random.default_rng(21)
    n = 60_000
    held = rng.exponential(mean, n)
    drawn = workload(
        np.cumsum(rng.exponential(1.0 / rate, n)),
        [[acquire(1), ACQUIRE, wait(float(s)), RELEASE, release(1)] for s in held],
        ("pool", "sessions"),
    )
    how = deployment(pool=servers, sessions=room, patience_s=1e-9)
    how = how.model_copy(update={"loop": "uvloop"})
    outcome = simulate(drawn, how, FREE)
    offered = rate * mean
    weights = np.array(
        [
            offered**k / (factorial(min(k, servers)) * servers ** max(k - servers, 0))
            for k in range(room + 1)
        ]
    )
    probability = weights / weights.sum()
    low, high = interval((outcome.failure > 0).astype(float))
    assert low <= probability[-1] <= high
    # Who is let in waits for as long as Little's law has it.
    waiting = float(np.maximum(np.arange(room + 1) - servers, 0) @ probability)
    admitted = rate * (1.0 - probability[-1])
    low, high = interval(outcome.pool_wait_s[outcome.failure == 0])
    assert low <= waiting / admitted <= high


def test_littles_law_holds_for_pool_and_system() -> None:
    drawn, outcome = pooled(5, 95.0, 40_000)
    in_system = latency(drawn, outcome)
    moments = np.random.default_rng(9).uniform(10.0, drawn.arrival_s[-1] - 10.0, 20_000)
    present = np.searchsorted(drawn.arrival_s, moments, side="right") - np.searchsorted(
        np.sort(outcome.respond_s), moments, side="right"
    )
    rate = len(drawn) / drawn.arrival_s[-1]
    low, high = interval(in_system)
    seen = float(present.mean())
    assert low * rate * 0.98 <= seen <= high * rate * 1.02
    held_s = sum(drawn.program.code.value)
    assert outcome.resource_busy_s[0] == pytest.approx(held_s, rel=1e-9)


def test_waits_without_a_limit_are_mg_infinity() -> None:
    rng = np.random.default_rng(10)
    held = rng.lognormal(np.log(0.05), 1.0, 40_000)
    drawn = workload(np.cumsum(rng.exponential(0.01, len(held))), [[wait(float(s))] for s in held])
    outcome = simulate(drawn, deployment(), FREE)
    assert latency(drawn, outcome) == pytest.approx(held, abs=1e-9)


def erlang_b(servers: int, offered: float) -> float:
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked


def test_who_has_no_patience_is_lost_as_erlang_has_it() -> None:
    """Whatever the law of the service: Erlang's loss formula is insensitive."""
    rng = np.random.default_rng(11)
    n, rate, mean = 60_000, 100.0, 0.04
    held = rng.lognormal(np.log(mean) - 0.5, 1.0, n)
    drawn = workload(
        np.cumsum(rng.exponential(1.0 / rate, n)),
        [[acquire(1), wait(float(s)), release(1)] for s in held],
        ("pool", "sessions"),
    )
    how = deployment(sessions=5, patience_s=1e-9).model_copy(update={"loop": "uvloop"})
    outcome = simulate(drawn, how, FREE)
    low, high = interval((outcome.failure > 0).astype(float))
    assert low <= erlang_b(5, rate * mean) <= high


def test_fork_join_of_two_queues() -> None:
    """Flatto and Hahn (1984): two M/M/1 queues of the same arrivals, both waited for."""
    rng = np.random.default_rng(12)
    n, load = 80_000, 0.6
    drawn = workload(
        np.cumsum(rng.exponential(1.0 / load, n)),
        [
            [[[acquire(k), wait(float(s)), release(k)] for k, s in enumerate(two)]]
            for two in rng.exponential(1.0, (n, 2))
        ],
        ("pool", "sessions"),
    )
    low, high = interval(latency(drawn, simulate(drawn, deployment(), FREE)))
    assert low <= (12.0 - load) / 8.0 / (1.0 - load) <= high


def test_threads_and_a_pool_with_returns_are_a_jackson_network() -> None:
    """Requests go round a geometric number of times; each station is an M/M/c of its own."""
    rng = np.random.default_rng(13)
    n, rate, again = 40_000, 40.0, 0.5
    threads, slots = 3, 4
    programs: list[list[Step]] = []
    for rounds in rng.geometric(1.0 - again, n):
        program: list[Step] = []
        for off_s, held_s in rng.exponential((0.025, 0.035), (int(rounds), 2)):
            program += [thread(0.0, float(off_s)), ACQUIRE, wait(float(held_s)), RELEASE]
        programs.append(program)
    drawn = workload(np.cumsum(rng.exponential(1.0 / rate, n)), programs)
    outcome = simulate(drawn, deployment(tokens=threads, pool=slots), FREE)
    inside = rate / (1.0 - again)
    visits = 1.0 / (1.0 - again)
    expected = 0.0
    for servers, mean in ((threads, 0.025), (slots, 0.035)):
        offered = inside * mean
        expected += visits * (mean + erlang_c(servers, offered) * mean / (servers - offered))
    low, high = interval(latency(drawn, outcome))
    assert low <= expected <= high


def test_classes_that_share_a_core_are_a_bcmp_network() -> None:
    """Processor sharing of two classes with waits in between: only the means count."""
    rng = np.random.default_rng(14)
    n, rate = 30_000, 180.0
    programs: list[list[Step]] = []
    of_first = rng.random(n) < 0.5
    for first in of_first:
        if first:
            long_s = float(rng.lognormal(np.log(0.004) - 0.5, 1.0))
            programs.append([thread(long_s, 0.0), wait(float(rng.exponential(0.01)))])
            programs[-1].append(thread(0.002, 0.0))
        else:
            programs.append([thread(float(rng.exponential(0.001)), 0.0)])
    drawn = workload(np.cumsum(rng.exponential(1.0 / rate, n)), programs)
    outcome = simulate(drawn, deployment(tokens=1_000, gil=False), FREE)
    load = rate * (0.5 * 0.006 + 0.5 * 0.001)
    latency_s = latency(drawn, outcome)
    low, high = interval(latency_s[of_first])
    assert low <= 0.006 / (1.0 - load) + 0.010 <= high
    low, high = interval(latency_s[~of_first])
    assert low <= 0.001 / (1.0 - load) <= high
