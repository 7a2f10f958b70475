import numpy as np
import pytest

from fastsim.errors import NotEnoughDataError
from fastsim.load.driver import LoadResult
from fastsim.load.outcome import to_run
from fastsim.load.schedule import draw_schedule
from fastsim.load.slices import join
from fastsim.load.traffic_file import parse_mix


def slice_of(seed: int, latency_s: float) -> LoadResult:
    schedule = draw_schedule(parse_mix("GET /=100%"), rate_per_s=50.0, duration_s=2.0, seed=seed)
    n = len(schedule)
    return LoadResult(
        base_url="http://127.0.0.1:1",
        schedule=schedule,
        sent_s=schedule.at_s,
        done_s=schedule.at_s + latency_s,
        status=np.full(n, 200),
        cause=("",) * n,
        received_bytes=np.zeros(n, np.int64),
        trace_ids=tuple(f"{seed:016x}{number:016x}" for number in range(n)),
        started_unix_ns=0,
        elapsed_s=2.0 + latency_s,
        cpu_s=0.1,
        stopped=False,
    )


def test_slices_follow_each_other_with_rest_in_between() -> None:
    slices = [slice_of(1, 0.010), slice_of(2, 0.030)]
    whole = join(slices, rest_s=5.0)
    first, second = (len(each.schedule) for each in slices)
    assert len(whole.schedule) == first + second
    assert whole.schedule.duration_s == pytest.approx(2.0 + 5.0 + 2.0)
    np.testing.assert_allclose(whole.schedule.at_s[first:], slices[1].schedule.at_s + 7.0)
    run = to_run(whole)
    assert run.total.completed == first + second
    assert run.warmup_s == 0.0
    assert run.table is not None
    assert run.table.latency_s[0] == pytest.approx(0.010)
    assert run.table.latency_s[-1] == pytest.approx(0.030)


def test_a_slice_that_was_stopped_stops_the_whole() -> None:
    from dataclasses import replace

    assert join([slice_of(1, 0.01), replace(slice_of(2, 0.01), stopped=True)]).stopped


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(NotEnoughDataError):
        join([])
