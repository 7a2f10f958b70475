"""What Python's ConsoleSpanExporter prints: one indented object after another.

It is usually caught with everything else a service prints: log lines between the objects, and
``api-1  |`` before each line where several services share a terminal.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.bytestream import head_text, text_lines
from fastsim.calibrate.readers.spans_from import KINDS, identity, make_span, plain_attributes
from fastsim.spans import Span, SpanKind

NAME = "OpenTelemetry console"

_SIGNATURE = re.compile(r'"trace_id"\s*:\s*"0x[0-9a-fA-F]+"')
_PREFIX = re.compile(r"^\s*[\w.@/-]+\s*\|\s?")
_STATE = re.compile(r"\{key=([^,}]+), value=([^}]*)\}")
_MOST_LINES = 5000
"""An object longer than this is none; a log line began with a brace."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sniff(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes was printed by the console exporter."""
    return _SIGNATURE.search(head_text(head)) is not None


def read(stream: io.BufferedReader, account: FileAccount) -> Iterator[Span]:
    """Read spans; lines between them are counted as lines without JSON."""
    for document in _objects(text_lines(stream), account):
        if "context" not in document and "trace_id" not in document:
            account.skip(Skip.NOT_A_TRACE)
            continue
        span = _span(document, account)
        if span is not None:
            yield span


def _objects(lines: Iterable[str], account: FileAccount) -> Iterator[dict[str, Any]]:
    pending: list[str] = []
    for raw in lines:
        line = _PREFIX.sub("", raw.lstrip("\ufeff").rstrip("\r\n"))
        if not line.strip():
            continue
        account.lines += 1
        if line.startswith("{"):
            if pending:
                account.skip(Skip.TORN)
            pending = []
        elif not pending:
            account.skip(Skip.NOT_JSON)
            continue
        pending.append(line)
        if not line.rstrip().endswith(("}", "},")) or (
            not line.startswith(("}", "{")) and len(pending) < _MOST_LINES
        ):
            continue
        document = _decoded(pending)
        if document is not None:
            yield document
            pending = []
        elif line.startswith("}") or len(pending) >= _MOST_LINES:
            account.skip(Skip.NOT_JSON)
            pending = []
    if pending:
        account.skip(Skip.TORN)


def _decoded(lines: list[str]) -> dict[str, Any] | None:
    """Return the object; lines that somebody else printed in its middle are left out."""
    for kept in (lines, [line for line in lines if _is_piece(line)]):
        try:
            document = json.loads("\n".join(kept).rstrip().rstrip(","))
        except (ValueError, RecursionError):
            continue
        return document if isinstance(document, dict) else None
    return None


def _is_piece(line: str) -> bool:
    return line.lstrip().startswith(('"', "{", "}", "[", "]")) and (
        line.startswith((" ", "\t", "{", "}"))
    )


def _span(raw: dict[str, Any], account: FileAccount) -> Span | None:
    inner = raw.get("context")
    context: dict[str, Any] = inner if isinstance(inner, dict) else raw
    resource = raw.get("resource")
    if isinstance(resource, dict) and isinstance(resource.get("attributes"), dict):
        resource = resource["attributes"]
    status = raw.get("status")
    code = status.get("status_code") if isinstance(status, dict) else None
    kind = str(raw.get("kind") or "").rpartition(".")[2].lower()
    return make_span(
        account,
        trace_id=_hex(context.get("trace_id"), 32),
        span_id=_hex(context.get("span_id"), 16),
        parent_id=_hex(raw.get("parent_id"), 16),
        kind=KINDS.get(kind, SpanKind.INTERNAL),
        name=raw.get("name"),
        start_ns=iso_ns(raw.get("start_time")),
        end_ns=iso_ns(raw.get("end_time")),
        attributes=plain_attributes(raw.get("attributes"), account),
        resource=plain_attributes(resource, account),
        error=code == "ERROR",
        trace_state=",".join(
            f"{key}={value}" for key, value in _STATE.findall(str(context.get("trace_state")))
        ),
    )


def _hex(raw: object, digits: int) -> str:
    return identity(raw.removeprefix("0x"), digits) if isinstance(raw, str) else ""


def iso_ns(raw: object) -> int:
    """Return an ISO 8601 time in nanoseconds since 1970, UTC unless it says otherwise; or -1."""
    if not isinstance(raw, str):
        return -1
    try:
        moment = datetime.fromisoformat(raw)
    except ValueError:
        return -1
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
