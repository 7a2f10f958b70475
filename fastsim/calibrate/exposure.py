"""For how long a service was watched: not between two recordings.

Processes that never lived at the same time are recordings of their own, or one that was restarted:
between the last answer of the ones before and the first request of the next nobody looked. A
process that was asked nothing for a while is another matter: that is what its traffic was like.
"""

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.requests import RequestSet

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

LEAST_REST_S = 1.0
REST_GAPS = 20.0
"""A rest is at least so many times the typical time from one to the next."""


def are_rests(gaps_s: FloatArray) -> BoolArray:
    """Tell which of the times from one request or answer to the next are rests: nobody came."""
    if not len(gaps_s):
        return np.zeros(0, np.bool_)
    found: BoolArray = gaps_s > max(LEAST_REST_S, REST_GAPS * float(np.median(np.abs(gaps_s))))
    return found


def without_rests(times_s: FloatArray) -> FloatArray:
    """Return times with every rest cut to the shortest that is one: who serves is idle after it.

    Parameters
    ----------
    times_s
        In order, seconds.
    """
    gaps_s = np.diff(times_s, prepend=times_s[:1])
    rests = are_rests(gaps_s)
    if not rests.any():
        return times_s
    shortest_s = max(LEAST_REST_S, REST_GAPS * float(np.median(gaps_s)))
    cut: FloatArray = times_s[0] + np.cumsum(np.where(rests, shortest_s, gaps_s))
    return cut


def watched_times_s(requests: RequestSet) -> FloatArray:
    """Return when requests came, in seconds of the time in which some process was watched.

    Shape (n,), from the first one on; times between recordings are left out.
    """
    start_ns = requests.start_ns
    if not len(start_ns):
        return np.zeros(0)
    first, last = _lives_ns(requests)
    order = np.argsort(first, kind="stable")
    begins, ends = first[order], np.maximum.accumulate(last[order])
    # Nobody was watched from when all before had ended until the next began.
    gaps = np.maximum(begins[1:] - ends[:-1], 0)
    before = np.concatenate([[0], np.cumsum(gaps)])
    of = np.searchsorted(begins, start_ns, side="right") - 1
    watched: FloatArray = (start_ns - begins[0] - before[of]) / 1e9
    return watched


def processes_at_a_time(requests: RequestSet) -> int:
    """Return how many processes served at the same time, for the middle one of the requests.

    One that took the place of another, or was recorded at another time, is not one more.
    """
    if not len(requests):
        return 1
    first, last = _lives_ns(requests)
    begun = np.searchsorted(np.sort(first), requests.start_ns, side="right")
    ended = np.searchsorted(np.sort(last), requests.start_ns, side="left")
    return max(int(np.median(begun - ended)), 1)


def _lives_ns(requests: RequestSet) -> tuple[IntArray, IntArray]:
    """Return from when to when each process is known to have lived; one without requests, never."""
    count = len(requests.instances)
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, requests.instance, requests.start_ns)
    some = np.unique(requests.instance)
    last[some] = np.iinfo(np.int64).min
    np.maximum.at(last, requests.instance, requests.start_ns + requests.duration_ns)
    return first, last
