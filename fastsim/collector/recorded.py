"""What a recording holds: counted in its files and added up over its processes."""

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastsim import spans
from fastsim.collector.account import ProcessAccount, add_up, read_accounts
from fastsim.collector.files import TRACE_GLOB, process_of

_REQUEST_MARK = f'"{spans.FORMAT}"'.encode()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is in the trace files of one recording."""

    files: int
    processes: int
    requests: int
    """Whole requests in the files."""
    size_bytes: int
    total: ProcessAccount
    """Sums over the processes; of one that was killed, what it last said."""

    @property
    def lost(self) -> int:
        """Requests neither written nor counted as dropped: their process was killed."""
        return max(self.total.recorded - self.total.written - self.total.dropped_total, 0)


def processes_in(directory: Path) -> frozenset[str]:
    """Name the processes whose recording is in a directory."""
    return frozenset(map(process_of, directory.glob(TRACE_GLOB))) | frozenset(
        read_accounts(directory)
    )


def count_recorded(
    directory: Path, *, besides: Collection[str] = (), accounts: Path | None = None
) -> Recorded:
    """Count what was recorded.

    Parameters
    ----------
    directory
        With the trace files.
    besides
        Processes to leave out, as ``processes_in`` names them.
    accounts
        Directory with the accounts, when it is another one.
    """
    found = {
        name: account
        for name, account in read_accounts(accounts or directory).items()
        if name not in besides
    }
    files = [path for path in sorted(directory.glob(TRACE_GLOB)) if process_of(path) not in besides]
    requests: dict[str, int] = {}
    size = 0
    for path in files:
        process = process_of(path)
        size += path.stat().st_size
        in_file, last = _count_requests(path)
        requests[process] = requests.get(process, 0) + in_file
        account = found.setdefault(process, ProcessAccount())
        _bring_up_to_date(account, _last_counters(last))
    for process, written in requests.items():
        account = found[process]
        account.written = max(account.written, written)
        account.recorded = max(account.recorded, account.written + account.dropped_total)
    return Recorded(len(files), len(found), sum(requests.values()), size, add_up(found.values()))


def _count_requests(path: Path) -> tuple[int, bytes]:
    """Return the number of requests in a file and its last whole line with one."""
    count, last = 0, b""
    with path.open("rb") as lines:
        for line in lines:
            in_line = line.count(_REQUEST_MARK)
            if in_line and line.endswith(b"\n"):  # a killed process may leave half a line
                count += in_line
                last = line
    return count, last


def _bring_up_to_date(account: ProcessAccount, counters: dict[str, int]) -> None:
    """Take from the last spans what the account does not know yet (its process was killed)."""
    account.seen = max(account.seen, counters.get(spans.REQUESTS_SEEN, 0))
    account.writer_cpu_ns = max(account.writer_cpu_ns, counters.get(spans.RECORDER_CPU_NS, 0))
    if not account.dropped and counters.get(spans.SPANS_DROPPED, 0):
        account.dropped["queue"] = counters[spans.SPANS_DROPPED]


def _last_counters(line: bytes) -> dict[str, int]:
    """Return the largest value of each counter in one line of spans."""
    counters: dict[str, int] = {}
    with suppress(ValueError, KeyError, TypeError):
        for attribute in _attributes(json.loads(line)):
            number = attribute["value"].get("intValue")
            if number is not None:
                key = attribute["key"]
                counters[key] = max(counters.get(key, 0), int(number))
    return counters


def _attributes(content: Any) -> Iterator[Any]:
    for group in content["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield from span["attributes"]
