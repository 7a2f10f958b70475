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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.bytestream import head_text, text_lines
from fastsim.calibrate.readers.documents import documents, rows
from fastsim.calibrate.readers.otlp_attributes import KnownAttributes
from fastsim.calibrate.readers.otlp_typed import Export, Row, Status, export_of
from fastsim.calibrate.readers.otlp_values import (
    attributes_of,
    of_tail_sampling,
    printable,
)
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
    resources, known = _Resources(account), KnownAttributes()
    for document in documents(text_lines(stream), account, _is_export, export_of):
        if isinstance(document, Export):
            for typed in document.resource_spans:
                for group in typed.scope_spans:
                    common = _Common.of(typed.resource, group.scope, resources, account)
                    yield from _spans(group.spans, common, known, account)
            continue
        for batch in _batches(document, account):
            for name in _SCOPE_LISTS:
                for part in rows(batch.get(name), account):
                    common = _Common.of(batch.get("resource"), _scope_of(part), resources, account)
                    raw = map(_row, rows(part.get("spans"), account))
                    yield from _spans(raw, common, attributes_of, account)


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


@dataclass(slots=True)
class _Common:
    """What all spans of one library in one process have in common."""

    resource: Attributes
    service: str
    instance: str
    scope: str
    kept_by: Attributes
    """What a collector that samples whole traces noted."""

    @classmethod
    def of(
        cls, resource: Any, scope: Any, resources: _Resources, account: FileAccount
    ) -> "_Common":
        """Decode what is said once for all of them."""
        decoded = resources.decode(resource)
        if not isinstance(scope, dict):
            scope = {}
        name, noted = scope.get("name"), scope.get("attributes")
        return cls(
            decoded,
            str(decoded.get("service.name") or ""),
            _instance(decoded),
            name if isinstance(name, str) else "",
            of_tail_sampling(attributes_of(noted, account)) if noted else {},
        )


def _instance(resource: Attributes) -> str:
    named = resource.get("service.instance.id")
    if named:
        return str(named)
    return ":".join(str(resource[key]) for key in ("host.name", "process.pid") if resource.get(key))


def _scope_of(group: dict[str, Any]) -> Any:
    return (
        group.get("scope")
        or group.get("instrumentationLibrary")
        or group.get("instrumentation_library")
    )


def _row(raw: dict[str, Any]) -> Row:
    """Name the fields of a span as they are specified, whatever is in them."""
    status = raw.get("status")
    fields: dict[str, Any] = {
        "trace_id": _text(raw.get("traceId") or raw.get("trace_id")),
        "span_id": _text(raw.get("spanId") or raw.get("span_id")),
        "parent_span_id": _text(raw.get("parentSpanId") or raw.get("parent_span_id")),
        "start_time_unix_nano": raw.get("startTimeUnixNano", raw.get("start_time_unix_nano")),
        "end_time_unix_nano": raw.get("endTimeUnixNano", raw.get("end_time_unix_nano")),
        "name": raw.get("name"),
        "kind": raw.get("kind"),
        "attributes": raw.get("attributes"),
        "status": Status(status.get("code") if isinstance(status, dict) else status),
        "trace_state": raw.get("traceState") or raw.get("trace_state"),
    }
    return Row(**fields)


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) else None


def _spans(
    rows_: Iterable[Row],
    common: _Common,
    read_attributes: Callable[[Any, FileAccount], Attributes],
    account: FileAccount,
) -> Iterator[Span]:
    traces, parents = _Ids(16), _Ids(8)
    service, instance, scope = common.service, common.instance, common.scope
    resource, kept_by = common.resource, common.kept_by
    for row in rows_:
        trace_id, span_id = traces[row.trace_id], _identity(row.span_id, 8)
        if trace_id is None or span_id is None:
            account.skip(Skip.NO_IDS)
            continue
        start_ns, end_ns = _time_ns(row.start_time_unix_nano), _time_ns(row.end_time_unix_nano)
        if start_ns <= 0 or end_ns < start_ns:
            account.skip(Skip.BAD_TIMES)
            continue
        parent, status, state, name = row.parent_span_id, row.status, row.trace_state, row.name
        attributes = read_attributes(row.attributes, account)
        if kept_by:
            attributes = attributes | kept_by
        yield Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=parents[parent] if parent else None,
            kind=_look_up(_KINDS, row.kind, SpanKind.UNSPECIFIED),
            name=printable(name) if isinstance(name, str) else "",
            start_ns=start_ns,
            end_ns=end_ns,
            service=service,
            instance=instance,
            scope=scope,
            attributes=attributes,
            resource=resource,
            status=_look_up(_STATUS, status.code, StatusCode.UNSET) if status else StatusCode.UNSET,
            trace_state=state if isinstance(state, str) else "",
        )


class _Ids(dict[str | None, str | None]):
    """Ids as they are kept: most of a batch are in it several times."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __missing__(self, raw: str | None) -> str | None:
        found = self[raw] = _identity(raw, self._size)
        return found


def _identity(raw: str | None, size: int) -> str | None:
    """Return an id in lower-case hex: hex of the right length, else base64, else as it is."""
    if raw is None:
        return None
    if len(raw) == 2 * size:
        try:
            if len(bytes.fromhex(raw)) == size:  # blanks are no digits
                return raw.lower() if raw != _NONE[size] else None
        except ValueError:
            pass
    if not raw.strip("0="):
        return None
    try:
        decoded = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) == size:
        return decoded.hex() if any(decoded) else None
    return raw


def _time_ns(value: Any) -> int:
    """Return nanoseconds since 1970, or -1 for what is no such time."""
    try:
        time_ns = int(value)
    except (TypeError, ValueError, OverflowError):
        return -1
    return time_ns if time_ns <= _MAX_NS else -1


def _look_up(table: dict[object, _T], raw: object, default: _T) -> _T:
    return table.get(raw, default) if isinstance(raw, (int, float, str)) else default
