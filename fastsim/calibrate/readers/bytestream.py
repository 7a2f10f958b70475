"""From a path to decompressed bytes and decoded lines: gzip, byte order marks, UTF-16.

Knows nothing of trace formats. Everything is told by content, never by file name.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol

from fastsim.errors import FileFormatError

HEAD_BYTES = 1 << 16
"""How much of a file the formats may look at to recognise it."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Rewound(io.RawIOBase):
    """A stream with its first bytes put back; ends early, and says so, when it is damaged."""

    def __init__(self, head: bytes, rest: _Readable) -> None:
        self._head = head
        self._rest = rest
        self.damaged = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed wants its private WriteableBuffer
        chunk = self._head[: len(buffer)] or self._next(len(buffer))
        self._head = self._head[len(chunk) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _next(self, size: int) -> bytes:
        try:
            return self._rest.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.damaged = True
            return b""


class ByteStream:
    """Decompressed bytes of one input with its first bytes known in advance.

    Parameters
    ----------
    raw
        Binary stream; need not be seekable.
    name
        For messages.

    Raises
    ------
    FileFormatError
        When the input is compressed in a way that cannot be read.
    """

    def __init__(self, raw: BinaryIO, name: str) -> None:
        head = _fill(raw)
        source: _Readable = raw
        self._compressed: _Rewound | None = None
        if head.startswith(_GZIP):
            unpacked = gzip.GzipFile(fileobj=io.BufferedReader(_Rewound(head, raw)))
            self._compressed = _Rewound(b"", unpacked)
            source = io.BufferedReader(self._compressed)
            head = _fill(source)
            if self._compressed.damaged and not head:
                raise FileFormatError(f"{name} is a damaged gzip file", where=name)
        elif head.startswith(_ZSTD):
            self._compressed = _Rewound(b"", _unpack_zstd(_Rewound(head, raw), name))
            source = io.BufferedReader(self._compressed)
            head = _fill(source)
            if self._compressed.damaged and not head:
                raise FileFormatError(f"{name} is a damaged zstd file", where=name)
        self.head = head
        self.stream: io.BufferedReader = io.BufferedReader(_Rewound(head, source), HEAD_BYTES)

    @property
    def damaged(self) -> bool:
        """Whether the compressed data ended early (known once they were read)."""
        return self._compressed is not None and self._compressed.damaged


class _Zstd:
    """Unpacks zstd; a damaged or cut file ends like a damaged gzip file."""

    def __init__(self, source: _Rewound, library: Any) -> None:
        self._errors = library.ZstdError
        self._reader = library.ZstdDecompressor().stream_reader(source, read_across_frames=True)

    def read(self, size: int, /) -> bytes:
        try:
            return bytes(self._reader.read(size))
        except self._errors as error:
            raise EOFError from error


def _unpack_zstd(source: _Rewound, name: str) -> _Readable:
    try:
        import zstandard
    except ImportError:
        raise FileFormatError(
            f"{name} is compressed with zstd, which needs the package zstandard",
            hint=f"pip install zstandard, or unpack it first: zstd -d {name}",
            where=name,
        ) from None
    return _Zstd(source, zstandard)


def _fill(source: _Readable) -> bytes:
    """Read the first HEAD_BYTES even if a pipe hands them out in small pieces."""
    parts: list[bytes] = []
    missing = HEAD_BYTES
    while missing > 0 and (part := source.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def encoding_of(head: bytes) -> str:
    """Name the text encoding by its byte order mark, or by where the zero bytes are."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    if len(head) >= 2 and head[1] == 0 != head[0]:
        return "utf-16-le"
    if len(head) >= 2 and head[0] == 0 != head[1]:
        return "utf-16-be"
    return "utf-8"


def head_text(head: bytes) -> str:
    """Decode the first bytes of a text file; damage is replaced, never raised."""
    return head.decode(encoding_of(head), errors="replace").lstrip("\ufeff \t\r\n\0")


def text_lines(stream: io.BufferedReader) -> Iterator[str]:
    """Iterate over the lines of a text stream in whatever Unicode encoding it is."""
    encoding = encoding_of(stream.peek(4)[:4])
    yield from io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="\n")
