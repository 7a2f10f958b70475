"""Turn a finished request record into the server span that goes to the file."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from fastsim import spans
from fastsim.collector import clocks
from fastsim.collector.background import Work
from fastsim.collector.otel import from_readable
from fastsim.collector.privacy import path_is_known
from fastsim.collector.series import Window
from fastsim.collector.timeline import RequestRecord
from fastsim.spans import Attributes, Outcome, Span, SpanKind, StatusCode, StepKind, Via
from fastsim.step_columns import StepRow, pack_steps

_IDS_AT_ONCE = 256


class _Ids:
    """Random ids in hex, many from one call of the system; not those of the parent after a fork."""

    def __init__(self) -> None:
        self._ready = ""
        self._pid = 0

    def next(self, digits: int) -> str:
        """Return an id of so many digits."""
        if len(self._ready) < digits or self._pid != os.getpid():
            self._pid = os.getpid()
            self._ready = os.urandom(16 * _IDS_AT_ONCE).hex()
        found, self._ready = self._ready[-digits:], self._ready[:-digits]
        return found


_ids = _Ids()


class Counters(NamedTuple):
    """Cumulative counters of the process at the end of a request."""

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
    idle_wakeups: int | None


def build_span(record: RequestRecord, counters: Counters) -> Span:
    """Return the request's server span with its timeline.

    ``route`` is the template of the path, for spans that OpenTelemetry did not make.
    """
    span = (
        from_readable(record.span)  # type: ignore[arg-type]
        if record.span is not None
        else _own_span(record, record.route)
    )
    known = span.attributes.get("http.route")
    if record.route is not None and isinstance(known, str) and len(known) < len(record.route):
        span.attributes["http.route"] = record.route
        span.name = f"{record.method} {record.route}"
    span.attributes |= _timeline(record)
    span.attributes |= _counters(counters)
    return span


def _own_span(record: RequestRecord, route: str | None) -> Span:
    """Make a server span for an application that OpenTelemetry does not instrument."""
    attributes: Attributes = {
        "http.request.method": record.method,
        "http.response.status_code": record.status,
    }
    if route:
        attributes["http.route"] = route
    if not path_is_known(attributes):
        attributes["url.path"] = record.path
    end, parent = record.response_clock or record.end_clock, record.parent
    return Span(
        trace_id=parent.trace_id if parent else _ids.next(32),
        span_id=_ids.next(16),
        parent_id=parent.span_id if parent else None,
        kind=SpanKind.SERVER,
        name=f"{record.method} {route}" if route else record.method,
        start_ns=record.start_unix,
        end_ns=record.start_unix + end - record.start_clock,
        scope="fastsim",
        attributes=attributes,
        status=StatusCode.ERROR if record.failed or record.status >= 500 else StatusCode.UNSET,
    )


def _timeline(record: RequestRecord) -> Attributes:
    start = record.start_clock
    packed, step_names = pack_steps(record.steps + _unclaimed_calls(record))
    attributes: dict[str, object] = {
        spans.FORMAT: spans.FORMAT_VERSION,
        spans.START_UNIX_NS: record.start_unix,
        spans.START_CLOCK_NS: start,
        spans.RESPONSE_NS: record.response_clock - start if record.response_clock else -1,
        spans.END_NS: record.end_clock - start,
        spans.STEPS: packed,
        spans.STEP_NAMES: step_names,
    }
    if record.task_parents:
        attributes[spans.TASK_PARENT] = list(record.task_parents)
    outcome = _outcome(record)
    if outcome is not Outcome.COMPLETED:
        attributes[spans.OUTCOME] = outcome.value
    if record.open_tasks > 0:
        attributes[spans.TASKS_CUT] = record.open_tasks
    if record.blocks:
        since, walls, cpus, lines, called = zip(*record.blocks, strict=True)
        attributes |= {
            spans.BLOCK_AT_NS: list(since),
            spans.BLOCK_WALL_NS: list(walls),
            spans.BLOCK_CPU_NS: list(cpus),
            spans.BLOCK_WHERE: list(lines),
            spans.BLOCK_CALLED: list(called),
        }
    if record.steps_dropped:
        attributes[spans.STEPS_DROPPED] = record.steps_dropped
    if record.events:
        names, events, times, capacities = zip(*record.events, strict=True)
        attributes |= {
            spans.RESOURCE_NAME: list(names),
            spans.RESOURCE_EVENT: list(events),
            spans.RESOURCE_AT_NS: list(times),
            spans.RESOURCE_CAPACITY: list(capacities),
        }
    if record.llm_calls:
        attributes |= _llm_calls(record)
    if record.thread_calls:
        steps, queued, walls, cpus = zip(*record.thread_calls, strict=True)
        attributes |= {
            spans.THREAD_STEP: list(steps),
            spans.THREAD_QUEUE_NS: list(queued),
            spans.THREAD_WALL_NS: list(walls),
            spans.THREAD_CPU_NS: list(cpus),
        }
    return attributes  # type: ignore[return-value]


def _outcome(record: RequestRecord) -> Outcome:
    if record.disconnected:
        return Outcome.DISCONNECTED
    if record.cancelled:
        return Outcome.CANCELLED
    return Outcome.ERROR if record.failed else Outcome.COMPLETED


def _unclaimed_calls(record: RequestRecord) -> list[StepRow]:
    """Describe thread work that no task of the request awaited directly, as tasks of its own."""
    rows: list[StepRow] = []
    for _, call in record.calls.values():
        if call.end > call.submitted:  # else it still waits or runs
            index = len(record.steps) + len(rows)
            queued, inside = call.begin - call.submitted, call.end - call.begin
            record.thread_calls.append((index, queued, inside, call.cpu))
            at, wall = call.submitted - record.start_clock, call.end - call.submitted
            task = record.new_task(-1)
            kind, via = StepKind.THREAD.value, Via.THREAD.value
            rows.append((kind, via, at, wall, 0, 0, 0, 0, "executor", "", task))
    record.calls.clear()
    return rows


def build_series_span(
    windows: Sequence[Window],
    collections: Sequence[tuple[int, int]],
    background: Sequence[Work] = (),
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
        names, walls, runs = zip(*background, strict=True)
        attributes |= {
            spans.BACKGROUND_NAME: list(names),
            spans.BACKGROUND_LOOP_NS: list(walls),
            spans.BACKGROUND_RUNS: list(runs),
        }
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


def _counters(counters: Counters) -> Attributes:
    return {
        spans.REQUESTS_SEEN: counters.requests_seen,
        spans.SEGMENT_WALL_NS: counters.segment_wall_ns,
        spans.SEGMENT_CPU_NS: counters.segment_cpu_ns,
        spans.LOOP_CPU_NS: counters.loop_cpu_ns,
        spans.PROCESS_CPU_NS: counters.process_cpu_ns,
        spans.RECORDER_CPU_NS: counters.recorder_cpu_ns,
        spans.RECORDER_LOOP_NS: counters.recorder_loop_ns,
        spans.BACKGROUND_WALL_NS: counters.background_wall_ns,
        spans.BACKGROUND_CPU_NS: counters.background_cpu_ns,
        spans.SPANS_DROPPED: counters.spans_dropped,
        spans.LOOP_BUSY_NS: counters.loop_busy_ns,
        spans.LOOP_PASSES: counters.loop_passes,
        spans.IDLE_WAKEUPS: counters.idle_wakeups,
    }
