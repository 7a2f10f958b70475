"""Jaeger JSON: the query API's answer, the UI's download, a bare trace, old and new.

Times are whole microseconds; tags are a typed list; the process is referred to or inline.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.bytestream import head_text, text_lines
from fastsim.calibrate.readers.documents import documents, rows
from fastsim.calibrate.readers.otlp_values import printable
from fastsim.calibrate.readers.spans_from import (
    KINDS,
    identity,
    is_error,
    make_span,
    nanoseconds,
    plain,
)
from fastsim.spans import Attributes, Span, SpanKind

NAME = "Jaeger JSON"

_MICROSECOND_NS = 1000
_SIGNATURE = re.compile(r'"(?:operationName|processID|processes)"\s*:')
_TRACE = re.compile(r'"traceID"\s*:')
_SEARCH_ANSWER = re.compile(r'"durationMs"\s*:|"rootServiceName"\s*:')


def sniff(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is Jaeger JSON."""
    text = head_text(head)
    if not text.startswith(("{", "[")) or _SEARCH_ANSWER.search(text):
        return False
    return bool(_SIGNATURE.search(text) or _TRACE.search(text))


def read(stream: io.BufferedReader, account: FileAccount) -> Iterator[Span]:
    """Read spans trace by trace.

    Raises
    ------
    FileFormatError
        When not a single document could be read.
    """
    for document in documents(text_lines(stream), account, _is_whole):
        for trace in _traces(document, account):
            yield from _trace_spans(trace, account)


def _is_whole(first: Any) -> bool:
    return isinstance(first, dict) and ("data" in first or "spans" in first or "spanID" in first)


def _traces(document: Any, account: FileAccount) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict) and "data" in document:
        document = document["data"]
    for item in document if isinstance(document, list) else [document]:
        if isinstance(item, dict) and "spans" in item:
            yield item
        elif isinstance(item, dict) and "spanID" in item:
            yield {"spans": [item]}
        else:
            account.skip(Skip.NOT_A_TRACE)


def _trace_spans(trace: dict[str, Any], account: FileAccount) -> Iterator[Span]:
    processes = trace.get("processes")
    known: dict[str, Attributes] = {}
    if isinstance(processes, dict):
        known = {key: _resource(process, account) for key, process in processes.items()}
    for raw in rows(trace.get("spans"), account):
        inline = raw.get("process")
        resource = (
            _resource(inline, account)
            if isinstance(inline, dict)
            else known.get(str(raw.get("processID")), {})
        )
        span = _span(raw, trace.get("traceID"), resource, account)
        if span is not None:
            yield span


def _resource(process: Any, account: FileAccount) -> Attributes:
    if not isinstance(process, dict):
        account.skip(Skip.ATTRIBUTE)
        return {}
    resource = _tags(process.get("tags"), account)
    if isinstance(process.get("serviceName"), str):
        resource["service.name"] = printable(process["serviceName"])
    return resource


def _tags(raw: Any, account: FileAccount) -> Attributes:
    tags: Attributes = {}
    if isinstance(raw, dict):  # as some tools write them
        return {str(key): plain(value) for key, value in raw.items()}
    if raw is not None and not isinstance(raw, list):
        account.skip(Skip.ATTRIBUTE)
        return tags
    for item in raw or ():
        if isinstance(item, dict) and isinstance(item.get("key"), str):
            tags[printable(item["key"])] = plain(item.get("value"))
        else:
            account.skip(Skip.ATTRIBUTE)
    return tags


def _span(
    raw: dict[str, Any], trace_id: Any, resource: Attributes, account: FileAccount
) -> Span | None:
    attributes = _tags(raw.get("tags"), account)
    start_ns = nanoseconds(raw.get("startTime"), _MICROSECOND_NS)
    length_ns = nanoseconds(raw.get("duration"), _MICROSECOND_NS)
    kind = KINDS.get(str(attributes.get("span.kind", "")).lower(), SpanKind.INTERNAL)
    failed = is_error(attributes.get("error")) or attributes.get("otel.status_code") == "ERROR"
    return make_span(
        account,
        trace_id=identity(raw.get("traceID") or trace_id, 32),
        span_id=identity(raw.get("spanID"), 16),
        parent_id=_parent(raw),
        kind=kind,
        name=raw.get("operationName"),
        start_ns=start_ns,
        end_ns=start_ns + length_ns if length_ns >= 0 else -1,
        attributes=attributes,
        resource=resource,
        scope=attributes.get("otel.scope.name") or attributes.get("otel.library.name") or "",
        error=failed,
    )


def _parent(raw: dict[str, Any]) -> str:
    """Return the parent in the same trace: what it is a child of, else what it follows."""
    references = raw.get("references")
    found: dict[str, str] = {}
    for reference in references if isinstance(references, list) else ():
        if isinstance(reference, dict):
            elsewhere = reference.get("traceID") not in (None, raw.get("traceID"))
            kind = str(reference.get("refType", "CHILD_OF"))
            if not elsewhere:
                found.setdefault(kind, identity(reference.get("spanID"), 16))
    parent = found.get("CHILD_OF") or found.get("FOLLOWS_FROM")
    return parent or identity(raw.get("parentSpanID"), 16)
