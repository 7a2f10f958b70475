"""Models that the recording may as well have come from.

A fitted law is known within the errors of its median and of its spread (``Fit.level_error``,
``Fit.spread_error``); the share of a path within what so many requests tell. ``draw_model`` moves
each of them by chance, as far as its error lets it: all together, so that what a forecast makes of
it adds up as it does. The order of values is kept: a request that drew a long wait draws a long
one in every model, and forecasts of two models differ by what differs in them and not by chance.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt

import numpy as np

from fastsim.distributions import FloatArray, percentile, quantile
from fastsim.laws import (
    Constant,
    Distribution,
    Empirical,
    Expon,
    Gamma,
    InvGauss,
    Lognorm,
    Mixture,
    Pareto,
    Simple,
    Weibull,
)
from fastsim.model import Endpoint, ServiceModel, Variant
from fastsim.program import Step, all_steps, changed, laws_of, with_laws
from fastsim.twin.streams import stream

MOST = 1.0
"""No law is moved further than by a standard error of a factor e, however little is known."""
BEYOND = 2.0
"""Nor so far that its 99th percentile is more than twice what it was, and what was observed."""

_RANGES = {2: 1.128, 3: 1.693, 4: 2.059, 5: 2.326, 6: 2.534, 7: 2.704}
"""Mean range of so many normal values, in standard deviations: too few to have been fitted."""
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
                shared = float(stream(seed, f"{path}/size").standard_normal())
                first = size * shared + sqrt(1.0 - size * size) * first
            kept = sqrt(1.0 - errors.correlation**2)
            level = errors.level * float(first)
            spread = errors.spread * float(errors.correlation * first + kept * second)
            known[name] = moved(law, *_within(law, level, exp(spread)))
        return known[name]

    endpoints = [_other_endpoint(endpoint, other, seed) for endpoint in model.endpoints]
    loop = model.loop
    work = [each.model_copy(update={"time": other(each.time)}) for each in model.loop.background]
    pauses = loop.pauses
    if pauses.time is not None:
        pauses = pauses.model_copy(update={"time": other(pauses.time)})
    loop = loop.model_copy(update={"background": work, "pauses": pauses})
    return model.model_copy(update={"endpoints": endpoints, "loop": loop})


def _within(law: Distribution, level: float, widen: float) -> tuple[float, float]:
    """Return how far a law is moved at most: little is known, but not that nothing was so long.

    Where only upper bounds were recorded, the likelihood is flat, and its errors are endless.
    """
    middle, far = percentile(law, 0.5) - law.shift, percentile(law, 0.99) - law.shift
    if middle <= 0.0:
        return level, widen
    seen = law.fit.high if law.fit is not None and law.fit.high is not None else 0.0
    limit = BEYOND * max(far, seen)
    level = min(level, log(limit / middle))
    if far > middle:
        widen = min(widen, (log(limit / middle) - level) / log(far / middle))
    return level, max(widen, _NARROW)


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
        return variant.model_copy(update={"share": share, "steps": steps})

    variants = list(map(changed_variant, endpoint.variants, shares))
    return endpoint.model_copy(update={"variants": variants})


def moved(law: Distribution, level: float, widen: float) -> Distribution:
    """Return a law with another median and another spread.

    A value that is ``r`` times the median, both above the shift, becomes ``r ** widen`` times
    ``exp(level)`` times that median: exactly, or, for a gamma, inverse Gaussian or Pareto law and
    parts of mixtures, the member of the family with that median and 95th percentile.
    """
    middle = percentile(law, 0.5) - law.shift
    if middle <= 0.0:
        return law

    def to(value: float) -> float:
        return middle * exp(level) * math.pow(max(value, 0.0) / middle, widen)

    if isinstance(law, Mixture):
        parts = [_matched(part, to, widen) for part in law.parts]
        return law.model_copy(update={"parts": parts, "fit": None})
    if isinstance(law, Empirical):
        values = [to(value) for value in law.values]
        tail = law.tail
        if tail is not None and law.values[-1] > 0.0:
            scale = tail.scale * values[-1] / law.values[-1]
            tail = tail.model_copy(update={"scale": scale})
        return law.model_copy(update={"values": values, "tail": tail, "fit": None})
    return _matched(law, to, widen)


def _matched(law: Simple, to: Callable[[float], float], widen: float) -> Simple:
    """Return a law whose median and 95th percentile are where they are moved to."""
    bare = law.model_copy(update={"shift": 0.0})
    middle = percentile(bare, 0.5)
    new = to(middle)
    match law:
        case Constant():
            update = {"value": to(law.value)}
        case Lognorm():
            update = {"median": new, "sigma": law.sigma * widen}
        case Weibull():
            update = {"scale": to(law.scale), "shape": law.shape / widen}
        case Expon():
            if widen != 1.0:
                scale = to(law.mean)
                return Weibull(shift=law.shift, scale=scale, shape=1.0 / widen)
            update = {"mean": law.mean * new / middle}
        case Gamma() | InvGauss():
            shape = _shape(type(law), law.shape, widen)
            unit = percentile(bare.model_copy(update={"mean": 1.0, "shape": shape}), 0.5)
            update = {"mean": new / unit, "shape": shape}
        case Pareto():
            tail = _shape(Pareto, law.tail, widen)
            unit = percentile(bare.model_copy(update={"scale": 1.0, "tail": tail}), 0.5)
            update = {"scale": new / unit, "tail": tail}
    return law.model_copy(update={**update, "fit": None})


_Shaped = type[Gamma] | type[InvGauss] | type[Pareto]


def _shape(family: _Shaped, shape: float, widen: float) -> float:
    """Return the shape with which log(p95 / median) is ``widen`` times as large."""
    shapes, widths = _widths(family)
    own = float(np.interp(shape, shapes, widths))
    # Where it falls as the shape grows, from its end.
    order = slice(None) if widths[-1] > widths[0] else slice(None, None, -1)
    found = float(np.interp(own * widen, widths[order], shapes[order]))
    return shape if widen == 1.0 else found


@lru_cache(maxsize=3)
def _widths(family: _Shaped) -> tuple[FloatArray, FloatArray]:
    """Return shapes, and log(p95 / median) of each."""
    at = np.array([0.5, 0.95])
    if family is Pareto:
        shapes = np.linspace(0.0, 0.95, 96)
        laws: list[Distribution] = [Pareto(scale=1.0, tail=float(tail)) for tail in shapes]
    else:
        shapes = np.geomspace(0.02, 60_000.0, 400)
        laws = [family(mean=1.0, shape=float(shape)) for shape in shapes]  # type: ignore[call-arg]
    logs = np.log([quantile(law, at) for law in laws])
    return shapes, logs[:, 1] - logs[:, 0]
