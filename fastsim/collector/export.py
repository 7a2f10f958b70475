"""Turn a finished request record into the server span that goes to the file."""

import random
from dataclasses import dataclass

from fastsim import spans
from fastsim.collector.otel import from_readable
from fastsim.collector.timeline import RequestRecord
from fastsim.spans import Attributes, Span, SpanKind, StatusCode

_id_source = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Counters:
    """Cumulative counters of the process at the end of a request."""

    requests_seen: int
    segment_wall_ns: int
    segment_cpu_ns: int
    loop_cpu_ns: int
    process_cpu_ns: int
    recorder_cpu_ns: int
    spans_dropped: int
    loop_busy_ns: int | None
    loop_passes: int | None
    idle_wakeups: int | None


def build_span(record: RequestRecord, counters: Counters) -> Span:
    """Return the request's server span with its timeline."""
    span = (
        from_readable(record.span)  # type: ignore[arg-type]
        if record.span is not None
        else _own_span(record)
    )
    span.attributes |= _timeline(record)
    span.attributes |= _counters(counters)
    return span


def _own_span(record: RequestRecord) -> Span:
    """Make a server span for an application that OpenTelemetry does not instrument."""
    attributes: Attributes = {
        "http.request.method": record.method,
        "url.path": record.path,
        "http.response.status_code": record.status,
    }
    end = record.response_clock or record.end_clock
    return Span(
        trace_id=f"{_id_source.getrandbits(128):032x}",
        span_id=f"{_id_source.getrandbits(64):016x}",
        parent_id=None,
        kind=SpanKind.SERVER,
        name=record.method,
        start_ns=record.start_unix,
        end_ns=record.start_unix + end - record.start_clock,
        scope="fastsim",
        attributes=attributes,
        status=StatusCode.ERROR if record.failed or record.status >= 500 else StatusCode.UNSET,
    )


def _timeline(record: RequestRecord) -> Attributes:
    start = record.start_clock
    rows = record.steps
    columns: list[list[object]] = [list(column) for column in zip(*rows, strict=True)]
    if not columns:
        columns = [[] for _ in range(11)]
    kind, via, at, wall, cpu, bound, late, idle, label, where, task = columns
    attributes: dict[str, object] = {
        spans.FORMAT: spans.FORMAT_VERSION,
        spans.START_UNIX_NS: record.start_unix,
        spans.START_CLOCK_NS: start,
        spans.RESPONSE_NS: record.response_clock - start if record.response_clock else -1,
        spans.END_NS: record.end_clock - start,
        spans.STEP_KIND: kind,
        spans.STEP_VIA: via,
        spans.STEP_START_NS: at,
        spans.STEP_WALL_NS: wall,
        spans.STEP_CPU_NS: cpu,
        spans.STEP_BOUND_NS: bound,
        spans.STEP_LATE_NS: late,
        spans.STEP_IDLE_PPM: idle,
        spans.STEP_LABEL: label,
        spans.STEP_WHERE: where,
        spans.STEP_TASK: task,
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
    if record.thread_calls:
        steps, queued, walls, cpus = zip(*record.thread_calls, strict=True)
        attributes |= {
            spans.THREAD_STEP: list(steps),
            spans.THREAD_QUEUE_NS: list(queued),
            spans.THREAD_WALL_NS: list(walls),
            spans.THREAD_CPU_NS: list(cpus),
        }
    return attributes  # type: ignore[return-value]


def _counters(counters: Counters) -> Attributes:
    return {
        spans.REQUESTS_SEEN: counters.requests_seen,
        spans.SEGMENT_WALL_NS: counters.segment_wall_ns,
        spans.SEGMENT_CPU_NS: counters.segment_cpu_ns,
        spans.LOOP_CPU_NS: counters.loop_cpu_ns,
        spans.PROCESS_CPU_NS: counters.process_cpu_ns,
        spans.RECORDER_CPU_NS: counters.recorder_cpu_ns,
        spans.SPANS_DROPPED: counters.spans_dropped,
        spans.LOOP_BUSY_NS: counters.loop_busy_ns,
        spans.LOOP_PASSES: counters.loop_passes,
        spans.IDLE_WAKEUPS: counters.idle_wakeups,
    }
