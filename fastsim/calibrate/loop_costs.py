"""What the event loop itself costs beside the requests' own code.

The loop thread's CPU outside that code, in short windows, is a non-negative combination of
requests begun, suspensions, waits finished and turns of the loop: what the twin counts. At higher
load a turn serves more waits, so overhead per request falls; the twin counts its own turns. What
idleness does to the cost of code is in ``cold``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear

from fastsim import spans
from fastsim.calibrate.growth import growth, processes, rested
from fastsim.calibrate.observed import walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import ColdCost, LoopCosts

FloatArray = npt.NDArray[np.float64]

WINDOW_S = 0.25
LEAST_WINDOWS = 20
_SUSPENDS = frozenset({"wait", "thread", "parallel", "yield"})
ALL_RECORDED = 1.02
"""Requests served per request recorded up to which all count as recorded."""


@dataclass(frozen=True, slots=True)
class ThreadUse:
    """CPU of threads beside the loop, from the process's counters."""

    cpu_per_wait_s: float
    """CPU of the other thread per wait that a thread ends (a database driver's thread)."""


def fit_loop_costs(
    requests: RequestSet, endpoints: list[ObservedEndpoint], cold: ColdCost
) -> LoopCosts:
    """Fit overhead; zeros where the recording cannot tell."""
    design, overhead = _overhead_windows(requests, endpoints, cold)
    # Of requests that were not recorded, the code is not known by window but in the mean.
    if len(overhead) < LEAST_WINDOWS or unsampled(requests) > ALL_RECORDED:
        return _mean_overhead(requests, cold)
    accept, suspend, event, turn = fit_overhead(design, overhead, _wake_path_s(endpoints, cold))
    return LoopCosts(accept=accept, per_suspend=suspend, per_event=event, per_pass=turn, cold=cold)


def fit_overhead(
    design: FloatArray, overhead: FloatArray, wake_s: float | None
) -> tuple[float, float, float, float]:
    """Split CPU over requests, suspensions, finished waits and turns; none of it negative.

    Parameters
    ----------
    design
        Shape (windows, 4): how many of each. A task that only lets others go first is suspended,
        but waits for nothing.
    overhead
        Shape (windows,), seconds.
    wake_s
        Time from the end of a wait that wakes the loop to the code after it: one to two turns, and
        what a finished wait costs. None where nobody knows; suspensions are free then, because
        counts that rise and fall together could not tell them from what they wait for.
    """
    requests, suspends, events, turns = design.T
    if wake_s is None:
        accept, event, turn = _fit([requests, events, turns], overhead)
        return accept, 0.0, event, turn
    # What the twin does between the end of a wait and the code after it takes as long as it took.
    within = [requests, suspends, turns - 2.0 * events]
    accept, suspend, turn = _fit(within, overhead - wake_s * events, wake_s / 2.0)
    if turn > 0.499 * wake_s:
        accept, suspend, turn = _fit([requests, suspends, turns], overhead, wake_s)
        return accept, suspend, 0.0, turn
    if suspend > 0.0:
        return accept, suspend, wake_s - 2.0 * turn, turn
    accept, event, turn = _fit([requests, events, turns], overhead, wake_s / 2.0)
    return accept, 0.0, event, turn


def _fit(
    counts: Sequence[FloatArray], spent: FloatArray, most: float = np.inf
) -> tuple[float, float, float]:
    """Return three costs that are not negative, and the last of them at most so much."""
    design = np.stack(counts, axis=1)
    scale = np.maximum(np.abs(design).sum(axis=0), 1e-12)
    bounds = np.array([np.inf, np.inf, max(most, 1e-9)])
    found = lsq_linear(design / scale, spent, bounds=(0.0, bounds * scale), method="bvls")
    first, second, last = np.maximum(found.x / scale, 0.0).tolist()
    return first, second, last


def unsampled(requests: RequestSet) -> float:
    """Return how many requests were served per request recorded; 1 if all were recorded."""
    seen = recorded = 0
    for instance in range(len(requests.instances)):
        rows = requests.instance == instance
        counters = requests.counters[spans.REQUESTS_SEEN][rows]
        if len(counters) > 1 and counters.min() >= 0:
            seen += int(counters.max() - counters.min())
            # Those that share the last reading may have come after it.
            recorded += int((counters < counters.max()).sum())
    return max(seen / recorded, 1.0) if recorded else 1.0


def _wake_path_s(endpoints: list[ObservedEndpoint], cold: ColdCost) -> float | None:
    """Return the time from the end of a wait to the code after it, on a busy loop.

    A wait that ended while the loop slept shows that path alone: turns and a callback. None
    where there are too few.
    """
    late = [
        step.late_s
        for endpoint in endpoints
        for variant in endpoint.variants
        for steps in variant.requests
        for step in walk(steps)
        if step.do == "wait" and 0.0 < step.late_s == step.bound_s
    ]
    if len(late) < LEAST_WINDOWS:
        return None
    return float(np.median(late)) / (1.0 + cold.extra)


def fit_thread_use(requests: RequestSet, endpoints: list[ObservedEndpoint]) -> ThreadUse:
    """Split the CPU of other threads over the waits that threads ended."""
    total = 0.0
    for rows in processes(requests):
        process = _spent(requests, spans.PROCESS_CPU_NS, rows)
        loop = _spent(requests, spans.LOOP_CPU_NS, rows)
        recorder = _spent(requests, spans.RECORDER_CPU_NS, rows)
        total += max(process - loop - recorder, 0.0)
    waits = 0.0
    known = 0.0
    served = unsampled(requests)
    for endpoint in endpoints:
        for variant in endpoint.variants:
            weight = served * endpoint.requests * variant.share / len(variant.requests)
            for steps in variant.requests:
                for step in walk(steps):
                    if step.do == "thread":
                        known += weight * step.cpu_s
                    elif step.do == "wait" and step.via is spans.Via.THREAD:
                        waits += weight
                    elif step.do == "stream" and step.via is spans.Via.THREAD:
                        waits += weight * len(step.chunks)
    return ThreadUse(max(total - known, 0.0) / waits if waits else 0.0)


def _overhead_windows(
    requests: RequestSet, endpoints: list[ObservedEndpoint], cold: ColdCost
) -> tuple[FloatArray, FloatArray]:
    """Return per window (requests, suspensions, finished waits, passes), and the CPU beside code.

    The counts are multiplied by the window's cold factor, so that the costs are those of a
    busy loop.
    """
    suspends, waits = suspends_per_request(requests, endpoints)
    design: list[list[float]] = []
    overhead: list[float] = []
    for rows in processes(requests):
        passes = requests.counters[spans.LOOP_PASSES][rows]
        if len(rows) < 2 or passes.min() < 0:
            continue
        end_s = (requests.start_ns[rows] + requests.duration_ns[rows]) / 1e9
        end_s = np.maximum.accumulate(end_s)  # counters are read after background work, too
        window = np.floor((end_s - end_s[0]) / WINDOW_S).astype(np.int64)
        edges = np.flatnonzero(np.diff(window)) + 1
        seen = requests.counters[spans.REQUESTS_SEEN][rows]
        loop_cpu = requests.counters[spans.LOOP_CPU_NS][rows] / 1e9
        own_cpu = requests.counters[spans.SEGMENT_CPU_NS][rows] / 1e9
        background = np.maximum(requests.counters[spans.BACKGROUND_CPU_NS][rows], 0) / 1e9
        busy = requests.counters[spans.LOOP_BUSY_NS][rows] / 1e9
        instance = requests.instance[rows[0]]
        suspended = _finished_by(end_s, requests, suspends, instance)
        finished = _finished_by(end_s, requests, waits, instance)
        rests = np.cumsum([0, *rested(requests, rows)])
        for first, last in itertools.pairwise(edges):
            if rests[last] > rests[first]:
                continue
            length = max(float(end_s[last] - end_s[first]), 1e-9)
            idle = 1.0 - min(float(busy[last] - busy[first]) / length, 1.0)
            counts = (
                float(seen[last] - seen[first]),
                float(suspended[last] - suspended[first]),
                float(finished[last] - finished[first]),
                float(passes[last] - passes[first]),
            )
            design.append([count * (1.0 + cold.extra * idle**cold.power) for count in counts])
            spent = loop_cpu[last] - loop_cpu[first] - (own_cpu[last] - own_cpu[first])
            spent -= background[last] - background[first]
            overhead.append(max(float(spent), 0.0))
    return np.array(design).reshape(-1, 4), np.array(overhead)


def _finished_by(
    end_s: FloatArray, requests: RequestSet, counts: npt.NDArray[np.int64], instance: int
) -> npt.NDArray[np.int64]:
    """Add up a count over the requests of a process that had ended by then."""
    of_it = np.flatnonzero(requests.instance == instance)
    ends = (requests.start_ns[of_it] + requests.duration_ns[of_it]) / 1e9
    order = np.argsort(ends, kind="stable")
    total = np.cumsum([0, *counts[of_it][order]])
    found: npt.NDArray[np.int64] = total[np.searchsorted(ends[order], end_s, side="right")]
    return found


def suspends_per_request(
    requests: RequestSet, endpoints: list[ObservedEndpoint]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how often each request was suspended, and how often for something to wait for."""
    suspends, waits = np.zeros((2, len(requests)), np.int64)
    for endpoint in endpoints:
        for variant in endpoint.variants:
            for index, steps in zip(variant.indices, variant.requests, strict=True):
                for step in walk(steps):
                    times = len(step.chunks) if step.do == "stream" else step.do in _SUSPENDS
                    suspends[index] += times
                    waits[index] += times if step.do != "yield" else 0
    return suspends, waits


def _mean_overhead(requests: RequestSet, cold: ColdCost) -> LoopCosts:
    """Without a view into the loop: everything outside the requests' code, per request."""
    overhead = 0.0
    seen = 0.0
    for rows in processes(requests):
        overhead += _spent(requests, spans.LOOP_CPU_NS, rows)
        # The counter holds the code of recorded requests; the others ran as much each.
        overhead -= _spent(requests, spans.SEGMENT_CPU_NS, rows) * unsampled(requests)
        overhead -= _spent(requests, spans.BACKGROUND_CPU_NS, rows)
        seen += _spent(requests, spans.REQUESTS_SEEN, rows) * 1e9
    return LoopCosts(accept=max(overhead, 0.0) / seen if seen > 0.0 else 0.0, cold=cold)


def _spent(requests: RequestSet, counter: str, rows: npt.NDArray[np.int64]) -> float:
    """Return the growth of a counter of nanoseconds while requests were served, seconds."""
    return (growth(requests, counter, rows) or 0) / 1e9


def utilisation(requests: RequestSet) -> float | None:
    """Busy share of the event loop while recording, else (uvloop) its CPU per time."""
    shares = []
    for rows in processes(requests):
        busy = requests.counters[spans.LOOP_BUSY_NS][rows]
        if busy.min() < 0:
            busy = requests.counters[spans.LOOP_CPU_NS][rows]
        end = requests.start_ns[rows] + requests.duration_ns[rows]
        if busy.min() >= 0 and end[-1] > end[0]:
            shares.append(float(busy[-1] - busy[0]) / float(end[-1] - end[0]))
    return min(float(np.mean(shares)), 1.0) if shares else None
