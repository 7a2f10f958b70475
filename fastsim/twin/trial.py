"""One deployment under one load, tried against goals: how far from missing them it is.

The *margin* of a replication is the largest value over its goal's limit: 0.8 means that the
worst goal has a fifth left, 1.2 that it is missed by a fifth. Replications of different trials
share their seeds, so that their margins differ by what was changed and not by chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from fastsim.scenario import ResolvedDeployment, Slo
from fastsim.twin.by_phase import parts_of
from fastsim.twin.capacity import SATURATED, overloaded, uses
from fastsim.twin.metrics import Measures
from fastsim.twin.plan import Plan
from fastsim.twin.processes import Jobs
from fastsim.twin.replicate import Replications, replicate
from fastsim.twin.statistics import METRICS, latency_statistics

FloatArray = npt.NDArray[np.float64]

NEEDED = {"p50": 2_000, "p90": 3_000, "p95": 4_000, "p99": 10_000, "p999": 60_000}
"""Requests per replication that a goal on a percentile needs."""

LEAST_REQUESTS = 3_000
_FREEDOM_OF_DOUBT = 7
_SPREAD_KNOWN = 8
"""Replications from which they say how many more it takes."""
SHORTEST_S = 5.0
"""A queue needs time to show that it grows."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What replications of one deployment under one load gave."""

    rate_per_s: float
    margins: FloatArray
    """Shape (replications,); infinite where requests piled up without end."""
    deciding: int
    """Index of the goal that is nearest to a miss, or missed most; -1 without goals."""
    uses: FloatArray
    """Shape (replications,): utilisation of the busiest loop or resource."""
    busiest: str
    served_per_s: FloatArray
    """Shape (replications,): requests completed per second of the measured time."""
    p95_s: float
    """Of all requests, mean of the replications; infinite where requests piled up, nan without
    any."""
    errors: float
    """Share of requests that failed, mean of the replications."""

    @property
    def utilisation(self) -> float:
        """Of the busiest loop or resource, mean of the replications."""
        return float(self.uses.mean())

    @property
    def overloaded(self) -> float:
        """Share of the replications in which requests piled up."""
        return float(np.mean(~np.isfinite(self.margins)))

    @property
    def margin(self) -> float:
        """Mean margin; infinite if any replication was overloaded."""
        return float(self.margins.mean())

    @property
    def meets(self) -> float:
        """Probability that the true margin is below 1, by Student's t on its logarithm."""
        return self.meets_within(0.0)

    def needed(self, sure: float) -> float:
        """Return how many replications would make it as sure, were they as those there are.

        Infinite where it could be either way whatever their number.
        """
        count = len(self.margins)
        if count < _SPREAD_KNOWN or not np.isfinite(self.margins).all():
            return float(count)
        logs = np.log(np.maximum(self.margins, 1e-9))
        apart, spread = abs(float(logs.mean())), float(logs.std(ddof=1))
        return math.inf if apart <= 0.0 else float((stats.norm.ppf(sure) * spread / apart) ** 2)

    def meets_within(self, doubt: float) -> float:
        """Return that probability where the model may move the margin, too.

        Parameters
        ----------
        doubt
            Standard deviation of the logarithm of the margin for want of a better recording, as
            eight models tell it.
        """
        if not np.isfinite(self.margins).all():
            return 0.0
        logs = np.log(np.maximum(self.margins, 1e-9))
        freedom = max(len(logs) - 1, 1)
        by_chance = float(logs.var(ddof=1)) / len(logs) if len(logs) > 1 else 0.0
        total = by_chance + doubt**2
        if total <= 0.0:
            return float(self.margin < 1.0)
        # Welch and Satterthwaite: as sure as that of both is which weighs more.
        both = total**2 / (by_chance**2 / freedom + doubt**4 / _FREEDOM_OF_DOUBT)
        return float(stats.t.cdf(-float(logs.mean()) / math.sqrt(total), both))


def trial_duration_s(rate_per_s: float, goals: Sequence[Slo]) -> float:
    """Return how long to simulate so that the percentiles asked for mean something, seconds."""
    needed = max((NEEDED.get(goal.metric, LEAST_REQUESTS) for goal in goals), default=0)
    return max(SHORTEST_S, max(needed, LEAST_REQUESTS) / rate_per_s)


def replicate_trial(
    plan: Plan,
    goals: Sequence[Slo],
    *,
    rate_per_s: float | None = None,
    deployment: ResolvedDeployment | None = None,
    replications: int,
    seed: int,
    jobs: Jobs = 1,
    before: Replications | None = None,
    part: float = 1.0,
) -> Replications:
    """Simulate one deployment under one load; what is not given is the plan's.

    The plan's duration is not used: a trial lasts as long as its goals need.

    Parameters
    ----------
    before
        The first of the replications, which are not simulated again.
    part
        Of the time that a trial lasts.
    """
    rate = plan.rate_per_s if rate_per_s is None else rate_per_s
    changed = replace(
        plan.lasting(part * trial_duration_s(rate, goals), rate),
        deployment=plan.deployment if deployment is None else deployment,
    )
    return replicate(changed, replications=replications, seed=seed, jobs=jobs, before=before)


def judge_trial(found: Replications, goals: Sequence[Slo]) -> Trial:
    """Return the margins of replications, those of the worst phase of their traffic."""
    parts = [
        [[_margin(run, goal) for goal in goals] for run in part.runs] for part in parts_of(found)
    ]
    table = np.array(parts).reshape(len(parts), len(found.runs), len(goals)).max(axis=0)
    worst = table.max(axis=1) if goals else np.zeros(len(found.runs))
    steady = found.plan.open_and_steady
    full = np.array([steady and overloaded(run) for run in found.runs])
    name, used = _busiest(found)
    return Trial(
        rate_per_s=found.plan.rate_per_s,
        margins=np.where(full, np.inf, worst),
        deciding=int(np.argmax(table.mean(axis=0))) if goals else -1,
        uses=used,
        busiest=name,
        served_per_s=found.each(lambda run: run.throughput_per_s(None)),
        p95_s=math.inf if full.any() else float(found.each(_p95_s).mean()),
        errors=float(np.nan_to_num(found.each(lambda run: run.error_ratio(None))).mean()),
    )


def _margin(run: Measures, goal: Slo) -> float:
    if goal.metric == "errors":
        value = run.error_ratio(goal.endpoint)
        limit = max(goal.limit, 1e-12)
    else:
        latency = run.latency_s(goal.endpoint)
        if not len(latency):
            return math.inf
        value = float(latency_statistics(latency)[METRICS.index(goal.metric)])
        limit = goal.limit
    return math.inf if math.isnan(value) else value / limit


def _p95_s(run: Measures) -> float:
    latency_s = run.latency_s(None)
    if not len(latency_s):
        return math.nan
    return float(latency_statistics(latency_s)[METRICS.index("p95")])


def _busiest(found: Replications) -> tuple[str, FloatArray]:
    """Return what is busiest in the mean, the loop among equals, and its use in each."""
    each = [uses(run) for run in found.runs]
    mean = {name: float(np.mean([use[name] for use in each])) for name in each[0]}
    name = max(mean, key=lambda item: min(mean[item], SATURATED))
    return name, np.array([use[name] for use in each])
