"""Metrics: hand-made outcomes whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest

from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin.code import Code
from fastsim.twin.compiling import KINDS, Program
from fastsim.twin.metrics import FAILED, IN_FLIGHT, OK, REJECTED, Measures, summarise
from fastsim.twin.workload import Outcome, Slots, Workload

MODEL = ServiceModel.model_validate(
    {
        "service": "shop",
        "client": {"overhead": 0.001},
        "resources": {"db": {"capacity": 2}},
        "endpoints": [
            {"name": name, "share": 0.5, "variants": [{"steps": [{"do": "respond"}]}]}
            for name in ("GET /a", "GET /b")
        ],
    }
)


def story(
    arrival_s: list[float],
    respond_s: list[float],
    endpoint: list[int] | None = None,
    failure: list[int] | None = None,
    *,
    window_busy_s: list[float] | None = None,
) -> tuple[Workload, Outcome]:
    """Requests that wait 1 ms for the loop, a db for what is left, and run for 2 ms."""
    n = len(arrival_s)
    arrival, respond = np.array(arrival_s), np.array(respond_s)
    failed = np.zeros(n, np.int64) if failure is None else np.array(failure, np.int64)
    workload = Workload(
        program=Program(Code(), (), ("GET /a", "GET /b"), ("db",)),
        arrival_s=arrival,
        endpoint=np.array(endpoint or [0] * n, np.int64),
        entry=np.zeros(n, np.int64),
        seed=1,
    )
    wait_s = np.zeros((n, len(KINDS)))
    wait_s[:, KINDS.index("db")] = respond - arrival - 0.003
    outcome = Outcome(
        start_s=arrival + 0.001,
        respond_s=respond,
        done_s=respond,
        worker=np.zeros(n, np.int64),
        there_s=np.zeros(n),
        back_s=np.zeros(n),
        failure=failed,
        path=np.zeros(n, np.int64),
        running_s=np.full(n, 0.002),
        loop_wait_s=np.full(n, 0.001),
        pool_wait_s=np.zeros(n),
        wait_s=wait_s,
        resource_busy_s=np.array([6.0]),
        resource_wait_s=np.array([0.5]),
        resource_acquires=np.array([10]),
        resource_max_queue=np.array([4]),
        threads=Slots(busy_s=3.0, wait_s=0.2, acquires=4, max_queue=1),
        processor_s=None,
        gil_lost_s=0.0,
        loop_busy_s=np.array([1.0]),
        passes=np.array([100]),
        idle_wakeups=np.array([10]),
        ready_integral=np.array([5.0]),
        ready_max=np.array([7]),
        lag_s=np.array([0.001, 0.003]),
        window_s=1.0,
        window_busy_s=np.array([window_busy_s or [0.5] * 10]),
        end_s=10.0,
    )
    return workload, outcome


def measured(
    workload: Workload, outcome: Outcome, *, warmup_s: float = 2.0, duration_s: float = 6.0
) -> Measures:
    return summarise(
        workload,
        outcome,
        model=MODEL,
        deployment=resolve_deployment(MODEL, Deployment()),
        warmup_s=warmup_s,
        duration_s=duration_s,
    )


def test_only_arrivals_in_the_measured_time_count() -> None:
    found = measured(*story([1.9, 2.0, 7.9, 8.0], [2.5, 2.1, 8.4, 8.1]))
    assert found.at_s == pytest.approx([0.0, 5.9])


def test_client_latency_adds_the_overhead_and_server_latency_starts_at_the_application() -> None:
    found = measured(*story([3.0], [3.050]))
    assert found.client_s == pytest.approx([0.051])
    assert found.server_s == pytest.approx([0.049])


def test_breakdown_adds_up_to_the_client_latency() -> None:
    found = measured(*story([3.0, 4.0, 5.0], [3.05, 4.2, 5.01], [0, 1, 0]))
    for endpoint, name in enumerate(found.endpoints):
        total_s = found.latency_s(name).sum()
        assert found.part_sum_s[endpoint].sum() == pytest.approx(total_s, rel=1e-12)


def test_breakdown_leaves_failed_and_unfinished_requests_out() -> None:
    arrivals, responses = [3.0, 4.0, 5.0], [3.05, 4.2, np.nan]
    found = measured(*story(arrivals, responses, failure=[OK, FAILED, OK]))
    assert found.part_sum_s.sum() == pytest.approx(0.051)


def test_failures_are_counted_by_cause_and_do_not_count_as_latency() -> None:
    workload, outcome = story([3.0, 3.1, 3.2], [3.05, 3.15, 3.2], failure=[OK, FAILED, REJECTED])
    found = measured(workload, outcome)
    assert found.state.tolist() == [OK, FAILED, REJECTED]
    assert found.latency_s(None) == pytest.approx([0.051])
    assert found.error_ratio(None) == pytest.approx(2 / 3)


def test_a_request_without_response_is_in_flight_even_if_it_would_have_failed() -> None:
    found = measured(*story([3.0, 4.0], [3.05, np.nan], failure=[OK, FAILED]))
    assert found.state.tolist() == [OK, IN_FLIGHT]
    assert found.error_ratio(None) == 0.0


def test_throughput_counts_responses_in_the_measured_time_whenever_they_arrived() -> None:
    # The first arrived in the warm-up, the last answers after the end.
    found = measured(*story([1.9, 4.0, 7.9], [2.5, 4.1, 8.5]))
    assert found.throughput_per_s(None) == pytest.approx(2 / 6)
    assert found.throughput_per_s("GET /b") == 0.0


def test_loop_utilisation_covers_the_measured_time_only() -> None:
    busy_s = [1.0, 1.0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.9, 0.9]
    workload, outcome = story([3.0], [3.05], window_busy_s=busy_s)
    assert measured(workload, outcome).loop.utilisation == pytest.approx(0.2)
    # From the middle of a window: half of it counts.
    found = measured(workload, outcome, warmup_s=1.5, duration_s=1.0)
    assert found.loop.utilisation == pytest.approx(0.6)


def test_a_pass_that_is_longer_than_a_window_keeps_the_loop_busy_beyond_it() -> None:
    busy_s = [0.0, 0.0, 0.0, 2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    workload, outcome = story([3.0], [3.05], window_busy_s=busy_s)
    found = measured(workload, outcome)
    assert found.windows.utilisation == pytest.approx([0.0, 1.0, 1.0, 0.5, 0.0, 0.0])
    assert found.loop.utilisation == pytest.approx(2.5 / 6.0)


def test_a_run_that_ends_within_a_window_has_been_busy_before_its_end() -> None:
    workload, outcome = story([3.0], [3.05], window_busy_s=[0.5] * 7 + [0.2])
    short = replace(outcome, end_s=7.4)
    found = measured(workload, short, warmup_s=2.0, duration_s=5.4)
    assert found.loop.utilisation == pytest.approx((5 * 0.5 + 0.2) / 5.4)


def test_resource_use_is_relative_to_all_slots_and_never_above_one() -> None:
    workload, outcome = story([3.0], [3.05])
    use = measured(workload, outcome).resources["db"]
    assert use.utilisation == pytest.approx(6.0 / (2 * 8.0))
    assert use.mean_wait_s == pytest.approx(0.05)
    assert (use.capacity, use.max_queue) == (2, 4)
    assert measured(workload, outcome, duration_s=0.5).resources["db"].utilisation == 1.0


def test_series_counts_arrivals_completions_and_time_in_flight() -> None:
    windows = measured(*story([2.5, 3.5], [4.5, 3.75]), duration_s=3.0).windows
    assert windows.arrivals.tolist() == [1, 1, 0]
    assert windows.completions.tolist() == [0, 1, 1]
    assert windows.in_flight == pytest.approx([0.5, 1.25, 0.5])
    assert windows.utilisation == pytest.approx([0.5, 0.5, 0.5])


def test_series_of_a_long_run_has_longer_windows() -> None:
    windows = measured(*story([2.5], [2.6]), duration_s=7200.0).windows
    assert windows.window_s == 8.0
    assert len(windows.arrivals) == 900


def test_growth_is_the_trend_of_the_number_in_flight() -> None:
    arrival_s = np.linspace(0.0, 8.0, 801)
    steady = measured(*story(arrival_s.tolist(), (arrival_s + 0.05).tolist()))
    assert steady.growth_per_s == pytest.approx(0.0, abs=0.2)
    # Served at half the rate: 50 of 100 per second stay.
    piling = measured(*story(arrival_s.tolist(), (2.0 * arrival_s + 0.05).tolist()))
    assert piling.growth_per_s == pytest.approx(50.0, rel=0.02)
