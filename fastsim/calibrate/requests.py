"""From spans to requests: which spans are requests of the service, and what each one says.

The result is columnar, one row per request in order of arrival. What a request did inside
is its timeline, see ``fastsim.calibrate.timeline``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.collecting import COUNTERS, Collector, Rows, picked
from fastsim.calibrate.http_semconv import REJECTED_STATUS
from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.loop_series import LoopSeries, read_loop_series
from fastsim.calibrate.sampled import MOST, NOT_TOLD, Sampling, Told, fair_sample, slow_ones_kept
from fastsim.calibrate.thinning import looked_at_plainly
from fastsim.calibrate.timeline import Timeline
from fastsim.calibrate.trace_ids import TraceIds
from fastsim.errors import InputError, NotEnoughDataError, UnknownNameError
from fastsim.spans import Attributes, Outcome, Span, SpanKind

__all__ = ["COUNTERS", "Instance", "RequestAccount", "RequestSet", "collect_requests"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

WARM_UP_SHARE = 0.05
WARM_UP_MAX_S = 2.0
WARM_UP_MIN_REQUESTS = 20

_CUT = frozenset({Outcome.DISCONNECTED, Outcome.CANCELLED})

_DOMINATES = 0.9
"""A service with this share of all requests is meant without being named."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of the service."""

    name: str
    resource: Attributes
    """Resource attributes: ``service.*``, ``telemetry.*``, ``process.*``, ``fastsim.process.*``."""

    @property
    def facts(self) -> Attributes:
        """What the recorder noted about the process, by ``fastsim.spans.PROCESS_*`` name."""
        return {
            key: value for key, value in self.resource.items() if key.startswith("fastsim.process.")
        }


@dataclass(slots=True)
class RequestAccount:
    """What became of the spans: every one is counted exactly once under ``spans``."""

    spans: int = 0
    requests: int = 0
    inner: int = 0
    """Spans inside requests: clients, internal."""
    loop: int = 0
    """Spans of the recorder's about the event loop."""
    nested: int = 0
    """Server spans inside another request of the same process, as mounted applications make."""
    repeated: int = 0
    """Requests read before."""
    other_services: int = 0
    """Requests of services that were not chosen."""
    without_timeline: Counter[str] = field(default_factory=Counter)
    """Requests without a timeline, by reason."""
    rejected: int = 0
    failed: int = 0
    cut: int = 0
    """Requests whose client left, or that were cancelled, before their answer was complete."""
    thinned: int = 0
    """Requests left out because their trace stands for fewer than others of their endpoint."""
    warm_up: int = 0
    """Requests left out of fitting because their process had just started."""

    def summary(self) -> str:
        """Say in a few lines what was found."""
        outcome = f"{self.failed:,} failed, {self.rejected:,} not routed or refused"
        lines = [f"{self.requests:,} requests from {self.spans:,} spans ({outcome})"]
        for count, what in (
            (self.other_services, "requests of other services"),
            (self.nested, "server spans inside another request"),
            (self.repeated, "requests met before"),
            (self.thinned, "requests left out: their traces stand for fewer than others do"),
            (self.cut, "requests cut short by their clients, not fitted"),
            (self.warm_up, "requests of the warm-up, used for rates only"),
        ):
            if count:
                lines.append(f"  {count:,} {what}")
        lines += [
            f"  {count:,} × {reason}" for reason, count in sorted(self.without_timeline.items())
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class RequestSet:
    """The requests of one service, sorted by start; arrays have one entry per request."""

    service: str
    endpoints: tuple[str, ...]
    instances: tuple[Instance, ...]
    start_ns: IntArray
    """Wall clock at the first instruction of the application, nanoseconds since 1970."""
    clock_ns: IntArray
    """Start on the process's monotonic clock; -1 where the recorder did not run."""
    duration_ns: IntArray
    """Length of the server span."""
    endpoint: IntArray
    """Index into ``endpoints``."""
    instance: IntArray
    """Index into ``instances``."""
    status: IntArray
    """HTTP status, 0 when unknown."""
    failed: BoolArray
    """Status 500 or above, or an error without status."""
    rejected: BoolArray
    """Answered by the framework with 404, 405 or 422."""
    cut: BoolArray
    """Ended before the answer was complete: the client left, or the request was cancelled."""
    warm_up: BoolArray
    """To be left out of fitting."""
    counters: dict[str, IntArray]
    """Cumulative counters of the process by ``fastsim.spans`` name; -1 where absent."""
    trace_ids: TraceIds
    waits: tuple[tuple[Wait, ...], ...]
    """Calls found in spans, per request, of those that are looked at (``thinning``); only where no
    request has a timeline, else empty."""
    last_end_ns: IntArray
    """When the last span ended that each request began after its answer; 0 without any, and where
    there are timelines."""
    account: RequestAccount
    stand_for: FloatArray
    """How many requests each trace stands for, where traces are a sample; 1 where they are not, or
    where nothing says so."""
    sampling: Sampling
    reading: tuple[str, ...]
    """What of the files was not used, and why; empty if everything was."""
    loop_series: LoopSeries
    """How busy the event loops were and how late."""
    left_out: BoolArray
    """Whose timelines were let go: those of others tell enough (``fastsim.calibrate.thinning``)."""
    served_per_recorded: float | None
    """How many requests were served per request recorded, where the counters no longer tell."""
    _timelines: tuple[Timeline | None, ...]

    def __len__(self) -> int:
        return len(self.start_ns)

    def timeline(self, index: int) -> Timeline | None:
        """Return the timeline of one request, None if it has none."""
        return self._timelines[index]

    def timelines(self, chosen: BoolArray | None = None) -> Iterator[tuple[int, Timeline]]:
        """Yield index and timeline of the chosen requests (default all) that have one."""
        indices = range(len(self)) if chosen is None else np.flatnonzero(chosen).tolist()
        for index in indices:
            timeline = self._timelines[index]
            if timeline is not None:
                yield index, timeline

    def part(self, chosen: BoolArray) -> "RequestSet":
        """Return some of the requests."""
        rows = np.flatnonzero(chosen).tolist()
        arrays: dict[str, Any] = {
            name: value[chosen]
            for name in self.__slots__
            if isinstance(value := getattr(self, name), np.ndarray)
        }
        return replace(
            self,
            **arrays,
            counters=picked(self.counters, chosen),
            trace_ids=self.trace_ids.of(rows),
            waits=tuple(self.waits[row] for row in rows) if self.waits else (),
            _timelines=tuple(self._timelines[row] for row in rows),
        )

    @property
    def recorded(self) -> BoolArray:
        """Which requests have a timeline."""
        return np.fromiter((item is not None for item in self._timelines), np.bool_, len(self))

    @property
    def fittable(self) -> BoolArray:
        """Which requests describe their endpoint: warm, and really served by it to the end."""
        return ~(self.warm_up | self.rejected | self.cut)


def collect_requests(
    all_spans: Iterable[Span],
    *,
    service: str | None = None,
    skip_first_s: float | None = None,
    sampled: float | None = None,
) -> RequestSet:
    """Find the requests of one service among spans in any order.

    Parameters
    ----------
    service
        ``service.name``. By default the only service with requests, else the only one with
        FastSim timelines, else the one with at least nine tenths of all requests.
    skip_first_s
        Leave requests out of fitting that began within this time after their process's
        first. Default: 5 % of what was recorded of that process, at most 2 s, and nothing
        of a process with fewer than 20 requests.
    sampled
        Part of all requests that was traced, 0 to 1, whatever the traces say. Default: as they say.

    Raises
    ------
    InputError
        When the service cannot be told (several are possible), or ``sampled`` is given for
        requests that the recorder has counted.
    UnknownNameError
        When the service named has no requests.
    NotEnoughDataError
        When there are no requests at all; the message says what there is.
    """
    if skip_first_s is not None and not 0.0 <= skip_first_s < float("inf"):
        raise InputError(f"warm-up to skip must not be negative, not {skip_first_s}")
    if sampled is not None and not 1.0 / MOST <= sampled <= 1.0:
        raise InputError(f"the part that was traced must be 1 in {MOST:.0f} to all, not {sampled}")
    collector = Collector()
    for span in all_spans:
        collector.add(span)
    rows = collector.finish()
    by_service = rows.requests_by_service()
    if not by_service:
        raise _no_requests(collector.kinds)
    chosen = service if service is not None else _choose(by_service, rows.timelines_by_service())
    if chosen not in by_service:
        raise UnknownNameError("service", chosen, by_service)
    return _build(collector, rows, chosen, skip_first_s, sampled)


def _choose(by_service: Counter[str], recorded: Counter[str]) -> str:
    for counts in (by_service, recorded):
        if len(counts) == 1:
            return next(iter(counts))
    name, most = by_service.most_common(1)[0]
    if most >= _DOMINATES * by_service.total():
        return name
    listing = ", ".join(f"{_shown(other)} ({n:,})" for other, n in by_service.most_common())
    raise InputError(
        f"the traces hold requests of {len(by_service)} services: {listing}",
        hint=f"choose one, for example --service {name or '(name)'}",
    )


def _shown(service: str) -> str:
    return service or "(no name)"


def _no_requests(kinds: Counter[tuple[str, int]]) -> NotEnoughDataError:
    if not kinds:
        return NotEnoughDataError(
            "the traces hold no spans", hint="was any request served while recording?"
        )
    found = [
        f"{count:,} {SpanKind(kind).name} span{'s' if count > 1 else ''} of service {_shown(name)}"
        for (name, kind), count in kinds.most_common(5)
    ]
    if len(kinds) > 5:
        found.append("others")
    return NotEnoughDataError(
        "the traces hold no SERVER span, only " + ", ".join(found),
        hint="record the service itself (fastsim record), not only its clients",
    )


def _build(
    collector: Collector,
    rows: Rows,
    service: str,
    skip_first_s: float | None,
    sampled: float | None,
) -> RequestSet:
    everything = rows.of_service(service)
    order, stand_for, sampling = _sample(collector, rows, everything, sampled)
    columns = picked(rows.columns, order)
    instances, instance = np.unique(columns["instance"], return_inverse=True)
    endpoints, endpoint = np.unique(columns["endpoint"], return_inverse=True)
    rejected = np.isin(columns["status"], list(REJECTED_STATUS))
    failed = columns["failed"] != 0
    timelines = tuple(collector.timelines[row] for row in order.tolist())
    cut = np.array([line is not None and line.outcome in _CUT for line in timelines], np.bool_)
    warm_up = _warm_up(columns["start_ns"], instance, skip_first_s)
    account = RequestAccount(
        spans=collector.spans,
        requests=len(order),
        inner=collector.inner,
        loop=len(collector.loop_spans),
        nested=rows.nested,
        repeated=collector.repeated,
        other_services=len(rows.kept) - len(everything),
        thinned=len(everything) - len(order),
        without_timeline=collector.reasons_of(order),
        rejected=int(rejected.sum()),
        failed=int(failed.sum()),
        cut=int(cut.sum()),
        warm_up=int(warm_up.sum()),
    )
    return RequestSet(
        service=service,
        endpoints=tuple(collector.endpoints.names[code] for code in endpoints),
        instances=tuple(Instance(*collector.instances[code][1:]) for code in instances),
        start_ns=columns["start_ns"],
        clock_ns=columns["clock_ns"],
        duration_ns=columns["duration_ns"],
        endpoint=endpoint.astype(np.int64),
        instance=instance.astype(np.int64),
        status=columns["status"],
        failed=failed,
        rejected=rejected,
        cut=cut,
        warm_up=warm_up,
        counters={name: columns[name] for name in COUNTERS},
        trace_ids=collector.trace_ids.of(order.tolist()),
        waits=_waits(collector, columns["key"], endpoint) if not any(timelines) else (),
        last_end_ns=(
            np.zeros(len(order), np.int64)
            if any(timelines)
            else collector.inner_spans.last_ends_of(
                columns["key"], columns["start_ns"] + columns["duration_ns"]
            )
        ),
        account=account,
        stand_for=stand_for,
        sampling=sampling,
        reading=(),
        loop_series=read_loop_series(
            attributes for name, attributes in collector.loop_spans if name == service
        ),
        left_out=np.frombuffer(bytes(collector.left_out), np.bool_)[order],
        served_per_recorded=None,
        _timelines=timelines,
    )


def _sample(
    collector: Collector, rows: Rows, order: IntArray, sampled: float | None
) -> tuple[IntArray, FloatArray, Sampling]:
    """Return the rows of a fair sample, how many requests each stands for, and what is known."""
    stand_for = rows.stand_for[order]
    if any(collector.timelines[row] is not None for row in order.tolist()):
        if sampled is not None:
            raise InputError(
                "FastSim's recorder counted the requests that it left out",
                hint="leave --sampled out",
            )
        return order, np.ones(len(order)), Sampling()
    told: Told = "as asked"
    if sampled is not None:
        stand_for = np.full(len(order), 1.0 / sampled)
    else:
        told = "by the traces" if (stand_for != NOT_TOLD).any() else ""
        stand_for = np.where(stand_for == NOT_TOLD, 1.0, stand_for)
        ids = collector.trace_ids.of(order.tolist())
        fair, stand_for = fair_sample(ids, rows.columns["endpoint"][order], stand_for)
        order = order[fair]
    slow_from_s = slow_ones_kept(rows.columns["duration_ns"][order] / 1e9)
    return order, stand_for, Sampling(told, tuple(sorted(collector.policies)), slow_from_s)


def _waits(
    collector: Collector, keys: IntArray, endpoint: IntArray
) -> tuple[tuple[Wait, ...], ...]:
    """Return the calls of the requests that are going to be looked at."""
    found: list[tuple[Wait, ...]] = [()] * len(keys)
    rows = looked_at_plainly(endpoint)
    for row, waits in zip(rows.tolist(), collector.inner_spans.waits_of(keys[rows]), strict=True):
        found[row] = tuple(waits)
    return tuple(found)


def _warm_up(start_ns: IntArray, instance: IntArray, skip_first_s: float | None) -> BoolArray:
    """Mark the first requests of each process: caches, imports and pools are still cold."""
    marked = np.zeros(len(start_ns), np.bool_)
    for code in np.unique(instance):
        own = np.flatnonzero(instance == code)
        since_s = (start_ns[own] - start_ns[own].min()) / 1e9
        limit_s = skip_first_s
        if limit_s is None:
            enough = len(own) >= WARM_UP_MIN_REQUESTS
            limit_s = min(WARM_UP_SHARE * float(since_s.max()), WARM_UP_MAX_S) if enough else 0.0
        marked[own] = since_s < limit_s
    return marked
