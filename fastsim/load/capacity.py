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
_FILLING = 3
"""Times the requests in flight that are done before the rate counts. All slots begin together;
until then fewer of them than usual hold requests that take long."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """A measured saturation rate."""

    per_s: float
    """Requests completed per second."""
    requests: float
    """Requests that the rate rests on; of those that began before or ended after, their part."""
    elapsed_s: float


def measure_capacity(
    base_url: str,
    mix: Mix,
    *,
    duration_s: float = 3.0,
    in_flight: int = IN_FLIGHT,
    seed: int = 1,
    expected_per_s: float | None = None,
) -> Capacity:
    """Measure the rate at which a service saturates under a mix of requests.

    A short first burst finds the size of the second, which is measured. Requests are mixed as
    their shares ask for: chance would have the rate of a few hundred requests vary with how many
    of them are expensive. Requests that fail do not count.

    Parameters
    ----------
    duration_s
        About how long to measure, seconds.
    in_flight
        Requests kept in flight.
    expected_per_s
        The rate as far as it is known, in place of the first burst.

    Raises
    ------
    NotEnoughDataError
        When no request succeeded.
    KeyboardInterrupt
        When it was stopped with Ctrl-C.
    """
    fewest = max(_FIRST_REQUESTS, 2 * _FILLING * in_flight)
    if expected_per_s is None:
        expected_per_s = _burst(base_url, mix, fewest, in_flight, seed).per_s
    requests = max(fewest, round(expected_per_s * duration_s))
    return _burst(base_url, mix, requests, in_flight, seed + 1)


def _burst(base_url: str, mix: Mix, requests: int, in_flight: int, seed: int) -> Capacity:
    schedule = draw_schedule(
        mix,
        rate_per_s=requests / _AT_ONCE_S,
        duration_s=_AT_ONCE_S,
        seed=seed,
        arrivals="uniform",
        evenly_mixed=True,
    )
    result = run_load(base_url, schedule, timeout_s=120.0, connections=in_flight)
    if result.stopped:
        raise KeyboardInterrupt
    return rate_of(result, in_flight, base_url)


def rate_of(result: LoadResult, in_flight: int, base_url: str) -> Capacity:
    """Return the rate while all slots were in use, until the last request leaves.

    Requests count for the part of their time that lies
    between: those that take long are many of what is under way, and were as much work as others.
    """
    failed = np.array([bool(cause) for cause in result.cause])
    done_s = np.where(np.isfinite(result.done_s), result.done_s, result.elapsed_s)
    if failed.all():
        causes = sorted({cause for cause in result.cause if cause})
        raise NotEnoughDataError(
            f"no request to {base_url} succeeded: {', '.join(causes) or 'no answer'}"
        )
    # Each request leaves when the one that many places before it among the finished ones is done.
    order_s = np.sort(done_s)
    left_s = np.concatenate([np.zeros(in_flight), order_s])[: len(done_s)]
    begin_s = float(order_s[min(_FILLING * in_flight, len(order_s) - in_flight) - 1])
    end_s = max(float(left_s[-1]), begin_s + 1e-9)
    within_s = np.clip(done_s, begin_s, end_s) - np.clip(left_s, begin_s, end_s)
    part = within_s / np.maximum(done_s - left_s, 1e-9)
    served, elapsed_s = float(part[~failed].sum()), end_s - begin_s
    return Capacity(served / elapsed_s, served, elapsed_s)
