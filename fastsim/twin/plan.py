"""What every replication simulates: a service, its deployment, and who asks how often."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fastsim.bursts import Bursts
from fastsim.errors import InputError
from fastsim.load.course import Course
from fastsim.load.source import Source
from fastsim.model import ServiceModel
from fastsim.scenario import ResolvedDeployment, Spacing, Users

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_REQUESTS = 5_000_000
"""Requests of one replication: what became of each is kept, about 140 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalReplay:
    """Arrivals to repeat instead of drawing them.

    Parameters
    ----------
    at_s : float array, shape (n,)
        Seconds from the start of the measured time, not decreasing. Earlier ones (below 0)
        warm the service up and are not counted; without any, a warm-up is drawn.
    endpoint : int array, shape (n,)
        Index into the model's endpoints.
    """

    at_s: Floats
    endpoint: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What every replication simulates."""

    model: ServiceModel
    deployment: ResolvedDeployment
    rate_per_s: float
    duration_s: float
    warmup_s: float = 5.0
    arrivals: Spacing = "poisson"
    bursts: Bursts | None = None
    """Clusters that were asked for, other than those that were recorded."""
    course: Course | None = None
    """The rate over time, around ``rate_per_s`` in the mean; it gives the duration."""
    source: Source | None = None
    """What says when requests come and for what, at ``rate_per_s`` in the mean."""
    users: Users | None = None
    """Who sends the requests; ``rate_per_s`` is then what they would send without any queue."""
    mix: Mapping[str, float] = field(default_factory=dict)
    replay: ArrivalReplay | None = None
    filling_s: float = 0.0
    """How long an empty service takes to fill: simulations of other lengths warm up for that."""
    doubtful: bool = False
    """Whether each replication has a model and a processor of its own, within what is known."""

    @property
    def open_and_steady(self) -> bool:
        """Whether requests keep coming at one rate, so that there can be too many of them."""
        return not self.has_a_course and self.users is None

    @property
    def has_a_course(self) -> bool:
        """Whether the traffic is a story of a length of its own, which nothing makes shorter."""
        return self.course is not None or self.source is not None

    def lasting(self, duration_s: float, rate_per_s: float) -> "Plan":
        """Return the plan at another rate, for so long or until the service is full.

        A course of rates lasts as long as it does.
        """
        if self.has_a_course:
            return replace(self, rate_per_s=rate_per_s)
        length_s = max(duration_s, self.filling_s)
        warmup_s = max(min(self.warmup_s, length_s / 4.0), self.filling_s)
        return replace(self, rate_per_s=rate_per_s, duration_s=length_s, warmup_s=warmup_s)

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate_per_s), ("duration", self.duration_s)):
            if not 0.0 < value < math.inf:
                raise InputError(f"{name} must be above 0, not {value:g}")
        if not 0.0 <= self.warmup_s < math.inf:
            raise InputError(f"warm-up must not be negative, not {self.warmup_s:g}")
        first = 1.0 if self.course is None else self.course.stretches[0].begins
        requests = self.rate_per_s * (first * self.warmup_s + self.duration_s)
        if requests > MOST_REQUESTS:
            raise InputError(
                f"{self.rate_per_s:.3g}/s for {self.warmup_s + self.duration_s:.3g}s are "
                f"{requests:.3g} requests; one simulation holds {MOST_REQUESTS:,} at most",
                hint="a shorter duration says the same: --duration 60s",
            )
