"""Draw a Workload from a model: arrivals, endpoints, variants and every duration.

One random stream per purpose, endpoint, variant and step, each drawn in one block by
inversion. A change to one step, or to the deployment, leaves all other draws as they
were: common random numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.distributions import quantile
from fastsim.errors import InputError, UnknownNameError
from fastsim.model import (
    AcquireStep,
    Counts,
    CpuStep,
    Distribution,
    Endpoint,
    ParallelStep,
    Pauses,
    ReleaseStep,
    RespondStep,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    WaitStep,
    YieldStep,
)
from fastsim.spans import StepKind, Via
from fastsim.twin.streams import stream
from fastsim.twin.workload import KINDS, FloatArray, IntArray, Op, ViaCode, Workload

_VIA = {
    Via.SOCKET: ViaCode.SOCKET,
    Via.TIMER: ViaCode.TIMER,
    Via.THREAD: ViaCode.THREAD,
    Via.LOOP: ViaCode.SOCKET,
}
_KIND = {kind: KINDS.index(kind.value) for kind in StepKind}


def sample(
    model: ServiceModel,
    *,
    rate_per_s: float,
    duration_s: float,
    seed: int,
    mix: Mapping[str, float] | None = None,
    arrivals: str = "poisson",
) -> Workload:
    """Draw open-loop traffic and everything its requests do.

    Parameters
    ----------
    rate_per_s
        Mean arrivals per second.
    duration_s
        Length of the traffic, seconds.
    mix
        Share per endpoint; the recorded mix when None or empty.
    arrivals
        ``poisson`` (independent) or ``uniform`` (evenly spaced).

    Raises
    ------
    InputError
        When the rate or duration is not positive, or the mix has no weight.
    UnknownNameError
        When the mix names an endpoint the model does not have.
    """
    if not rate_per_s > 0.0 or not duration_s > 0.0:
        raise InputError(f"rate and duration must be positive, not {rate_per_s} and {duration_s}")
    times = _arrival_times(rate_per_s, duration_s, seed, arrivals)
    shares = _shares(model, mix)
    edges = np.cumsum(shares)
    uniform = stream(seed, "mix").random(len(times))
    endpoint = np.searchsorted(edges, uniform * edges[-1], side="right").astype(np.int64)
    return sample_at(model, times, np.minimum(endpoint, len(edges) - 1), seed)


def sample_at(
    model: ServiceModel, arrival_s: FloatArray, endpoint: IntArray, seed: int
) -> Workload:
    """Draw what requests do that arrive at given times for given endpoints.

    Parameters
    ----------
    arrival_s
        Shape (n,), seconds, not decreasing.
    endpoint
        Shape (n,), index into ``model.endpoints``.
    """
    names = tuple(model.resources)
    drawn: list[_Drawn] = []
    variant = np.zeros(len(arrival_s), np.int64)
    failed = np.zeros(len(arrival_s), np.bool_)
    for number, described in enumerate(model.endpoints):
        rows = np.flatnonzero(endpoint == number)
        chosen = _variants(described, len(rows), seed)
        for position, way in enumerate(described.variants):
            mine = rows[chosen == position]
            variant[mine] = position
            failed[mine] = way.failed
            if len(mine):
                drawn.append(_draw(way.steps, f"{described.name}/{position}", mine, names, seed))
    assembled = _assemble(model, arrival_s, endpoint, drawn, variant=variant, failed=failed)
    _add_pauses(assembled, model.loop.pauses, seed)
    return assembled


def _add_pauses(workload: Workload, pauses: Pauses, seed: int) -> None:
    """Lengthen the longest code of the requests that a stop of the loop falls into."""
    if pauses.time is None or pauses.per_request <= 0.0:
        return
    rng = stream(seed, "pauses")
    hit = np.flatnonzero(rng.random(len(workload)) < pauses.per_request)
    for request, length in zip(hit.tolist(), _times(pauses.time, rng, len(hit)), strict=True):
        first, last = workload.op_first[request : request + 2].tolist()
        code = np.flatnonzero(workload.op_code[first:last] == Op.CPU)
        if len(code):
            longest = code[np.argmax(workload.op_value[first + code])]
            workload.op_value[first + longest] += length


def _arrival_times(rate: float, duration_s: float, seed: int, arrivals: str) -> FloatArray:
    if arrivals == "uniform":
        return np.arange(0.5 / rate, duration_s, 1.0 / rate)
    rng = stream(seed, "arrivals")
    blocks: list[FloatArray] = []
    last = 0.0
    while last < duration_s:
        block = last + np.cumsum(rng.exponential(1.0 / rate, int(rate * duration_s) + 100))
        blocks.append(block)
        last = float(block[-1])
    times = np.concatenate(blocks)
    return times[times < duration_s]


def _shares(model: ServiceModel, mix: Mapping[str, float] | None) -> FloatArray:
    names = [endpoint.name for endpoint in model.endpoints]
    if mix:
        for name in mix:
            if name not in names:
                raise UnknownNameError("endpoint", name, names)
        shares = np.array([mix.get(name, 0.0) for name in names])
    else:
        shares = np.array([endpoint.share for endpoint in model.endpoints])
    if not shares.sum() > 0.0:
        raise InputError("the mix gives no endpoint any share")
    return shares


def _variants(endpoint: Endpoint, n: int, seed: int) -> IntArray:
    edges = np.cumsum([variant.share for variant in endpoint.variants])
    uniform = stream(seed, f"{endpoint.name}/variant").random(n)
    chosen = np.searchsorted(edges, uniform * edges[-1], side="right")
    return np.asarray(np.minimum(chosen, len(edges) - 1), np.int64)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The operations of the requests of one variant, request after request."""

    rows: IntArray
    lengths: IntArray
    code: IntArray
    arg: IntArray
    kind: IntArray
    value: FloatArray
    extra: FloatArray


@dataclass(frozen=True, slots=True)
class _Block:
    """Operations of one step for all requests: shape (n, width), or ragged by ``counts``."""

    code: Sequence[int]
    arg: Sequence[int]
    kind: Sequence[int]
    value: list[FloatArray]
    extra: list[FloatArray]
    counts: IntArray | None = None


def _draw(
    steps: Sequence[Step], name: str, rows: IntArray, resources: tuple[str, ...], seed: int
) -> _Drawn:
    n = len(rows)
    drawn = [
        _draw_parallel(step, f"{name}/{position}", n, resources, seed)
        if isinstance(step, ParallelStep)
        else _flat(_block(step, n, stream(seed, f"{name}/{position}"), resources), n)
        for position, step in enumerate(steps)
    ]
    lengths = np.sum([part.lengths for part in drawn], axis=0) if drawn else np.zeros(n, np.int64)
    first = np.concatenate([[0], np.cumsum(lengths)])
    out = _empty(rows, lengths)
    offset = first[:-1].copy()
    for part in drawn:
        at = np.repeat(offset, part.lengths) + _within(part.lengths)
        for name_of in _COLUMNS:
            getattr(out, name_of)[at] = getattr(part, name_of)
        offset += part.lengths
    return out


_Plain = (
    AcquireStep
    | CpuStep
    | ReleaseStep
    | RespondStep
    | StreamStep
    | ThreadStep
    | WaitStep
    | YieldStep
)
_COLUMNS = ("code", "arg", "kind", "value", "extra")


def _empty(rows: IntArray, lengths: IntArray) -> _Drawn:
    total = int(lengths.sum())
    return _Drawn(
        rows=rows,
        lengths=lengths,
        code=np.zeros(total, np.int64),
        arg=np.zeros(total, np.int64),
        kind=np.zeros(total, np.int64),
        value=np.zeros(total),
        extra=np.zeros(total),
    )


def _within(lengths: IntArray) -> IntArray:
    """Return 0, 1, ... within each of several stretches laid end to end."""
    starts = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(int(lengths.sum())) - np.repeat(starts, lengths), np.int64)


def _draw_parallel(
    step: ParallelStep, name: str, n: int, resources: tuple[str, ...], seed: int
) -> _Drawn:
    """Draw a parallel step: a FORK, then each branch behind a BRANCH with its length."""
    counts: list[IntArray] = []
    parts: list[_Drawn] = []
    for number, branch in enumerate(step.branches):
        own = f"{name}/branch {number}"
        counts.append(_counts(branch.count, stream(seed, own), n))
        total = int(counts[-1].sum())
        parts.append(_draw(branch.steps, own, np.arange(total), resources, seed))
    request = np.concatenate([np.repeat(np.arange(n), count) for count in counts])
    lengths = np.concatenate([part.lengths for part in parts])
    order = np.argsort(request, kind="stable")
    ends = np.cumsum(lengths[order] + 1)
    at = np.empty(len(order), np.int64)
    # Before a branch lie all earlier ones and a FORK for each request so far.
    at[order] = ends - lengths[order] - 1 + request[order] + 1
    width = 1 + np.bincount(request, lengths + 1, minlength=n).astype(np.int64)
    out = _empty(np.arange(n), width)
    forks = np.cumsum(width) - width
    out.code[forks] = Op.FORK
    out.arg[forks] = np.sum(counts, axis=0)
    out.code[at] = Op.BRANCH
    out.arg[at] = lengths
    inside = np.repeat(at + 1, lengths) + _within(lengths)
    for column in _COLUMNS:
        getattr(out, column)[inside] = np.concatenate([getattr(part, column) for part in parts])
    return out


def _flat(block: _Block, n: int) -> _Drawn:
    """Lay the operations of one step out request after request."""
    width = len(block.code)
    repeats = np.ones(n, np.int64) if block.counts is None else block.counts
    out = _empty(np.arange(n), repeats * width)
    for column in range(width):
        out.code[column::width] = block.code[column]
        out.arg[column::width] = block.arg[column]
        out.kind[column::width] = block.kind[column]
        out.value[column::width] = block.value[column]
        out.extra[column::width] = block.extra[column]
    return out


def _block(step: _Plain, n: int, rng: np.random.Generator, resources: tuple[str, ...]) -> _Block:
    zeros = np.zeros(n)
    match step:
        case CpuStep():
            time = _times(step.time, rng, n)
            return _Block([Op.CPU], [0], [0], [time], [time * step.blocking])
        case WaitStep():
            time = _times(step.time, rng, n)
            cpu = np.minimum(np.full(n, step.thread_cpu), time)
            return _Block([Op.WAIT], [_VIA[step.via]], [_KIND[step.kind]], [time], [cpu])
        case YieldStep():
            return _Block([Op.YIELD], [0], [0], [zeros], [zeros])
        case ThreadStep():
            cpu = _times(step.cpu, rng, n)
            off = zeros if step.off_gil is None else _times(step.off_gil, rng, n)
            return _Block([Op.THREAD], [0], [_KIND[StepKind.THREAD]], [cpu], [off])
        case StreamStep():
            counts = _counts(step.chunks, rng, n)
            total = int(counts.sum())
            gap, cpu = _times(step.gap, rng, total), _times(step.cpu, rng, total)
            none = np.zeros(total)
            kind = _KIND[step.kind]
            return _Block(
                [Op.WAIT, Op.CPU], [_VIA[step.via], 0], [kind, 0], [gap, cpu], [none, none], counts
            )
        case AcquireStep():
            return _Block([Op.ACQUIRE], [resources.index(step.resource)], [0], [zeros], [zeros])
        case ReleaseStep():
            return _Block([Op.RELEASE], [resources.index(step.resource)], [0], [zeros], [zeros])
        case RespondStep():
            return _Block([Op.RESPOND], [0], [0], [zeros], [zeros])


def _times(distribution: Distribution, rng: np.random.Generator, n: int) -> FloatArray:
    return np.maximum(quantile(distribution, rng.random(n)), 0.0)


def _counts(counts: Counts, rng: np.random.Generator, n: int) -> IntArray:
    edges = np.cumsum(counts.weights)
    chosen = np.searchsorted(edges, rng.random(n) * edges[-1], side="right")
    return np.asarray(
        np.array(counts.values, np.int64)[np.minimum(chosen, len(edges) - 1)], np.int64
    )


def _assemble(
    model: ServiceModel,
    arrival_s: FloatArray,
    endpoint: IntArray,
    drawn: list[_Drawn],
    *,
    variant: IntArray,
    failed: npt.NDArray[np.bool_],
) -> Workload:
    lengths = np.zeros(len(arrival_s), np.int64)
    for part in drawn:
        lengths[part.rows] = part.lengths
    first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    total = int(first[-1])
    columns: dict[str, npt.NDArray[np.generic]] = {
        "code": np.zeros(total, np.int64),
        "arg": np.zeros(total, np.int64),
        "kind": np.zeros(total, np.int64),
        "value": np.zeros(total),
        "extra": np.zeros(total),
    }
    for part in drawn:
        starts = np.cumsum(part.lengths) - part.lengths
        within = np.arange(int(part.lengths.sum())) - np.repeat(starts, part.lengths)
        at = np.repeat(first[part.rows], part.lengths) + within
        for name, column in columns.items():
            column[at] = getattr(part, name)
    return Workload(
        endpoints=tuple(described.name for described in model.endpoints),
        resources=tuple(model.resources),
        kinds=KINDS,
        arrival_s=np.asarray(arrival_s, np.float64),
        endpoint=np.asarray(endpoint, np.int64),
        variant=variant,
        failed=failed,
        op_first=first,
        op_code=columns["code"].astype(np.int64),
        op_arg=columns["arg"].astype(np.int64),
        op_kind=columns["kind"].astype(np.int64),
        op_value=columns["value"].astype(np.float64),
        op_extra=columns["extra"].astype(np.float64),
    )
