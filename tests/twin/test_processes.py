"""Processes: started once and when it pays, kept for a search, ended with it."""

import multiprocessing
import os
import threading
from concurrent.futures import Future

import pytest

from fastsim.errors import InputError
from fastsim.scenario import parse_slo
from fastsim.twin import processes
from fastsim.twin.limit import find_limit
from fastsim.twin.metrics import Measures
from fastsim.twin.processes import Processes, shared
from fastsim.twin.replicate import replicate, replication_seeds, silent
from fastsim.twin.simulation import simulate_once
from fastsim.twin.size import find_size
from tests.trials import short_trials
from tests.twin.replication_story import plan

SEEDS = replication_seeds(1, 4)


def children() -> set[int | None]:
    return {child.pid for child in multiprocessing.active_children()}


def test_they_are_started_once_and_end_with_their_owner() -> None:
    before = children()
    with shared(2) as ours:
        ours.simulate(plan(duration=0.5), SEEDS, silent)
        first = children() - before
        with shared(ours) as same:
            assert same is ours
            replicate(plan(duration=0.5, rate=20.0), replications=3, seed=2, jobs=ours)
        assert children() - before == first
        assert 1 <= len(first) <= 2
    assert children() - before == set()


def test_they_start_beside_other_work_when_asked_to() -> None:
    before = children()
    with shared(2) as ours:
        ours.start()
        early = children() - before
        assert early
        found = ours.simulate(plan(duration=0.5), SEEDS[:2], silent)
        assert early <= children() - before
    assert [run.client_s.tobytes() for run in found] == [
        simulate_once(plan(duration=0.5), seed).client_s.tobytes() for seed in SEEDS[:2]
    ]
    assert children() - before == set()
    with shared(1) as alone:
        alone.start()
        assert children() - before == set()


def test_what_they_simulate_is_what_one_process_does() -> None:
    other = plan(duration=0.5, rate=20.0)
    with shared(2) as ours:
        for asked in (plan(duration=0.5), other, plan(duration=0.5)):
            found = ours.simulate(asked, SEEDS, silent)
            alone = [simulate_once(asked, seed) for seed in SEEDS]
            assert [run.client_s.tobytes() for run in found] == [
                run.client_s.tobytes() for run in alone
            ]


def test_other_work_is_shared_once_they_are_there() -> None:
    with shared(2) as ours:
        assert set(ours.each(whose, range(4))) == {os.getpid()}
        ours.start()
        assert os.getpid() not in ours.each(whose, range(4))
        assert ours.each(abs, [3, -1, -2]) == [3, 1, 2]


def whose(_number: int) -> int:
    return os.getpid()


def test_one_simulation_alone_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[int] = []

    def here(*_: object) -> object:
        where.append(os.getpid())
        return None

    monkeypatch.setattr(processes, "simulate_once", here)
    with shared(2) as ours:
        ours.simulate(plan(), SEEDS[:1], silent)
    assert where == [os.getpid()]


@pytest.mark.parametrize("worth_s", [0.0, 1e9])
def test_they_start_when_enough_has_been_spent(
    monkeypatch: pytest.MonkeyPatch, worth_s: float
) -> None:
    monkeypatch.setattr(processes, "WORTH_S", worth_s)
    monkeypatch.setattr(processes, "available_cores", lambda: 2)
    before = children()
    with shared(None) as ours:
        for _ in range(2):
            ours.simulate(plan(duration=0.5), SEEDS, silent)
        assert (children() - before != set()) == (worth_s == 0.0)


def test_much_work_starts_them_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "WORTH_S", 1e9)
    monkeypatch.setattr(processes, "WORTH_PROCESSES", 100)
    monkeypatch.setattr(processes, "available_cores", lambda: 2)
    before = children()
    with shared(None) as ours:
        ours.simulate(plan(duration=0.5), SEEDS, silent)
        assert children() - before != set()


def test_a_machine_of_one_core_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "WORTH_S", 0.0)
    monkeypatch.setattr(processes, "available_cores", lambda: 1)
    before = children()
    with shared(None) as ours:
        ours.simulate(plan(duration=0.5), SEEDS, silent)
        assert children() - before == set()


def test_ctrl_c_ends_them_and_they_start_anew() -> None:
    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    before = children()
    with shared(2) as ours:
        with pytest.raises(KeyboardInterrupt):
            ours.simulate(plan(duration=0.5), SEEDS, stop)
        assert len(ours.simulate(plan(duration=0.5), SEEDS, silent)) == len(SEEDS)
    assert children() - before == set()


def test_what_ended_before_the_first_is_kept_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several processes the first simulation need not be the first that ends."""
    short = plan(duration=0.5)
    late: Future[Measures] = Future()
    timer = threading.Timer(0.2, lambda: late.set_result(simulate_once(short, SEEDS[0])))

    class Pool:
        def submit(self, _what: object, _written: bytes, seed: int) -> Future[Measures]:
            if seed == SEEDS[0]:
                timer.start()
                return late
            done: Future[Measures] = Future()
            done.set_result(simulate_once(short, seed))
            return done

    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with shared(2) as ours:
        monkeypatch.setattr(ours, "_started", Pool)
        try:
            found = ours._elsewhere(short, SEEDS, stop, keep=True, before=0)
        except KeyboardInterrupt:  # it would end the whole run of tests
            pytest.fail("nothing was kept")
    timer.join()
    assert len(found) == len(SEEDS)


def test_searches_find_the_same_on_two_processes() -> None:
    goals = [parse_slo("p95 < 60ms")]
    vary = {"deployment.workers": [1, 2], "deployment.resources.db.capacity": [4, 8]}
    with short_trials(8):
        alone = find_limit(plan(), goals, replications=2, seed=2, curve=False)
        assert find_limit(plan(), goals, replications=2, seed=2, curve=False, jobs=2) == alone
        one = find_size(plan(rate=300.0), goals, vary, seed=2)
        assert find_size(plan(rate=300.0), goals, vary, seed=2, jobs=2) == one


def test_less_than_one_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        Processes(0)
