"""When requests arrive: at a constant rate, along a course of rates, and in bursts.

Arrivals are a process of rate 1 run through the inverse of the cumulative rate. Traffic of another
rate is then the same chance at another speed, which keeps comparisons between rates free of noise.
The twin and the load driver draw theirs here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from fastsim.bursts import Bursts
from fastsim.load.course import Course
from fastsim.model import Burst

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Jumps:
    """A rate that jumps between two levels, each kept for an exponential time."""

    high: float
    low: float
    """Times the rate as it would be."""
    high_share: float
    """Share of the time at the high level."""
    memory_s: float
    """Time in which the correlation of the rate decays to 1/e."""

    @classmethod
    def of(cls, rate_per_s: float, burst: Burst) -> Self:
        """Return the jumps of arrivals that were seen in clusters at some mean rate.

        The variance of the rate follows from the dispersion (``fastsim.calibrate.arrivals``);
        both levels are equally long unless the low one would fall below 0.
        """
        variation = np.sqrt((burst.dispersion - 1.0) / (2.0 * rate_per_s * burst.memory))
        share = min(0.5, 1.0 / (1.0 + variation**2))
        high = 1.0 + variation * np.sqrt((1.0 - share) / share)
        low = 1.0 - variation * np.sqrt(share / (1.0 - share))
        return cls(float(high), max(float(low), 0.0), float(share), burst.memory)

    @classmethod
    def by_hand(cls, bursts: Bursts) -> Self:
        """Return the jumps of bursts that somebody asks for; their mean is the rate."""
        share = bursts.lasting / bursts.every
        low = max((1.0 - share * bursts.times) / (1.0 - share), 0.0)
        memory_s = bursts.lasting * (1.0 - share)
        return cls(bursts.times, low, share, memory_s)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """Rates that change evenly between neighbouring edges."""

    edges_s: FloatArray
    """Shape (n + 1,), beginning with 0."""
    begin_per_s: FloatArray
    end_per_s: FloatArray
    """Shape (n,)."""

    @classmethod
    def of(
        cls,
        rate_per_s: float,
        duration_s: float,
        *,
        warmup_s: float = 0.0,
        course: Course | None = None,
    ) -> Self:
        """Return the rates of a run.

        Parameters
        ----------
        rate_per_s
            Mean rate; with a course, the mean of it all.
        course
            The rate over time after the warm-up, which is at the rate that it begins with. A
            run that is longer goes on as it ends.
        """
        if course is None:
            constant = np.array([rate_per_s])
            return cls(np.array([0.0, warmup_s + duration_s]), constant, constant)
        first = course.stretches[0]
        parts = [(warmup_s, first.begins, first.begins)]
        parts += [(each.length_s, each.begins, each.ends) for each in course.stretches]
        last = course.stretches[-1].ends
        parts.append((duration_s - course.duration_s, last, last))
        length, begin, end = np.array([part for part in parts if part[0] > 0.0]).T
        edges = np.concatenate([[0.0], np.cumsum(length)])
        return cls(edges, rate_per_s * begin, rate_per_s * end)

    def expected(self) -> FloatArray:
        """Return how many arrivals are expected up to each edge."""
        means = (self.begin_per_s + self.end_per_s) / 2.0 * np.diff(self.edges_s)
        return np.concatenate([[0.0], np.cumsum(means)])

    def jumping(self, jumps: Jumps, rng: np.random.Generator) -> "Rates":
        """Return the rates with jumps drawn on top of them."""
        moments, high_first = _jump_times(jumps, float(self.edges_s[-1]), rng)
        edges = np.unique(np.concatenate([self.edges_s, moments]))
        middle = (edges[1:] + edges[:-1]) / 2.0
        odd = np.searchsorted(moments, middle, side="right") % 2 == 1
        factor = np.where(odd == high_first, jumps.low, jumps.high)
        inside = np.searchsorted(self.edges_s, middle, side="right") - 1
        slope = self._slopes()[inside]
        begin = self.begin_per_s[inside] + slope * (edges[:-1] - self.edges_s[inside])
        end = self.begin_per_s[inside] + slope * (edges[1:] - self.edges_s[inside])
        return Rates(edges, factor * np.maximum(begin, 0.0), factor * np.maximum(end, 0.0))

    def _slopes(self) -> FloatArray:
        slopes: FloatArray = (self.end_per_s - self.begin_per_s) / np.diff(self.edges_s)
        return slopes

    def arrivals(self, rng: np.random.Generator, *, evenly: bool = False) -> FloatArray:
        """Draw when requests arrive, seconds, increasing: independently, or evenly spaced."""
        until = float(self.expected()[-1])
        if evenly:
            return self.when(np.arange(0.0, until - 1e-9, 1.0))
        return self.when(_sums(until, lambda: rng.standard_exponential(int(until * 1.05) + 100)))

    def when(self, counts: FloatArray) -> FloatArray:
        """Return when so many arrivals are expected since the beginning, seconds."""
        expected = self.expected()
        # Where the rate is 0 the count stands still and has no inverse: those are skipped.
        rising = np.flatnonzero(np.diff(expected) > 0.0)
        if not len(rising):
            return np.zeros(0)
        place = rising[np.searchsorted(expected[rising], counts, side="right") - 1]
        left, begin = counts - expected[place], self.begin_per_s[place]
        # The root of begin t + slope t^2 / 2 = left, in the form that holds for no slope, too.
        square = begin**2 + 2.0 * self._slopes()[place] * left
        root = begin + np.sqrt(np.maximum(square, 0.0))
        return np.asarray(self.edges_s[place] + 2.0 * left / np.maximum(root, 1e-300), np.float64)


def _jump_times(jumps: Jumps, until_s: float, rng: np.random.Generator) -> tuple[FloatArray, bool]:
    """Draw when the rate jumps, and whether it begins high."""
    share = jumps.high_share
    # Sojourns (low, high) of a two-state Markov chain whose correlation decays with the memory.
    means = np.array([jumps.memory_s / share, jumps.memory_s / (1.0 - share)])
    high_first = bool(rng.random() < share)
    needed = 2 * (int(until_s / means.sum() * 1.2) + 10)
    order = (int(high_first) + np.arange(needed)) % 2
    gaps_s = means[order]
    return _sums(until_s, lambda: rng.standard_exponential(needed) * gaps_s), high_first


def _sums(until: float, draw: Callable[[], FloatArray]) -> FloatArray:
    """Add up gaps, block after block, and return the sums below a limit."""
    blocks = [np.zeros(0)]
    last = 0.0
    while last < until:
        blocks.append(last + np.cumsum(draw()))
        last = float(blocks[-1][-1])
    sums = np.concatenate(blocks)
    return sums[sums < until]
