"""Models that the recording may as well have come from.

A fitted law is known within the errors of its median and of its spread (``Fit.level_error``,
``Fit.spread_error``); the share of a path within what so many requests tell. ``draw_model`` moves
each of them by chance, as far as its error lets it: all together, so that what a forecast makes of
it adds up as it does. The order of values is kept: a request that drew a long wait draws a long
one in every model, and forecasts of two models differ by what differs in them and not by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, log, sqrt

import numpy as np

from fastsim.distributions import FloatArray, mean, percentiles
from fastsim.laws import Counts, Distribution
from fastsim.means import endpoint_mean_s
from fastsim.model import Endpoint, ServiceModel, Variant
from fastsim.program import (
    ParallelStep,
    RepeatStep,
    Step,
    StreamStep,
    all_steps,
    bodies,
    changed,
    laws_of,
    with_bodies,
    with_laws,
)
from fastsim.streams import stream
from fastsim.twin.law_moves import moved

MOST = 1.0
"""No law is moved further than by a standard error of a factor e, however little is known."""
BEYOND = 2.0
"""Nor so far that its 99th percentile is more than twice what it was, and what was observed."""
FARTHEST = 8.0
"""No mean becomes more than so many times what it was."""

_RANGES = {2: 1.128, 3: 1.693, 4: 2.059, 5: 2.326, 6: 2.534, 7: 2.704}
"""Mean range of so many normal values, in standard deviations: too few to have been fitted."""
_LESS, _TRIES = 0.7, 30
_NARROW = 1e-3
"""Spreads keep at least this part of themselves."""
_OF_A_MEDIAN = 1.2533
"""Standard error of a median beside that of a mean, normal values."""


@dataclass(frozen=True, slots=True)
class Errors:
    """How well a law is known; standard errors, see ``Fit``."""

    level: float
    spread: float
    correlation: float = 0.0


def errors_of(law: Distribution) -> Errors:
    """Return how well a law is known: exactly, where nothing was fitted."""
    fit = law.fit
    if fit is None:
        return Errors(0.0, 0.0)
    if fit.level_error is not None:
        level, spread = min(fit.level_error, MOST), min(fit.spread_error or 0.0, MOST)
        return Errors(level, spread, fit.level_spread_correlation)
    low, high = fit.low, fit.high
    if fit.n not in _RANGES or low is None or high is None or not 0.0 < low < high:
        return Errors(0.0, 0.0)
    deviation = log(high / low) / _RANGES[fit.n]
    return Errors(min(_OF_A_MEDIAN * deviation / sqrt(fit.n), MOST), 0.0)


def is_doubtful(model: ServiceModel) -> bool:
    """Tell whether the model says of anything how well it is known."""
    if any(errors_of(law).level > 0.0 for law in _laws(model)):
        return True
    return any(_counted(endpoint) for endpoint in model.endpoints)


def draw_model(model: ServiceModel, seed: int) -> ServiceModel:
    """Return a model that the recording may have come from.

    Laws that are the same in several places (a step of all paths) move together; those of steps
    that follow the size of their request as far as they do: one recording had the same sizes.
    """
    known: dict[str, Distribution] = {}

    def other(law: Distribution, size: float = 0.0, path: str = "") -> Distribution:
        errors = errors_of(law)
        if errors.level <= 0.0 and errors.spread <= 0.0:
            return law
        name = law.model_dump_json()
        if name not in known:
            first, second = stream(seed, name).standard_normal(2)
            if size:
                middles, spreads = stream(seed, f"{path}/size").standard_normal(2)
                first = size * middles + sqrt(1.0 - size**2) * first
                # Squares of normal values correlate by the square of their correlation.
                second = size**2 * spreads + sqrt(1.0 - size**4) * second
            kept = sqrt(1.0 - errors.correlation**2)
            level = errors.level * float(first)
            spread = errors.spread * float(errors.correlation * first + kept * second)
            middle, far = _above_shift(_Law(name, law))
            moves = _within(law, level, exp(spread), middle, far)
            known[name] = _moved(law, *moves, middle)
        return known[name]

    endpoints = [_other_endpoint(endpoint, other, seed) for endpoint in model.endpoints]
    loop = model.loop
    work = [each.model_copy(update={"time": other(each.time)}) for each in model.loop.background]
    pauses = loop.pauses
    if pauses.time is not None:
        pauses = pauses.model_copy(update={"time": other(pauses.time)})
    loop = loop.model_copy(update={"background": work, "pauses": pauses})
    return model.model_copy(update={"endpoints": endpoints, "loop": loop})


def idle_s(model: ServiceModel) -> FloatArray:
    """Return the mean time of a request without queueing, seconds, one entry an endpoint."""
    return np.array([endpoint_mean_s(each) for each in model.endpoints])


@dataclass(frozen=True, slots=True)
class _Law:
    """A law by what it is: every replication asks for the percentiles of the same ones."""

    text: str
    law: Distribution = field(compare=False)


@lru_cache(maxsize=4096)
def _above_shift(law: _Law) -> tuple[float, float]:
    """Return the median and the 99th percentile, seconds, both without the shift."""
    middle, far = (percentiles(law.law, np.array([0.5, 0.99])) - law.law.shift).tolist()
    return middle, far


def _within(
    law: Distribution, level: float, widen: float, middle: float, far: float
) -> tuple[float, float]:
    """Return how far a law is moved at most: little is known, but not that nothing was so long.

    Where only upper bounds were recorded, the likelihood is flat, and its errors are endless.
    """
    if middle <= 0.0:
        return level, widen
    limit = BEYOND * max(far, _longest_s(law))
    level = min(level, log(limit / middle))
    if far > middle:
        widen = min(widen, (log(limit / middle) - level) / log(far / middle))
    return level, max(widen, _NARROW)


def _longest_s(law: Distribution) -> float:
    """Return the longest time observed, seconds; 0 where none was."""
    return (law.fit.high or 0.0) if law.fit is not None else 0.0


def _moved(law: Distribution, level: float, widen: float, middle: float) -> Distribution:
    """Return a law that is moved so far, or less, that its mean stays within reason.

    A tail that nobody has seen may hold a mean of any size beyond every percentile.
    """
    usual = mean(law)
    most = min(max(BEYOND * usual, _longest_s(law)), FARTHEST * usual)
    for _ in range(_TRIES):
        found = moved(law, level, widen, middle)
        if mean(found) <= most:
            return found
        level, widen = level * _LESS, 1.0 + (widen - 1.0) * _LESS
    return law


def _laws(model: ServiceModel) -> list[Distribution]:
    steps = [
        step
        for endpoint in model.endpoints
        for variant in endpoint.variants
        for step in all_steps(variant.steps)
    ]
    own = [law for step in steps for law in laws_of(step)]
    pauses = [] if model.loop.pauses.time is None else [model.loop.pauses.time]
    return own + [work.time for work in model.loop.background] + pauses


def _counted(endpoint: Endpoint) -> bool:
    """Tell whether it has several paths, and it is known how many requests took each."""
    return len(endpoint.variants) > 1 and all(each.requests for each in endpoint.variants)


def _other_endpoint(
    endpoint: Endpoint, other: Callable[[Distribution, float, str], Distribution], seed: int
) -> Endpoint:
    shares = [each.share for each in endpoint.variants]
    if _counted(endpoint):
        # The shares of which so many requests of each path are a fair sample: Dirichlet's law.
        counts = [each.requests for each in endpoint.variants]
        drawn = stream(seed, f"{endpoint.name}/paths").standard_gamma(counts)
        shares = (drawn / drawn.sum() * sum(shares)).tolist()

    def changed_variant(variant: Variant, share: float) -> Variant:
        path = f"{endpoint.name}/{variant.name}"

        def moved_step(step: Step) -> Step:
            size: float = getattr(step, "size", 0.0)
            return with_laws(step, lambda law: other(law, size, path))

        steps = changed(variant.steps, moved_step)
        if variant.requests:
            steps = _with_counts(steps, variant.requests, path, seed)
        return variant.model_copy(update={"share": share, "steps": steps})

    variants = list(map(changed_variant, endpoint.variants, shares))
    return endpoint.model_copy(update={"variants": variants})


def _with_counts(steps: Sequence[Step], requests: int, name: str, seed: int) -> list[Step]:
    """Return a program whose rounds and branches are as many as so many requests may have had."""
    found = []
    for number, each in enumerate(steps):
        own = f"{name}/{number}"
        inner = [
            _with_counts(body, requests, f"{own}/{place}", seed)
            for place, body in enumerate(bodies(each))
        ]
        step = with_bodies(each, inner) if inner else each
        match step:
            case RepeatStep():
                count = _other_counts(step.count, requests, own, seed)
                step = step.model_copy(update={"count": count})
            case StreamStep():
                chunks = _other_counts(step.chunks, requests, own, seed)
                step = step.model_copy(update={"chunks": chunks})
            case ParallelStep():
                many = [
                    _other_counts(branch.count, requests, f"{own}/{place}", seed)
                    for place, branch in enumerate(step.branches)
                ]
                pairs = zip(step.branches, many, strict=True)
                branches = [branch.model_copy(update={"count": count}) for branch, count in pairs]
                step = step.model_copy(update={"branches": branches})
        found.append(step)
    return found


def _other_counts(counts: Counts, requests: int, name: str, seed: int) -> Counts:
    """Return a law of whole numbers of which the given one may be what a recording saw."""
    if sum(weight > 0.0 for weight in counts.weights) < 2:
        return counts
    expected = np.array(counts.weights) / sum(counts.weights) * requests
    drawn = stream(seed, f"{name}/count").standard_gamma(expected)
    return counts.model_copy(update={"weights": (drawn / drawn.sum()).tolist()})
