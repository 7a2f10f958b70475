"""The course of a rate over time: phases one after the other, constant or rising evenly.

Levels are kept as multiples of the mean rate, so that the same course can be asked for at any
rate: what holds a spike of three times the usual load is a question about the usual load.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fastsim.errors import InputError
from fastsim.phases import Phase
from fastsim.result import PhaseResult, Summary

MOST_PHASES = 24
"""Phases that are reported one by one."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time in which the rate changes evenly, or not at all."""

    name: str
    start_s: float
    end_s: float
    begins: float
    ends: float
    """Times the mean rate of the course."""
    mix: dict[str, float] = field(default_factory=dict)
    """Shares of endpoints that differ from those of the whole."""

    @property
    def span_s(self) -> tuple[float, float]:
        """Return when it begins and ends."""
        return self.start_s, self.end_s

    @property
    def length_s(self) -> float:
        """Return how long it lasts."""
        return self.end_s - self.start_s

    def result(
        self, rate_per_s: float, total: Summary, *, utilisation: float | None, waiting: float
    ) -> PhaseResult:
        """Say what it was like, at a mean rate of the course."""
        return PhaseResult(
            name=self.name,
            start_s=self.start_s,
            length_s=self.length_s,
            begin_per_s=rate_per_s * self.begins,
            end_per_s=rate_per_s * self.ends,
            total=total,
            utilisation=utilisation,
            waiting=waiting,
        )


@dataclass(frozen=True, slots=True)
class Course:
    """A rate over time with the mean 1."""

    stretches: tuple[Stretch, ...]
    unit: float | None = None
    """What ``x1`` stands for, over the mean rate; None where phases are rates."""

    @property
    def duration_s(self) -> float:
        """Return how long it lasts."""
        return self.stretches[-1].end_s

    @property
    def peak(self) -> float:
        """Return the highest rate over the mean."""
        return max(max(each.begins, each.ends) for each in self.stretches)

    @property
    def told_apart(self) -> tuple[Stretch, ...]:
        """Return the phases to report, none where there are too many of them."""
        return self.stretches if len(self.stretches) <= MOST_PHASES else ()


def course_of(phases: Sequence[Phase], rate_per_s: float | None) -> tuple[Course, float]:
    """Return the course that phases give, and its mean rate, requests per second.

    Parameters
    ----------
    rate_per_s
        What ``x1`` means.

    Raises
    ------
    InputError
        When a rate is a multiple of what is not known, or there is no arrival at all.
    """
    relative = any(phase.rate.relative for phase in phases)
    if relative and rate_per_s is None:
        raise InputError(
            "a phase is a multiple of a rate that is not known", hint="say it: --rate 100/s"
        )
    unit = (rate_per_s or 1.0) if relative else 1.0
    edges = np.concatenate([[0.0], np.cumsum([phase.length for phase in phases])]).tolist()
    arrivals = sum(p.length * unit * (p.rate.begin + p.rate.end) / 2.0 for p in phases)
    if not arrivals > 0.0:
        raise InputError("the phases let nothing arrive", hint="give one a rate above 0")
    mean = arrivals / edges[-1]
    stretches = tuple(
        Stretch(
            phase.name or f"phase {number + 1}",
            edges[number],
            edges[number + 1],
            unit * phase.rate.begin / mean,
            unit * phase.rate.end / mean,
            dict(phase.mix),
        )
        for number, phase in enumerate(phases)
    )
    return Course(stretches, unit / mean if relative else None), mean
