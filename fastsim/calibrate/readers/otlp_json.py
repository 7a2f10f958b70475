"""OTLP/JSON traces in every dialect seen in the wild.

JSON lines or one document, camelCase or snake_case keys, ids in hex or base64, kinds as
numbers or names, integers as text or numbers, ``instrumentationLibrarySpans``, and the
answers of Tempo and Jaeger that wrap the same spans. Logs and metrics in the same file are
counted and left out.
"""

import base64
import binascii
import io
import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.bytestream import head_text, text_lines
from fastsim.calibrate.readers.documents import documents, rows
from fastsim.calibrate.readers.otlp_values import attributes_of, of_tail_sampling, printable
from fastsim.spans import Attributes, Span, SpanKind, StatusCode

_T = TypeVar("_T")

NAME = "OTLP/JSON"

_SPAN_LISTS = ("resourceSpans", "resource_spans", "batches")
_SCOPE_LISTS = (
    "scopeSpans",
    "scope_spans",
    "instrumentationLibrarySpans",
    "instrumentation_library_spans",
)
_OTHER_SIGNALS = frozenset(
    f"resource{camel}" for camel in ("Logs", "Metrics", "Profiles")
) | frozenset(f"resource_{snake}" for snake in ("logs", "metrics", "profiles"))
_KNOWN_KEYS = _OTHER_SIGNALS.union(_SPAN_LISTS)
_WRAPPERS = ("trace", "result", "data")
_SIGNATURE = re.compile(r'(?<!\\)"(?:' + "|".join(sorted(_KNOWN_KEYS)) + r')"\s*:')
_HEX = re.compile(r"[0-9a-fA-F]+").fullmatch
_NONE = {size: "0" * (2 * size) for size in (8, 16)}
_MAX_NS = 2**63 - 1
_MAX_RESOURCES = 1000

_KINDS: dict[object, SpanKind] = {
    form: kind
    for kind in SpanKind
    for form in (int(kind), str(int(kind)), kind.name, f"SPAN_KIND_{kind.name}")
}
_STATUS: dict[object, StatusCode] = {
    form: code
    for code in StatusCode
    for form in (int(code), str(int(code)), code.name, f"STATUS_CODE_{code.name}")
}


def sniff(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is OTLP/JSON."""
    return _SIGNATURE.search(head_text(head)) is not None


def read(stream: io.BufferedReader, account: FileAccount) -> Iterator[Span]:
    """Read spans one export batch at a time.

    Raises
    ------
    FileFormatError
        When not a single document could be read.
    """
    resources = _Resources(account)
    for document in documents(text_lines(stream), account, _is_export):
        for batch in _batches(document, account):
            yield from _batch_spans(batch, resources, account)


def _is_export(first: Any) -> bool:
    """Tell whether a line's first document is a whole export, not a piece of one."""
    if isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, dict) and not _KNOWN_KEYS.union(_WRAPPERS).isdisjoint(first)


# --- batches and spans ---------------------------------------------------------------------


class _Resources:
    """Decoded resources, one shared dict for all equal ones."""

    def __init__(self, account: FileAccount) -> None:
        self._account = account
        self._raw: object = None
        self._decoded: Attributes = {}
        self._known: dict[str, Attributes] = {}

    def decode(self, raw: Any) -> Attributes:
        try:
            if raw is None or raw != self._raw:
                self._raw, self._decoded = raw, self._look_up(raw)
        except RecursionError:  # nested as deep as the parser allows
            self._account.skip(Skip.ATTRIBUTE)
            self._raw, self._decoded = None, {}
        return self._decoded

    def _look_up(self, raw: Any) -> Attributes:
        key = json.dumps(raw)
        if key not in self._known:
            if len(self._known) >= _MAX_RESOURCES:
                self._known.clear()
            items = raw.get("attributes") if isinstance(raw, dict) else None
            self._known[key] = attributes_of(items, self._account)
        return self._known[key]


def _batches(document: Any, account: FileAccount) -> Iterator[Any]:
    """Yield the resource-and-spans blocks of a document, whatever it is wrapped in."""
    parts = document if isinstance(document, list) else [document]
    for part in parts:
        if not isinstance(part, dict):
            account.skip(Skip.NOT_A_TRACE)
            continue
        inner = part
        if _KNOWN_KEYS.isdisjoint(part):
            inner = next((part[key] for key in _WRAPPERS if isinstance(part.get(key), dict)), part)
        names = [key for key in _SPAN_LISTS if key in inner]
        for name in names:
            yield from rows(inner[name], account)
        if not names:
            other = not _OTHER_SIGNALS.isdisjoint(inner)
            account.skip(Skip.OTHER_SIGNAL if other else Skip.NOT_A_TRACE)


def _batch_spans(batch: Any, resources: _Resources, account: FileAccount) -> Iterator[Span]:
    resource = resources.decode(batch.get("resource"))
    service = str(resource.get("service.name") or "")
    instance = _instance(resource)
    for name in _SCOPE_LISTS:
        for group in rows(batch.get(name), account):
            scope, kept_by = _scope(group), _kept_by(group, account)
            for raw in rows(group.get("spans"), account):
                span = _span(raw, account)
                if span is not None:
                    span.service = service
                    span.instance = instance
                    span.scope = scope
                    span.resource = resource
                    span.attributes.update(kept_by)
                    yield span


def _instance(resource: Attributes) -> str:
    named = resource.get("service.instance.id")
    if named:
        return str(named)
    return ":".join(str(resource[key]) for key in ("host.name", "process.pid") if resource.get(key))


def _kept_by(group: dict[str, Any], account: FileAccount) -> Attributes:
    """Return what a collector that samples whole traces noted with the scope."""
    scope = group.get("scope")
    if not isinstance(scope, dict) or not scope.get("attributes"):
        return {}
    return of_tail_sampling(attributes_of(scope["attributes"], account))


def _scope(group: dict[str, Any]) -> str:
    scope = (
        group.get("scope")
        or group.get("instrumentationLibrary")
        or group.get("instrumentation_library")
    )
    name = scope.get("name") if isinstance(scope, dict) else None
    return name if isinstance(name, str) else ""


def _span(raw: dict[str, Any], account: FileAccount) -> Span | None:
    trace_id = _identity(raw.get("traceId") or raw.get("trace_id"), 16)
    span_id = _identity(raw.get("spanId") or raw.get("span_id"), 8)
    if trace_id is None or span_id is None:
        account.skip(Skip.NO_IDS)
        return None
    start_ns = _time_ns(raw, "startTimeUnixNano", "start_time_unix_nano")
    end_ns = _time_ns(raw, "endTimeUnixNano", "end_time_unix_nano")
    if start_ns <= 0 or end_ns < start_ns:
        account.skip(Skip.BAD_TIMES)
        return None
    name = raw.get("name")
    status = raw.get("status")
    state = raw.get("traceState") or raw.get("trace_state")
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_identity(raw.get("parentSpanId") or raw.get("parent_span_id"), 8),
        kind=_look_up(_KINDS, raw.get("kind"), SpanKind.UNSPECIFIED),
        name=printable(name) if isinstance(name, str) else "",
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=attributes_of(raw.get("attributes"), account),
        status=_look_up(
            _STATUS, status.get("code") if isinstance(status, dict) else status, StatusCode.UNSET
        ),
        trace_state=state if isinstance(state, str) else "",
    )


def _identity(raw: object, size: int) -> str | None:
    """Return an id in lower-case hex: hex of the right length, else base64, else as it is."""
    if type(raw) is not str:
        return None
    if len(raw) == 2 * size and _HEX(raw):
        return raw.lower() if raw != _NONE[size] else None
    if not raw.strip("0="):
        return None
    try:
        decoded = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) == size:
        return decoded.hex() if any(decoded) else None
    return raw


def _time_ns(raw: dict[str, Any], camel: str, snake: str) -> int:
    """Return nanoseconds since 1970, or -1 for what is no such time."""
    value = raw.get(camel, raw.get(snake))
    try:
        time_ns = int(value)  # type: ignore[arg-type]  # None and lists raise TypeError
    except (TypeError, ValueError, OverflowError):
        return -1
    return time_ns if time_ns <= _MAX_NS else -1


def _look_up(table: dict[object, _T], raw: object, default: _T) -> _T:
    return table.get(raw, default) if isinstance(raw, (int, float, str)) else default
