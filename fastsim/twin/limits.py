"""Limits on how often something may be done: rate limits, and stations of the user's own."""

from heapq import heappop, heappush
from typing import Protocol

from fastsim.errors import InputError
from fastsim.limit import Limit
from fastsim.own_code import check_own, load_own, own_failed
from fastsim.twin.records import Usage

REFUSED = -1.0
"""What ``enter`` answers to who is turned away."""
_HINT = "write it like quota.py:Quota (docs/reference/model.md)"


class Station(Protocol):
    """What requests pass, one after the other, at the moment they get there."""

    def enter(self, now: float) -> float:
        """Return how long a request has to wait, 0 for not at all, below 0 for refused.

        Parameters
        ----------
        now
            Seconds from the start of the simulation; never less than the time before.
        """


class TokenBucket:
    """A bucket of ``burst`` tokens that fills at a rate; a request takes one.

    Parameters
    ----------
    rate_per_s
        Tokens per second.
    waits
        Whether a request waits for its token in turn, or is refused when there is none.
    """

    def __init__(self, rate_per_s: float, burst: int, *, waits: bool) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._waits = waits
        self._tokens = float(burst)
        """Below 0 for as many as have been promised."""
        self._at = 0.0

    def enter(self, now: float) -> float:
        """Return how long a request waits for its token, seconds, or ``REFUSED``."""
        filled = self._tokens + (now - self._at) * self._rate_per_s
        self._tokens = min(filled, self._burst)
        self._at = now
        if self._tokens >= 1.0 - 1e-9:
            self._tokens -= 1.0
            return 0.0
        if not self._waits:
            return REFUSED
        self._tokens -= 1.0
        return -self._tokens / self._rate_per_s


class Gate:
    """A station with what is measured of it."""

    def __init__(self, limit: Limit) -> None:
        self._station = make_station(limit)
        self._place = limit.station or "a rate limit"
        self._each_s = 1.0 / limit.rate if limit.rate else 0.0
        self.usage = Usage()
        """Its busy time is what the admitted would need at the allowed rate."""
        self._leaving: list[float] = []
        """A heap of when those who wait may pass."""

    def enter(self, now: float) -> float:
        """Return how long a request has to wait, seconds, or ``REFUSED``."""
        try:
            delay_s = float(self._station.enter(now))
        except Exception as error:
            raise own_failed(self._place, error, hint=_HINT) from error
        use = self.usage
        use.acquires += 1
        if delay_s >= 0.0:
            use.busy_s += self._each_s
            use.wait_s += delay_s
        if delay_s > 0.0:
            while self._leaving and self._leaving[0] <= now:
                heappop(self._leaving)
            heappush(self._leaving, now + delay_s)
            use.max_queue = max(use.max_queue, len(self._leaving))
        return delay_s


def make_station(limit: Limit) -> Station:
    """Return the station of a limit.

    Raises
    ------
    InputError
        When the user's own cannot be loaded or made.
    """
    if limit.station is None:
        assert limit.rate is not None  # noqa: S101 - the model has checked that
        return TokenBucket(limit.rate, limit.burst, waits=limit.full == "wait")
    return _own(limit.station, limit)


def check_station(place: str) -> None:
    """Tell, without running it, whether a user's file has the class that it should have.

    Raises
    ------
    InputError
        When there is no such file, or no such class in it.
    """
    check_own(place, called="class", hint=_HINT)


def _own(place: str, limit: Limit) -> Station:
    """Make a station of a class in a user's file: ``quota.py:Quota``."""
    own = load_own(place, called="class", hint=_HINT)
    try:
        made = own(**limit.parameters)
    except Exception as error:
        raise own_failed(place, error, hint=_HINT) from error
    if not callable(getattr(made, "enter", None)):
        raise InputError(f"{place} has no method enter(now)", hint=_HINT)
    station: Station = made
    return station
