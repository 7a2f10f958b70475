"""Cores that loops and threads share, and the same loop on its own core by either way."""

import numpy as np
import pytest

from fastsim.model import LoopCosts
from fastsim.scenario import ResolvedDeployment
from fastsim.twin import engine
from fastsim.twin.code import BY_THREAD, SOCKET, TIMER
from fastsim.twin.engine import simulate
from fastsim.twin.workload import Workload
from tests.twin.programs import (
    ACQUIRE,
    FREE,
    RELEASE,
    RESPOND,
    YIELD,
    Call,
    Step,
    acquire,
    cpu,
    deployment,
    native,
    release,
    thread,
    wait,
    workload,
)

TINY = LoopCosts(accept=1.1e-7, per_event=2.3e-8, per_pass=1.7e-8, per_suspend=1.3e-8)
"""So that two things seldom happen at once, and a thread's patience seldom ends in between."""
COSTS = LoopCosts(accept=1.1e-4, per_event=2.3e-5, per_pass=1.7e-5, per_suspend=1.3e-5)


def at_random(seed: int, *, threads: bool) -> Workload:
    """Forty requests of everything there is; no two durations are alike, so nothing is a tie."""
    rng = np.random.default_rng(seed)

    def step() -> Step:
        long, short = float(rng.exponential(0.008)), float(rng.exponential(0.0015))
        choices: list[Step] = [
            cpu(short),
            cpu(long, blocking=long / 3.0),
            wait(long),
            wait(long, TIMER),
            YIELD,
            [[cpu(short), wait(long)], [wait(short), cpu(short)]],
        ]
        if threads:
            choices += [thread(short, long), thread(long, 0.0), wait(long, BY_THREAD, short / 4.0)]
            inside = [cpu(short), wait(long / 3.0), cpu(short / 3.0)]
            choices.append(Call([cpu(short / 7.0), acquire(1), *inside, release(1), wait(short)]))
        return choices[int(rng.integers(len(choices)))]

    programs: list[list[Step]] = []
    for _ in range(40):
        held = [ACQUIRE, wait(float(rng.exponential(0.004)), SOCKET), RELEASE]
        steps = [step() for _ in range(int(rng.integers(1, 6)))]
        programs.append([*steps, *held, cpu(float(rng.exponential(0.001))), RESPOND, step()])
    return workload(np.sort(rng.random(40)) * 0.4, programs, ("pool", "sessions"))


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("gil", [True, False])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("patience_s", [None, 0.0123])
def test_a_loop_on_its_own_core_is_the_same_by_the_clock_of_a_host(
    monkeypatch: pytest.MonkeyPatch, threads: bool, gil: bool, loop: str, patience_s: float | None
) -> None:
    """Two ways to the same times: passes computed ahead, and every piece an event of SimPy."""
    deployed = deployment(pool=2, gil=gil, cores=100, tokens=3, patience_s=patience_s)
    deployed = deployed.model_copy(update={"loop": loop})
    costs = TINY if threads else COSTS
    for seed in range(12):
        drawn = at_random(seed, threads=threads)
        monkeypatch.setattr(engine, "_crowded", lambda *_: False)
        alone = simulate(drawn, deployed, costs)
        monkeypatch.setattr(engine, "_crowded", lambda *_: True)
        hosted = simulate(drawn, deployed, costs)
        assert alone.failure.tolist() == hosted.failure.tolist()
        for name in ("start_s", "respond_s", "done_s", "running_s", "pool_wait_s", "wait_s"):
            ours, theirs = getattr(alone, name), getattr(hosted, name)
            np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-9, err_msg=f"{name} {seed}")
        assert hosted.loop_busy_s == pytest.approx(alone.loop_busy_s, abs=1e-9)
        assert hosted.gil_lost_s == pytest.approx(alone.gil_lost_s, abs=1e-9)


def test_code_that_uses_no_core_lets_threads_have_the_gil() -> None:
    # The loop blocks for 10 ms, as time.sleep does; the thread's 4 ms fit into that.
    drawn = workload([0.0, 0.0], [[thread(0.004, 0.0)], [cpu(0.010, blocking=0.010)]])
    for crowd in (1, 2):
        outcome = simulate(drawn, deployment(workers=crowd), FREE)
        assert float(outcome.respond_s[1]) == pytest.approx(0.010)


def test_blocking_needs_no_core() -> None:
    drawn = workload([0.0, 0.0], [[cpu(0.010, blocking=0.010)], [cpu(0.010)]])
    outcome = simulate(drawn, deployment(workers=2), FREE)
    assert outcome.respond_s.tolist() == pytest.approx([0.010, 0.010])


def test_work_is_conserved_on_crowded_cores() -> None:
    rng = np.random.default_rng(1)
    lengths_s = rng.random(60) / 100 + 0.001
    drawn = workload(np.sort(rng.random(60)) / 1e4, [[cpu(float(t))] for t in lengths_s])
    for cores in (1, 2, 3):
        outcome = simulate(drawn, deployment(workers=4, cores=cores), FREE)
        work_s = sum(drawn.program.code.value)
        took_s = float(outcome.done_s.max() - drawn.arrival_s[0])
        # From the first arrival on there is always enough to do for one core.
        assert took_s >= work_s / cores - 1e-9
        assert cores > 1 or took_s == pytest.approx(work_s)


def test_processor_sharing_is_as_theory_has_it() -> None:
    """M/M/1 with processor sharing: the mean is that of first come, first served.

    Given its own length x, a request takes x / (1 - load) in the mean, whatever the law.
    """
    rng = np.random.default_rng(2)
    lengths = rng.gamma(0.5, 0.010, 6_000)
    arrivals = np.cumsum(rng.exponential(0.005 / 0.6, len(lengths)))
    # With as many workers as may ever be in the system, every request has one of its own.
    drawn = workload(arrivals, [[cpu(float(length))] for length in lengths])
    outcome = simulate(drawn, deployment(workers=60), FREE)
    took = outcome.respond_s - drawn.arrival_s
    batches = [part.mean() for part in np.array_split(took, 30)]
    error = 3.29 * float(np.std(batches, ddof=1)) / np.sqrt(30)  # one false alarm in 1000
    assert took.mean() == pytest.approx(lengths.mean() / (1.0 - 0.6), abs=error)
    short, long = lengths < np.median(lengths), lengths > np.quantile(lengths, 0.9)
    for chosen in (short, long):
        assert took[chosen].sum() / lengths[chosen].sum() == pytest.approx(1 / 0.4, rel=0.25)


def throttled(quota: float, *, workers: int = 1, cores: int = 1) -> ResolvedDeployment:
    return deployment(workers=workers, cores=cores).model_copy(update={"cpu_quota": quota})


def test_a_quota_is_used_up_in_the_first_part_of_each_period() -> None:
    # A third of a core: 33.3 ms of each 100 ms. 80 ms of code need two periods and 13.3 ms.
    drawn = workload([0.0, 0.5], [[cpu(0.080)], [cpu(0.020)]])
    outcome = simulate(drawn, throttled(1 / 3), FREE)
    assert outcome.respond_s.tolist() == pytest.approx([0.2 + 0.080 - 2 / 30, 0.520])


def test_a_quota_is_used_up_faster_by_several() -> None:
    # Two loops on two cores use 2 x 50 ms; then both stand still for 50 ms.
    drawn = workload([0.0, 0.0], [[cpu(0.080)], [cpu(0.080)]])
    outcome = simulate(drawn, throttled(1.0, workers=2, cores=2), FREE)
    assert outcome.respond_s.tolist() == pytest.approx([0.130, 0.130])


def test_waits_go_on_while_the_container_stands_still() -> None:
    drawn = workload([0.0, 0.0], [[wait(0.040), cpu(0.001)], [cpu(0.030), wait(0.100), cpu(0.001)]])
    outcome = simulate(drawn, throttled(0.2), FREE)
    # 20 ms of each period: the second's code ends at 110 ms, and with it the first's long wait.
    assert outcome.respond_s.tolist() == pytest.approx([0.111, 0.211])


def test_a_quota_that_is_never_reached_changes_nothing() -> None:
    drawn = at_random(3, threads=True)
    free, limited = (
        simulate(drawn, deployment(pool=2, tokens=3).model_copy(update={"cpu_quota": q}), TINY)
        for q in (None, 1.0)
    )
    assert free.respond_s.tobytes() == limited.respond_s.tobytes()


def test_a_quota_is_a_capacity() -> None:
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(0.01, 3_000))
    drawn = workload(arrivals, [[cpu(0.005)]] * 3_000)
    for quota, served in ((0.25, 50.0), (0.4, 80.0)):
        outcome = simulate(drawn, throttled(quota), FREE)
        rate = 3_000 / (outcome.done_s.max() - arrivals[0])
        assert rate == pytest.approx(served, rel=0.01)


def test_native_code_needs_a_core_and_no_gil() -> None:
    """Four threads that hash for 100 ms: as fast as there are cores, one after the other if they
    were Python."""
    for cores, end_s in ((1, 0.4), (2, 0.2), (4, 0.1), (8, 0.1)):
        drawn = workload([0.0] * 4, [[Call([native(0.1)])]] * 4)
        outcome = simulate(drawn, deployment(cores=cores), FREE)
        assert outcome.respond_s.tolist() == pytest.approx([end_s] * 4)
        assert outcome.processor_s is None or outcome.processor_s == pytest.approx(0.4)
    drawn = workload([0.0] * 4, [[Call([cpu(0.1)])]] * 4)
    outcome = simulate(drawn, deployment(cores=4), FREE)
    assert float(outcome.respond_s.max()) == pytest.approx(0.4)


def test_native_code_takes_the_core_that_the_loop_wants() -> None:
    """One core: 10 ms of code and 10 ms of native code beside it take 20; with two cores 10."""
    for cores, end_s in ((1, 0.020), (2, 0.010)):
        drawn = workload([0.0, 0.0], [[Call([native(0.010)])], [cpu(0.010)]])
        outcome = simulate(drawn, deployment(cores=cores), FREE)
        assert outcome.respond_s.tolist() == pytest.approx([end_s] * 2, abs=1e-6)


def test_native_code_on_the_loop_lets_threads_have_the_gil_but_not_the_core() -> None:
    """The loop hashes for 10 ms from 1 ms on; a thread wants 4 ms of code from 2 ms on."""
    first = [Call([wait(0.002), cpu(0.004)])]
    for cores, end_s in ((1, 0.015), (2, 0.011)):
        drawn = workload([0.0, 0.001], [first, [native(0.010)]])
        outcome = simulate(drawn, deployment(cores=cores), FREE)
        # The thread is done when the loop hears of it.
        assert outcome.respond_s.tolist() == pytest.approx([end_s] * 2, abs=1e-6)


@pytest.mark.parametrize("gil", [True, False])
def test_native_code_is_the_same_by_the_clock_of_a_host(
    monkeypatch: pytest.MonkeyPatch, gil: bool
) -> None:
    deployed = deployment(gil=gil, cores=100, tokens=3)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        programs: list[list[Step]] = []
        for _ in range(30):
            a, b, c, d = rng.exponential(0.003, 4).tolist()
            inside = Call([cpu(a / 3.0), native(b), wait(c), cpu(d / 5.0), native(a / 2.0)])
            programs.append([native(a), wait(b), cpu(c / 4.0), inside, cpu(d / 3.0)])
        drawn = workload(np.cumsum(rng.exponential(0.006, 30)), programs)
        monkeypatch.setattr(engine, "_crowded", lambda *_: False)
        alone = simulate(drawn, deployed, TINY)
        monkeypatch.setattr(engine, "_crowded", lambda *_: True)
        hosted = simulate(drawn, deployed, TINY)
        for name in ("start_s", "respond_s", "running_s", "wait_s"):
            ours, theirs = getattr(alone, name), getattr(hosted, name)
            np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-9, err_msg=f"{name} {seed}")


def test_native_code_counts_for_the_quota() -> None:
    how = deployment(cores=4).model_copy(update={"cpu_quota": 1.0})
    drawn = workload([0.0] * 4, [[Call([native(0.1)])]] * 4)
    outcome = simulate(drawn, how, FREE)
    # Four cores use up a period's 100 ms in 25 ms; the last period's part ends 25 ms into it.
    assert outcome.respond_s.tolist() == pytest.approx([0.325] * 4)
