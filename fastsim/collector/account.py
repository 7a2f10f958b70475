"""What one process saw, recorded, wrote and dropped: a small file beside its traces.

Rewritten in place every half second, at the same size, so that it can still be
written when the disk is full and tells what is missing from the traces. Readers of
traces pass it by; ``fastsim record`` and ``fastsim show traces`` add the accounts up.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from fastsim.collector.files import ACCOUNT_GLOB

_SIZE_BYTES = 2048


@dataclass(slots=True)
class ProcessAccount:
    """Counts of one process so far; requests, unless the name says otherwise."""

    pid: int = 0
    service: str = ""
    seen: int = 0
    """Started, recorded or not."""
    recorded: int = 0
    """Finished and handed to the writer; the rest was not sampled or was still running."""
    written: int = 0
    """In the trace files."""
    exported: int = 0
    """Accepted by the OTLP endpoint."""
    steps: int = 0
    """Steps of all recorded requests."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Not written, by reason: ``queue``, ``limit``, ``disk``, ``fault``."""
    export_dropped: dict[str, int] = field(default_factory=dict)
    """Not exported, by reason: ``queue``, ``refused``, ``unreachable``, ``settings``."""
    spans_written: int = 0
    """All spans in the trace files, those inside requests included."""
    writer_cpu_ns: int = 0
    """CPU of the recorder's own threads."""
    timer_ns: int = 0
    """Time that recording took on the event loops."""
    process_cpu_ns: int = 0
    faults: int = 0
    """Internal errors of the recorder."""
    problem: str = ""
    """The last reason for a drop, in words."""

    @property
    def dropped_total(self) -> int:
        """Requests that were recorded and then lost, over all reasons."""
        return sum(self.dropped.values())


def add_up(accounts: Iterable[ProcessAccount]) -> ProcessAccount:
    """Return the sums over several processes."""
    total = ProcessAccount()
    for account in accounts:
        for item in fields(ProcessAccount):
            mine, other = getattr(total, item.name), getattr(account, item.name)
            if isinstance(mine, dict):
                for reason, count in other.items():
                    mine[reason] = mine.get(reason, 0) + count
            elif isinstance(mine, str):
                setattr(total, item.name, mine or other)
            else:
                setattr(total, item.name, mine + other)
    return total


class AccountFile:
    """The account of this process on disk."""

    def __init__(self, directory: Path, stem: str) -> None:
        self._path = directory / f"{stem}.account"
        self._file = -1
        self._last = b""

    def write(self, account: ProcessAccount) -> None:
        """Write the account over the one before.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        text = json.dumps(asdict(account), separators=(",", ":")).encode()
        if text == self._last or len(text) >= _SIZE_BYTES:
            return
        if self._file < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(self._file, text.ljust(_SIZE_BYTES - 1) + b"\n", 0)
        self._last = text

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_accounts(directory: Path) -> dict[str, ProcessAccount]:
    """Return the accounts in a directory of traces by process; damaged ones are left out."""
    known = {item.name for item in fields(ProcessAccount)}
    found: dict[str, ProcessAccount] = {}
    for path in sorted(directory.glob(ACCOUNT_GLOB)):
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            content = json.loads(path.read_bytes())
            found[path.stem] = ProcessAccount(
                **{key: value for key, value in content.items() if key in known}
            )
    return found
