"""What a server span says about its HTTP request, in the old or the new conventions.

https://opentelemetry.io/docs/specs/semconv/http/ (``http.request.method``, since 1.23)
and its predecessors (``http.method``).
"""

import re
from urllib.parse import urlsplit

from fastsim.spans import Attributes, AttributeValue, Span, SpanKind

UNMATCHED = "unmatched"
"""Endpoint of all requests that no route answers."""

REJECTED_STATUS = frozenset({404, 405, 422})
"""Answered by the framework: no code of the endpoint ran."""

_METHOD = re.compile(r"[A-Z]{2,16}").fullmatch
_VARIABLE = re.compile(r"\d+|[0-9a-fA-F-]{16,}|.{40,}").fullmatch
_MAX_SEGMENTS = 12


def is_request(span: Span) -> bool:
    """Tell whether a span stands for a request served.

    Server spans do. So do internal spans with a route and a method: asyncio files later
    requests of a connection under the first one if that had a large body (cpython 140947).
    """
    if span.kind is SpanKind.SERVER:
        return True
    return (
        span.kind is SpanKind.INTERNAL
        and isinstance(span.attributes.get("http.route"), str)
        and bool(_method(span.attributes))
    )


def status_of(attributes: Attributes) -> int:
    """Return the status code, 0 if there is none."""
    for name in ("http.response.status_code", "http.status_code"):
        value = attributes.get(name)
        try:
            status = int(value)  # type: ignore[arg-type]  # TypeError is caught
        except (TypeError, ValueError, OverflowError):
            continue
        if 100 <= status <= 599:
            return status
    return 0


def endpoint_of(span: Span, status: int) -> str:
    """Name the endpoint: method and route template."""
    attributes = span.attributes
    method = _method(attributes) or _method_in_name(span.name)
    route = attributes.get("http.route")
    if isinstance(route, str) and route:
        return f"{method} {route}".lstrip()
    if not method or not any(name.startswith(("http.", "url.")) for name in attributes):
        return span.name or UNMATCHED  # a remote procedure call, a websocket
    path = _path(attributes)
    if status == 404 or path is None:
        return UNMATCHED
    # No router told its template (a plain ASGI application): guess it from the path.
    return f"{method} {_template(path)}"


def _method(attributes: Attributes) -> str:
    for name in ("http.request.method", "http.method"):
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _method_in_name(name: str) -> str:
    word = name.partition(" ")[0]
    return word if _METHOD(word) else ""


def _path(attributes: Attributes) -> str | None:
    for name in ("url.path", "http.target", "http.path", "url.full", "http.url"):
        path: AttributeValue = attributes.get(name)
        if isinstance(path, str) and path:
            return urlsplit(path).path or "/"
    return None


def _template(path: str) -> str:
    segments = path.split("/")[:_MAX_SEGMENTS]
    return "/".join("{}" if _VARIABLE(segment) else segment for segment in segments)
