"""Open trace files of whatever format and yield their spans one by one.

Files are recognised by content. ``FORMATS`` is the registry: a format is a module (or
object) with ``NAME``, ``sniff`` and ``read``. Memory does not grow with the size of a file
of JSON lines.
"""

import glob
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from fastsim.calibrate.readers import (
    console_json,
    datadog_json,
    jaeger_json,
    otlp_json,
    otlp_protobuf,
    table,
    zipkin_json,
)
from fastsim.calibrate.readers.account import Account, FileAccount, Skip
from fastsim.calibrate.readers.bytestream import ByteStream, head_text
from fastsim.calibrate.readers.table import Columns, parse_columns
from fastsim.calibrate.readers.unsupported import describe
from fastsim.errors import FileFormatError, InputError
from fastsim.spans import Span

__all__ = [
    "FORMATS",
    "Account",
    "Columns",
    "FileAccount",
    "Skip",
    "TraceSource",
    "open_traces",
    "parse_columns",
    "read_spans",
]

SUFFIXES = tuple(
    f".{kind}{packed}"
    for kind in ("json", "jsonl", "ndjson", "pb", "binpb", "csv", "tsv", "parquet", "log")
    for packed in ("", ".gz", ".zst")
)
"""What is looked for in a directory."""

DUPLICATE_WINDOW = 500_000
"""A span is recognised as a duplicate if at most this many others lie between the two."""


class Format(Protocol):
    """A trace format."""

    def sniff(self, head: bytes) -> bool:
        """Tell whether a file that begins with these bytes is of this format."""

    def read(self, stream: io.BufferedReader, account: FileAccount) -> Iterator[Span]:
        """Yield the spans; count in ``account`` what is not yielded."""


FORMATS: dict[str, Format] = {
    module.NAME: cast("Format", module)
    for module in (
        otlp_json,
        console_json,
        jaeger_json,
        zipkin_json,
        datadog_json,
        otlp_protobuf,
        table,
    )
}
"""In the order in which they are tried: the surest signature first."""


@dataclass(frozen=True, slots=True)
class _Input:
    """One file to read. A file found by searching need not be a trace; a named one must."""

    path: Path | None  # None is standard input
    found: bool = False

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)


class _Seen:
    """Remembers the latest span identities, in bounded memory."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def repeats(self, span: Span) -> bool:
        # The kind belongs to the identity: Zipkin gives client and server span the same id.
        # Some tools use one id for several spans: only what begins at the same time is the same.
        # An enumeration's own hash is Python code.
        key = hash((span.trace_id, span.span_id, int(span.kind), span.start_ns, span.name))
        if key in self._recent or key in self._older:
            return True
        self._recent.add(key)
        if len(self._recent) >= DUPLICATE_WINDOW:
            self._older, self._recent = self._recent, set()
        return False


@dataclass(slots=True)
class TraceSource:
    """The spans of several files, readable once; ``account`` fills while they are read."""

    inputs: tuple[_Input, ...]
    columns: Columns | None = None
    """For tables: which column holds what."""
    account: Account = field(default_factory=Account)

    def __iter__(self) -> Iterator[Span]:
        seen = _Seen()
        problems: list[FileFormatError] = []
        for item in self.inputs:
            account = self.account.open_file(item.name)
            try:
                yield from _read_file(item, account, seen, self.columns)
            except _EmptyFileError as error:  # a worker process that served nothing
                problems.append(error)
            except FileFormatError as error:
                if not item.found:
                    raise
                problems.append(error)
            else:
                continue
            account.refused = problems[-1].message
        if len(problems) == len(self.inputs):
            raise _no_traces(problems)


class _EmptyFileError(FileFormatError):
    """A file without content."""


def open_traces(paths: Sequence[str | Path], columns: Columns | None = None) -> TraceSource:
    """Find the files behind files, directories, glob patterns and ``-`` (standard input).

    Raises
    ------
    FileFormatError
        When a path does not exist, or a directory or pattern matches no file. What is
        inside the files is told when they are read.
    """
    names = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not names:
        raise InputError(
            "no trace files given", hint="name files, a directory, or - for standard input"
        )
    inputs: dict[str, _Input] = {}
    for name in names:
        for item in _find(name):
            # The same file named twice is read once; a file named by hand must be a trace.
            key = "-" if item.path is None else str(item.path.resolve())
            if key not in inputs or not item.found:
                inputs[key] = item
    return TraceSource(tuple(inputs.values()), columns)


def read_spans(paths: Sequence[str | Path], account: Account | None = None) -> Iterator[Span]:
    """Yield the spans of all files; ``account`` tells afterwards what was skipped and why.

    Raises
    ------
    FileFormatError
        When a file is missing, unreadable, damaged as a whole, or not a trace.
    """
    source = open_traces(paths)
    if account is not None:
        source.account = account
    return iter(source)


def trace_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return the files that ``open_traces`` would read; standard input is none."""
    return [item.path for name in paths for item in _find(name) if item.path is not None]


def _find(name: str | Path) -> Iterable[_Input]:
    if str(name) == "-":
        return [_Input(None)]
    path = Path(name)
    try:
        if path.is_dir():
            found = sorted(child for child in path.iterdir() if child.name.endswith(SUFFIXES))
            if found:
                return [_Input(child, found=True) for child in found if not child.is_dir()]
            raise FileFormatError(
                f"{path} holds no trace files",
                hint=f"looked for {', '.join('*' + suffix for suffix in SUFFIXES)}",
                where=str(path),
            )
        if path.exists():
            return [_Input(path)]
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), error) from None
    # Path.glob refuses absolute patterns.
    matches = sorted(glob.glob(str(name), recursive=True)) if glob.has_magic(str(name)) else []  # noqa: PTH207
    files = [Path(match) for match in matches if Path(match).is_file()]
    if not files:
        what = "matches no file" if glob.has_magic(str(name)) else "does not exist"
        raise FileFormatError(
            f"{name} {what}", hint="check the path of the recording", where=str(name)
        )
    return [_Input(match, found=True) for match in files]


def _read_file(
    item: _Input, account: FileAccount, seen: _Seen, columns: Columns | None
) -> Iterator[Span]:
    with ExitStack() as stack:
        try:
            raw: BinaryIO = (
                sys.stdin.buffer if item.path is None else stack.enter_context(item.path.open("rb"))
            )
            source = ByteStream(raw, item.name)
        except OSError as error:
            raise _unreadable(item.name, error) from None
        spans = _spans_of(source, account, columns)
        try:
            for span in spans:
                if seen.repeats(span):
                    account.skip(Skip.DUPLICATE)
                else:
                    account.spans_kept += 1
                    yield span
        except OSError as error:
            raise _unreadable(item.name, error) from None
        if source.damaged and not account.skipped[Skip.TORN]:
            account.skip(Skip.TORN)


def _spans_of(source: ByteStream, account: FileAccount, columns: Columns | None) -> Iterator[Span]:
    if columns is not None and columns.names:
        account.format = table.NAME
        return table.read(source.stream, account, columns)
    account.format, reader = _recognise(source.head, account.name)
    return reader.read(source.stream, account)


def _recognise(head: bytes, name: str) -> tuple[str, Format]:
    if not head_text(head).strip():
        raise _EmptyFileError(f"{name} is empty", hint="was any request recorded?", where=name)
    for format_name, candidate in FORMATS.items():
        if candidate.sniff(head):
            return format_name, candidate
    what, hint = describe(head)
    raise FileFormatError(f"{name} {what}", hint=hint, where=name)


def _unreadable(name: str, error: Exception) -> FileFormatError:
    if isinstance(error, PermissionError):
        return FileFormatError(
            f"{name} may not be read", hint="the permission was denied by the system", where=name
        )
    reason = getattr(error, "strerror", None) or str(error)
    return FileFormatError(f"{name} cannot be read: {reason}", where=name)


def _no_traces(problems: list[FileFormatError]) -> FileFormatError:
    if len(problems) == 1:
        return problems[0]
    first = problems[0]
    return FileFormatError(
        f"none of {len(problems)} files holds traces: {first.message}",
        hint=first.hint,
        where=str(Path(first.where or "").parent),
    )
