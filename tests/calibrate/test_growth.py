"""Growth of the counters of a process: of what served requests, and of nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from fastsim import spans
from fastsim.calibrate.growth import (
    growth,
    loop_share,
    per_request_s,
    processes,
    replayed_s,
    rested,
    stand_for,
    to_replay,
    unsampled,
)
from fastsim.calibrate.requests import RequestSet, collect_requests
from tests.calibrate.trace_formats import trace


def recorded(
    end_s: list[float],
    cpu_s: list[float],
    *,
    instance: list[int] | None = None,
    warm_up: list[bool] | None = None,
) -> RequestSet:
    """Requests that ended then, with the CPU the process had used by then."""
    template = collect_requests(trace(3), skip_first_s=0.0)
    n = len(end_s)
    counters = dict.fromkeys(template.counters, np.full(n, -1))
    counters[spans.LOOP_CPU_NS] = (np.array(cpu_s) * 1e9).astype(np.int64)
    counters[spans.REQUESTS_SEEN] = np.arange(n)
    return replace(
        template,
        start_ns=(np.array(end_s) * 1e9).astype(np.int64),
        duration_ns=np.zeros(n, np.int64),
        instance=np.array(instance or [0] * n),
        instances=template.instances * (1 + max(instance or [0])),
        warm_up=np.array(warm_up or [False] * n),
        counters=counters,
        stand_for=np.ones(n),
    )


def test_every_request_costs_what_the_counter_grew_by() -> None:
    found = recorded([0.0, 0.1, 0.2, 0.3], [1.0, 1.01, 1.02, 1.03])
    assert per_request_s(found, spans.LOOP_CPU_NS) == pytest.approx(0.01)


def test_rows_are_in_the_order_the_counters_were_read() -> None:
    found = recorded([0.0, 0.2, 0.1], [1.0, 1.01, 1.02])
    [rows] = processes(found)
    assert rows.tolist() == [0, 1, 2]
    assert not rested(found, rows).any()


def test_requests_that_share_a_reading_say_nothing_of_their_own() -> None:
    # The second reading was taken when the third request was over; two more came after it.
    found = recorded([0.0, 0.01, 0.1, 0.105, 0.102, 0.2], [1.0, 1.0, 1.03, 1.03, 1.03, 1.06])
    [rows] = processes(found)
    assert rows.tolist() == [0, 2, 5]


def test_a_rest_belongs_to_no_request() -> None:
    found = recorded([0.0, 0.1, 0.2, 12.0, 12.1], [1.0, 1.01, 1.02, 5.0, 5.01])
    [rows] = processes(found)
    assert rested(found, rows).tolist() == [False, False, True, False]
    assert per_request_s(found, spans.LOOP_CPU_NS) == pytest.approx(0.01)


def test_rare_requests_are_no_rests() -> None:
    found = recorded([0.0, 30.0, 60.0, 100.0], [1.0, 1.01, 1.02, 1.03])
    [rows] = processes(found)
    assert not rested(found, rows).any()


def test_the_warm_up_does_not_count() -> None:
    found = recorded(
        [0.0, 0.1, 0.2, 0.3], [1.0, 2.0, 2.01, 2.02], warm_up=[True, False, False, False]
    )
    assert per_request_s(found, spans.LOOP_CPU_NS) == pytest.approx(0.01)


def test_each_process_counts_for_itself() -> None:
    found = recorded([0.0, 0.0, 0.1, 0.1], [1.0, 70.0, 1.01, 70.03], instance=[0, 1, 0, 1])
    assert len(processes(found)) == 2
    # Both processes saw two of the four requests: the counter of each grew by two.
    assert per_request_s(found, spans.LOOP_CPU_NS) == pytest.approx(0.01)


def test_a_counter_that_was_not_kept_says_nothing() -> None:
    found = recorded([0.0, 0.1], [1.0, 1.01])
    [rows] = processes(found)
    assert growth(found, spans.LOOP_BUSY_NS, rows) is None
    assert per_request_s(found, spans.LOOP_BUSY_NS) is None


def test_the_busy_share_leaves_rests_out() -> None:
    found = recorded([0.0, 0.1, 0.2, 12.0, 12.1], [1.0, 1.01, 1.02, 5.0, 5.01])
    assert loop_share(found, spans.LOOP_BUSY_NS) is None
    busy = {spans.LOOP_BUSY_NS: found.counters[spans.LOOP_CPU_NS]}
    assert loop_share(
        replace(found, counters=found.counters | busy), spans.LOOP_BUSY_NS
    ) == pytest.approx(0.1)


def test_the_recorder_counts_what_it_leaves_out() -> None:
    found = recorded([0.0, 0.1, 0.2], [1.0, 1.01, 1.02])
    seen = {spans.REQUESTS_SEEN: np.array([1, 5, 9])}
    found = replace(found, counters=found.counters | seen)
    assert unsampled(found) == 4.0
    assert stand_for(found).tolist() == [4.0, 4.0, 4.0]


def test_without_counters_traces_stand_for_as_many_as_they_say() -> None:
    found = recorded([0.0, 0.1, 0.2], [1.0, 1.01, 1.02])
    nobody = {spans.REQUESTS_SEEN: np.full(3, -1)}
    found = replace(found, counters=found.counters | nobody, stand_for=np.array([1.0, 10.0, 10.0]))
    assert unsampled(found) == 7.0
    assert stand_for(found).tolist() == [1.0, 10.0, 10.0]


def test_of_many_requests_some_stretches_are_replayed() -> None:
    everything = collect_requests(trace(9_000), skip_first_s=0.0)
    assert to_replay(everything) is everything
    part = to_replay(everything, most=5_000)
    # The first and the last block of 2,500, which is not full.
    taken = np.isin(everything.start_ns, part.start_ns)
    assert np.flatnonzero(np.diff(taken.astype(int))).tolist() == [2_499, 7_499]
    assert len(part) == len(part.trace_ids) == 4_000
    # What stands for what is as it was with all of them.
    assert unsampled(part) == unsampled(everything)


def test_replays_do_not_wait_for_what_was_not_looked_at() -> None:
    requests = collect_requests(trace(10), skip_first_s=0.0)
    at_s = np.array([0.0, 0.1, 0.2, 3600.0, 3600.1])
    assert replayed_s(at_s, requests) is at_s
    part = replace(requests, served_per_recorded=1.0)
    assert replayed_s(at_s, part) == pytest.approx([0.0, 0.1, 0.2, 2.2, 2.3])
