"""What the event loop did in short windows of a recording, and the time it took beside code.

Windows must be short: counts of requests, waits and turns that rise and fall together over a
quarter of a second cannot be told apart. In short windows a wait must count when it was over, not
when its request was.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim import spans
from fastsim.calibrate.cold import cold_factor
from fastsim.calibrate.growth import processes, rested, unsampled
from fastsim.calibrate.held_code import held
from fastsim.calibrate.observed import ObservedStep, walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.sampled import ALL_RECORDED
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import ColdCost

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

WINDOW_S = 0.05
LEAST_WINDOWS = 20
LEAST_STOLEN_S = 10e-6
"""Of a request; below, it is what clocks and rounding leave."""
_NEARLY_ALL = 1.25
"""Requests begun for each that ended in a window, where all are known: some are still going on."""
_WAITS = frozenset({"wait", "thread", "parallel"})
_COUNTERS = (
    spans.REQUESTS_SEEN,
    spans.SEGMENT_CPU_NS,
    spans.LOOP_CPU_NS,
    spans.SLEEP_CPU_NS,
    spans.BACKGROUND_CPU_NS,
    spans.LOOP_BUSY_NS,
    spans.LOOP_PASSES,
    spans.IDLE_WAKEUPS,
)


@dataclass(frozen=True, slots=True)
class LoopWindows:
    """One entry a window, of all processes; times in seconds."""

    requests: FloatArray
    waits: FloatArray
    """Finished."""
    passes: FloatArray
    sleeps: FloatArray
    idle: FloatArray
    """Share of the window that the loop slept."""
    overhead_s: FloatArray
    """CPU of the loop's thread beside requests' code, without what the kernel takes to put it to
    sleep and to wake it."""
    lost_s: FloatArray
    """Time that the loop was busy without having a core, or the GIL, but for code that blocks."""

    def __len__(self) -> int:
        return len(self.requests)

    def counts(self, cold: ColdCost) -> FloatArray:
        """Return requests, waits and passes, shape (windows, 3).

        Each counts as often as it costs what it would on a busy loop.
        """
        factor = cold_factor(cold, self.idle)
        return np.stack([self.requests, self.waits, self.passes], axis=1) * factor[:, None]


def loop_windows(requests: RequestSet, endpoints: list[ObservedEndpoint]) -> LoopWindows:
    """Cut a recording into windows.

    None where polls of the loop were not seen, nor where requests were left out by sampling: their
    code and their waits are known in the mean, but not by window.
    """
    columns: list[FloatArray] = []
    all_recorded = unsampled(requests) <= ALL_RECORDED
    for rows in processes(requests) if all_recorded else []:
        counted = {name: requests.counters[name][rows].astype(np.float64) for name in _COUNTERS}
        if counted[spans.LOOP_PASSES].min() < 0:
            continue
        read_s = (requests.start_ns[rows] + requests.duration_ns[rows]) / 1e9
        read_s = np.maximum.accumulate(read_s)  # counters are read after background work, too
        instance = int(requests.instance[rows[0]])
        ends_s = wait_ends(requests, endpoints, instance)
        finished = np.searchsorted(ends_s, read_s, side="right").astype(np.float64)
        awake = counted[spans.LOOP_CPU_NS] - np.maximum(counted[spans.SLEEP_CPU_NS], 0.0)
        beside = awake - counted[spans.SEGMENT_CPU_NS]
        beside -= np.maximum(counted[spans.BACKGROUND_CPU_NS], 0.0)
        edges = np.flatnonzero(np.diff(np.floor((read_s - read_s[0]) / WINDOW_S))) + 1
        rests = np.cumsum([0, *rested(requests, rows)])[edges]
        kept = np.diff(rests) == 0
        if requests.served_per_recorded is not None:
            kept &= _all_looked_at(requests, instance, read_s, counted[spans.REQUESTS_SEEN], edges)

        totals = np.stack(
            [
                counted[spans.REQUESTS_SEEN],
                finished,
                counted[spans.LOOP_PASSES],
                counted[spans.IDLE_WAKEUPS],
                counted[spans.LOOP_BUSY_NS] / 1e9,
                beside / 1e9,
                (counted[spans.LOOP_BUSY_NS] - awake) / 1e9
                - blocked_by(requests, endpoints, instance, read_s),
                read_s,
            ]
        )
        *counts, busy_s, beside_s, lost_s, length_s = np.diff(totals[:, edges])[:, kept]
        idle = 1.0 - np.minimum(busy_s / np.maximum(length_s, 1e-9), 1.0)
        columns.append(np.stack([*counts, idle, np.maximum(beside_s, 0.0), lost_s]))
    return LoopWindows(*np.concatenate([np.zeros((7, 0)), *columns], axis=1))


def _all_looked_at(
    requests: RequestSet, instance: int, read_s: FloatArray, seen: FloatArray, edges: IntArray
) -> BoolArray:
    """Tell in which windows timelines of nearly all requests were kept; shape (windows,)."""
    mine = requests.instance == instance
    ends_s = np.sort((requests.start_ns[mine] + requests.duration_ns[mine]) / 1e9)
    ended = np.diff(np.searchsorted(ends_s, read_s[edges], side="right"))
    found: BoolArray = np.diff(seen[edges]) <= _NEARLY_ALL * ended + 2.0
    return found


def stolen_per_request_s(windows: LoopWindows) -> float:
    """Return the time per request that the loop loses to others than its own threads, seconds.

    Interrupts, other processes on its core, a hypervisor. Threads of its own take nothing while
    the loop sleeps: of waits that wake it they have taken none. So what is lost is so much a
    request, and so much for each finished wait but those. 0 where there are few windows.
    """
    if len(windows) < LEAST_WINDOWS:
        return 0.0
    counts = np.stack([windows.requests, windows.waits, windows.sleeps], axis=1)
    scale = np.maximum(counts.sum(axis=0), 1e-12)
    found = np.linalg.lstsq(counts / scale, windows.lost_s, rcond=None)[0] / scale
    most = max(float(windows.lost_s.sum()), 0.0) / max(float(windows.requests.sum()), 1.0)
    stolen_s = float(np.clip(found[0], 0.0, most))
    return stolen_s if stolen_s >= LEAST_STOLEN_S else 0.0


def blocked_by(
    requests: RequestSet, endpoints: list[ObservedEndpoint], instance: int, at_s: FloatArray
) -> FloatArray:
    """Return how long code of a process's requests had blocked its loop by some moments, seconds.

    Parameters
    ----------
    at_s
        Seconds since the epoch.
    """
    ends: list[FloatArray] = []
    spent: list[FloatArray] = []
    for variant in (variant for endpoint in endpoints for variant in endpoint.variants):
        for steps, rows in variant.columns():
            if steps[0].do != "cpu":
                continue
            wall = np.array([step.wall_s for step in steps])
            away = wall - np.array([step.cpu_s for step in steps])
            if not held(wall, wall - away)[1]:
                continue
            index = np.array(rows)
            own = requests.instance[index] == instance
            start = np.array([step.start_s for step in steps])
            ends.append((requests.start_ns[index] / 1e9 + start + wall)[own])
            spent.append(np.maximum(away, 0.0)[own])
    if not ends:
        return np.zeros(len(at_s))
    moments, seconds = np.concatenate(ends), np.concatenate(spent)
    order = np.argsort(moments, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(seconds[order])])
    found: FloatArray = total[np.searchsorted(moments[order], at_s, side="right")]
    return found


def wait_ends(requests: RequestSet, endpoints: list[ObservedEndpoint], instance: int) -> FloatArray:
    """Return when waits of a process's requests were over, in order; seconds since the epoch."""
    ended: list[float] = []
    for endpoint in endpoints:
        for variant in endpoint.variants:
            for row, steps in zip(variant.indices, variant.requests, strict=True):
                if requests.instance[row] == instance:
                    start_s = float(requests.start_ns[row]) / 1e9
                    ended += [start_s + end_s for step in walk(steps) for end_s in _wait_ends(step)]
    return np.sort(np.array(ended))


def _wait_ends(step: ObservedStep) -> Iterator[float]:
    """Yield when the waits of a step were over. Who lets others go first waits for nothing."""
    if step.do in _WAITS:
        yield step.start_s + step.wall_s
    at_s = step.start_s
    for chunk in step.chunks:
        yield at_s + chunk.wall_s
        at_s += chunk.wall_s + chunk.loop_s
