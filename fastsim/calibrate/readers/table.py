"""Flat tables of spans, one row each: CSV, JSON lines, Parquet.

Which column is what is found by the usual names (Honeycomb, Elastic, Application Insights,
SigNoz, hand-made exports), or said with ``--columns start=StartTimeUnixNano:ns,...``.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.bytestream import head_text, text_lines
from fastsim.calibrate.readers.console_json import iso_ns
from fastsim.calibrate.readers.spans_from import (
    KINDS,
    identity,
    is_error,
    make_span,
    nanoseconds,
    plain,
)
from fastsim.errors import FileFormatError, InputError
from fastsim.spans import Attributes, Span, SpanKind

NAME = "table"

ROLES: dict[str, tuple[str, ...]] = {
    "trace": ("traceid", "trace", "tracetraceid", "operationid"),
    "span": ("spanid", "span", "tracespanid", "id"),
    "parent": ("parentid", "parentspanid", "traceparentid", "operationparentid", "parent"),
    "name": ("name", "operationname", "spanname", "operation", "resource"),
    "kind": ("kind", "spankind", "metaspankind"),
    "service": ("servicename", "service", "podname", "applicationname", "cloudrolename", "app"),
    "instance": ("serviceinstanceid", "instance", "hostname", "cloudroleinstance"),
    "start": ("starttimeunixnano", "starttime", "start", "timestamp", "time", "timestampus"),
    "end": ("endtimeunixnano", "endtime", "end"),
    "duration": ("durationnano", "durationms", "durationus", "duration", "elapsed"),
    "status": ("httpresponsestatuscode", "httpstatuscode", "responsestatuscode", "statuscode"),
    "error": ("error", "haserror", "iserror"),
}
"""Names of columns by what they hold: lower case, letters and digits only."""

_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_SUFFIXES = (
    (("unixnano", "nano", "nanos", "ns"), "ns"),
    (("micros", "us"), "us"),
    (("millis", "ms"), "ms"),
)
_NONE = frozenset({"", "root", "null", "none", "nan", "0", "-"})
_PARQUET = b"PAR1"
_SEPARATORS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what, and the unit of times where the file does not say it."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Column by role."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit by role: ns, us, ms, s."""


def parse_columns(text: str) -> Columns:
    """Read ``trace=TraceID,start=Start:ns``.

    Raises
    ------
    InputError
        When a part has no ``=``, or a role or unit is unknown.
    """
    names: dict[str, str] = {}
    units: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        role, found, column = part.partition("=")
        column, _, unit = column.partition(":")
        if not found or role.strip() not in ROLES or (unit and unit not in _UNITS):
            raise InputError(
                f"{part!r} does not name a column",
                hint=f"write role=column or role=column:unit; roles: {', '.join(ROLES)}; "
                f"units: {', '.join(_UNITS)}",
                where="--columns",
            )
        names[role.strip()] = column.strip()
        if unit:
            units[role.strip()] = unit
    return Columns(names, units)


def sniff(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is a table of spans."""
    if head.startswith(_PARQUET):
        return True
    header = _first_row(head_text(head))
    return _find_columns(header, Columns()) is not None


def _first_row(text: str) -> list[str]:
    line = text.partition("\n")[0].strip()
    if line.startswith("{"):
        try:
            first = json.loads(line.rstrip(","))
        except (ValueError, RecursionError):
            return []
        return [str(key) for key in first] if isinstance(first, dict) else []
    try:
        return next(csv.reader([line], delimiter=_separator(line)), [])
    except csv.Error:
        return []


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def read(
    stream: io.BufferedReader, account: FileAccount, columns: Columns | None = None
) -> Iterator[Span]:
    """Read spans row by row.

    Raises
    ------
    FileFormatError
        When the columns that a span needs are not there, or Parquet cannot be read here.
    """
    wanted = columns or Columns()
    if stream.peek(4)[:4] == _PARQUET:
        header, rows = _parquet(stream, account)
    else:
        header, rows = _text(text_lines(stream), account)
    found = _find_columns(header, wanted)
    if found is None:
        raise FileFormatError(
            f"{account.name} lacks columns that a span needs (trace, span, start, and end or "
            f"duration); it has {', '.join(header[:12]) or 'none'}",
            hint="say which is which: --columns trace=...,span=...,start=...:ns,duration=...:us",
            where=account.name,
        )
    for row in rows:
        span = _span(row, found, account)
        if span is not None:
            yield span


_Row = Mapping[str, Any]


def _text(lines: Iterator[str], account: FileAccount) -> tuple[list[str], Iterator[_Row]]:
    first = next((line for line in lines if line.strip("\ufeff \t\r\n")), "").lstrip("\ufeff")
    header = _first_row(first)
    if first.lstrip().startswith("{"):
        return header, _json_rows(first, lines, account)
    return header, _csv_rows(header, lines, _separator(first), account)


def _json_rows(first: str, lines: Iterator[str], account: FileAccount) -> Iterator[_Row]:
    for line in chain([first], lines):
        yield from _json_row(line, account)


def _json_row(line: str, account: FileAccount) -> Iterator[_Row]:
    if not line.strip():
        return
    account.lines += 1
    try:
        row = json.loads(line.rstrip().rstrip(","))
    except (ValueError, RecursionError):
        account.skip(Skip.NOT_JSON)
        return
    if isinstance(row, dict):
        yield row
    else:
        account.skip(Skip.MALFORMED)


def _csv_rows(
    header: Sequence[str], lines: Iterable[str], separator: str, account: FileAccount
) -> Iterator[_Row]:
    account.lines += 1
    rows = csv.reader((line.replace("\0", "") for line in lines), delimiter=separator)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            account.skip(Skip.MALFORMED)
            continue
        if not row:
            continue
        account.lines += 1
        if len(row) != len(header):
            account.skip(Skip.MALFORMED)
            continue
        yield dict(zip(header, row, strict=True))


def _parquet(stream: io.BufferedReader, account: FileAccount) -> tuple[list[str], Iterator[_Row]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise FileFormatError(
            f"{account.name} is a Parquet file, which needs the package pyarrow",
            hint="pip install pyarrow, or export the table as CSV",
            where=account.name,
        ) from None
    try:
        # The table's directory is at its end: this cannot be streamed from a pipe.
        table = parquet.ParquetFile(io.BytesIO(stream.read()))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise FileFormatError(f"{account.name} is damaged: {reason}", where=account.name) from None

    def rows() -> Iterator[_Row]:
        for batch in table.iter_batches(batch_size=10_000):
            yield from batch.to_pylist()

    return list(table.schema_arrow.names), rows()


def _plain_name(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())


def _find_columns(header: Sequence[str], wanted: Columns) -> Columns | None:
    """Return the column of each role; None when a span cannot be made of them."""
    by_name: dict[str, str] = {}
    for column in header:
        by_name.setdefault(_plain_name(column), column)
    names: dict[str, str] = {}
    for role, usual in ROLES.items():
        if role in wanted.names:
            if wanted.names[role] in header:
                names[role] = wanted.names[role]
            continue
        found = next((by_name[name] for name in usual if name in by_name), None)
        if found is not None:
            names[role] = found
    if not {"trace", "span", "start"} <= names.keys() or not {"end", "duration"} & names.keys():
        return None
    units = dict(wanted.units)
    for role in ("start", "end", "duration"):
        if role in names and role not in units:
            named = _unit_in_name(names[role])
            if named is not None:
                units[role] = named
    return Columns(names, units)


def _unit_in_name(column: str) -> str | None:
    name = _plain_name(column)
    for suffixes, unit in _SUFFIXES:
        if name.endswith(suffixes):
            return unit
    return None


def _moment_ns(value: Any, unit: str | None) -> int:
    """Return a moment in nanoseconds: ISO text, or a number whose unit its size tells."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d", value.strip()):
        return iso_ns(value.strip())
    if hasattr(value, "isoformat"):
        return iso_ns(value.isoformat())
    if unit is None:
        size = nanoseconds(value, 1)
        # From 1980 to 2200 the digits of the four units do not overlap.
        sizes = (("ns", 10**17), ("us", 10**14), ("ms", 10**11))
        return nanoseconds(
            value, next((_UNITS[name] for name, least in sizes if size >= least), 10**9)
        )
    return nanoseconds(value, _UNITS[unit])


def _span(row: _Row, columns: Columns, account: FileAccount) -> Span | None:
    names = columns.names

    def of(role: str) -> Any:
        return row.get(names[role]) if role in names else None

    start_ns = _moment_ns(of("start"), columns.units.get("start"))
    if "end" in names:
        end_ns = _moment_ns(of("end"), columns.units.get("end"))
    else:
        # Without a unit in its name a length is taken as milliseconds, the commonest.
        length = nanoseconds(of("duration"), _UNITS[columns.units.get("duration", "ms")])
        end_ns = start_ns + length if length >= 0 else -1
    used = set(names.values())
    attributes: Attributes = {
        key: plain(value)
        for key, value in row.items()
        if key not in used and value not in (None, "")
    }
    status = nanoseconds(of("status"), 1)
    if status > 0:
        attributes["http.response.status_code"] = status
    parent = of("parent")
    resource: Attributes = {}
    for role, name in (("service", "service.name"), ("instance", "service.instance.id")):
        if of(role) not in (None, ""):
            resource[name] = str(of(role))
    return make_span(
        account,
        trace_id=identity(of("trace"), 32),
        span_id=identity(of("span"), 16),
        parent_id="" if str(parent).lower() in _NONE else identity(parent, 16),
        kind=_kind(of("kind")),
        name=of("name"),
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=attributes,
        resource=resource,
        error=is_error(of("error")),
    )


def _kind(value: Any) -> SpanKind:
    if isinstance(value, int) and 0 <= value <= max(SpanKind):
        return SpanKind(value)
    name = str(value or "").lower().rpartition(".")[2].removeprefix("span_kind_")
    if name.isdigit() and int(name) <= max(SpanKind):
        return SpanKind(int(name))
    return KINDS.get(name, SpanKind.INTERNAL)
