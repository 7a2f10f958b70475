"""The caller's trace, from the W3C ``traceparent`` header."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class Parent(NamedTuple):
    """Ids in hex of the trace a request belongs to and of the span that called."""

    trace_id: str
    span_id: str


def calling_span(scope: Mapping[str, Any]) -> Parent | None:
    """Return the span that the request says it comes from, so that traces stay whole."""
    for name, value in scope.get("headers", ()):
        if name == b"traceparent":
            match = _TRACEPARENT.fullmatch(value.strip())
            if match is None or not (int(match[1], 16) and int(match[2], 16)):
                return None  # broken or all zero: the specification says to start a new trace
            return Parent(match[1].decode(), match[2].decode())
    return None
