"""What the event loop itself costs beside the requests' own code.

The loop thread's CPU outside that code, in short windows, is a non-negative combination of
requests begun, waits finished and turns of the loop (DESIGN.md 4.5). At higher load a turn serves
more waits, so overhead per request falls; the twin counts its own turns. What the kernel takes to
put the loop to sleep and to wake it is the thread's CPU, too, but keeps nothing waiting: it does
not count. What idleness does to the cost of code is in ``cold``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear

from fastsim import spans
from fastsim.calibrate.growth import growth, processes, unsampled
from fastsim.calibrate.loop_windows import LEAST_WINDOWS, LoopWindows
from fastsim.calibrate.observed import walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import ColdCost, LoopCosts

FloatArray = npt.NDArray[np.float64]

LEAST_WAKES = 20


@dataclass(frozen=True, slots=True)
class ThreadUse:
    """CPU of threads beside the loop, from the process's counters."""

    cpu_per_wait_s: float
    """CPU of the other thread per wait that a thread ends (a database driver's thread)."""


def fit_loop_costs(
    requests: RequestSet,
    endpoints: list[ObservedEndpoint],
    windows: LoopWindows,
    cold: ColdCost,
) -> LoopCosts:
    """Fit overhead; zeros where the recording cannot tell."""
    if len(windows) < LEAST_WINDOWS:
        return _mean_overhead(requests, cold)
    wake_s = _wake_path_s(endpoints, cold)
    accept, wait, turn = fit_overhead(windows.counts(cold), windows.overhead_s, wake_s)
    event = wait if wake_s is None else min(max(wake_s - 2.0 * turn, 0.0), wait)
    return LoopCosts(
        accept=accept,
        per_suspend=wait - event,
        per_event=event,
        per_pass=turn,
        cold=cold,
    )


def fit_overhead(
    design: FloatArray, overhead: FloatArray, wake_s: float | None
) -> tuple[float, float, float]:
    """Split CPU over requests, waits and turns of the loop; none of it negative.

    Parameters
    ----------
    design
        Shape (windows, 3): how many of each.
    overhead
        Shape (windows,), seconds.
    wake_s
        Time from the end of a wait that wakes the loop to the code after it. It contains a turn,
        so a turn costs no more: counts that rise and fall together could not tell. None where
        nobody knows.
    """
    scale = np.maximum(design.sum(axis=0), 1e-12)
    most = np.full(3, np.inf)
    if wake_s is not None:
        most[2] = max(wake_s, 1e-9)
    found = lsq_linear(design / scale, overhead, bounds=(0.0, most * scale), method="bvls")
    accept, per_wait, per_pass = np.maximum(found.x / scale, 0.0).tolist()
    return accept, per_wait, per_pass


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
    if len(late) < LEAST_WAKES:
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


def _mean_overhead(requests: RequestSet, cold: ColdCost) -> LoopCosts:
    """Without a view into the loop: everything outside the requests' code, per request."""
    overhead = 0.0
    seen = 0.0
    for rows in processes(requests):
        overhead += _spent(requests, spans.LOOP_CPU_NS, rows)
        overhead -= _spent(requests, spans.SLEEP_CPU_NS, rows)
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
