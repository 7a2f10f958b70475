"""Limits on how often something may be done: rate limits, and stations of the user's own."""

import ast
import importlib.util
from heapq import heappop, heappush
from pathlib import Path
from typing import Protocol

from fastsim.errors import InputError
from fastsim.limit import Limit
from fastsim.twin.records import Usage

REFUSED = -1.0
"""What ``enter`` answers to who is turned away."""


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
            raise _failed(self._place, error) from error
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
    path, name = _file_and_class(place)
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise _failed(place, error) from error
    if not any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body):
        raise InputError(f"{path} defines no class {name}", hint="see docs/reference/model.md")


def _file_and_class(place: str) -> tuple[Path, str]:
    file, _, name = place.rpartition(":")
    hint = "write it like quota.py:Quota"
    if not file or not name:
        raise InputError(f"{place!r} names no class in a file", hint=hint)
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"there is no Python file {file}", hint=hint)
    return path, name


def _own(place: str, limit: Limit) -> Station:
    """Make a station of a class in a user's file: ``quota.py:Quota``."""
    path, name = _file_and_class(place)
    spec = importlib.util.spec_from_file_location(f"fastsim_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"there is no Python file {path}", hint="write it like quota.py:Quota")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        made = getattr(module, name)(**limit.parameters)
    except Exception as error:
        raise _failed(place, error) from error
    if not callable(getattr(made, "enter", None)):
        raise InputError(f"{place} has no method enter(now)", hint="see docs/reference/model.md")
    station: Station = made
    return station


def _failed(place: str, error: Exception) -> InputError:
    """Say what a user's file did wrong."""
    what = f"{type(error).__name__}: {error}"
    return InputError(f"{place} cannot be used: {what}", hint="see docs/reference/model.md")
