"""Replications: independent, repeatable, the same on any number of processes."""

import dataclasses

import numpy as np
import pytest

from fastsim.errors import InputError
from fastsim.twin.metrics import Measures
from fastsim.twin.plan import ArrivalReplay
from fastsim.twin.replicate import replicate, replication_seeds
from fastsim.twin.simulation import simulate_once
from tests.twin.replication_story import plan, shop


def fingerprint(run: Measures) -> tuple[object, ...]:
    return (
        run.at_s.tobytes(),
        run.client_s.tobytes(),
        run.server_s.tobytes(),
        run.part_sum_s.tobytes(),
        run.loop,
        run.resources,
    )


def test_same_seed_gives_the_same_bytes() -> None:
    assert fingerprint(simulate_once(plan(), 7)) == fingerprint(simulate_once(plan(), 7))


def test_other_seeds_give_other_numbers() -> None:
    runs = replicate(plan(), replications=3, seed=1).runs
    assert len({run.client_s.tobytes() for run in runs}) == 3
    other = replicate(plan(), replications=1, seed=2).runs[0]
    assert fingerprint(other) != fingerprint(runs[0])


def test_two_processes_give_what_one_gives() -> None:
    alone = replicate(plan(duration=2.0), replications=3, seed=4, jobs=1)
    shared = replicate(plan(duration=2.0), replications=3, seed=4, jobs=2)
    assert list(map(fingerprint, shared.runs)) == list(map(fingerprint, alone.runs))


def test_an_error_in_a_process_reaches_the_caller() -> None:
    wrong = dataclasses.replace(plan(), replay=ArrivalReplay(np.zeros(0), np.zeros(0, np.int64)))
    with pytest.raises(InputError, match="no arrivals to replay"):
        replicate(wrong, replications=2, seed=1, jobs=2)


def test_more_replications_begin_with_the_fewer() -> None:
    assert replication_seeds(3, 5)[:2] == replication_seeds(3, 2)


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    replicate(
        plan(duration=0.5),
        replications=3,
        seed=1,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_numbers_that_make_no_sense_are_refused() -> None:
    for replications, seed, jobs in ((0, 1, 1), (2, -1, 1), (2, 1, 0)):
        with pytest.raises(InputError):
            replicate(plan(), replications=replications, seed=seed, jobs=jobs)


def test_arrivals_are_replayed_exactly_and_durations_drawn_anew() -> None:
    at_s = np.array([0.0, 0.5, 1.25, 3.0])
    endpoint = np.array([0, 1, 1, 0])
    replayed = dataclasses.replace(plan(), replay=ArrivalReplay(at_s, endpoint))
    first, second = replicate(replayed, replications=2, seed=1).runs
    for run in (first, second):
        assert run.at_s == pytest.approx(at_s)
        assert run.endpoint.tolist() == endpoint.tolist()
    assert not np.array_equal(first.client_s, second.client_s)


def test_replay_without_earlier_arrivals_is_warmed_up_by_fresh_ones() -> None:
    # Busy service: the first replayed request must meet others.
    replayed = dataclasses.replace(
        plan(rate=250.0), replay=ArrivalReplay(np.array([0.0]), np.array([0]))
    )
    found = replicate(replayed, replications=20, seed=1)
    in_flight = [run.windows.in_flight[0] for run in found.runs]
    assert np.mean(in_flight) > 0.1  # alone it would stay about 12 of 1000 ms: 0.012


def test_replay_with_earlier_arrivals_is_warmed_up_by_those() -> None:
    replayed = dataclasses.replace(
        plan(rate=250.0), replay=ArrivalReplay(np.array([-2.0, 0.0]), np.array([0, 0]))
    )
    run = simulate_once(replayed, 1)
    assert run.at_s == pytest.approx([0.0])
    assert run.windows.in_flight[0] < 0.1


def test_statistics_of_an_endpoint_without_requests_are_nan() -> None:
    only_items = dataclasses.replace(plan(), mix={"GET /items": 1.0, "POST /search": 0.0})
    found = replicate(only_items, replications=2, seed=1)
    assert np.isnan(found.statistics("POST /search")).all()
    assert np.isfinite(found.statistics("GET /items")).all()


def test_pooled_latencies_hold_every_replication() -> None:
    found = replicate(plan(model=shop(failing=0.2)), replications=3, seed=1)
    expected = sum(len(run.latency_s("GET /items")) for run in found.runs)
    assert len(found.pooled_s("GET /items")) == expected
    assert (found.pooled_s(None, "server") < found.pooled_s(None)).all()


def test_more_requests_than_a_simulation_holds_are_refused() -> None:
    with pytest.raises(InputError, match="5,000,000 at most"):
        plan(duration=1e26)


@pytest.mark.parametrize("jobs", [1, 2])
def test_who_loses_patience_keeps_what_is_done(jobs: int) -> None:
    whole = replicate(plan(duration=1.0), replications=6, seed=3)

    def stop(done: int, _all: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    how = {"replications": 6, "seed": 3, "jobs": jobs, "on_progress": stop}
    try:
        found = replicate(plan(duration=1.0), keep=True, **how)  # type: ignore[arg-type]
    except KeyboardInterrupt:  # it would end the whole run of tests
        pytest.fail("nothing was kept")
    assert found.stopped
    # Of several processes those that ended in order; one of the first may still have run.
    assert 1 <= len(found) <= 6 if jobs > 1 else len(found) == 3
    assert list(map(fingerprint, found.runs)) == list(map(fingerprint, whole.runs[: len(found)]))
    with pytest.raises(KeyboardInterrupt):
        replicate(plan(duration=1.0), **how)  # type: ignore[arg-type]


def test_nothing_is_kept_of_nothing() -> None:
    def stop(_done: int, _all: int) -> None:
        raise AssertionError("nothing was done")

    broken = dataclasses.replace(plan(), duration_s=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastsim.twin.processes.simulate_once", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            replicate(broken, replications=2, seed=1, on_progress=stop, keep=True)


def _interrupted(*_: object) -> Measures:
    raise KeyboardInterrupt
