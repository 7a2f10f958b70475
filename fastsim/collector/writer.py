"""Write finished requests from a background thread of this process.

Nothing here may disturb the service. The queue is bounded, in requests and in bytes:
when it is full, requests are dropped and counted. Only the thread touches disk and
network, so a stalled disk stalls nobody else; waiting for it (at shutdown) is limited.
Everything belongs to one process: after a fork the child starts with its own thread,
files and counts at its first request. Spans come encoded (``fastsim.collector.batch``); the
thread wakes up ten times a second and writes what is there.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fastsim.collector import clocks
from fastsim.collector.account import AccountFile, ProcessAccount
from fastsim.collector.destination import Destination
from fastsim.collector.faults import fault_count, note_fault
from fastsim.collector.files import LimitReachedError, LineSink, TraceFiles, process_stem
from fastsim.collector.otlp import encode_line
from fastsim.spans import Attributes

if TYPE_CHECKING:
    from fastsim.collector.endpoint import OtlpEndpoint

FLUSH_EVERY_S = 0.5
"""A killed process loses what it recorded since; the promise is one second."""
FLUSH_WITHIN_S = 3.0
"""How long shutdown waits for a slow disk or endpoint."""
QUEUE_LIMIT = 20_000
QUEUE_BYTES = 32 << 20
SPANS_PER_LINE = 100
LINE_BYTES = 1 << 20
_MARGIN_S = 0.1
_IDLE_S = 0.1
_LIMIT_TEXT = "the trace files have reached their total size, nothing more is written"

_logger = logging.getLogger("fastsim.collector")


class TraceWriter:
    """Takes spans from any thread; one per recorder, in whatever process it finds itself.

    Parameters
    ----------
    destination
        Where the spans go; a path means files there.
    resource
        Called in the writing thread of each process: its OTLP resource.
    seen
        Returns the number of requests started so far.
    timer_ns
        Returns the time that recording took on the event loop so far.
    """

    def __init__(
        self,
        destination: Destination | Path,
        resource: Callable[[], Attributes],
        seen: Callable[[], int] = lambda: 0,
        timer_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        if not isinstance(destination, Destination):
            destination = Destination(destination)
        self._destination = destination
        self._resource = resource
        self._seen = seen
        self._timer_ns = timer_ns
        self._process: _ProcessWriter | None = None

    def submit(self, encode: Callable[[], str]) -> None:
        """Encode and queue a span inside a request, unless there is no room for it."""
        self._ready().submit(lambda: [encode()], requests=0, steps=0)

    def submit_requests(
        self, encode: Callable[[], list[str]], *, requests: int, steps: int
    ) -> None:
        """Encode and queue the server spans of finished requests of so many steps in all.

        Those that ``encode`` leaves out are counted as lost by a fault.
        """
        self._ready().submit(encode, requests=requests, steps=steps)

    def flush(self, within_s: float = FLUSH_WITHIN_S) -> bool:
        """Write everything queued so far; return whether it was done in time.

        Safe to call at any time, from any thread, more than once.
        """
        process = self._process
        if process is None or process.pid != os.getpid():
            return True
        return process.flush(within_s)

    def close(self) -> None:
        """Flush and stop the thread."""
        process = self._process
        if process is not None and process.pid == os.getpid():
            process.close()
            self._process = None

    @property
    def dropped(self) -> int:
        """Requests lost in this process so far."""
        return self.account.dropped_total

    @property
    def cpu_ns(self) -> int:
        """CPU of the writer's own threads in this process so far."""
        return self.account.writer_cpu_ns

    @property
    def account(self) -> ProcessAccount:
        """The counts of this process."""
        process = self._process
        return ProcessAccount() if process is None else process.account

    def _ready(self) -> "_ProcessWriter":
        process = self._process
        if process is None or process.pid != os.getpid():
            process = self._process = _ProcessWriter(
                self._destination, self._resource, self._seen, self._timer_ns
            )
            process.start()
        return process


class NoWriter:
    """Takes what a ``TraceWriter`` takes, does with it what costs something, and forgets it."""

    dropped = 0
    cpu_ns = 0

    def submit(self, encode: Callable[[], str]) -> None:
        """Encode and forget a span."""
        encode()

    def submit_requests(
        self,
        encode: Callable[[], list[str]],
        *,
        requests: int,  # noqa: ARG002  as a TraceWriter
        steps: int,  # noqa: ARG002
    ) -> None:
        """Encode and forget requests."""
        encode()

    def flush(self) -> bool:
        """Do nothing, at once."""
        return True


class _ProcessWriter:
    """Queue, thread, files and counts of one process."""

    def __init__(
        self,
        destination: Destination,
        resource: Callable[[], Attributes],
        seen: Callable[[], int],
        timer_ns: Callable[[], int],
    ) -> None:
        self.pid = os.getpid()
        self.account = ProcessAccount(pid=self.pid)
        self._make_resource = resource
        self._seen = seen
        self._timer_ns = timer_ns
        self._queue: deque[tuple[list[str], int]] = deque()
        """Spans encoded together, and how many of them are requests."""
        # Each is written by one side only: what waits is the difference.
        self._spans_in = self._spans_out = 0
        self._bytes_in = self._bytes_out = 0
        self._count_lock = threading.Lock()
        self._encoded: list[str] = []
        self._encoded_bytes = 0
        self._encoded_requests = 0
        self._resource: Attributes = {}
        self._files: LineSink | None = None
        self._account_file: AccountFile | None = None
        self._file_problem = ""
        self._limit_reached = False
        self._endpoint: OtlpEndpoint | None = None
        stem = process_stem()
        if destination.directory is not None:
            self._files = TraceFiles(
                destination.directory, stem, destination.max_file_bytes, destination.max_total_bytes
            )
        accounts = destination.accounts or destination.directory
        if accounts is not None:
            self._account_file = AccountFile(accounts, stem)
        if destination.otlp:
            # Brings http.client and ssl, which most recordings do not need.
            from fastsim.collector.endpoint import make_endpoint

            self._endpoint = make_endpoint(os.environ)
        self._nowhere = self._files is None and self._endpoint is None
        self._wake = threading.Event()
        self._flushed = threading.Condition()
        self._flush_wanted = 0
        self._flush_done = 0
        self._flush_until = 0.0
        self._closing = False

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="fastsim-writer", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def submit(self, encode: Callable[[], list[str]], *, requests: int, steps: int) -> None:
        waiting = self._spans_in - self._spans_out
        full = waiting >= QUEUE_LIMIT or self._bytes_in - self._bytes_out > QUEUE_BYTES
        self.account.recorded += requests
        self.account.steps += steps
        if full:
            self._drop("queue", requests)
            return
        if self._nowhere:
            return
        if self._limit_reached and self._endpoint is None:
            self._drop("limit", requests)
            return
        try:
            encoded = encode()
        except Exception as fault:  # noqa: BLE001  one bad record must not stop the rest
            encoded = []
            note_fault(fault)
        if requests > len(encoded):
            self._drop("fault", requests - len(encoded))
            requests = len(encoded)
        if encoded:
            self._spans_in += len(encoded)
            self._bytes_in += sum(map(len, encoded))
            self._queue.append((encoded, requests))

    def flush(self, within_s: float = FLUSH_WITHIN_S) -> bool:
        if not self._thread.is_alive() or self.pid != os.getpid():
            return not self._queue
        with self._flushed:
            self._flush_until = time.monotonic() + within_s
            self._flush_wanted += 1
            wanted = self._flush_wanted
            self._wake.set()
            return self._flushed.wait_for(lambda: self._flush_done >= wanted, within_s)

    def close(self) -> None:
        self.flush()
        self._closing = True
        self._wake.set()
        self._thread.join(FLUSH_WITHIN_S)
        atexit.unregister(self.flush)

    # --- in the thread ---------------------------------------------------------------------

    def _run(self) -> None:
        self._describe()
        next_flush = time.monotonic() + FLUSH_EVERY_S
        while not self._closing:
            try:
                wanted = self._flush_wanted
                if wanted > self._flush_done:
                    self._drain()
                    self._announce(wanted)
                    continue
                self._take_all()
                self._wake.wait(_IDLE_S)
                self._wake.clear()
                if time.monotonic() >= next_flush:
                    self._write_line()
                    self._write_account()
                    next_flush = time.monotonic() + FLUSH_EVERY_S
            except Exception as fault:  # noqa: BLE001  the thread must go on
                note_fault(fault)
                time.sleep(_IDLE_S)
        self._end()

    def _end(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
            self._write_account()
        for sink in (self._files, self._account_file):
            if sink is not None:
                sink.close()

    def _describe(self) -> None:
        try:
            self._resource = self._make_resource()
            self.account.service = str(self._resource.get("service.name", ""))
        except Exception as fault:  # noqa: BLE001  spans without a resource are better than none
            note_fault(fault)

    def _drain(self) -> None:
        self._take_all()
        self._write_line()
        if self._endpoint is not None:
            self._endpoint.flush(self._flush_until - time.monotonic() - _MARGIN_S)
        self._write_account()

    def _announce(self, wanted: int) -> None:
        with self._flushed:
            self._flush_done = wanted
            self._flushed.notify_all()

    def _take_all(self) -> None:
        for _ in range(len(self._queue)):  # not what arrives meanwhile: that has no end
            self._take_one()

    def _take_one(self) -> None:
        encoded, requests = self._queue.popleft()
        length = sum(map(len, encoded))
        self._spans_out += len(encoded)
        self._bytes_out += length
        self._encoded += encoded
        self._encoded_bytes += length
        self._encoded_requests += requests
        if len(self._encoded) >= SPANS_PER_LINE or self._encoded_bytes >= LINE_BYTES:
            self._write_line()

    def _write_line(self) -> None:
        if not self._encoded:
            return
        encoded, requests = self._encoded, self._encoded_requests
        self._encoded, self._encoded_bytes, self._encoded_requests = [], 0, 0
        line = encode_line(self._resource, encoded).encode()
        if self._endpoint is not None:
            self._endpoint.submit(line, requests)
        if self._files is not None:
            self._write_to_file(self._files, line, len(encoded), requests)

    def _write_to_file(self, files: LineSink, line: bytes, spans: int, requests: int) -> None:
        try:
            files.write(line)
            self.account.written += requests
            self.account.spans_written += spans
            self._file_problem = ""
        except LimitReachedError:
            self._limit_reached = True
            self._drop("limit", requests, _LIMIT_TEXT)
        except OSError as error:
            self._drop("disk", requests, f"cannot write traces: {error.strerror or error}")

    def _write_account(self) -> None:
        account = self.account
        account.seen = self._seen()
        account.faults = fault_count()
        account.process_cpu_ns = clocks.process_time_ns()
        account.timer_ns = self._timer_ns()
        account.writer_cpu_ns = clocks.thread_time_ns()
        if self._endpoint is not None:
            account.writer_cpu_ns += self._endpoint.cpu_ns
            account.exported = self._endpoint.exported
            account.export_dropped = dict(self._endpoint.dropped)
            account.problem = account.problem or self._endpoint.problem
        if self._account_file is not None:
            try:
                self._account_file.write(account)
            except OSError as error:
                self._say(f"cannot write the recorder's account: {error.strerror or error}")

    def _drop(self, reason: str, requests: int, problem: str = "") -> None:
        if requests:
            with self._count_lock:
                dropped = self.account.dropped
                dropped[reason] = dropped.get(reason, 0) + requests
        if problem:
            self.account.problem = problem
            self._say(problem)

    def _say(self, problem: str) -> None:
        if problem != self._file_problem:
            self._file_problem = problem
            _logger.warning("%s; the service is not affected", problem)
