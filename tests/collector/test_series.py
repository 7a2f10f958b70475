"""The loop's own series: busy time, lag, garbage collections."""

import asyncio
import gc
import time

import pytest

from fastsim.calibrate.loop_series import is_loop_span, read_loop_series
from fastsim.collector import clocks
from fastsim.collector.export import build_series_span
from fastsim.collector.series import LoopSeries, probe_lag, watch_collections
from fastsim.collector.timeline import LoopClock

pytestmark = pytest.mark.timed

MS = 1_000_000


def passes(series: LoopSeries, lengths: list[int], now: int) -> None:
    """End a window with passes of these lengths."""
    series.end_window(now, sum(lengths), sum(length**2 for length in lengths), max(lengths))


def test_lag_is_what_a_random_arrival_waits() -> None:
    series = LoopSeries(0)
    # Ten passes of 4 ms with 6 ms of sleep between them: a random moment falls into a pass with
    # probability 0.4 and then waits 2 ms on average.
    passes(series, [4 * MS] * 10, 100 * MS)
    [window] = series.windows
    assert window.length == 100 * MS
    assert window.busy == 40 * MS
    assert window.lag_mean == pytest.approx(0.8 * MS)
    assert window.lag_max == 4 * MS


def test_windows_begin_anew() -> None:
    series = LoopSeries(0)
    passes(series, [60 * MS], 120 * MS)
    passes(series, [1 * MS], 260 * MS)
    first, second = series.windows
    assert (first.at, first.length, first.lag_max) == (0, 120 * MS, 60 * MS)
    assert (second.at, second.length, second.lag_max, second.busy) == (120 * MS, 140 * MS, MS, MS)


def test_the_time_without_a_core_is_read_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([3 * MS, 5 * MS])
    monkeypatch.setattr(clocks, "core_wait_ns", lambda: next(readings))
    series = LoopSeries(0)
    assert series.core_wait == -1
    passes(series, [MS], 120 * MS)
    assert series.core_wait == 3 * MS
    series.add_probe(MS, 240 * MS)
    assert series.core_wait == 5 * MS


def test_it_hands_over_when_there_are_ten() -> None:
    series = LoopSeries(0)
    taken = []
    series.on_full = lambda: taken.append(len(series.take()[0]))
    for step in range(1, 26):
        passes(series, [MS], step * 100 * MS)
    assert taken == [10, 10]
    assert len(series.windows) == 5


def test_a_loop_is_seen_through_its_selector() -> None:
    async def work() -> LoopSeries:
        clock = LoopClock()
        clock.watch(asyncio.get_running_loop())
        for _ in range(3):
            time.sleep(0.05)  # noqa: ASYNC251  holds the loop
            await asyncio.sleep(0)
        await asyncio.sleep(0.06)
        await asyncio.sleep(0)
        return clock.series

    [window, *_] = asyncio.run(work()).windows
    assert window.lag_max >= 50 * MS
    assert window.busy >= 100 * MS


def test_what_the_kernel_takes_to_sleep_is_told_apart() -> None:
    async def work() -> LoopClock:
        clock = LoopClock()
        clock.watch(asyncio.get_running_loop())
        for _ in range(20):
            await asyncio.sleep(0.001)
        return clock

    before = time.thread_time_ns()
    clock = asyncio.run(work())
    assert clock.idle_wakeups >= 20
    # Going to sleep takes CPU, and it is part of the thread's.
    assert 0 < clock.sleep_cpu < time.thread_time_ns() - before


def test_a_probe_reports_how_late_it_woke() -> None:
    async def work() -> LoopSeries:
        series = LoopSeries(time.perf_counter_ns())
        probe = asyncio.create_task(probe_lag(series))
        await asyncio.sleep(0.05)
        time.sleep(0.15)  # noqa: ASYNC251  over the moment it was due
        await asyncio.sleep(0.01)
        probe.cancel()
        return series

    [window] = asyncio.run(work()).windows
    assert window.lag_max >= 90 * MS
    assert window.busy == -1


def test_full_collections_are_noted_and_young_ones_not() -> None:
    series = LoopSeries(0)
    watch_collections(series)
    watch_collections(series)
    gc.collect(0)
    assert series.collections == []
    gc.collect()
    [(at, length)] = series.collections
    assert at > 0
    assert length > 0


def test_the_span_says_it_all_again() -> None:
    series = LoopSeries(0)
    series.in_flight = 3
    for step in range(1, 6):
        passes(series, [30 * MS], step * 100 * MS)
    windows, _ = series.take()
    span = build_series_span(windows, [(5, 80 * MS)], timers=(4, 600_000))
    assert is_loop_span(span)
    read = read_loop_series([span.attributes, {"fastsim.loop.at_ns": "damaged"}])
    assert len(read) == 5
    assert read.busy_share == pytest.approx(0.3)
    assert read.lag_s == pytest.approx(0.0045)
    assert read.in_flight.tolist() == [3.0] * 5
    assert read.collections_s.tolist() == [0.08]
    assert read.timer_wakes == 4
    assert read.timer_late_s == pytest.approx(150e-6)


def test_without_windows_nothing_is_claimed() -> None:
    read = read_loop_series([])
    assert len(read) == 0
    assert read.lag_s == 0.0
    assert read.busy_share != read.busy_share
