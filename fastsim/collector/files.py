"""The trace files of one process: rotated by size, bounded in total, never deleted.

Files are written without a buffer, one ``write`` a line, so a killed process loses
nothing that was written and a forked one writes nothing twice. A line that did not
fit (disk full) is cut off again, so that the lines around it stay whole.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

try:
    import fcntl
except ImportError:  # pragma: no cover  not on Windows: the total is then checked, not locked
    fcntl = None  # type: ignore[assignment]

TRACE_GLOB = "traces-*.jsonl"
ACCOUNT_GLOB = "traces-*.account"
_LOCK_TRIES = 20
_LOCK_PAUSE_S = 0.005
_STEM = re.compile(r"traces-\d+-\d+")


class LimitReachedError(Exception):
    """The trace files have reached their total size; the line was not written."""


class LineSink(Protocol):
    """Where encoded lines go."""

    def write(self, line: bytes) -> None:
        """Write one line, newline included, or raise and leave nothing behind."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class TraceFiles:
    """The files ``<stem>.jsonl``, ``<stem>-2.jsonl`` and so on.

    Parameters
    ----------
    directory
        Created when the first line is written.
    stem
        See ``process_stem``.
    max_file_bytes, max_total_bytes
        See ``Destination``.
    """

    def __init__(
        self, directory: Path, stem: str, max_file_bytes: int, max_total_bytes: int
    ) -> None:
        self._directory = directory
        self._stem = stem
        self._max_file_bytes = max_file_bytes
        self._max_total_bytes = max_total_bytes
        self._file = -1
        self._size = 0
        self._number = 0

    def write(self, line: bytes) -> None:
        """Append one line.

        Raises
        ------
        LimitReachedError
            When the files of the directory together would grow too large.
        OSError
            When the disk is full or the file cannot be written.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with _locked(self._directory):
            if _total_bytes(self._directory) + len(line) > self._max_total_bytes:
                raise LimitReachedError
            if self._file < 0 or (self._size and self._size + len(line) > self._max_file_bytes):
                self._next_file()
            self._append(line)

    def close(self) -> None:
        """Close the file that is open."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _next_file(self) -> None:
        self.close()
        suffix = f"-{self._number + 1}" if self._number else ""
        path = self._directory / f"{self._stem}{suffix}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._number += 1
        self._size = 0

    def _append(self, line: bytes) -> None:
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)


class _Started:
    last_ms = 0


def process_stem() -> str:
    """Return a new name for what this process records: ``traces-<pid>-<start in ms>``."""
    _Started.last_ms = max(_Started.last_ms + 1, time.time_ns() // 1_000_000)
    return f"traces-{os.getpid()}-{_Started.last_ms}"


def process_of(path: Path) -> str:
    """Return what the names of all files of one process have in common."""
    match = _STEM.match(path.name)
    return match[0] if match else path.stem


def _total_bytes(directory: Path) -> int:
    with os.scandir(directory) as entries:
        return sum(
            entry.stat().st_size
            for entry in entries
            if entry.name.startswith("traces-") and entry.name.endswith(".jsonl")
        )


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other recorders from writing between the check of the total and the write.

    A lock that cannot be had soon is done without: a stopped process must not stop the rest.
    """
    if fcntl is None:  # pragma: no cover
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_S)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(handle)
