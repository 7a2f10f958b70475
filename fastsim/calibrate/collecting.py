"""Gather the rows of ``fastsim.calibrate.requests`` while spans stream by in any order."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fastsim import spans
from fastsim.calibrate.http_semconv import endpoint_of, is_request, status_of
from fastsim.calibrate.inner_spans import InnerSpans
from fastsim.calibrate.loop_series import is_loop_span
from fastsim.calibrate.sampled import NOT_TOLD, kept_by, stands_for, told
from fastsim.calibrate.thinning import MOST, Thinning
from fastsim.calibrate.timeline import Timeline, decode_timeline
from fastsim.calibrate.trace_ids import TraceIds
from fastsim.errors import FileFormatError
from fastsim.spans import Attributes, Span, StatusCode

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NO_TIMELINE = "request recorded without FastSim"

COUNTERS = (
    spans.REQUESTS_SEEN,
    spans.SEGMENT_WALL_NS,
    spans.SEGMENT_CPU_NS,
    spans.LOOP_CPU_NS,
    spans.PROCESS_CPU_NS,
    spans.LOOP_BUSY_NS,
    spans.LOOP_PASSES,
    spans.SLEEP_CPU_NS,
    spans.IDLE_WAKEUPS,
    spans.CORE_WAIT_NS,
    spans.RECORDER_CPU_NS,
    spans.RECORDER_LOOP_NS,
    spans.BACKGROUND_WALL_NS,
    spans.BACKGROUND_CPU_NS,
    spans.SPANS_DROPPED,
)
_COLUMNS = (
    "key",
    "parent",
    "start_ns",
    "span_start_ns",
    "duration_ns",
    "clock_ns",
    "endpoint",
    "instance",
    "status",
    "failed",
)
_COUNTED, _NOTHING = frozenset(COUNTERS), (-1,) * len(COUNTERS)
_MAX = 2**63 - 1


class Codes:
    """Numbers for names, in order of appearance."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._codes: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.names)
            self.names.append(name)
        return code


class Collector:
    """Takes spans one by one and keeps what matters of those that are requests."""

    def __init__(self) -> None:
        self.spans = 0
        self.inner = 0
        self.loop_spans: list[tuple[str, Attributes]] = []
        """Service and content of the recorder's spans of the event loop."""
        self.repeated = 0
        self.kinds: Counter[tuple[str, int]] = Counter()
        """Spans by service and number of their kind, for the message when none is a request."""
        self.endpoints = Codes()
        self.instances: list[tuple[str, str, Attributes]] = []
        """Service, name and resource of every process."""
        self._reasons = Codes()
        self._why = array("i")
        """Of each row why it has no timeline, as a number of ``_reasons``; -1 where it has one."""
        self.timelines: list[Timeline | None] = []
        self.left_out = bytearray()
        """Of each row whether its timeline was let go: others tell enough."""
        self._thinning = Thinning(MOST)
        self.trace_ids = TraceIds()
        self.inner_spans = InnerSpans()
        self.policies: set[str] = set()
        """By which policies a collector kept whole traces, after they had ended."""
        self._stand_for = array("d")
        self._traces_stand_for: dict[int, float] = {}
        """For how many requests a trace stands, by its key, where a span inside one says so."""
        self._instance_codes: dict[tuple[str, str], int] = {}
        self._seen: set[int] = set()
        self._last_counted: dict[int, Sequence[int]] = {}
        self._rows, self._counters = array("q"), array("q")
        """One row of ``_COLUMNS``, and one of ``COUNTERS``, after the other.

        The latter are empty for as long as no request says anything of them.
        """

    def add(self, span: Span) -> None:
        """Take one more span."""
        self.spans += 1
        if is_loop_span(span):
            self.loop_spans.append((span.service, span.attributes))
            return
        self.kinds[span.service, int(span.kind)] += 1
        if not is_request(span):
            self.inner += 1
            self.inner_spans.add(span)
            # Samplers write at the root of a trace, or with its state everywhere.
            if span.trace_state or span.parent_id is None:
                count = stands_for(span)
                if count != NOT_TOLD:
                    self._traces_stand_for[hash(span.trace_id)] = count
            return
        key = hash((span.trace_id, span.span_id))
        if key in self._seen:
            self.repeated += 1
            return
        self._seen.add(key)
        attributes = span.attributes
        status = status_of(attributes)
        refused = 400 <= status < 500  # the client's fault, whatever the span's status says
        started = _whole(attributes, spans.START_UNIX_NS)
        start_ns = started if started > 0 else span.start_ns
        endpoint, instance = self.endpoints[endpoint_of(span, status)], self._instance(span)
        row = (  # as _COLUMNS has them
            key,
            hash((span.trace_id, span.parent_id)) if span.parent_id else 0,
            start_ns,
            span.start_ns,
            span.end_ns - span.start_ns,
            _whole(attributes, spans.START_CLOCK_NS),
            endpoint,
            instance,
            status,
            status >= 500 or (span.status is StatusCode.ERROR and not refused),
        )
        self._rows.extend(row)
        self._count(instance, attributes)
        self.trace_ids.append(span.trace_id)
        self._stand_for.append(stands_for(span))
        if (policy := kept_by(attributes)) is not None:
            self.policies.add(policy)
        self._look_at(start_ns, endpoint, attributes)

    def _look_at(self, start_ns: int, endpoint: int, attributes: Attributes) -> None:
        """Keep the timeline of the last row, unless those of others tell enough."""
        row = len(self.timelines)
        unwanted = spans.FORMAT in attributes and not self._thinning.wants(start_ns, endpoint)
        found, reason = (None, None) if unwanted else _timeline(attributes)
        self.timelines.append(found)
        self._why.append(-1 if reason is None else self._reasons[reason])
        self.left_out.append(unwanted)
        if found is not None:
            for other in self._thinning.hold(row, start_ns, endpoint):
                self.timelines[other] = None
                self.left_out[other] = True

    def finish(self) -> "Rows":
        """Return the rows gathered, without those that are part of another request."""
        columns = _by_name(_COLUMNS, self._rows)
        self._rows = array("q")
        rows = len(columns["key"])
        columns |= (
            _by_name(COUNTERS, self._counters)
            if self._counters
            else dict.fromkeys(COUNTERS, np.full(rows, -1, np.int64))
        )
        self._counters = array("q")
        self._seen = set()
        own = np.frombuffer(self._stand_for, np.float64).copy() if self._stand_for else np.empty(0)
        keys = np.fromiter(map(hash, self.trace_ids), np.int64, len(self.trace_ids))
        return Rows(self, columns, told(self._traces_stand_for, keys, own))

    def _instance(self, span: Span) -> int:
        key = (span.service, span.instance)
        code = self._instance_codes.get(key)
        if code is None:
            code = self._instance_codes[key] = len(self.instances)
            self.instances.append((*key, span.resource))
        return code

    def _count(self, instance: int, attributes: Attributes) -> None:
        """Keep the counters of the last row."""
        counted: Sequence[int] = _NOTHING
        if not _COUNTED.isdisjoint(attributes):
            counted = [_whole(attributes, name) for name in COUNTERS]
        if max(counted) < 0 and spans.FORMAT in attributes:
            counted = self._last_counted.get(instance, counted)
        else:
            self._last_counted[instance] = counted
        if self._counters or counted is not _NOTHING:
            before = len(self._rows) // len(_COLUMNS) - 1
            if not self._counters:
                self._counters.extend(_NOTHING * before)
            self._counters.extend(counted)

    def reasons_of(self, rows: IntArray) -> Counter[str]:
        """Count why some of the rows have no timeline."""
        why = np.frombuffer(self._why, np.int32)[rows] if self._why else np.empty(0, np.int32)
        counts = np.bincount(why[why >= 0], minlength=len(self._reasons.names)).tolist()
        return Counter({name: n for name, n in zip(self._reasons.names, counts, strict=True) if n})


class Rows:
    """All rows of all services; ``kept`` are the indices of real requests."""

    def __init__(
        self, collector: Collector, columns: dict[str, IntArray], stand_for: FloatArray
    ) -> None:
        self.columns = columns
        self.stand_for = stand_for
        """Requests that each row stands for; ``sampled.NOT_TOLD`` where nothing says."""
        self._instances = collector.instances
        self._timelines = collector.timelines
        inside = _inside_another(columns)
        self.nested = int(inside.sum())
        self.kept: IntArray = np.flatnonzero(~inside).astype(np.int64)

    def requests_by_service(self) -> Counter[str]:
        """Count requests."""
        return Counter(self._service(row) for row in self.kept.tolist())

    def timelines_by_service(self) -> Counter[str]:
        """Count requests with a timeline."""
        return Counter(
            self._service(row) for row in self.kept.tolist() if self._timelines[row] is not None
        )

    def of_service(self, service: str) -> IntArray:
        """Return the rows of one service, by start."""
        chosen = [row for row in self.kept.tolist() if self._service(row) == service]
        rows = np.array(chosen, np.int64)
        return rows[np.argsort(self.columns["start_ns"][rows], kind="stable")]

    def _service(self, row: int) -> str:
        return self._instances[int(self.columns["instance"][row])][0]


def picked(columns: Mapping[str, IntArray], rows: IntArray | BoolArray) -> dict[str, IntArray]:
    """Return some rows of columns; what is one column under several names stays one."""
    found = {id(column): column[rows] for column in {id(c): c for c in columns.values()}.values()}
    return {name: found[id(column)] for name, column in columns.items()}


def _timeline(attributes: Attributes) -> tuple[Timeline | None, str | None]:
    """Return a request's timeline, or why it has none."""
    try:
        timeline = decode_timeline(attributes)
    except FileFormatError as error:
        return None, error.message
    return timeline, NO_TIMELINE if timeline is None else None


def _inside_another(columns: dict[str, IntArray]) -> BoolArray:
    """Mark requests whose parent is a request of the same process that still ran.

    A mounted application with its own instrumentation makes such spans. A parent that had
    ended is the keep-alive mistake of ``is_request``: those are requests of their own.
    """
    key, parent = columns["key"], columns["parent"]
    if len(key) == 0:
        return np.zeros(0, np.bool_)
    order = np.argsort(key)
    place = np.minimum(np.searchsorted(key[order], parent), len(key) - 1)
    above = order[place]
    start, length = columns["span_start_ns"], columns["duration_ns"]
    since = start - start[above]
    inside: BoolArray = (
        (parent != 0)
        & (key[above] == parent)
        & (above != np.arange(len(key)))
        & (columns["instance"] == columns["instance"][above])
        & (since >= 0)
        & (since < length[above])
    )
    return inside


def _by_name(names: Sequence[str], rows: "array[int]") -> dict[str, IntArray]:
    """Return the columns of rows that lie one after the other."""
    if not rows:
        return {name: np.empty(0, np.int64) for name in names}
    table = np.frombuffer(rows, np.int64).reshape(-1, len(names))
    return {name: table[:, place].copy() for place, name in enumerate(names)}


def _whole(attributes: Attributes, name: str) -> int:
    """Return a counter or clock, -1 if it is absent or out of range."""
    value = attributes.get(name)
    return value if type(value) is int and 0 <= value <= _MAX else -1
