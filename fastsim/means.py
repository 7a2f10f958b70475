"""The mean time of each step and endpoint of a model, in seconds, by formula."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from fastsim.distributions import mean, quantile
from fastsim.model import (
    CallStep,
    ChooseStep,
    Counts,
    CpuStep,
    Endpoint,
    ParallelStep,
    RepeatStep,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    UseStep,
    WaitStep,
)

FloatArray = npt.NDArray[np.float64]


def step_mean_s(step: Step) -> float:
    """Return the mean time of a step without any queueing, seconds."""
    match step:
        case CpuStep() | WaitStep():
            return mean(step.time)
        case ThreadStep():
            return mean(step.cpu) + (mean(step.off_gil) if step.off_gil else 0.0)
        case StreamStep():
            gap_s, code_s, chunks = mean(step.gap), mean(step.cpu), mean_count(step.chunks)
            if step.by_peers_clock:
                # While one is handled, the next is on its way.
                return chunks * max(gap_s, code_s) + min(gap_s, code_s)
            return chunks * (gap_s + code_s)
        case ParallelStep():
            return _parallel_mean_s(step)
        case UseStep() | CallStep():
            return sum(map(step_mean_s, step.steps))
        case RepeatStep():
            return mean_count(step.count) * sum(map(step_mean_s, step.steps))
        case ChooseStep():
            total = sum(way.share for way in step.ways)
            return sum(w.share / total * sum(map(step_mean_s, w.steps)) for w in step.ways)
        case _:
            return 0.0


def mean_count(counts: Counts) -> float:
    """Return the mean of a law of whole numbers."""
    pairs = zip(counts.values, counts.weights, strict=True)
    return sum(value * weight for value, weight in pairs) / sum(counts.weights)


_DRAWS = 256


def _parallel_mean_s(step: ParallelStep) -> float:
    """Return the mean of the longest branch, or of the code of all, whichever is longer.

    Of the shortest one if that is all that is waited for; nothing if none is.
    """
    if step.join == "none":
        return 0.0
    rng = np.random.default_rng(0)
    if step.join == "first":
        shortest = np.full(_DRAWS, np.inf)
        for branch in step.branches:
            for _ in range(round(mean_count(branch.count))):
                shortest = np.minimum(shortest, _branch_draws(branch.steps, rng)[0])
        return float(np.where(np.isfinite(shortest), shortest, 0.0).mean())
    longest, code = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for branch in step.branches:
        many = rng.choice(branch.count.values, _DRAWS, p=_shares(branch.count.weights))
        for number in range(int(many.max(initial=0))):
            there = many > number
            elapsed, own = _branch_draws(branch.steps, rng)
            longest = np.maximum(longest, np.where(there, elapsed, 0.0))
            code += np.where(there, own, 0.0)
    return float(np.maximum(longest, code).mean())


def _shares(weights: list[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _branch_draws(steps: list[Step], rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return draws of a branch's length and of its code, seconds; streams by their mean."""
    elapsed, code = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for step in steps:
        if isinstance(step, (CpuStep, WaitStep)):
            drawn = quantile(step.time, rng.random(_DRAWS))
            elapsed += drawn
            code += drawn if isinstance(step, CpuStep) else 0.0
        else:
            elapsed += step_mean_s(step)
    return elapsed, code


def times_run(steps: Iterable[Step], times: float = 1.0) -> Iterator[tuple[float, Step]]:
    """Yield steps with how often each runs in a request, in the mean; and those that they hold.

    What calls do in their threads is left out.
    """
    for step in steps:
        yield times, step
        match step:
            case UseStep():
                yield from times_run(step.steps, times)
            case RepeatStep():
                yield from times_run(step.steps, times * mean_count(step.count))
            case ChooseStep():
                total = sum(way.share for way in step.ways)
                for way in step.ways:
                    yield from times_run(way.steps, times * way.share / total)
            case ParallelStep():
                for branch in step.branches:
                    yield from times_run(branch.steps, times * mean_count(branch.count))
            case _:
                pass


def endpoint_mean_s(endpoint: Endpoint) -> float:
    """Return the mean of all steps over the variants of an endpoint, seconds, no queueing."""
    total = sum(variant.share for variant in endpoint.variants)
    if total <= 0.0:
        return 0.0
    parts = (v.share * sum(map(step_mean_s, v.steps)) for v in endpoint.variants)
    return sum(parts) / total


def mix_mean_s(model: ServiceModel, mix: Mapping[str, float] | None = None) -> float:
    """Return the mean of a request without queueing, seconds; of the recorded mix without one."""
    shares = mix or {endpoint.name: endpoint.share for endpoint in model.endpoints}
    total = sum(shares.values())
    if total <= 0.0:
        return 0.0
    return sum(shares.get(e.name, 0.0) * endpoint_mean_s(e) for e in model.endpoints) / total
