"""Group the requests of each endpoint into variants: requests that took the same steps.

A run of equal waits is folded into a stream only where its length varies from request
to request (the chunks of a streamed answer). A fixed sequence of queries keeps its
steps apart, because each of them has a law of its own.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastsim.calibrate.branch_positions import places_differ
from fastsim.calibrate.loops import fold_loops
from fastsim.calibrate.observed import ObservedStep, Signature, fold_streams, signature
from fastsim.calibrate.pooled import pooled
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.timeline import normalise
from fastsim.calibrate.warmth import with_warmth
from fastsim.errors import NotEnoughDataError

LEAST_REQUESTS = 20
"""A variant with fewer requests has too little data to be fitted by itself."""

MOST_VARIANTS = 12
"""Paths of one endpoint that are fitted by themselves; a model must stay readable."""

Programs = dict[int, tuple[ObservedStep, ...]]
"""Steps of requests by their row in the request set."""

_REGULAR_VARIANTS = 4
_REGULAR_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class ObservedVariant:
    """Requests of one endpoint with the same signature."""

    failed: bool
    requests: tuple[tuple[ObservedStep, ...], ...]
    """One entry per request: its steps; all of equal length."""
    indices: tuple[int, ...]
    """Rows in the request set."""
    share: float
    """Part of the endpoint's requests."""
    pooled: bool = False
    """Several rare paths put together (``fastsim.calibrate.pooled``)."""

    def columns(self) -> Iterator[tuple[tuple[ObservedStep, ...], tuple[int, ...]]]:
        """Yield each step as all requests took it, and their rows; branches one by one."""
        for steps in zip(*self.requests, strict=True):
            if steps[0].do in {"parallel", "repeat"}:
                for group in branch_groups(steps, self.indices):
                    yield from group.branches.columns()
            else:
                yield steps, self.indices


@dataclass(frozen=True, slots=True)
class BranchGroup:
    """Branches of one parallel step, in all requests, that take the same steps."""

    branches: ObservedVariant
    counts: tuple[int, ...]
    """How many each request had."""


def branch_groups(steps: Sequence[ObservedStep], indices: Sequence[int]) -> tuple[BranchGroup, ...]:
    """Group the branches of one parallel step, or the rounds of a loop, by their signatures.

    Branches of one signature that differ by their place among them are a group for each place
    (``fastsim.calibrate.branch_positions``).

    Parameters
    ----------
    steps
        The parallel step of each request; their sets of signatures are the same.
    indices
        Rows of these requests.
    """
    groups = []
    for wanted in sorted({signature(branch) for step in steps for branch in step.branches}):
        each = [
            [branch for branch in step.branches if signature(branch) == wanted] for step in steps
        ]
        if steps[0].do == "parallel" and places_differ(each):
            groups += [
                _group([[branch] for branch in place], indices) for place in zip(*each, strict=True)
            ]
        else:
            groups.append(_group(each, indices))
    return tuple(groups)


def _group(
    branches: Sequence[Sequence[tuple[ObservedStep, ...]]], indices: Sequence[int]
) -> BranchGroup:
    """Put branches of requests together."""
    rows = [index for index, each in zip(indices, branches, strict=True) for _ in each]
    found = tuple(branch for each in branches for branch in each)
    counts = tuple(len(each) for each in branches)
    return BranchGroup(ObservedVariant(False, found, tuple(rows), 1.0), counts)


@dataclass(frozen=True, slots=True)
class ObservedEndpoint:
    """One endpoint with its variants, most frequent first."""

    name: str
    requests: int
    variants: tuple[ObservedVariant, ...]

    @property
    def pooled(self) -> int:
        """Requests of paths too rare to be fitted by themselves."""
        return sum(len(variant.requests) for variant in self.variants if variant.pooled)


def recorded_programs(requests: RequestSet) -> Programs:
    """Return the steps of all fittable requests that have a timeline, by row."""
    return {
        index: normalise(timeline, fold=False)
        for index, timeline in requests.timelines(requests.fittable)
    }


def group_variants(
    requests: RequestSet, programs: Programs | None = None
) -> list[ObservedEndpoint]:
    """Return the endpoints and their variants.

    Parameters
    ----------
    programs
        Steps of requests by row; by default those of recorded timelines.

    Raises
    ------
    NotEnoughDataError
        When no request has a timeline.
    """
    by_endpoint: dict[int, dict[int, tuple[ObservedStep, ...]]] = {}
    if programs is None:
        programs = recorded_programs(requests)
    for index, steps in programs.items():
        by_endpoint.setdefault(int(requests.endpoint[index]), {})[index] = steps
    if not by_endpoint:
        raise NotEnoughDataError(
            "no request in the traces has a FastSim timeline",
            hint="record the service with: fastsim record -- uvicorn app:app",
        )
    totals = np.bincount(requests.endpoint[~requests.rejected], minlength=len(requests.endpoints))
    endpoints = [
        _endpoint(requests, requests.endpoints[code], int(totals[code]), rows)
        for code, rows in by_endpoint.items()
    ]
    return with_warmth(requests, sorted(endpoints, key=lambda endpoint: endpoint.name))


def _endpoint(
    requests: RequestSet, name: str, total: int, rows: dict[int, tuple[ObservedStep, ...]]
) -> ObservedEndpoint:
    if not _regular(list(rows.values())):
        rows = {index: fold_streams(steps) for index, steps in rows.items()}
    rows = fold_loops(rows)
    groups: dict[tuple[bool, Signature], list[int]] = {}
    for index, steps in rows.items():
        key = (bool(requests.failed[index]), signature(steps))
        groups.setdefault(key, []).append(index)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    fitted = [item for item in ranked[:MOST_VARIANTS] if len(item[1]) >= LEAST_REQUESTS]
    rare = ranked[len(fitted) :]
    variants = [
        ObservedVariant(
            failed=failed,
            requests=tuple(rows[index] for index in indices),
            indices=tuple(indices),
            share=len(indices) / len(rows),
        )
        for (failed, _), indices in fitted
    ]
    if len(rare) == 1 and not fitted:  # an endpoint asked for a few times: one path as it is
        (failed, _), indices = rare[0]
        requests_of = tuple(rows[index] for index in indices)
        return ObservedEndpoint(
            name, total, (ObservedVariant(failed, requests_of, tuple(indices), 1.0),)
        )
    return ObservedEndpoint(name, total, (*variants, *_pooled(rare, rows)))


def _pooled(
    rare: Sequence[tuple[tuple[bool, Signature], list[int]]],
    rows: dict[int, tuple[ObservedStep, ...]],
) -> list[ObservedVariant]:
    """Put rare paths together, those apart that fail, take other resources or wait often."""
    programs = {index: pooled(rows[index]) for _, indices in rare for index in indices}
    groups: dict[tuple[bool, tuple[tuple[str, str], ...]], list[int]] = {}
    for (failed, _), indices in rare:
        for index in indices:
            shape = tuple((step.do, step.resource) for step in programs[index])
            groups.setdefault((failed, shape), []).append(index)
    return [
        ObservedVariant(
            failed=failed,
            requests=tuple(programs[index] for index in indices),
            indices=tuple(indices),
            share=len(indices) / len(rows),
            pooled=True,
        )
        for (failed, _), indices in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _regular(steps_of_requests: Sequence[tuple[ObservedStep, ...]]) -> bool:
    counts = Counter(signature(steps) for steps in steps_of_requests)
    top = sum(count for _, count in counts.most_common(_REGULAR_VARIANTS))
    return top >= _REGULAR_SHARE * len(steps_of_requests)
