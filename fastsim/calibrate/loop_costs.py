"""What the event loop itself costs, and how the cost of code depends on idleness.

Two regressions over one recording (DESIGN.md 4.5):

- *Overhead.* The loop thread's CPU outside the requests' own code, in short windows, is a
  non-negative combination of requests begun, waits finished and turns of the loop. At
  higher load a turn serves more waits, so overhead per request falls; the twin counts its
  own turns.
- *Waking up.* The same code costs more after the loop was idle. The excess over the
  median of the same step on a busy loop is fitted as ``a * (1 - exp(-gap / scale))``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from fastsim import spans
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import ObservedEndpoint
from fastsim.model import LoopCosts, WakeCost

FloatArray = npt.NDArray[np.float64]

WINDOW_S = 0.25
LEAST_WINDOWS = 20
_SCALES_S = (0.0003, 0.001, 0.003, 0.01, 0.03)
_BUSY_SAMPLES = 15


@dataclass(frozen=True, slots=True)
class ThreadUse:
    """CPU of threads beside the loop, from the process's counters."""

    cpu_per_wait_s: float
    """CPU of the other thread per wait that a thread ends (a database driver's thread)."""


def fit_loop_costs(requests: RequestSet, endpoints: list[ObservedEndpoint]) -> LoopCosts:
    """Fit overhead and wake-up cost; zeros where the recording cannot tell."""
    wake = fit_wake(endpoints)
    design, overhead = _overhead_windows(requests, endpoints)
    if len(overhead) < LEAST_WINDOWS:
        return _mean_overhead(requests, wake)
    scale = np.maximum(design.sum(axis=0), 1e-12)
    solution, _ = nnls(design / scale, overhead)
    accept, per_event, per_pass = (solution / scale).tolist()
    return LoopCosts(accept=accept, per_event=per_event, per_pass=per_pass, wake=wake)


def fit_wake(endpoints: list[ObservedEndpoint]) -> WakeCost:
    """Fit the extra cost of code that runs after an idle loop, per step and seconds of idleness."""
    gaps: list[FloatArray] = []
    extras: list[FloatArray] = []
    for endpoint in endpoints:
        for variant in endpoint.variants:
            for steps in zip(*variant.requests, strict=True):
                if steps[0].do != "cpu":
                    continue
                cpu = np.array([step.cpu_s for step in steps])
                gap = np.array([step.bound_s for step in steps])
                busy = cpu[gap <= 0.0]
                if len(busy) < _BUSY_SAMPLES:
                    continue
                gaps.append(gap[gap > 0.0])
                extras.append(cpu[gap > 0.0] - np.median(busy))
    if not gaps:
        return WakeCost()
    gap, extra = np.concatenate(gaps), np.concatenate(extras)
    if len(gap) < LEAST_WINDOWS:
        return WakeCost()
    # A cost law for typical code: the few steps with a wild duration must not carry it.
    bound = np.quantile(np.abs(extra), 0.98)
    gap, extra = gap[np.abs(extra) <= bound], extra[np.abs(extra) <= bound]
    best: tuple[float, float, float] | None = None
    for scale in _SCALES_S:
        shape = -np.expm1(-gap / scale)
        size = max(float(shape @ extra / (shape @ shape)), 0.0)
        loss = float(np.sum((extra - size * shape) ** 2))
        if best is None or loss < best[0]:
            best = (loss, size, scale)
    assert best is not None  # noqa: S101  _SCALES_S is not empty
    return WakeCost(per_segment=best[1], per_wakeup=0.0, scale=best[2])


def wake_extra(wake: WakeCost, gap_s: FloatArray) -> FloatArray:
    """Return the extra seconds of code that runs ``gap_s`` after the loop fell idle."""
    return wake.per_segment * -np.expm1(-gap_s / wake.scale)


def fit_thread_use(requests: RequestSet, endpoints: list[ObservedEndpoint]) -> ThreadUse:
    """Split the CPU of other threads over the waits that threads ended."""
    total = 0.0
    for rows in _per_instance(requests):
        process = _spent(requests, spans.PROCESS_CPU_NS, rows)
        loop = _spent(requests, spans.LOOP_CPU_NS, rows)
        recorder = _spent(requests, spans.RECORDER_CPU_NS, rows)
        total += max(process - loop - recorder, 0.0)
    waits = 0.0
    known = 0.0
    for endpoint in endpoints:
        for variant in endpoint.variants:
            weight = endpoint.requests * variant.share / len(variant.requests)
            for steps in variant.requests:
                for step in steps:
                    if step.do == "thread":
                        known += weight * step.cpu_s
                    elif step.do == "wait" and step.via is spans.Via.THREAD:
                        waits += weight
                    elif step.do == "stream" and step.via is spans.Via.THREAD:
                        waits += weight * len(step.chunks)
    return ThreadUse(max(total - known, 0.0) / waits if waits else 0.0)


def _overhead_windows(
    requests: RequestSet, endpoints: list[ObservedEndpoint]
) -> tuple[FloatArray, FloatArray]:
    """Return per window (requests, waits, passes) and the CPU outside requests' own code."""
    waits = _waits_per_request(requests, endpoints)
    design: list[list[float]] = []
    overhead: list[float] = []
    for rows in _per_instance(requests):
        passes = requests.counters[spans.LOOP_PASSES][rows]
        if len(rows) < 2 or passes.min() < 0:
            continue
        end_s = (requests.start_ns[rows] + requests.duration_ns[rows]) / 1e9
        window = np.floor((end_s - end_s[0]) / WINDOW_S).astype(np.int64)
        edges = np.flatnonzero(np.diff(window)) + 1
        seen = requests.counters[spans.REQUESTS_SEEN][rows]
        loop_cpu = requests.counters[spans.LOOP_CPU_NS][rows] / 1e9
        own_cpu = requests.counters[spans.SEGMENT_CPU_NS][rows] / 1e9
        finished = np.cumsum(waits[rows])
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            design.append(
                [
                    float(seen[last] - seen[first]),
                    float(finished[last] - finished[first]),
                    float(passes[last] - passes[first]),
                ]
            )
            spent = loop_cpu[last] - loop_cpu[first] - (own_cpu[last] - own_cpu[first])
            overhead.append(max(float(spent), 0.0))
    return np.array(design).reshape(-1, 3), np.array(overhead)


def _waits_per_request(
    requests: RequestSet, endpoints: list[ObservedEndpoint]
) -> npt.NDArray[np.int64]:
    waits = np.zeros(len(requests), np.int64)
    for endpoint in endpoints:
        for variant in endpoint.variants:
            for index, steps in zip(variant.indices, variant.requests, strict=True):
                waits[index] = sum(
                    len(step.chunks) if step.do == "stream" else step.do in {"wait", "thread"}
                    for step in steps
                )
    return waits


def _mean_overhead(requests: RequestSet, wake: WakeCost) -> LoopCosts:
    """Without a view into the loop: everything outside the requests' code, per request."""
    overhead = 0.0
    seen = 0.0
    for rows in _per_instance(requests):
        overhead += _spent(requests, spans.LOOP_CPU_NS, rows)
        overhead -= _spent(requests, spans.SEGMENT_CPU_NS, rows)
        seen += _spent(requests, spans.REQUESTS_SEEN, rows) * 1e9
    return LoopCosts(accept=max(overhead, 0.0) / seen if seen > 0.0 else 0.0, wake=wake)


def _per_instance(requests: RequestSet) -> list[npt.NDArray[np.int64]]:
    """Rows of each process that has counters, in the order the counters were read."""
    chosen: list[npt.NDArray[np.int64]] = []
    counted = requests.counters[spans.LOOP_CPU_NS] >= 0
    for instance in range(len(requests.instances)):
        rows = np.flatnonzero((requests.instance == instance) & counted & ~requests.warm_up)
        if len(rows) > 1:
            order = np.argsort(requests.counters[spans.LOOP_CPU_NS][rows], kind="stable")
            chosen.append(rows[order])
    return chosen


def _spent(requests: RequestSet, counter: str, rows: npt.NDArray[np.int64]) -> float:
    """Return the growth of a counter over the recording, seconds."""
    values = requests.counters[counter][rows]
    return float(values[-1] - values[0]) / 1e9 if values.min() >= 0 else 0.0


def utilisation(requests: RequestSet) -> float | None:
    """Busy share of the event loop while recording; None where the loop was not seen."""
    shares = []
    for rows in _per_instance(requests):
        busy = requests.counters[spans.LOOP_BUSY_NS][rows]
        end = requests.start_ns[rows] + requests.duration_ns[rows]
        if busy.min() >= 0 and end[-1] > end[0]:
            shares.append(float(busy[-1] - busy[0]) / float(end[-1] - end[0]))
    return min(float(np.mean(shares)), 1.0) if shares else None
