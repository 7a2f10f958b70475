from dataclasses import replace

import numpy as np
import pytest

from fastsim.load.course import course_of
from fastsim.load.driver import OUT_OF_SOCKETS, LoadResult
from fastsim.load.outcome import to_run
from fastsim.load.schedule import Schedule, draw_schedule
from fastsim.load.traffic_file import parse_mix
from fastsim.phases import parse_phases
from fastsim.result import Run


def a_result(
    *,
    warmup_s: float = 0.0,
    latency_s: float = 0.1,
    lag_s: float = 0.0001,
    causes: dict[int, str] | None = None,
    unfinished: tuple[int, ...] = (),
    stopped: bool = False,
    elapsed_s: float = 10.1,
    cpu_s: float = 0.5,
) -> LoadResult:
    """10 s (after the warm-up) at 10/s, uniform, every request alike."""
    schedule = draw_schedule(
        parse_mix("GET /a=50%,GET /b=50%"),
        rate_per_s=10,
        duration_s=10,
        warmup_s=warmup_s,
        arrivals="uniform",
    )
    done_s = schedule.at_s + latency_s
    done_s[list(unfinished)] = np.nan
    n = len(schedule)
    return LoadResult(
        base_url="http://127.0.0.1:8000",
        schedule=schedule,
        sent_s=schedule.at_s + lag_s,
        done_s=done_s,
        status=np.full(n, 200),
        cause=tuple((causes or {}).get(index, "") for index in range(n)),
        received_bytes=np.zeros(n, dtype=np.int64),
        trace_ids=tuple(f"{index:032x}" for index in range(n)),
        started_unix_ns=0,
        elapsed_s=elapsed_s + warmup_s,
        cpu_s=cpu_s,
        stopped=stopped,
    )


def test_arrived_is_completed_plus_failed_plus_in_flight() -> None:
    run = to_run(
        a_result(causes={3: "timeout", 4: "status 503", 5: "timeout"}, unfinished=(98, 99))
    )
    total = run.total
    assert (total.requests, total.completed, total.failed, total.in_flight) == (100, 95, 3, 2)
    assert total.errors == {"status 503": 1, "timeout": 2}
    assert sum(summary.requests for summary in run.endpoints.values()) == 100
    assert sum(summary.failed for summary in run.endpoints.values()) == 3


def test_phases_are_told_apart_by_when_requests_were_due() -> None:
    course, rate = course_of(parse_phases("4s 10/s, rush: 2s 30/s"), None)
    schedule = draw_schedule(
        parse_mix("GET /a=100%"), rate_per_s=rate, duration_s=1.0, course=course, arrivals="uniform"
    )
    assert schedule.duration_s == 6.0
    result = replace(
        a_result(),
        schedule=schedule,
        sent_s=schedule.at_s,
        done_s=schedule.at_s + np.where(schedule.at_s < 4.0, 0.1, 1.0),
        cause=("",) * len(schedule),
    )
    before, rush = to_run(result).phases
    assert (before.name, rush.name) == ("phase 1", "rush")
    assert (before.total.requests, rush.total.requests) == (40, 60)
    assert before.total.latency is not None
    assert before.total.latency.p95.value == pytest.approx(0.1)
    assert rush.total.latency is not None
    assert rush.total.latency.p50.value == pytest.approx(1.0)
    assert rush.waiting == pytest.approx(30, abs=1)
    assert rush.end_per_s == pytest.approx(30.0)
    again = Schedule.from_json(schedule.to_json())
    assert again.course is not None
    assert again.course.stretches == course.stretches


def test_latency_is_from_the_scheduled_time_over_completed_requests() -> None:
    run = to_run(a_result())
    assert run.total.latency is not None
    assert run.total.latency.p50.value == pytest.approx(0.1)
    assert run.table is not None
    assert run.table.latency_s == pytest.approx([0.1] * 100)
    assert run.table.lag_s == pytest.approx([0.0001] * 100)
    assert run.table.trace_id[7] == f"{7:032x}"


def test_warm_up_is_dropped_but_its_work_is_seen() -> None:
    run = to_run(a_result(warmup_s=2.0, latency_s=0.55))
    assert run.total.requests == 100
    assert run.table is not None
    assert min(run.table.scheduled_s) == pytest.approx(0.0)
    assert run.table.trace_id[0] == f"{20:032x}"
    # Steady from the first moment, although nothing due in the measured time is done yet.
    assert run.series is not None
    assert run.series.completions == [10] * 10
    assert run.series.in_flight == pytest.approx([5.5] * 10)
    assert run.total.throughput.value == pytest.approx(10.0)


def test_series_has_one_entry_per_second() -> None:
    series = to_run(a_result()).series
    assert series is not None
    assert series.start_s == [float(second) for second in range(10)]
    assert series.arrivals == [10] * 10
    assert series.p95_s == pytest.approx([0.1] * 10)
    assert series.in_flight[5] == pytest.approx(1.0)


def test_little_law_holds_for_the_series() -> None:
    """Time in flight summed over the windows is latency summed over the requests."""
    result = a_result(latency_s=0.3)
    done = result.done_s < 10.0
    series = to_run(result).series
    assert series is not None
    inside_s = 0.3 * done.sum() + (10.0 - result.schedule.at_s[~done]).sum()
    assert sum(series.in_flight) == pytest.approx(inside_s)


def test_throughput_is_what_finished_in_the_measured_time() -> None:
    """Every answer takes 4 s: 60 of 100 requests finish within the 10 s."""
    assert to_run(a_result(latency_s=4.0)).total.throughput.value == pytest.approx(6.0)


def test_stopped_run_covers_the_time_until_the_stop() -> None:
    result = a_result(stopped=True, elapsed_s=4.0)
    result.sent_s[40:] = np.nan
    result.done_s[40:] = np.nan
    run = to_run(result)
    assert run.duration_s == pytest.approx(4.0)
    assert run.total.requests == 40
    assert any("stopped early" in warning for warning in run.warnings)


def test_run_stopped_within_the_warm_up_is_empty_not_wrong() -> None:
    result = a_result(warmup_s=2.0, stopped=True, elapsed_s=-1.0)
    result.sent_s[10:] = np.nan
    result.done_s[10:] = np.nan
    run = to_run(result)
    assert (run.duration_s, run.total.requests, run.total.latency) == (0.0, 0, None)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (a_result(lag_s=0.006), "the driver was late"),
        (a_result(cpu_s=9.0), "of a core"),
        (a_result(causes={1: OUT_OF_SOCKETS}), "ran out of sockets"),
    ],
)
def test_a_driver_that_did_not_keep_up_says_so(result: LoadResult, text: str) -> None:
    (warning,) = to_run(result).warnings
    assert text in warning


def test_a_driver_that_kept_up_does_not_warn_and_the_run_survives_json() -> None:
    run = to_run(a_result())
    assert run.warnings == []
    assert run.driver is not None
    assert run.driver.lag_max_s == pytest.approx(0.0001)
    assert Run.model_validate_json(run.model_dump_json()) == run
