"""Record and measure the shops in turns, and know which slices other processes disturbed.

A slice in which others took much of the shop's core, or in which the driver was late, is taken
again; what was disturbed all the same is left out as long as enough is left. Neither looks at a
latency, so what is kept is no choice of the results.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fastsim.demo.core import CoreAccount
from fastsim.load.capacity import measure_capacity
from fastsim.load.driver import LoadResult
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import Mix
from fastsim.twin.doubt import MUCH_TAKEN

LATE_S = 0.02
"""A slice in which 1 % of the requests left later than this is disturbed."""
MOST_REPEATS = 8
"""Slices and bursts that are taken again, in the whole demo."""
FEWEST = 0.5
"""Part of the slices that is enough to leave the disturbed ones out."""

T = TypeVar("T")

Bar = Callable[[str, float], None]
"""Called with what goes on and the part of the whole demo that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the demo does; loads are shares of the measured capacity, durations in seconds."""

    recorded: float = 0.40
    predicted: float = 0.75
    other_pool: int = 2
    other: float = 0.55
    """Load with the other pool."""
    rounds: int = 8
    """Turns: the shorter, the more alike is the machine in all slices of one."""
    recorded_slice_s: float = 1.6
    predicted_slice_s: float = 2.2
    others: int = 4
    """Slices with the other pool, in every second turn."""
    other_slice_s: float = 2.2
    warm_up_s: float = 1.6
    """Load before anything counts: code runs slowly the first hundred times."""
    bursts: int = 4
    """Measurements of the capacity, in every second turn, too."""
    burst_s: float = 1.6
    replications: int = 40
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """One slice, or one burst."""

    result: T
    begin_ns: int
    end_ns: int
    """Wall clock, nanoseconds since 1970."""
    taken: float | None
    """Share of the loop's busy time that others took; None where nobody says."""
    late: bool = False
    """The driver itself could not keep to its schedule."""

    @property
    def disturbed(self) -> bool:
        """Whether others had a part in what was measured."""
        return self.late or (self.taken or 0.0) > MUCH_TAKEN


@dataclass(frozen=True, slots=True)
class Shop:
    """One of the processes."""

    url: str
    pid: int


@dataclass(slots=True)
class Measured:
    """What the turns gave."""

    recorded: list[Turn[LoadResult]] = field(default_factory=list)
    predicted: list[Turn[LoadResult]] = field(default_factory=list)
    other: list[Turn[LoadResult]] = field(default_factory=list)
    capacity_per_s: list[Turn[float]] = field(default_factory=list)
    repeated: int = 0

    def take(self, attempt: Callable[[], Turn[T]]) -> Turn[T]:
        """Return what an attempt gave, or a second one if the first was disturbed."""
        found = attempt()
        if found.disturbed and self.repeated < MOST_REPEATS:
            self.repeated += 1
            again = attempt()
            if not again.disturbed or (again.taken or 0.0) < (found.taken or 0.0):
                return again
        return found

    def all(self) -> "list[Turn[LoadResult] | Turn[float]]":
        """Return every slice and burst that was kept."""
        return [*self.recorded, *self.predicted, *self.other, *self.capacity_per_s]


def undisturbed(turns: Sequence[Turn[T]]) -> list[Turn[T]]:
    """Return the turns without the disturbed ones; all where too few are left."""
    quiet = [each for each in turns if not each.disturbed]
    return quiet if len(quiet) >= FEWEST * len(turns) else list(turns)


def inside(start_ns: npt.NDArray[np.int64], turns: Sequence[Turn[T]]) -> npt.NDArray[np.bool_]:
    """Tell which moments lie within some of the turns."""
    found = np.zeros(len(start_ns), np.bool_)
    for turn in turns:
        found |= (start_ns >= turn.begin_ns) & (start_ns <= turn.end_ns)
    return found


def take_turns(
    shops: tuple[Shop, Shop, Shop], mix: Mix, capacity: float, settings: Settings, bar: Bar
) -> Measured:
    """Record, measure, measure with the other pool, and saturate, in turns."""
    recording, live, other = shops
    found, rounds = Measured(), settings.rounds
    # The service that is measured has warmed up while its capacity was.
    _slice(recording, mix, settings.recorded * capacity, settings.warm_up_s, settings.seed)
    _slice(other, mix, settings.other * capacity, settings.warm_up_s, settings.seed)
    for number in range(rounds):
        bar(
            f"recording and measuring, turn {number + 1} of {rounds}",
            0.15 + 0.56 * number / rounds,
        )
        if _is_due(number, rounds, settings.bursts, len(found.capacity_per_s)):
            # The machine may be slower by now: loads are shares of what it can do at the moment.
            burst = partial(_burst, live, mix, settings.burst_s, number + 2, capacity)
            found.capacity_per_s.append(found.take(burst))
            capacity = float(np.median([each.result for each in found.capacity_per_s]))
        for shop, share, length_s, times, kept in (
            (recording, settings.recorded, settings.recorded_slice_s, rounds, found.recorded),
            (live, settings.predicted, settings.predicted_slice_s, rounds, found.predicted),
            (other, settings.other, settings.other_slice_s, settings.others, found.other),
        ):
            if _is_due(number, rounds, times, len(kept)):
                seed = settings.seed * 1000 + number * 10 + len(kept)
                attempt = partial(_slice, shop, mix, share * capacity, length_s, seed)
                kept.append(found.take(attempt))
    return found


def _is_due(turn: int, turns: int, times: int, taken: int) -> bool:
    """Tell whether what is to be taken so many times, evenly spread over the turns, is due."""
    return turn * times // turns == taken


def _slice(shop: Shop, mix: Mix, rate_per_s: float, length_s: float, seed: int) -> Turn[LoadResult]:
    schedule = draw_schedule(mix, rate_per_s=rate_per_s, duration_s=length_s, seed=seed)
    before, begin_ns = CoreAccount.of(shop.pid), time.time_ns()
    result = run_load(shop.url, schedule)
    if result.stopped:
        raise KeyboardInterrupt
    return Turn(result, begin_ns, time.time_ns(), _taken(shop, before), _late(result))


def _burst(shop: Shop, mix: Mix, length_s: float, seed: int, expected_per_s: float) -> Turn[float]:
    before, begin_ns = CoreAccount.of(shop.pid), time.time_ns()
    found = measure_capacity(
        shop.url, mix, duration_s=length_s, seed=seed, expected_per_s=expected_per_s
    )
    return Turn(found.per_s, begin_ns, time.time_ns(), _taken(shop, before))


def _taken(shop: Shop, before: CoreAccount | None) -> float | None:
    after = CoreAccount.of(shop.pid)
    return None if before is None or after is None else after.taken_since(before)


def _late(result: LoadResult) -> bool:
    late_s = result.sent_s - result.schedule.at_s
    return bool(np.quantile(late_s[np.isfinite(late_s)], 0.99) > LATE_S)
