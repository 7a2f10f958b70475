"""Tasks of one code that differ by their place among those started together."""

import numpy as np
import pytest

from fastsim.calibrate.branch_positions import LEAST_REQUESTS, MOST_PLACES, places_differ
from fastsim.calibrate.observed import ObservedStep
from fastsim.calibrate.variants import branch_groups
from fastsim.spans import StepKind, Via

Branch = tuple[ObservedStep, ...]


def branch(wait_s: float, *, queued_s: float = 0.0, line_s: float = 0.0) -> Branch:
    """Code, a wait for a slot, and a wait for a socket that may have queued for so long."""
    return (
        ObservedStep("cpu", 0.0, wall_s=0.0005, cpu_s=0.0005),
        ObservedStep("acquire", 0.0, wall_s=line_s, resource="db"),
        ObservedStep(
            "wait",
            0.0,
            wall_s=wait_s + queued_s,
            bound_s=2.0 * queued_s,
            kind=StepKind.IO,
            via=Via.SOCKET,
        ),
        ObservedStep("release", 0.0, resource="db"),
    )


def drawn(means: list[float], requests: int = 400, seed: int = 1) -> list[list[Branch]]:
    rng = np.random.default_rng(seed)
    return [[branch(float(rng.gamma(4.0, m / 4.0))) for m in means] for _ in range(requests)]


def test_places_of_other_things_are_told_apart() -> None:
    assert places_differ(drawn([0.008, 0.010, 0.012]))
    assert places_differ(drawn([0.010, 0.012]))


def test_alike_places_are_not() -> None:
    """One chance in 10,000 each: none of a hundred seeds."""
    assert not any(places_differ(drawn([0.010] * 3, seed=seed)) for seed in range(100))


def test_a_difference_that_changes_nothing_is_none() -> None:
    assert not places_differ(drawn([0.0100, 0.0103], requests=5000))


def test_waiting_in_line_is_no_difference() -> None:
    rng = np.random.default_rng(1)
    requests = [
        [
            branch(float(rng.gamma(4.0, 0.002)), queued_s=0.002 * place, line_s=0.01 * place)
            for place in range(3)
        ]
        for _ in range(400)
    ]
    assert not places_differ(requests)


@pytest.mark.parametrize(
    "requests",
    [
        drawn([0.008, 0.012], requests=LEAST_REQUESTS - 1),
        [*drawn([0.008, 0.012]), *drawn([0.008, 0.012, 0.012])],  # not as many every time
        drawn([0.001 * place for place in range(1, MOST_PLACES + 2)]),
        drawn([0.008]),
        [],
    ],
)
def test_what_cannot_be_told_or_read_stays_together(requests: list[list[Branch]]) -> None:
    assert not places_differ(requests)


def test_every_place_is_a_group_of_its_own() -> None:
    requests = drawn([0.008, 0.012], requests=100)
    steps = [ObservedStep("parallel", 0.0, branches=tuple(each)) for each in requests]
    first, second = branch_groups(steps, range(100))
    assert first.counts == second.counts == (1,) * 100
    assert first.branches.requests == tuple(each[0] for each in requests)
    assert second.branches.requests == tuple(each[1] for each in requests)
    assert second.branches.indices == tuple(range(100))
    # Rounds of a loop are another matter: how many there are is what differs.
    rounds = [ObservedStep("repeat", 0.0, branches=tuple(each)) for each in requests]
    assert len(branch_groups(rounds, range(100))) == 1
