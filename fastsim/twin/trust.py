"""Reasons to doubt a forecast: overload, a run that is not steady, extrapolation.

Each finding becomes one of ``Run.warnings``, or nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsim.model import ServiceModel
from fastsim.short_forms import DEFAULT_COSTS_WARNING
from fastsim.twin.blocking import long_code
from fastsim.twin.capacity import GROWING, SATURATED, Capacity, uses
from fastsim.twin.plan import Plan
from fastsim.twin.replicate import Replications
from fastsim.twin.statistics import FEWEST_STRETCHES, METRICS, student_quantile
from fastsim.twin.warmup import still_filling
from fastsim.units import format_duration, format_rate

NEVER_IDLE = 0.998
"""Utilisation from which the work offered is beyond doubt at least the capacity."""

STILL_FILLING = 0.02
"""Share of the arrivals that pile up, nothing being full, to call a run not steady."""

EXTRAPOLATION = 1.1


@dataclass(frozen=True, slots=True)
class Overload:
    """More arrives than leaves."""

    arrivals_per_s: float
    saturated: tuple[str, ...]
    """What is full: ``event loop``, ``thread pool`` or names of resources."""

    def sentence(self, capacity: Capacity | None = None) -> str:
        """Say it, and from which load on where that is known."""
        arrive = format_rate(self.arrivals_per_s, 3)
        if capacity is None:
            full = " and ".join(self.saturated)
            return (
                f"more arrives than leaves ({full} full at {arrive}); latency has no steady value"
            )
        return (
            f"{capacity.subject} is full from {format_rate(capacity.per_s, 3)} on and "
            f"{arrive} arrive; latency has no steady value"
        )


def find_overload(found: Replications) -> Overload | None:
    """Tell whether requests pile up because something is full.

    Both are asked for: a loop or resource at least 98 % busy, and a number in flight that
    grows by at least 0.5 % of the arrivals. The growth must be more than chance explains
    (one-sided, 5 %) unless the loop or resource was never idle. Traffic with phases is not steady
    in any case: what piles up in one of them is said of that (``fastsim.twin.by_phase``). Traffic
    of a source rises and falls: it is too much if something never was idle.
    """
    # Users who wait for answers cannot overload anything: they only wait longer.
    if found.plan.course is not None or found.plan.users is not None:
        return None
    full = {name: use for name, use in _mean_uses(found).items() if use >= SATURATED}
    if not full:
        return None
    arrive = arrivals_per_s(found)
    growth = found.each(lambda run: run.growth_per_s)
    never_idle = max(full.values()) >= NEVER_IDLE
    if found.plan.source is not None and not never_idle:
        return None
    growth_per_s = float(growth.mean()) if never_idle else _sure_growth(growth)
    if growth_per_s < GROWING * arrive:
        return None
    return Overload(arrive, tuple(full))


def _mean_uses(found: Replications) -> dict[str, float]:
    each = [uses(run) for run in found.runs]
    return {name: float(np.mean([use[name] for use in each])) for name in each[0]}


def doubts(
    found: Replications, overload: Overload | None, capacity: Capacity | None = None
) -> list[str]:
    """Return everything a reader of the forecast must know, most serious first."""
    plan = found.plan
    sentences = [overload.sentence(capacity)] if overload else []
    if overload is None and not plan.has_a_course:
        sentences += _not_steady(found) + _thin_tails(found)
    sentences += long_code(plan.model, plan.mix)
    sentences += _extrapolation(plan.model, _most_per_s(found))
    sentences += _bursts(plan)
    sentences += [said for said in plan.model.warnings if said == DEFAULT_COSTS_WARNING]
    sentences += _self_check(plan.model)
    if found.stopped:
        done = f"{len(found)} replication{'s' if len(found) > 1 else ''}"
        sentences.insert(0, f"stopped after {done}; what follows rests on those")
    if len(found) == 1:
        sentences.append("one replication shows no uncertainty: intervals are absent")
    return sentences


def arrivals_per_s(found: Replications) -> float:
    """Return how many requests arrived per second of the measured time."""
    return float(found.each(lambda run: len(run.at_s) / run.duration_s).mean())


def _sure_growth(growth_per_s: NDArray[np.float64]) -> float:
    """Return the mean growth if it is surely above zero, else 0."""
    mean = float(growth_per_s.mean())
    if len(growth_per_s) < 2:
        return mean
    error = float(growth_per_s.std(ddof=1)) / math.sqrt(len(growth_per_s))
    return mean if mean > student_quantile(len(growth_per_s) - 1, 0.90) * error else 0.0


def _not_steady(found: Replications) -> list[str]:
    growth_per_s = _sure_growth(found.each(lambda run: run.late_growth_per_s))
    if growth_per_s < STILL_FILLING * arrivals_per_s(found):
        if found.plan.replay is not None or not still_filling(found):
            return []
        return [
            (
                "fewer requests are in flight at the beginning than later on, so latency is not "
                "steady; lengthen the warm-up"
            )
        ]
    return [
        (
            f"requests in flight still grow by {format_rate(growth_per_s, 2)} when the run ends, "
            "so latency is not steady; lengthen the warm-up"
        )
    ]


def _thin_tails(found: Replications) -> list[str]:
    """Say which percentiles rest on too few queues to be given an interval."""
    if len(found) < 2:
        return []
    beyond = dict(zip(METRICS, found.stretches(None).tolist(), strict=True))
    thin = [name for name in ("p90", "p95", "p99") if beyond[name] < FEWEST_STRETCHES]
    if not thin:
        return []
    least = max(1.0, beyond[thin[0]])
    return [
        (
            f"{' and '.join(thin)} of the total rest on {least:.0f} stretches of queueing: too few "
            "for an interval; lengthen --duration or add --replications"
        )
    ]


def _most_per_s(found: Replications) -> float:
    """Return the highest rate that was asked for."""
    plan = found.plan
    if plan.users is not None:
        return arrivals_per_s(found)
    return plan.rate_per_s * (1.0 if plan.course is None else plan.course.peak)


def _extrapolation(model: ServiceModel, rate_per_s: float) -> list[str]:
    if model.traffic is None or rate_per_s <= EXTRAPOLATION * model.traffic.rate:
        return []
    requests = sum(endpoint.requests for endpoint in model.endpoints)
    rest = f"fitted on {requests} requests" if requests else "the model stands for traffic"
    return [
        (
            f"{rest} at {format_rate(model.traffic.rate, 3)}; {format_rate(rate_per_s, 3)} is an "
            f"extrapolation (×{rate_per_s / model.traffic.rate:.2g})"
        )
    ]


_MANY_BURSTS = 10.0


def _bursts(plan: Plan) -> list[str]:
    """Say that requests came in clusters, where the forecast has none; or that it has few."""
    if plan.bursts is not None and plan.duration_s < _MANY_BURSTS * plan.bursts.every:
        return [
            (
                f"{format_duration(plan.duration_s)} hold about "
                f"{plan.duration_s / plan.bursts.every:.2g} bursts: what they do hangs on chance; "
                f"--duration {format_duration(_MANY_BURSTS * plan.bursts.every)} says more"
            )
        ]
    recorded = plan.model.traffic
    if recorded is None or recorded.burst is None or plan.replay is not None:
        return []
    if plan.source is not None:
        return []
    if plan.arrivals == "bursty" or plan.bursts is not None:
        return []
    return [
        (
            "the recorded requests came in bursts, here they come by chance; "
            "--set traffic.arrivals=bursty repeats the bursts"
        )
    ]


def _self_check(model: ServiceModel) -> list[str]:
    off = [row for row in model.self_check if row.verdict == "off"]
    if not off:
        return []
    worst = max(off, key=lambda row: abs(row.error))
    return [
        (
            f"the model does not repeat its own recording: {len(off)} of {len(model.self_check)} "
            f"values are off, most of all {worst.endpoint} {worst.metric} ({worst.error:+.0%})"
        )
    ]
