"""How much of the code is still in the processor's caches when it runs again.

Code that ran a moment ago costs six tenths of what it costs after a tenth of a second
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
from fastsim.calibrate.observed import ObservedStep, Signature, signature
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
    """Return how warm code was, one entry a run, in the order of ``_Runs``."""
    runs = _Runs()
    origin = int(requests.start_ns.min())
    arrived_s = ((requests.start_ns - origin) / 1e9).tolist()
    instance = requests.instance.tolist()
    for endpoint in endpoints:
        for variant in endpoint.variants:
            # All of its requests take the same steps.
            named = signature(variant.requests[0])
            for row, steps in zip(variant.indices, variant.requests, strict=True):
                runs.process = instance[row]
                runs.add(endpoint.name, steps, named, (), arrived_s[row])
    begun_s, over_s = np.array(runs.begun_s), np.array(runs.over_s)
    process_of = np.array(runs.process_of, np.int64)
    warm = np.zeros(len(begun_s))
    for what in (runs.own, runs.shared):
        ages = _ages(begun_s, over_s, process_of, np.array(what, np.int64))
        warm += still_warm(ages) / 2.0
    return warm


def still_warm(age_s: FloatArray) -> FloatArray:
    """Return the part of code that is warm so long after it ran; ages are not below 0."""
    found: FloatArray = np.exp(-np.sqrt(age_s / ColdCost().forgets))
    return found


def _ages(begun_s: FloatArray, over_s: FloatArray, process: IntArray, what: IntArray) -> FloatArray:
    """Return the time since the same code ran in the same process, infinite the first time."""
    order = np.lexsort((begun_s, what, process))
    again = (np.diff(what[order]) == 0) & (np.diff(process[order]) == 0)
    since = begun_s[order][1:] - over_s[order][:-1]
    ages = np.full(len(begun_s), np.inf)
    ages[order[1:]] = np.where(again, np.maximum(since, 0.0), np.inf)
    return ages


class _Runs:
    """All runs of code, one entry each: when, and numbers of what ran."""

    def __init__(self) -> None:
        self.begun_s: list[float] = []
        self.over_s: list[float] = []
        self.own: list[int] = []
        self.shared: list[int] = []
        self.process_of: list[int] = []
        self.process = 0
        """Of what is added next."""
        self._footprints = Footprints()
        self._known: dict[object, list[tuple[Place, int, int]]] = {}

    def add(
        self,
        endpoint: str,
        steps: Sequence[ObservedStep],
        named: Signature,
        within: Place,
        arrived_s: float,
    ) -> None:
        """Add the code of some steps of a request, that of branches in their place."""
        for step, (place, own, shared) in zip(
            steps, self._numbered(endpoint, named, within), strict=True
        ):
            if step.do == "cpu":
                self._one(arrived_s + step.start_s, step.wall_s, own, shared)
            elif step.chunks:
                for chunk in step.chunks:
                    begun_s = arrived_s + chunk.start_s + chunk.wall_s
                    self._one(begun_s, chunk.loop_s, own, shared)
            else:
                for branch in step.branches:
                    self.add(endpoint, branch, signature(branch), place, arrived_s)

    def _one(self, begun_s: float, length_s: float, own: int, shared: int) -> None:
        self.begun_s.append(begun_s)
        self.over_s.append(begun_s + length_s)
        self.own.append(own)
        self.shared.append(shared)
        self.process_of.append(self.process)

    def _numbered(
        self, endpoint: str, named: Signature, within: Place
    ) -> list[tuple[Place, int, int]]:
        key = (endpoint, named, within)
        if key not in self._known:
            self._known[key] = [
                (place, *self._footprints.of(endpoint, place)) for place in places(named, within)
            ]
        return self._known[key]


def _filled(step: ObservedStep, found: Iterator[float]) -> ObservedStep:
    """Return the step with what comes next, in the order of ``_Runs``."""
    if step.do == "cpu":
        # By hand: of hundreds of thousands ``replace`` takes three times as long.
        return ObservedStep(
            step.do,
            step.start_s,
            step.wall_s,
            step.cpu_s,
            step.bound_s,
            step.late_s,
            step.idle_share,
            next(found),
            step.kind,
            step.via,
            step.label,
            step.where,
            step.resource,
            unit=step.unit,
            after_response=step.after_response,
        )
    if step.chunks:
        return replace(step, chunks=tuple(replace(each, warm=next(found)) for each in step.chunks))
    if step.branches:
        branches = tuple(tuple(_filled(each, found) for each in branch) for branch in step.branches)
        return replace(step, branches=branches)
    return step
