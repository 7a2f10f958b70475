"""How much a cumulative counter of a process grew while requests were served.

Counters are read when a request is over. Between two slices of a recording a process rests, and
what it does then (the recorder's own thread, timers, a garbage collection) belongs to no request:
growth across a rest does not count, nor does that of the warm-up.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fastsim import spans
from fastsim.calibrate.exposure import are_rests, without_rests
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.thinning import even_blocks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOST_REPLAYED, BLOCK = 10_000, 2_500
"""Requests that are replayed, and how many in a row: more would say the same, later."""


def processes(requests: RequestSet) -> list[IntArray]:
    """Rows of each process at which its counters were read, in that order.

    Requests that end within a few milliseconds share a reading, taken at the end of the first:
    of the others it says nothing.
    """
    chosen: list[IntArray] = []
    counted = requests.counters[spans.LOOP_CPU_NS] >= 0
    for instance in range(len(requests.instances)):
        rows = np.flatnonzero((requests.instance == instance) & counted & ~requests.warm_up)
        end_ns = requests.start_ns[rows] + requests.duration_ns[rows]
        order = np.lexsort((end_ns, requests.counters[spans.LOOP_CPU_NS][rows]))
        rows = rows[order]
        read = np.diff(requests.counters[spans.LOOP_CPU_NS][rows], prepend=-1) > 0
        if read.sum() > 1:
            chosen.append(rows[read])
    return chosen


def rested(requests: RequestSet, rows: IntArray) -> BoolArray:
    """Tell after which of the rows, but the last, the process rested; shape (len(rows) - 1,)."""
    end_s = (requests.start_ns[rows] + requests.duration_ns[rows]) / 1e9
    return are_rests(np.diff(end_s))


def growth(requests: RequestSet, counter: str, rows: IntArray) -> int | None:
    """Return by how much a counter grew over rows of one process, outside of rests.

    None where it was not kept.
    """
    values = requests.counters[counter][rows]
    if len(values) < 2 or values.min() < 0:
        return None
    return int(np.diff(values)[~rested(requests, rows)].sum())


def per_request_s(requests: RequestSet, counter: str) -> float | None:
    """Return the growth of a counter of nanoseconds per request served, in seconds.

    Over all processes; None where one of them did not keep it.
    """
    spent_ns = served = 0
    for rows in processes(requests):
        spent = growth(requests, counter, rows)
        seen = growth(requests, spans.REQUESTS_SEEN, rows)
        if spent is None or seen is None:
            return None
        spent_ns += spent
        served += seen
    return spent_ns / served / 1e9 if served else None


def loop_share(requests: RequestSet, counter: str) -> float | None:
    """Return the share of the time with requests that a counter of loop time grew by.

    ``LOOP_BUSY_NS`` gives how busy the loops were. None where a process did not keep it.
    """
    spent_ns = length_ns = 0
    for rows in processes(requests):
        spent = growth(requests, counter, rows)
        if spent is None:
            return None
        end_ns = requests.start_ns[rows] + requests.duration_ns[rows]
        spent_ns += spent
        length_ns += int(np.diff(end_ns)[~rested(requests, rows)].sum())
    return min(spent_ns / length_ns, 1.0) if length_ns > 0 else None


def unsampled(requests: RequestSet) -> float:
    """Return how many requests were served per request recorded; 1 if all were recorded.

    As the recorder counted them; where it did not run, as far as the traces say.
    """
    if requests.served_per_recorded is not None:
        return requests.served_per_recorded
    seen = recorded = 0
    for instance in range(len(requests.instances)):
        rows = requests.instance == instance
        counters = requests.counters[spans.REQUESTS_SEEN][rows]
        if len(counters) > 1 and counters.min() >= 0:
            seen += int(counters.max() - counters.min())
            # Those that share the last reading may have come after it.
            recorded += int((counters < counters.max()).sum())
    return max(seen / recorded, 1.0) if recorded else float(requests.stand_for.mean())


def looked_at(requests: RequestSet) -> RequestSet:
    """Return the requests without those whose timelines were let go.

    Between them, it is as if nobody had come.
    """
    if not requests.left_out.any():
        return requests
    part = requests.part(~requests.left_out)
    return replace(part, served_per_recorded=unsampled(requests))


def to_replay(requests: RequestSet, most: int = MOST_REPLAYED) -> RequestSet:
    """Return as many requests as a replay needs to be compared: some stretches of them."""
    requests = looked_at(requests)
    if len(requests) <= most:
        return requests
    block, taken = even_blocks(len(requests), most, BLOCK)
    part = requests.part(taken[block])
    return replace(part, served_per_recorded=unsampled(requests))


def replayed_s(arrival_s: FloatArray, requests: RequestSet) -> FloatArray:
    """Return when requests come in a replay: not after days of which nothing was looked at.

    Parameters
    ----------
    arrival_s
        In order, seconds.
    """
    return arrival_s if requests.served_per_recorded is None else without_rests(arrival_s)


def stand_for(requests: RequestSet) -> FloatArray:
    """Return how many requests served each one recorded stands for; shape (n,)."""
    found = requests.stand_for * (unsampled(requests) / requests.stand_for.mean())
    return np.asarray(found, np.float64)
