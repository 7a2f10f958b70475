"""The mechanics of the event loop, told in scenes small enough to check by hand."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.model import ColdCost, LoopCosts
from fastsim.scenario import ResolvedDeployment
from fastsim.twin.code import BY_THREAD, SOCKET, TIMER
from fastsim.twin.engine import simulate
from fastsim.twin.threads import HANDOVER_SAME_CORE_S
from fastsim.twin.workload import Outcome, Workload
from tests.twin.programs import (
    ACQUIRE,
    FREE,
    RELEASE,
    RESPOND,
    YIELD,
    Step,
    cpu,
    deployment,
    thread,
    wait,
    workload,
)
from tests.virtual.loop import virtual_loop


def finished(outcome: Outcome) -> list[float]:
    return [round(float(moment), 9) for moment in outcome.respond_s]


def test_code_runs_one_request_at_a_time() -> None:
    outcome = simulate(workload([0.0, 0.0], [[cpu(0.002)], [cpu(0.003)]]), deployment(), FREE)
    assert finished(outcome) == [0.002, 0.005]


def test_a_finished_wait_queues_behind_what_was_ready_before_it() -> None:
    # B's wait ends while A computes; C has been ready since before. C goes first.
    drawn = workload(
        [0.0, 0.001, 0.002],
        [[cpu(0.010)], [wait(0.001), cpu(0.001)], [cpu(0.004)]],
    )
    outcome = simulate(drawn, deployment(), FREE)
    # B starts its wait only after A (10 ms); it ends at 11 ms, during C (10 to 14 ms).
    assert finished(outcome) == [0.010, 0.015, 0.014]


def test_every_kind_of_overhead_is_paid_where_it_arises() -> None:
    costs = LoopCosts(accept=0.003, per_suspend=0.0005, per_event=0.0002, per_pass=0.0001)
    outcome = simulate(
        workload([0.0], [[cpu(0.001), wait(0.010), cpu(0.001)]]), deployment(), costs
    )
    # poll + accept, poll + code; the wait runs; poll + callback, poll + code.
    assert float(outcome.start_s[0]) == pytest.approx(0.0001 + 0.003 + 0.0001)
    woken = float(outcome.start_s[0]) + 0.001 + 0.010
    assert finished(outcome) == [round(woken + 0.0001 + 0.0002 + 0.0001 + 0.001, 9)]
    assert outcome.loop_busy_s[0] == pytest.approx(0.0001 * 4 + 0.003 + 0.001 * 2 + 0.0005 + 0.0002)


def test_a_slot_stays_taken_until_its_coroutine_runs_again() -> None:
    holder: list[Step] = [ACQUIRE, wait(0.002), RELEASE, cpu(0.001)]
    drawn = workload([0.0, 0.0, 0.001], [holder, holder, [cpu(0.020)]])
    outcome = simulate(drawn, deployment(pool=1), FREE)
    # The query ends at 2 ms but the loop is busy until 21 ms: only then is the slot free.
    assert finished(outcome)[0] == 0.022
    assert outcome.pool_wait_s[1] == pytest.approx(0.021)


def test_timers_are_rounded_up_to_a_millisecond_only_when_the_loop_sleeps() -> None:
    idle = simulate(workload([0.0], [[wait(0.0123, TIMER)]]), deployment(), FREE)
    assert finished(idle) == [0.013]
    busy = workload([0.0, 0.001], [[wait(0.0123, TIMER)], [cpu(0.0125)]])
    assert finished(simulate(busy, deployment(), FREE))[0] == 0.0135
    socket = simulate(workload([0.0], [[wait(0.0123)]]), deployment(), FREE)
    assert finished(socket) == [0.0123]


def test_a_yield_lets_others_run_first() -> None:
    yielding = [cpu(0.001), YIELD, cpu(0.001)]
    drawn = workload([0.0, 0.0005, 0.0005], [[cpu(0.001)], yielding, [cpu(0.005)]])
    assert finished(simulate(drawn, deployment(), FREE)) == [0.001, 0.008, 0.007]


def test_what_follows_the_response_delays_others_but_not_its_own_latency() -> None:
    drawn = workload([0.0, 0.0], [[cpu(0.001), RESPOND, cpu(0.010)], [cpu(0.001)]])
    outcome = simulate(drawn, deployment(), FREE)
    assert finished(outcome) == [0.001, 0.012]
    assert outcome.done_s[0] == pytest.approx(0.011)


def test_blocking_code_holds_the_loop() -> None:
    drawn = workload([0.0, 0.0], [[cpu(0.010, blocking=0.010)], [cpu(0.001)]])
    assert finished(simulate(drawn, deployment(), FREE)) == [0.010, 0.011]


def test_code_is_dearer_on_an_idle_loop() -> None:
    costs = LoopCosts(cold=ColdCost(extra=0.5, memory=0.02, reach=1.0))
    drawn = workload([1.0, 1.0, 1.0], [[cpu(0.010)], [cpu(0.050)], [cpu(0.010)]])
    outcome = simulate(drawn, deployment(), costs)
    first = float(outcome.respond_s[0]) - 1.0
    assert first == pytest.approx(0.015, rel=1e-6)  # slept all along: half as much again
    spaced = workload([1.0, 1.016], [[cpu(0.010)], [cpu(0.010)]])
    second = float(simulate(spaced, deployment(), costs).running_s[1])
    assert 0.010 < second < 0.015


def test_only_the_first_of_long_code_is_dearer_on_an_idle_loop() -> None:
    costs = LoopCosts(cold=ColdCost(extra=0.5, reach=0.002))
    for own_s, took_s in ((0.001, 0.0015), (0.010, 0.011)):
        outcome = simulate(workload([1.0], [[cpu(own_s)]]), deployment(), costs)
        assert float(outcome.respond_s[0]) - 1.0 == pytest.approx(took_s, rel=1e-6)


def test_the_limit_counts_connections_as_uvicorn_does() -> None:
    # The connection that a request comes by is one of them; idle ones are, too, for 5 s. What is
    # turned away is closed.
    drawn = workload([0.0, 0.0, 0.0, 0.1, 0.1], [[wait(0.01)]] * 5)
    rejected = {
        limit: simulate(drawn, deployment(limit=limit), FREE).failure.tolist()
        for limit in (1, 2, 3, 4)
    }
    assert rejected[1] == [2] * 5
    assert rejected[2] == [0, 2, 2, 0, 2]
    assert rejected[3] == [0, 0, 2, 0, 0]
    assert rejected[4] == [0, 0, 0, 0, 0]
    # An idle connection counts: at 0.1 s the fifth comes by a third one beside two.
    late = workload([0.0, 0.0, 0.1, 0.1, 0.1], [[wait(0.01)]] * 5)
    assert simulate(late, deployment(limit=3), FREE).failure.tolist() == [0, 0, 0, 0, 2]


# --- threads and the GIL ---------------------------------------------------------------


def test_a_thread_works_while_the_loop_sleeps() -> None:
    outcome = simulate(workload([0.0], [[thread(0.002, 0.010)]]), deployment(), FREE)
    assert finished(outcome) == [0.012]


def test_the_loop_waits_for_a_thread_that_has_the_gil() -> None:
    drawn = workload([0.0, 0.0005], [[thread(0.004, 0.0)], [cpu(0.001)]])
    outcome = simulate(drawn, deployment(), FREE)
    # First half of the thread's 4 ms has the GIL until 2 ms; only then does the loop run.
    assert float(outcome.start_s[1]) >= 0.002


def test_a_thread_waits_for_a_busy_loop_until_it_polls() -> None:
    drawn = workload([0.0, 0.0], [[thread(0.0002, 0.0)], [cpu(0.003)]])
    outcome = simulate(drawn, deployment(), FREE)
    assert float(outcome.respond_s[0]) >= 0.003


def test_long_code_is_interrupted_after_the_switch_interval() -> None:
    drawn = workload([0.0, 0.0, 0.001], [[thread(0.0002, 0.0)], [cpu(0.004)], [cpu(0.050)]])
    with_thread = simulate(drawn, deployment(), FREE)
    without = simulate(workload([0.0, 0.001], [[cpu(0.004)], [cpu(0.050)]]), deployment(), FREE)
    assert float(with_thread.respond_s[2]) > float(without.respond_s[1])


def test_without_a_gil_threads_and_loop_run_side_by_side() -> None:
    drawn = workload([0.0, 0.0], [[thread(0.010, 0.0)], [cpu(0.010)]])
    side_by_side = simulate(drawn, deployment(gil=False, cores=2), FREE)
    assert finished(side_by_side) == [0.010, 0.010]
    one_core = simulate(drawn, deployment(gil=False), FREE)
    assert finished(one_core) == [0.020, 0.020]
    assert float(simulate(drawn, deployment(), FREE).respond_s.max()) >= 0.020


def test_threads_without_a_gil_share_the_cores() -> None:
    drawn = workload([0.0] * 4, [[thread(0.010, 0.0)]] * 4)
    for cores, last in ((1, 0.040), (2, 0.020), (4, 0.010)):
        outcome = simulate(drawn, deployment(gil=False, cores=cores), FREE)
        assert finished(outcome) == [last] * 4


def test_a_thread_beside_long_code_takes_turns_of_five_milliseconds() -> None:
    drawn = workload([0.0, 0.0], [[thread(0.020, 0.0)], [cpu(0.200)]])
    outcome = simulate(drawn, deployment(), FREE)
    # The loop has the first five; then both in turns; the thread's fourth ends at 40 ms.
    done = float(outcome.respond_s[1])
    assert done == pytest.approx(0.220 + 4 * HANDOVER_SAME_CORE_S)
    assert outcome.gil_lost_s == pytest.approx(0.020 + 4 * HANDOVER_SAME_CORE_S)


def test_there_are_only_so_many_threads() -> None:
    drawn = workload([0.0] * 3, [[thread(0.0, 0.010)]] * 3)
    outcome = simulate(drawn, deployment(tokens=2), FREE)
    assert finished(outcome) == [0.010, 0.010, 0.020]
    assert outcome.pool_wait_s[2] == pytest.approx(0.010)


def test_handing_the_gil_over_costs_the_loop() -> None:
    assert HANDOVER_SAME_CORE_S > 0.0
    alone = workload([0.0, 0.002, 0.002], [[wait(0.001)], [cpu(0.004)], [cpu(0.004)]])
    contended = workload(
        [0.0, 0.002, 0.002], [[wait(0.003, BY_THREAD, 0.002)], [cpu(0.004)], [cpu(0.004)]]
    )
    last = [float(simulate(w, deployment(), FREE).respond_s[2]) for w in (alone, contended)]
    assert last[1] > last[0]


# --- workers ------------------------------------------------------------------------------


def test_two_workers_serve_two_connections_at_once() -> None:
    drawn = workload([0.0, 0.0], [[cpu(0.010)], [cpu(0.010)]])
    outcome = simulate(drawn, deployment(workers=2, cores=2), FREE)
    assert finished(outcome) == [0.010, 0.010]
    assert sorted(outcome.worker.tolist()) == [0, 1]


def test_workers_beyond_the_cores_share_them() -> None:
    drawn = workload([0.0, 0.001, 0.002], [[cpu(0.010)], [cpu(0.010)], [cpu(0.010)]])
    plenty = simulate(drawn, deployment(workers=3, cores=3), FREE)
    shared = simulate(drawn, deployment(workers=3, cores=1), FREE)
    assert float(shared.respond_s.max()) > float(plenty.respond_s.max()) + 0.005


def test_cores_are_shared_equally_at_every_moment() -> None:
    drawn = workload([0.0] * 4, [[cpu(0.010)]] * 4)
    assert finished(simulate(drawn, deployment(workers=4), FREE)) == [0.040] * 4
    staggered = workload([0.0, 0.004], [[cpu(0.010)], [cpu(0.003)]])
    # Alone until 4 ms; half a core each until the second one's 3 ms are done; then alone.
    outcome = simulate(staggered, deployment(workers=2), FREE)
    assert finished(outcome) == [0.013, 0.010]


def test_workers_with_threads_share_the_cores() -> None:
    drawn = workload([0.0] * 4, [[thread(0.010, 0.0)]] * 4)
    outcome = simulate(drawn, deployment(workers=4), FREE)
    assert finished(outcome) == [0.040] * 4


def test_a_connection_is_free_when_its_response_is_out() -> None:
    drawn = workload([0.0, 0.001], [[cpu(0.010)], [cpu(0.010)]])
    outcome = simulate(drawn, deployment(workers=2, cores=2), FREE)
    assert finished(outcome) == [0.010, 0.011]


def test_a_connection_stays_with_its_worker() -> None:
    drawn = workload([0.0, 0.5, 1.0, 1.5], [[cpu(0.001)]] * 4)
    outcome = simulate(drawn, deployment(workers=2, cores=2), FREE)
    assert len(set(outcome.worker.tolist())) == 1


# --- properties ------------------------------------------------------------------------------

SHORT = st.floats(0.0, 0.02, allow_subnormal=False)
STEPS = st.one_of(
    st.builds(cpu, SHORT),
    st.builds(wait, SHORT, st.sampled_from([SOCKET, TIMER, BY_THREAD]), st.floats(0.0, 0.001)),
    st.builds(thread, st.floats(0.0, 0.004), SHORT),
    st.just(YIELD),
)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    count = draw(st.integers(1, 12))
    arrivals = np.sort(draw(st.lists(st.floats(0.0, 0.1), min_size=count, max_size=count)))
    programs = []
    for _ in range(count):
        inner = draw(st.lists(STEPS, max_size=5))
        held = [ACQUIRE, *draw(st.lists(STEPS, max_size=2)), RELEASE]
        programs.append([*inner, *(held if draw(st.booleans()) else []), cpu(draw(SHORT))])
    return workload(arrivals, programs)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(workloads(), st.integers(1, 3), st.booleans())
def test_every_request_ends_and_its_time_adds_up(drawn: Workload, workers: int, gil: bool) -> None:
    costs = LoopCosts(accept=0.0001, per_event=0.00002, per_pass=0.00001, per_suspend=0.00001)
    outcome = simulate(drawn, deployment(workers=workers, cores=2, gil=gil), costs)
    assert np.isfinite(outcome.done_s).all()
    total = outcome.respond_s - drawn.arrival_s
    parts = outcome.running_s + outcome.loop_wait_s + outcome.pool_wait_s
    assert parts + outcome.wait_s.sum(axis=1) == pytest.approx(total, abs=1e-9)
    assert outcome.running_s.sum() <= outcome.loop_busy_s.sum() + 1e-9  # work is conserved
    assert (outcome.loop_wait_s >= -1e-9).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(workloads())
def test_the_same_input_gives_the_same_bytes(drawn: Workload) -> None:
    first, second = (simulate(drawn, deployment(), FREE, seed=3) for _ in range(2))
    assert first.respond_s.tobytes() == second.respond_s.tobytes()
    assert first.lag_s.tobytes() == second.lag_s.tobytes()


def test_stopping_early_leaves_the_rest_in_flight() -> None:
    drawn = workload([0.0, 1.0, 2.0], [[wait(0.5)]] * 3)
    outcome = simulate(drawn, deployment(), FREE, until_s=1.2)
    ended = np.isfinite(outcome.done_s)
    assert ended.tolist() == [True, False, False]


# --- patience ---------------------------------------------------------------------------------


def impatient(timeout_s: float, pool: int = 1) -> ResolvedDeployment:
    return deployment(pool=pool).model_copy(update={"timeouts": {"pool": timeout_s}})


def test_who_waits_too_long_for_a_slot_fails() -> None:
    holder: list[Step] = [cpu(0.001), ACQUIRE, wait(0.100), RELEASE, cpu(0.001)]
    drawn = workload([0.0, 0.0, 0.070], [holder] * 3)
    outcome = simulate(drawn, impatient(0.05), FREE)
    # The second gives up after 50 ms; the third gets the slot after 30 ms of waiting.
    assert outcome.failure.tolist() == [0, 1, 0]
    assert finished(outcome) == [0.102, 0.052, 0.203]
    assert outcome.pool_wait_s.tolist() == pytest.approx([0.0, 0.05, 0.030])
    assert outcome.resource_acquires.tolist() == [3]


def test_who_fails_gives_back_what_it_holds() -> None:
    # Two of one pool, taken by two who both want a second one: a deadlock but for their patience.
    both: list[Step] = [ACQUIRE, wait(0.010), ACQUIRE, wait(0.010), RELEASE, RELEASE]
    drawn = workload([0.0, 0.001], [both, both])
    outcome = simulate(drawn, impatient(0.05, pool=2), FREE)
    assert outcome.failure.tolist() == [1, 0]
    # The first gives up at 10 + 50 ms; the second goes on with the slot that it gave back.
    assert finished(outcome) == [0.06, 0.07]


def test_a_branch_that_fails_fails_its_request_at_once() -> None:
    # As ``gather`` does it: the other branch goes on, and its code is still in the way of others.
    other: list[Step] = [wait(0.080), cpu(0.020)]
    fork: list[Step] = [[[ACQUIRE, wait(0.002), RELEASE], other], cpu(0.005)]
    drawn = workload([0.0, 0.001, 0.085], [[ACQUIRE, wait(0.060), RELEASE], fork, [cpu(0.001)]])
    outcome = simulate(drawn, impatient(0.05), FREE)
    assert outcome.failure.tolist() == [0, 1, 0]
    assert finished(outcome) == [0.06, 0.051, 0.102]


def test_a_gather_that_fails_is_that_of_cpython() -> None:
    async def impatient_branch(free: asyncio.Semaphore) -> None:
        async with asyncio.timeout(0.05):
            await free.acquire()

    async def main(loop: asyncio.AbstractEventLoop) -> float:
        taken = asyncio.Semaphore(0)
        with pytest.raises(TimeoutError):
            await asyncio.gather(impatient_branch(taken), asyncio.sleep(0.08))
        return loop.time()

    with virtual_loop() as loop:
        assert loop.run_until_complete(main(loop)) == pytest.approx(0.05)


def test_patience_that_was_not_needed_leaves_no_trace() -> None:
    holder: list[Step] = [ACQUIRE, wait(0.010), RELEASE]
    drawn = workload([0.0, 0.001, 0.002], [holder] * 3)
    patient = simulate(drawn, deployment(), FREE)
    outcome = simulate(drawn, impatient(1.0), FREE)
    assert outcome.respond_s.tobytes() == patient.respond_s.tobytes()
    assert outcome.idle_wakeups.tolist() == patient.idle_wakeups.tolist()


def test_patience_begins_anew_with_every_line() -> None:
    # The second gets its first slot after 30 ms, and stands in line for another from 31 ms on. Its
    # patience there ends at 81 ms: not at 50, when that of the first line would have, and when the
    # loop polls late and finds another timer before that.
    twice: list[Step] = [ACQUIRE, wait(0.001), RELEASE, ACQUIRE, wait(0.001), RELEASE]
    drawn = workload(
        [0.0, 0.0, 0.0, 0.001, 0.048],
        [
            [ACQUIRE, wait(0.030), RELEASE],
            twice,
            [wait(0.049, TIMER)],
            [ACQUIRE, wait(0.045), RELEASE],
            [cpu(0.004)],
        ],
    )
    outcome = simulate(drawn, impatient(0.05), FREE)
    assert outcome.failure.tolist() == [0] * 5
    assert finished(outcome)[1] == 0.077


def test_impatience_is_that_of_an_overloaded_pool() -> None:
    """Three slots of 100 ms serve 30 of 40 a second; who waits for half a second gives up."""
    rng = np.random.default_rng(4)
    arrivals = np.cumsum(rng.exponential(1 / 40, 8_000))
    drawn = workload(arrivals, [[ACQUIRE, wait(0.1), RELEASE]] * len(arrivals))
    outcome = simulate(drawn, impatient(0.5, pool=3), FREE)
    assert outcome.failure.mean() == pytest.approx(0.25, abs=0.02)
    waited = outcome.pool_wait_s[2_000:]
    assert waited.max() == pytest.approx(0.5, abs=0.0011)  # an idle loop sleeps whole milliseconds
    assert np.median(waited) > 0.4
