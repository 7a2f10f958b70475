"""What differs between two models of one service: steps that drifted, came or went.

A step is the same when it stands in the same order among steps of its kind and name on a path of
the same endpoint; paths are taken in their order. Its median and its 95th percentile are compared
as far as both fits know them: with the errors of both, and for code with the speed that each
recording's machine had, and with how well each knows what code takes on a busy loop. All
comparisons together find a change where there is none with 5 %.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from scipy.special import ndtri

from fastsim.distributions import percentile
from fastsim.model import (
    CpuStep,
    Distribution,
    Endpoint,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    Variant,
    WaitStep,
)
from fastsim.program import bodies
from fastsim.twin.doubt import busy_loop_sd

CONFIDENCE = 0.95
LEAST = 0.05
"""Changes by less than this are not worth a word, however sure they are."""
_Z90 = 1.6449
_AT = {"median": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class Drift:
    """One step, or one path, that is not what it was."""

    place: str
    """Endpoint, and path where it has several."""
    step: str
    what: Literal["median", "p95", "share", "new", "gone"]
    before: float | None = None
    """Seconds, or a share."""
    after: float | None = None
    error: float | None = None
    """How far the logarithm of after over before may be off, at 95 % for all together."""

    @property
    def ratio(self) -> float:
        """How many times what it was; 1 where that has no meaning."""
        return self.after / self.before if self.before and self.after else 1.0


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """What was compared, and what of it changed, largest change first."""

    compared: int
    drifts: tuple[Drift, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A law of a step."""

    name: str
    law: Distribution
    code: Literal["", "loop", "thread"] = ""
    """Where it runs, if it is code."""


@dataclass(frozen=True, slots=True)
class _Test:
    place: str
    step: str
    what: Literal["median", "p95", "share"]
    before: float
    after: float
    error: float
    """Standard error of the logarithm of their ratio."""


def diff_models(before: ServiceModel, after: ServiceModel) -> ModelDiff:
    """Compare two models of one service."""
    found = _Findings(
        math.hypot(before.loop.doubt.error, after.loop.doubt.error),
        math.hypot(busy_loop_sd(before.loop), busy_loop_sd(after.loop)),
    )
    old = {endpoint.name: endpoint for endpoint in before.endpoints}
    new = {endpoint.name: endpoint for endpoint in after.endpoints}
    for name in _names(old, new):
        if found.both(name, "", name in old, name in new):
            found.endpoint(old[name], new[name])
    # Bonferroni: so many tests find nothing in 95 % of cases where nothing is.
    z = float(ndtri(1.0 - (1.0 - CONFIDENCE) / (2.0 * max(len(found.tests), 1))))
    for test in found.tests:
        moved, half = math.log(test.after / test.before), z * test.error
        if abs(moved) > half and abs(moved) > math.log1p(LEAST):
            found.drifts.append(
                Drift(test.place, test.step, test.what, test.before, test.after, round(half, 4))
            )
    drifts = sorted(found.drifts, key=lambda drift: -abs(math.log(drift.ratio)))
    return ModelDiff(len(found.tests), tuple(drifts))


def _names(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [*before, *(name for name in after if name not in before)]


class _Findings:
    """What is to be tested, and what came or went.

    Parameters
    ----------
    speed
        Standard error of the logarithm of how fast one machine ran beside the other.
    warmth
        The same of code on a busy loop beside that on the loop that was recorded.
    """

    def __init__(self, speed: float, warmth: float) -> None:
        self._speed = {"": 0.0, "thread": speed, "loop": math.hypot(speed, warmth)}
        self.tests: list[_Test] = []
        self.drifts: list[Drift] = []

    def both(self, place: str, step: str, before: bool, after: bool) -> bool:
        """Tell whether both models have something; note it if only one has."""
        if not before or not after:
            self.drifts.append(Drift(place, step, "new" if after else "gone"))
        return before and after

    def endpoint(self, before: Endpoint, after: Endpoint) -> None:
        """Compare the paths of an endpoint, and how many requests take each."""
        several = len(before.variants) > 1 or len(after.variants) > 1
        old = {variant.name: variant for variant in before.variants}
        new = {variant.name: variant for variant in after.variants}
        for name in _names(old, new):
            place = f"{before.name}, {name}" if several else before.name
            if not self.both(place, "", name in old, name in new):
                continue
            if several:
                self._shares(place, old[name], new[name])
            self._steps(place, list(_leaves(old[name].steps)), list(_leaves(new[name].steps)))

    def _shares(self, place: str, before: Variant, after: Variant) -> None:
        if not before.requests or not after.requests or not before.share or not after.share:
            return
        parts = ((1.0 - each.share) / each.requests for each in (before, after))
        error = math.sqrt(sum(parts))
        self.tests.append(_Test(place, "", "share", before.share, after.share, error))

    def _steps(self, place: str, old: list[_Leaf], new: list[_Leaf]) -> None:
        names = ([leaf.name for leaf in old], [leaf.name for leaf in new])
        for tag, a, b, c, d in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
            if tag == "equal":
                for first, second in zip(old[a:b], new[c:d], strict=True):
                    self.tests += _laws(place, first, second, self._speed[first.code])
                continue
            self.drifts += [Drift(place, leaf.name, "gone") for leaf in old[a:b]]
            self.drifts += [Drift(place, leaf.name, "new") for leaf in new[c:d]]


def _leaves(steps: Sequence[Step]) -> Iterator[_Leaf]:
    """Yield the laws of a program, in its order."""
    for step in steps:
        match step:
            case CpuStep():
                yield _Leaf(f"cpu {step.where or step.label}".rstrip(), step.time, "loop")
            case WaitStep():
                name = f"{step.kind.value} {step.label or step.where}".rstrip()
                yield _Leaf(name, step.time)
            case ThreadStep():
                name = f"{step.label or step.where}".strip()
                yield _Leaf(f"thread {name}".rstrip(), step.cpu, "thread")
                if step.off_gil is not None:
                    yield _Leaf(f"thread waiting {name}".rstrip(), step.off_gil)
            case StreamStep():
                name = f"{step.kind.value} {step.label or step.where}".rstrip()
                yield _Leaf(f"{name}, wait of a chunk", step.gap)
                yield _Leaf(f"{name}, code of a chunk", step.cpu, "loop")
            case _:
                for body in bodies(step):
                    yield from _leaves(body)


def _laws(place: str, before: _Leaf, after: _Leaf, speed: float) -> Iterator[_Test]:
    """Compare the quantiles of two laws as far as both are known."""
    for what, at in _AT.items():
        old, new = percentile(before.law, at), percentile(after.law, at)
        errors = (_error(before.law, what), _error(after.law, what))
        if old > 0.0 and new > 0.0 and errors[0] is not None and errors[1] is not None:
            error = math.hypot(errors[0], errors[1], speed)
            name: Literal["median", "p95"] = "median" if what == "median" else "p95"
            yield _Test(place, before.name, name, old, new, error)


def _error(law: Distribution, what: str) -> float | None:
    """Return the standard error of the logarithm of a quantile; None where it is not known."""
    fit = law.fit
    if fit is None:
        return None
    known: tuple[float, float] | None = getattr(fit, what)
    if law.family == "constant":
        return 0.0
    if known is None or not 0.0 < known[0] <= known[1]:
        return None
    return math.log(known[1] / known[0]) / (2.0 * _Z90)
