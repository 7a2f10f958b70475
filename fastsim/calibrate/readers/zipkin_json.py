"""Zipkin v2 JSON: an array of spans, or an array of traces that are arrays of spans.

Times are whole microseconds. A call's client and server side may share one id; the kind tells
them apart.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.bytestream import head_text, text_lines
from fastsim.calibrate.readers.documents import documents
from fastsim.calibrate.readers.otlp_values import printable
from fastsim.calibrate.readers.spans_from import (
    KINDS,
    identity,
    is_error,
    make_span,
    nanoseconds,
    plain_attributes,
)
from fastsim.spans import Attributes, Span, SpanKind

NAME = "Zipkin JSON"

_MICROSECOND_NS = 1000
_SIGNATURE = re.compile(r'"(?:localEndpoint|remoteEndpoint)"\s*:')
_BARE = re.compile(r'"traceId"\s*:.*"(?:timestamp|duration)"\s*:', re.DOTALL)
_OTHERS = re.compile(r'"(?:spanId|startTime|startTimeUnixNano)"\s*:')


def sniff(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is Zipkin JSON."""
    text = head_text(head)
    if not text.startswith(("{", "[")) or _OTHERS.search(text):
        return False
    return bool(_SIGNATURE.search(text) or _BARE.search(text))


def read(stream: io.BufferedReader, account: FileAccount) -> Iterator[Span]:
    """Read spans.

    Raises
    ------
    FileFormatError
        When not a single document could be read.
    """
    for document in documents(text_lines(stream), account, _is_whole):
        for raw in _raw_spans(document, account):
            span = _span(raw, account)
            if span is not None:
                yield span


def _is_whole(first: Any) -> bool:
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, dict) and "traceId" in first and "id" in first


def _raw_spans(document: Any, account: FileAccount) -> Iterator[dict[str, Any]]:
    todo = [document]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo += reversed(item)
        elif not isinstance(item, dict):
            account.skip(Skip.MALFORMED)
        elif "traceId" in item or "id" in item:
            yield item
        else:
            account.skip(Skip.NOT_A_TRACE)


def _span(raw: dict[str, Any], account: FileAccount) -> Span | None:
    attributes = plain_attributes(raw.get("tags"), account)
    start_ns = nanoseconds(raw.get("timestamp"), _MICROSECOND_NS)
    length_ns = nanoseconds(raw.get("duration"), _MICROSECOND_NS)
    return make_span(
        account,
        trace_id=identity(raw.get("traceId"), 32),
        span_id=identity(raw.get("id"), 16),
        parent_id=identity(raw.get("parentId"), 16),
        kind=KINDS.get(str(raw.get("kind") or "").lower(), SpanKind.INTERNAL),
        name=raw.get("name"),
        # 0 stands for "not known" in this format.
        start_ns=start_ns if start_ns > 0 else -1,
        end_ns=start_ns + length_ns if length_ns >= 0 else -1,
        attributes=attributes,
        resource=_resource(raw.get("localEndpoint"), account),
        error=is_error(attributes.get("error")),
    )


def _resource(endpoint: Any, account: FileAccount) -> Attributes:
    if endpoint is None:
        return {}
    if not isinstance(endpoint, dict):
        account.skip(Skip.ATTRIBUTE)
        return {}
    resource: Attributes = {}
    if isinstance(endpoint.get("serviceName"), str):
        resource["service.name"] = printable(endpoint["serviceName"])
    address = endpoint.get("ipv4") or endpoint.get("ipv6")
    if isinstance(address, str):
        resource["ip"] = f"{printable(address)}:{endpoint.get('port', '')}"
    return resource
