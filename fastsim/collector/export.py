"""Turn a finished request record into the server span that goes to the file."""

import os
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import NamedTuple

from fastsim import spans
from fastsim.collector import clocks
from fastsim.collector.background import Work
from fastsim.collector.otel import from_readable
from fastsim.collector.otlp import encode_attributes, encode_span
from fastsim.collector.privacy import path_is_known
from fastsim.collector.propagation import calling_span
from fastsim.collector.routes import route_template
from fastsim.collector.series import Window
from fastsim.collector.timeline import RequestRecord
from fastsim.collector.wait_names import EXECUTOR, encode_names, number_of
from fastsim.spans import Attributes, Outcome, Span, SpanKind, StatusCode
from fastsim.step_columns import COLUMNS, NO_CODE, UNKNOWN, pack_rows

_IDS_AT_ONCE = 256
_MOST_HEADS = 5_000


class _Ids:
    """Random ids in hex, many from one call of the system; not those of the parent after a fork."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Make new ones."""
        self._ready = ""
        self._at = 0

    def next(self, digits: int) -> str:
        """Return an id of so many digits."""
        at = self._at
        if at + digits > len(self._ready):
            self._ready, at = os.urandom(16 * _IDS_AT_ONCE).hex(), 0
        self._at = end = at + digits
        return self._ready[at:end]


_ids = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.forget)


class Counters(NamedTuple):
    """Cumulative counters of the process when a request was over; see ``fastsim.spans``."""

    requests_seen: int
    segment_wall_ns: int
    segment_cpu_ns: int
    loop_cpu_ns: int
    process_cpu_ns: int
    recorder_cpu_ns: int
    recorder_loop_ns: int
    background_wall_ns: int
    background_cpu_ns: int
    spans_dropped: int
    loop_busy_ns: int | None
    loop_passes: int | None
    sleep_cpu_ns: int | None
    idle_wakeups: int | None
    core_wait_ns: int | None


_COUNTERS = (
    spans.REQUESTS_SEEN,
    spans.SEGMENT_WALL_NS,
    spans.SEGMENT_CPU_NS,
    spans.LOOP_CPU_NS,
    spans.PROCESS_CPU_NS,
    spans.RECORDER_CPU_NS,
    spans.RECORDER_LOOP_NS,
    spans.BACKGROUND_WALL_NS,
    spans.BACKGROUND_CPU_NS,
    spans.SPANS_DROPPED,
    spans.LOOP_BUSY_NS,
    spans.LOOP_PASSES,
    spans.SLEEP_CPU_NS,
    spans.IDLE_WAKEUPS,
    spans.CORE_WAIT_NS,
)


def encode_counters(counters: Counters | None) -> str:
    """Return the counters as attributes in OTLP/JSON."""
    if counters is None:
        return ""
    return encode_attributes(dict(zip(_COUNTERS, counters, strict=True)))


def encode_request(record: RequestRecord, counters: str) -> str:
    """Return a request's server span with its timeline, as OTLP/JSON.

    Parameters
    ----------
    counters
        Of the process, as attributes that are encoded already; empty: as of the request before.
    """
    timeline = _encode_timeline(record)
    if counters:
        timeline = f"{timeline},{counters}"
    if record.span is not None:
        return encode_span(_given_span(record), timeline)
    before, after, status = _own_head(record)
    parent = calling_span(record.scope)
    if parent is None:
        ids = f'{{"traceId":"{_ids.next(32)}","spanId":"{_ids.next(16)}",'
    else:
        ids = (
            f'{{"traceId":"{parent.trace_id}","spanId":"{_ids.next(16)}",'
            f'"parentSpanId":"{parent.span_id}",'
        )
    start = record.start_unix
    end = start + (record.response_clock or record.end_clock) - record.start_clock
    return (
        f'{ids}{before}"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}",'
        f'"attributes":[{after},{timeline}],"status":{status}}}'
    )


def _given_span(record: RequestRecord) -> Span:
    """Return the span that OpenTelemetry made, with the template of the whole path."""
    span = from_readable(record.span)  # type: ignore[arg-type]
    known = span.attributes.get("http.route")
    if isinstance(known, str) and record.scope.get("root_path") != record.root_path:
        # OpenTelemetry names a mounted application as a whole: "/admin".
        route = route_template(record.scope, record.root_path)
        if route is not None and len(known) < len(route):
            span.attributes["http.route"] = route
            span.name = f"{record.scope.get('method', '')} {route}"
    return span


_heads: dict[tuple[str, str, int, bool], tuple[str, str, str]] = {}


def _own_head(record: RequestRecord) -> tuple[str, str, str]:
    """Return what is before the times of a span of our own, its attributes, and its status."""
    scope, status = record.scope, record.status
    method, route = scope.get("method", ""), route_template(scope, record.root_path)
    key = (method, route or "", status, record.failed)
    head = _heads.get(key)
    if head is not None:
        return head
    attributes: Attributes = {
        "http.request.method": method,
        "http.response.status_code": status,
    }
    if route:
        attributes["http.route"] = route
    path_known = path_is_known(attributes)
    if not path_known:
        attributes["url.path"] = record.path
    name = f"{method} {route}" if route else method
    code = StatusCode.ERROR if record.failed or status >= 500 else StatusCode.UNSET
    head = (
        f'"name":{quoted(name)},"kind":{int(SpanKind.SERVER)},',
        encode_attributes(attributes),
        f'{{"code":{int(code)}}}' if code else "{}",
    )
    if path_known:
        if len(_heads) >= _MOST_HEADS:
            _heads.clear()
        _heads[key] = head
    return head


def _encode_timeline(record: RequestRecord) -> str:
    start, rows = record.start_clock, record.rows
    if record.calls:
        rows = rows + _unclaimed_calls(record)
    response = record.response_clock - start if record.response_clock else -1
    names = encode_names(rows[::COLUMNS])
    more = _more(record, rows)
    return (
        f'{_FORMAT}{_START_UNIX}{record.start_unix}"}}}},{_START_CLOCK}{start}"}}}},'
        f'{_RESPONSE}{response}"}}}},{_END}{record.end_clock - start}"}}}},'
        f'{_STEPS}{pack_rows(rows)}"}}}},{names}{"," if more else ""}{more}'
    )


def _head(key: str, kind: str) -> str:
    return f'{{"key":{quoted(key)},"value":{{"{kind}":"'


_FORMAT = encode_attributes({spans.FORMAT: spans.FORMAT_VERSION}) + ","
_START_UNIX = _head(spans.START_UNIX_NS, "intValue")
_START_CLOCK = _head(spans.START_CLOCK_NS, "intValue")
_RESPONSE = _head(spans.RESPONSE_NS, "intValue")
_END = _head(spans.END_NS, "intValue")
_STEPS = _head(spans.STEPS, "stringValue")


def _more(record: RequestRecord, rows: list[int]) -> str:
    """Return what most requests have not."""
    attributes: dict[str, object] = {}
    if record.task_parents:
        attributes[spans.TASK_PARENT] = list(record.task_parents)
    outcome = _outcome(record)
    if outcome is not Outcome.COMPLETED:
        attributes[spans.OUTCOME] = outcome.value
    if record.tasks_cut:
        attributes[spans.TASKS_CUT] = record.tasks_cut
    if record.blocks:
        since, walls, cpus, lines, called = zip(*record.blocks, strict=True)
        attributes |= {
            spans.BLOCK_AT_NS: list(since),
            spans.BLOCK_WALL_NS: list(walls),
            spans.BLOCK_CPU_NS: list(cpus),
            spans.BLOCK_WHERE: list(lines),
            spans.BLOCK_CALLED: list(called),
        }
    if record.rows_dropped:
        attributes[spans.STEPS_DROPPED] = record.rows_dropped
    if record.events:
        events = [
            f"{event}\t{name if name.isprintable() else ' '.join(name.split())}\t{at}\t{most}"
            for name, event, at, most in record.events
        ]
        attributes[spans.RESOURCE_EVENTS] = "\n".join(events)
    if record.llm_calls:
        attributes |= _llm_calls(record)
    if record.thread_calls:
        attributes[spans.THREAD_CALLS] = _thread_calls(record, rows)
    return encode_attributes(attributes) if attributes else ""  # type: ignore[arg-type]


def _thread_calls(record: RequestRecord, rows: list[int]) -> str:
    waits = zip(rows[1::COLUMNS], rows[2::COLUMNS], strict=True)
    row_of = {wait: row for row, wait in enumerate(waits)}
    calls: list[int] = []
    for task, since, *times in record.thread_calls:
        row = row_of.get((task, since))
        if row is not None:
            calls += (row, *times)
    return pack_rows(calls)


def _outcome(record: RequestRecord) -> Outcome:
    if record.disconnected:
        return Outcome.DISCONNECTED
    if record.cancelled:
        return Outcome.CANCELLED
    return Outcome.ERROR if record.failed else Outcome.COMPLETED


def _unclaimed_calls(record: RequestRecord) -> list[int]:
    """Describe thread work that no task of the request awaited directly, as tasks of its own."""
    rows: list[int] = []
    number = number_of(*EXECUTOR, "")
    for _, call in record.calls.values():
        if call.end > call.submitted:  # else it still waits or runs
            queued, inside = call.begin - call.submitted, call.end - call.begin
            task = record.new_task(-1)
            record.thread_calls.append((task, call.submitted, queued, inside, call.cpu))
            rows += (number, task, call.submitted, call.end, NO_CODE, 0, call.end, call.end)
            rows += (UNKNOWN, 0, 0, call.end)
    record.calls.clear()
    return rows


def build_series_span(
    windows: Sequence[Window],
    collections: Sequence[tuple[int, int]],
    background: Sequence[Work] = (),
    timers: tuple[int, int] = (0, 0),
) -> Span:
    """Return a span of the loop's own: what it did in each of the windows."""
    unix_offset = clocks.time_ns() - clocks.perf_counter_ns()
    begin, end = windows[0].at, windows[-1].at + windows[-1].length
    at, length, busy, mean, longest, in_flight = zip(*windows, strict=True)
    attributes: Attributes = {
        spans.LOOP_AT_NS: list(at),
        spans.LOOP_WINDOW_NS: list(length),
        spans.LOOP_LAG_MEAN_NS: list(mean),
        spans.LOOP_LAG_MAX_NS: list(longest),
        spans.LOOP_IN_FLIGHT: list(in_flight),
    }
    if min(busy) >= 0:
        attributes[spans.LOOP_WINDOW_BUSY_NS] = list(busy)
    if background:
        names, walls, runs, squares = zip(*background, strict=True)
        attributes |= {
            spans.BACKGROUND_NAME: list(names),
            spans.BACKGROUND_LOOP_NS: list(walls),
            spans.BACKGROUND_RUNS: list(runs),
            spans.BACKGROUND_SQUARE_US2: list(squares),
        }
    if timers[0]:
        attributes |= {spans.TIMER_WAKES: timers[0], spans.TIMER_LATE_NS: timers[1]}
    if collections:
        began, lasted = zip(*collections, strict=True)
        attributes |= {spans.GC_AT_NS: list(began), spans.GC_NS: list(lasted)}
    return Span(
        trace_id=_ids.next(32),
        span_id=_ids.next(16),
        parent_id=None,
        kind=SpanKind.INTERNAL,
        name=spans.LOOP_SPAN_NAME,
        start_ns=begin + unix_offset,
        end_ns=end + unix_offset,
        scope="fastsim",
        attributes=attributes,
    )


def _llm_calls(record: RequestRecord) -> dict[str, object]:
    calls = list(record.llm_calls)
    used = [call.usage for call in calls]
    return {
        spans.LLM_START_NS: [max(call.start - record.start_clock, 0) for call in calls],
        spans.LLM_WALL_NS: [max(call.end - call.start, 0) for call in calls],
        spans.LLM_TASK: [call.task for call in calls],
        spans.LLM_MODEL: [usage.model for usage in used],
        spans.LLM_PROVIDER: [usage.provider for usage in used],
        spans.LLM_STREAMED: [bool(usage.streamed) for usage in used],
        spans.LLM_INPUT_TOKENS: [usage.input_tokens for usage in used],
        spans.LLM_OUTPUT_TOKENS: [usage.output_tokens for usage in used],
        spans.LLM_CACHED_TOKENS: [usage.cached_tokens for usage in used],
        spans.LLM_REASONING_TOKENS: [usage.reasoning_tokens for usage in used],
        spans.LLM_FIRST_CHUNK_NS: [usage.first_chunk_ns for usage in used],
        spans.LLM_CHUNKS: [call.chunks for call in calls],
    }
