"""How much of the code is still in the processor's caches when it runs again.

Code that ran a moment ago costs half of what it costs after a tenth of a second
(docs/decisions/0026). What fills the caches is the framework's code that all endpoints share, and
an endpoint's own: so two ages count alike, that since the same step of the endpoint ran, and that
since any endpoint's step ran after the same kind of wait. Which steps are the same code, the twin
says by the same rule of a model's steps (``fastsim.twin.footprints``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.growth import unsampled
from fastsim.calibrate.observed import ObservedStep, signature
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.sampled import ALL_RECORDED
from fastsim.model import ColdCost
from fastsim.twin.footprints import Footprints, Place, places

if TYPE_CHECKING:
    from fastsim.calibrate.variants import ObservedEndpoint

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def with_warmth(
    requests: RequestSet, endpoints: "Sequence[ObservedEndpoint]"
) -> "list[ObservedEndpoint]":
    """Return the endpoints with how warm each run of code was.

    Where requests were left out by sampling nobody knows when code ran before: all is cold then.
    """
    if unsampled(requests) > ALL_RECORDED:
        return list(endpoints)
    found = iter(_warmth(requests, endpoints).tolist())
    return [
        replace(
            endpoint,
            variants=tuple(
                replace(
                    variant,
                    requests=tuple(
                        tuple(_filled(step, found) for step in steps) for steps in variant.requests
                    ),
                )
                for variant in endpoint.variants
            ),
        )
        for endpoint in endpoints
    ]


def _warmth(requests: RequestSet, endpoints: "Sequence[ObservedEndpoint]") -> FloatArray:
    """Return how warm code was, one entry a run, in the order of ``_runs``."""
    begun: list[float] = []
    over: list[float] = []
    instance: list[int] = []
    own: list[int] = []
    shared: list[int] = []
    origin = int(requests.start_ns.min())
    arrived_s = ((requests.start_ns - origin) / 1e9).tolist()
    footprints = Footprints()
    for endpoint in endpoints:
        for variant in endpoint.variants:
            for row, steps in zip(variant.indices, variant.requests, strict=True):
                at_s, process = arrived_s[row], int(requests.instance[row])
                for place, begin_s, end_s in _runs(steps, ()):
                    begun.append(at_s + begin_s)
                    over.append(at_s + end_s)
                    instance.append(process)
                    number, of_any = footprints.of(endpoint.name, place)
                    own.append(number)
                    shared.append(of_any)
    begun_s, over_s = np.array(begun), np.array(over)
    process_of = np.array(instance, np.int64)
    warm = np.zeros(len(begun_s))
    for what in (own, shared):
        ages = _ages(begun_s, over_s, process_of, np.array(what, np.int64))
        warm += still_warm(ages) / 2.0
    return warm


def still_warm(age_s: FloatArray, forgets_s: float | None = None) -> FloatArray:
    """Return the part of code that is warm so long after it ran; ages are not below 0."""
    memory_s = ColdCost().forgets if forgets_s is None else forgets_s
    found: FloatArray = np.exp(-np.sqrt(age_s / memory_s))
    return found


def _ages(begun_s: FloatArray, over_s: FloatArray, process: IntArray, what: IntArray) -> FloatArray:
    """Return the time since the same code ran in the same process, infinite the first time."""
    order = np.lexsort((begun_s, what, process))
    again = (np.diff(what[order]) == 0) & (np.diff(process[order]) == 0)
    since = begun_s[order][1:] - over_s[order][:-1]
    ages = np.full(len(begun_s), np.inf)
    ages[order[1:]] = np.where(again, np.maximum(since, 0.0), np.inf)
    return ages


def _runs(steps: Sequence[ObservedStep], within: Place) -> Iterator[tuple[Place, float, float]]:
    """Yield the place, begin and end of every run of code, those of branches in their place."""
    for step, place in zip(steps, places(signature(steps), within), strict=True):
        if step.do == "cpu":
            yield place, step.start_s, step.start_s + step.wall_s
        for chunk in step.chunks:
            begin_s = chunk.start_s + chunk.wall_s
            yield (*place, "chunk"), begin_s, begin_s + chunk.loop_s
        for branch in step.branches:
            yield from _runs(branch, place)


def _filled(step: ObservedStep, found: Iterator[float]) -> ObservedStep:
    """Return the step with what comes next, in the order of ``_runs``."""
    if step.do == "cpu":
        return replace(step, warm=next(found))
    if not step.chunks and not step.branches:
        return step
    chunks = tuple(replace(chunk, warm=next(found)) for chunk in step.chunks)
    branches = tuple(tuple(_filled(each, found) for each in branch) for branch in step.branches)
    return replace(step, chunks=chunks, branches=branches)
