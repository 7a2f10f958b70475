"""The verdict: right about perfect and wrong twins, and not a matter of how often they run."""

import functools

import numpy as np
import pytest

from fastsim.result import Finding
from fastsim.twin.compare import compare
from fastsim.twin.equivalence import Compared, Judgement, joint_limit, judge, times_longer, together
from fastsim.twin.live import LiveSample
from fastsim.twin.metrics import Measures
from fastsim.twin.replicate import Replications
from tests.twin.replication_story import as_live, measured, plan

SEEDS = 1000
REQUESTS = 2_000
SERVICE_S = 0.004


def queue_run(
    rng: np.random.Generator, load: float, *, cpu: float = 1.0, requests: int = REQUESTS
) -> Measures:
    """One run of a single queue (M/G/1, Lindley's recursion), idle at its beginning.

    ``cpu`` stretches the service, at the same arrivals per second.
    """
    gaps_s = rng.exponential(SERVICE_S / load, requests)
    service_s = cpu * rng.gamma(2.0, SERVICE_S / 2.0, requests)
    drift = np.concatenate([[0.0], np.cumsum(service_s[:-1] - gaps_s[1:])])
    wait_s = drift - np.minimum.accumulate(drift)
    at_s = np.cumsum(gaps_s) - gaps_s[0]
    endpoint = (rng.random(requests) < 0.3).astype(np.int64)
    return measured(at_s, endpoint, wait_s + service_s, float(at_s[-1]) + 1e-6)


@functools.cache
def replications(load: float, runs: int, cpu: float = 1.0) -> Replications:
    rng = np.random.default_rng([17, runs])
    return Replications(plan(), 0, tuple(queue_run(rng, load, cpu=cpu) for _ in range(runs)))


def live_run(load: float, seed: int) -> LiveSample:
    return as_live(queue_run(np.random.default_rng([23, seed]), load), load / SERVICE_S)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_perfect_twin_is_off_in_at_most_5_percent(load: float) -> None:
    twin = replications(load, 40)
    found = [compare(twin, live_run(load, seed)).verdict for seed in range(SEEDS)]
    # More than 74 of 1,000 have a probability of 4e-4 if each is off with 5 %.
    assert found.count("off") <= 74


def test_a_perfect_twin_agrees_with_a_live_run_that_is_long_enough() -> None:
    rng = np.random.default_rng(29)
    twin = Replications(plan(), 0, tuple(queue_run(rng, 0.5, requests=40_000) for _ in range(20)))
    lives = [as_live(queue_run(rng, 0.5, requests=40_000), 125.0) for _ in range(10)]
    found = [compare(twin, live).verdict for live in lives]
    assert found.count("agrees") >= 8
    assert "off" not in found


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_twin_with_a_fifth_more_cpu_never_agrees(load: float) -> None:
    twin = replications(load, 40, cpu=1.2)
    found = [compare(twin, live_run(load, seed)).verdict for seed in range(200)]
    assert "agrees" not in found
    assert found.count("off") >= 190


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_the_number_of_replications_does_not_decide(load: float) -> None:
    # Two honest limits differ by chance, so a row at the border may be told by one and not by
    # the other; none is called off by one and agreeing by another.
    lives = [live_run(load, seed) for seed in range(60)]
    found = [
        [compare(replications(load, runs), live).verdict for live in lives]
        for runs in (40, 80, 160)
    ]
    by_live = list(zip(*found, strict=True))
    assert not [verdicts for verdicts in by_live if {"agrees", "off"} <= set(verdicts)]
    assert sum(len(set(verdicts)) > 1 for verdicts in by_live) <= 0.35 * len(lives)


def test_the_joint_limit_holds_for_rows_that_move_together_and_apart() -> None:
    rng = np.random.default_rng(5)
    missed = {"together": 0, "apart": 0}
    for _ in range(400):
        for how in missed:
            shared = rng.standard_normal(41)
            rows = []
            for _ in range(8):
                values = shared + (0.1 if how == "together" else 3.0) * rng.standard_normal(41)
                rows.append(Compared(values[0], values[1:].mean(), 0.0, twin=values[1:]))
            missed[how] += any(abs(each.error) > each.half for each in judge(rows))
    # 5 % of 400 is 20; more than 37 have a probability of 2e-4.
    assert max(missed.values()) <= 37
    assert min(missed.values()) >= 5, "the limit is far too wide"


def test_rows_that_move_together_cost_less_than_their_number() -> None:
    rng = np.random.default_rng(6)
    shared = rng.standard_normal(60)
    same = [Compared(0.0, 0.0, 1.0, twin=shared) for _ in range(10)]
    apart = [Compared(0.0, 0.0, 1.0, twin=rng.standard_normal(60)) for _ in range(10)]
    narrow, wide = joint_limit(same), joint_limit(apart)
    assert narrow is not None
    assert wide is not None
    assert narrow < wide


def test_few_replications_fall_back_on_students_law() -> None:
    rows = [Compared(0.0, 0.0, 1.0, twin=np.array([-0.1, 0.0, 0.1])) for _ in range(5)]
    assert joint_limit(rows) is None
    # t with 2 degrees of freedom at 99 %: 9.92; times 0.1 and sqrt(1 + 1/3).
    assert judge(rows)[0].half == pytest.approx(9.925 * 0.1 * (4 / 3) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("error", "deviation", "finding"),
    [
        (0.0, 0.01, "agrees"),
        (0.09, 0.01, "cannot tell"),
        (0.5, 0.01, "off"),
        (0.5, 5.0, "cannot tell"),
    ],
)
def test_the_rule(error: float, deviation: float, finding: Finding) -> None:
    row = Compared(0.0, error, 0.1, deviation=deviation, runs=100)
    assert judge([row])[0].finding == finding


def test_equal_constants_agree() -> None:
    row = Compared(1.0, 1.0, 0.1, twin=np.full(40, 1.0))
    assert judge([row])[0] == Judgement(0.0, 0.0, "agrees")


def test_findings_together() -> None:
    assert together(["agrees", "agrees"]) == "agrees"
    assert together(["agrees", "cannot tell"]) == "cannot tell"
    assert together(["cannot tell", "off"]) == "off"
    assert together([]) == "cannot tell"


def undecided(error: float, half: float, fixed: float = 0.0) -> tuple[Judgement, Compared]:
    return Judgement(error, half, "cannot tell"), Compared(0.0, error, 0.1, fixed=fixed)


def test_how_much_longer_a_live_run_would_tell() -> None:
    assert times_longer([undecided(0.0, 0.2)]) == pytest.approx(4.0)
    assert times_longer([undecided(0.1, 0.2)]) == pytest.approx(16.0)


def test_a_longer_live_run_does_not_lessen_the_doubt_of_the_model() -> None:
    # Of a variance of 4, three quarters of which stay, 1 is never left.
    assert times_longer([undecided(0.0, 0.2, fixed=0.75)]) == float("inf")
    assert times_longer([undecided(0.0, 0.2, fixed=0.125)]) == pytest.approx(7.0)
