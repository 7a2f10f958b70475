"""How much a service can serve: what it completes per second while it is always asked for more.

The one closed loop in FastSim. Its latencies mean nothing and are not kept; its rate is the
saturation rate, from which loads are chosen as shares, so that they mean the same on every
machine.
"""

from dataclasses import dataclass

import numpy as np

from fastsim.errors import NotEnoughDataError
from fastsim.load.driver import LoadResult
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import Mix

IN_FLIGHT = 16
"""Requests kept in flight: enough that the service never waits for the next one."""

_FIRST_REQUESTS = 40
_AT_ONCE_S = 0.01


@dataclass(frozen=True, slots=True)
class Capacity:
    """A measured saturation rate."""

    per_s: float
    """Requests completed per second."""
    requests: int
    """Requests that the rate rests on."""
    elapsed_s: float


def measure_capacity(
    base_url: str,
    mix: Mix,
    *,
    duration_s: float = 3.0,
    in_flight: int = IN_FLIGHT,
    seed: int = 1,
) -> Capacity:
    """Measure the rate at which a service saturates under a mix of requests.

    A short first burst finds the size of the second, which is measured. Requests that fail
    do not count.

    Parameters
    ----------
    duration_s
        About how long to measure, seconds.
    in_flight
        Requests kept in flight.

    Raises
    ------
    NotEnoughDataError
        When no request succeeded.
    KeyboardInterrupt
        When it was stopped with Ctrl-C.
    """
    first = _burst(base_url, mix, _FIRST_REQUESTS, in_flight, seed)
    requests = max(_FIRST_REQUESTS, round(first.per_s * duration_s))
    return _burst(base_url, mix, requests, in_flight, seed + 1)


def _burst(base_url: str, mix: Mix, requests: int, in_flight: int, seed: int) -> Capacity:
    schedule = draw_schedule(
        mix,
        rate_per_s=requests / _AT_ONCE_S,
        duration_s=_AT_ONCE_S,
        seed=seed,
        arrivals="uniform",
    )
    result = run_load(base_url, schedule, timeout_s=120.0, connections=in_flight)
    if result.stopped:
        raise KeyboardInterrupt
    return _rate(result, in_flight, base_url)


def _rate(result: LoadResult, in_flight: int, base_url: str) -> Capacity:
    """Return the rate between the first completions and the last: when all slots were in use."""
    failed = np.array([bool(cause) for cause in result.cause])
    done_s = np.sort(result.done_s[~failed & np.isfinite(result.done_s)])
    if not len(done_s):
        causes = sorted({cause for cause in result.cause if cause})
        raise NotEnoughDataError(
            f"no request to {base_url} succeeded: {', '.join(causes) or 'no answer'}"
        )
    # From the last request on, fewer than ``in_flight`` are left: they are not counted.
    full = done_s[: max(len(done_s) - in_flight, 1)]
    elapsed_s = max(float(full[-1]), 1e-9)
    return Capacity(len(full) / elapsed_s, len(full), elapsed_s)
