"""Traffic from elsewhere: a recording once more, or what a function of the user's own says.

``traces.jsonl`` repeats every request of a recording at its moment, ``traces.jsonl x2`` twice as
many as came, ``traces.jsonl in 10min`` in less time, and ``holiday.py:arrivals`` asks a Python
function. The twin simulates and the driver sends the same requests.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastsim.errors import InputError
from fastsim.own_code import check_own, load_own, own_failed
from fastsim.streams import stream
from fastsim.units import DIGITS, parse_duration

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

APART = 0.05
"""Copies of a recording are moved against each other by up to this part of its length: far enough
that what came together does not come together twice, little enough to keep the hours of the day."""
FOLLOWS = 0.25
"""How far from twice as many the requests of an own function may be at twice the rate."""

_SCALED = re.compile(r"(?P<file>.+?)(?:\s+[x×](?P<times>[\d.]*))?(?:\s+in\s+(?P<length>\S+))?")
_OWN = re.compile(r".+\.py:\w+")
_OWN_HINT = "write it like holiday.py:arrivals (docs/reference/traffic.md)"


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """Requests in the order in which they arrive."""

    at_s: FloatArray
    """Seconds from the beginning, below 0 before what is measured."""
    endpoint: IntArray
    """Index into ``names``; -1 for one that may be of any endpoint."""
    names: tuple[str, ...]

    def in_terms_of(self, names: Sequence[str]) -> IntArray:
        """Return what each asks for as index into other names; -1 where they lack it."""
        known = np.array([*(names.index(n) if n in names else -1 for n in self.names), -1])
        found: IntArray = known[self.endpoint]
        return found

    def warmed_up(self, warmup_s: float, duration_s: float) -> "Arrived":
        """Return them with others before: those that begin it, as often as it takes.

        The load is then the same before and after the measured time begins.
        """
        rounds = range(math.ceil(warmup_s / duration_s))
        before_s = np.concatenate(
            [np.zeros(0), *(self.at_s + (number * duration_s - warmup_s) for number in rounds)]
        )
        kept = before_s < 0.0
        before = np.tile(self.endpoint, len(rounds))[kept]
        return Arrived(
            np.concatenate([before_s[kept], self.at_s]),
            np.concatenate([before, self.endpoint]),
            self.names,
        )


class Source(Protocol):
    """Something that says when requests arrive, and for what."""

    @property
    def rate_per_s(self) -> float | None:
        """Its own mean rate, if it has one."""

    @property
    def length_s(self) -> float | None:
        """How long it lasts, if that is its own."""

    def arrivals(self, rate_per_s: float, duration_s: float, seed: int) -> Arrived:
        """Return the requests at a mean rate, requests per second.

        Raises
        ------
        InputError
            When it has none.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """The requests of a recording."""

    came: Arrived
    """From 0 to ``length_s``."""
    length_s: float

    @property
    def rate_per_s(self) -> float:
        """Mean rate of the recording."""
        return len(self.came.at_s) / self.length_s

    def arrivals(self, rate_per_s: float, duration_s: float, seed: int) -> Arrived:
        """Return as many of the requests as the rate asks for, or copies of all of them.

        A part of a recording is drawn from it. Of more than once a recording every copy is moved in
        time, and what leaves the end comes in at the beginning: the requests of one rush do not
        come twice at once, but there is as much traffic more as there was at the time of day.

        Parameters
        ----------
        duration_s
            In which all of it is repeated.
        """
        count = len(self.came.at_s)
        times = rate_per_s * duration_s / count
        copies = math.ceil(times - 1e-9)
        chance = stream(seed, "source").random(count)
        at_s, endpoint = [], []
        for number in range(copies):
            kept = chance < times - number
            part = self.came.at_s[kept] / self.length_s + number * APART / copies
            at_s.append((part % 1.0) * duration_s)
            endpoint.append(self.came.endpoint[kept])
        if not sum(map(len, at_s)):
            raise InputError("none of the recorded requests is left", hint="ask for more of them")
        every_s, every = np.concatenate(at_s), np.concatenate(endpoint)
        order = np.argsort(every_s, kind="stable")
        return Arrived(every_s[order], every[order], self.came.names)

    def scaled(self, times: float, length_s: float | None) -> "Recorded":
        """Return it with so many times the requests, and in another time."""
        duration_s = length_s or self.length_s
        rate_per_s = times * len(self.came.at_s) / duration_s
        return Recorded(self.arrivals(rate_per_s, duration_s, seed=0), duration_s)


@dataclass(frozen=True, slots=True)
class Own:
    """A function of the user's own: ``holiday.py:arrivals``.

    It gets the mean rate (requests per second), the duration (seconds) and a numpy random
    generator, and returns moments (seconds), or pairs of a moment and an endpoint, in any order.
    """

    place: str
    rate_per_s: None = None
    length_s: None = None

    def check(self) -> None:
        """Tell whether there is such a function, without running it.

        Raises
        ------
        InputError
            When there is none.
        """
        check_own(self.place, called="function", hint=_OWN_HINT)

    def arrivals(self, rate_per_s: float, duration_s: float, seed: int) -> Arrived:
        """Ask the function.

        Raises
        ------
        InputError
            When it fails, or returns something else.
        """
        try:
            given = _function(self.place)(rate_per_s, duration_s, stream(seed, "source"))
            # One by one: who goes on for ever is stopped at the end of the time.
            return _checked(given, self.place, duration_s)
        except InputError:
            raise
        except Exception as error:
            raise own_failed(self.place, error, hint=_OWN_HINT) from error

    def require_following(self, rate_per_s: float, duration_s: float) -> None:
        """Refuse a function that does not care for the rate, where loads are searched.

        Raises
        ------
        InputError
            When it gives about as many requests at twice the rate.
        """
        once, twice = (
            len(self.arrivals(times * rate_per_s, duration_s, seed=0).at_s) for times in (1.0, 2.0)
        )
        if abs(twice / once - 2.0) > FOLLOWS:
            raise InputError(
                f"{self.place} gives {twice / once:.2g} times as many requests at twice the rate",
                hint="a search needs it to follow the rate that it is given",
            )


@lru_cache
def _function(place: str) -> Any:
    return load_own(place, called="function", hint=_OWN_HINT)


def _checked(given: Iterable[object], place: str, duration_s: float) -> Arrived:
    at_s, names = [], []
    for one in given:
        pair = one if isinstance(one, tuple) else (one, None)
        moment, name = pair if len(pair) == 2 else (None, None)
        known = isinstance(moment, (int, float, np.number)) and 0.0 <= moment < duration_s
        if not known or not isinstance(name, str | None):
            raise InputError(
                f"{place} gives {one!r}, which is no request",
                hint=f"moments from 0 to below {duration_s:g}, or pairs like (1.5, 'GET /items')",
            )
        at_s.append(float(moment))  # type: ignore[arg-type]
        names.append(name)
    if not at_s:
        raise InputError(f"{place} gives no requests", hint=_OWN_HINT)
    different = tuple(dict.fromkeys(name for name in names if name is not None))
    number = {name: index for index, name in enumerate(different)}
    endpoint = np.array([-1 if name is None else number[name] for name in names], np.int64)
    order = np.argsort(at_s, kind="stable")
    return Arrived(np.array(at_s)[order], endpoint[order], different)


@dataclass(frozen=True, slots=True)
class SourceText:
    """What people write of a source."""

    file: str
    times: float = 1.0
    length_s: float | None = None

    @property
    def own(self) -> bool:
        """Whether it is a function in a Python file."""
        return _OWN.fullmatch(self.file) is not None

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file.rpartition(":")[0] if self.own else self.file)


def parse_source(text: str) -> SourceText:
    """Read ``traces.jsonl x2 in 10min`` or ``holiday.py:arrivals``.

    Raises
    ------
    InputError
        When it is neither.

    >>> parse_source("traces.jsonl x2 in 10min").length_s
    600.0
    """
    found = scaled_file(text, hint="write it like 'traces.jsonl x2 in 10min'")
    if found.file.endswith(".py"):
        raise InputError(f"{found.file} alone names no function", hint=_OWN_HINT)
    if found.own and (found.times != 1.0 or found.length_s is not None):
        raise InputError(
            f"{found.file} is asked for the rate and the duration of the traffic",
            hint="leave x and in out, and say --rate and --duration",
        )
    return found


def scaled_file(text: str, *, hint: str) -> SourceText:
    """Read the name of a file with ``x2``, ``in 10min``, both or neither.

    Raises
    ------
    InputError
        When a number or a time is none.
    """
    match = _SCALED.fullmatch(text.strip())
    wrong = InputError(f"{text.strip()!r} is no traffic", hint=hint)
    if match is None:
        raise wrong
    times = 1.0
    if match["times"] is not None:
        if re.fullmatch(DIGITS, match["times"]) is None:
            raise wrong
        times = float(match["times"])
    length_s = None if match["length"] is None else parse_duration(match["length"])
    if times <= 0.0 or (length_s is not None and length_s <= 0.0):
        raise wrong
    return SourceText(match["file"], times, length_s)
