"""Datadog traces as agents get and tools store them: lists of spans with ``meta``.

Times are nanoseconds, ids are numbers; the upper half of a 128-bit trace id is in ``_dd.p.tid``.
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

NAME = "Datadog"

_SIGNATURE = re.compile(r'"(?:meta|metrics)"\s*:')
_IDS = re.compile(r'"trace_id"\s*:\s*"?\d')
_TYPES = {
    "web": SpanKind.SERVER,
    "http": SpanKind.CLIENT,
    "sql": SpanKind.CLIENT,
    "db": SpanKind.CLIENT,
    "cache": SpanKind.CLIENT,
    "redis": SpanKind.CLIENT,
    "llm": SpanKind.CLIENT,
}
_REQUEST = re.compile(r"([A-Z]{2,16}) (/\S*)").fullmatch


def sniff(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes holds Datadog traces."""
    text = head_text(head)
    return text.startswith(("{", "[")) and bool(_SIGNATURE.search(text) and _IDS.search(text))


def read(stream: io.BufferedReader, account: FileAccount) -> Iterator[Span]:
    """Read spans.

    Raises
    ------
    FileFormatError
        When not a single document could be read.
    """
    for document in documents(text_lines(stream), account, _is_whole):
        todo = [document]
        while todo:
            item = todo.pop()
            if isinstance(item, list):
                todo += reversed(item)
            elif isinstance(item, dict) and isinstance(item.get("traces"), list):
                todo.append(item["traces"])
            elif isinstance(item, dict) and "span_id" in item:
                span = _span(item, account)
                if span is not None:
                    yield span
            else:
                account.skip(Skip.NOT_A_TRACE if isinstance(item, dict) else Skip.MALFORMED)


def _is_whole(first: Any) -> bool:
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, dict) and ("span_id" in first or "traces" in first)


def _span(raw: dict[str, Any], account: FileAccount) -> Span | None:
    attributes = plain_attributes(raw.get("meta"), account)
    attributes |= plain_attributes(raw.get("metrics"), account)
    upper = attributes.get("_dd.p.tid")
    trace_id = identity(raw.get("trace_id"), 20)
    kind = KINDS.get(str(attributes.get("span.kind", "")).lower())
    if kind is None:
        kind = _TYPES.get(str(raw.get("type") or ""), SpanKind.INTERNAL)
    name = raw.get("resource") or raw.get("name")
    if kind is SpanKind.SERVER:
        _add_route(attributes, name)
    start_ns = nanoseconds(raw.get("start"), 1)
    length_ns = nanoseconds(raw.get("duration"), 1)
    parent = identity(raw.get("parent_id"), 20)
    return make_span(
        account,
        trace_id=f"{upper}:{trace_id}" if upper and trace_id else trace_id,
        span_id=identity(raw.get("span_id"), 20),
        parent_id="" if parent == "0" else parent,
        kind=kind,
        name=name,
        start_ns=start_ns,
        end_ns=start_ns + length_ns if length_ns >= 0 else -1,
        attributes=attributes,
        resource=_resource(raw, attributes),
        scope=attributes.get("component") or "",
        error=is_error(raw.get("error")),
    )


def _add_route(attributes: Attributes, name: object) -> None:
    """Take method and route from the resource name where no tag says them."""
    match = _REQUEST(name) if isinstance(name, str) else None
    if match is not None:
        attributes.setdefault("http.method", match[1])
        attributes.setdefault("http.route", match[2])


def _resource(raw: dict[str, Any], attributes: Attributes) -> Attributes:
    resource: Attributes = {}
    if isinstance(raw.get("service"), str):
        resource["service.name"] = printable(raw["service"])
    if attributes.get("runtime-id"):
        resource["runtime-id"] = attributes["runtime-id"]
    return resource
