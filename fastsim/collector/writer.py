"""Write finished requests to this process's own trace file, from a background thread.

The queue is bounded: when it is full, spans are dropped and counted. The file is
opened at the first span, so a forked worker never shares its parent's. The thread
encodes one record at a time with a pause between, so that it never keeps the GIL
from the event loop for longer than one record takes.
"""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from fastsim.collector.faults import note_fault
from fastsim.collector.otlp import encode_line, encode_span
from fastsim.spans import Attributes, Span

FLUSH_EVERY_S = 1.0
QUEUE_LIMIT = 20_000
SPANS_PER_LINE = 100
_PAUSE_S = 0.001
_HURRY_ABOVE = 500


class TraceWriter:
    """One per process.

    Parameters
    ----------
    directory
        Where ``traces-<pid>-<start>.jsonl`` is created.
    resource
        Called in the writing process when the file is opened: the OTLP resource.
    """

    def __init__(self, directory: Path, resource: Callable[[], Attributes]) -> None:
        self._directory = directory
        self._make_resource = resource
        self._resource: Attributes = {}
        self._queue: deque[Callable[[], Span]] = deque()
        self._encoded: list[str] = []
        self._file: TextIO | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.dropped = 0
        self.written = 0
        self.cpu_ns = 0

    def submit(self, make_span: Callable[[], Span]) -> None:
        """Queue one span; ``make_span`` builds it later, in the writer's thread."""
        if len(self._queue) >= QUEUE_LIMIT:
            self.dropped += 1
            return
        self._queue.append(make_span)
        if self._pid != os.getpid():
            self._start()

    def flush(self) -> None:
        """Write everything queued so far. Safe to call at any time, more than once."""
        with self._lock:
            while self._queue:
                self._encode_one()
            self._write_line()

    def close(self) -> None:
        """Flush and stop the thread."""
        self._closing.set()
        self.flush()
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
                self._pid = 0

    def _start(self) -> None:
        self._pid = os.getpid()
        self._file = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        threading.Thread(target=self._run, name="fastsim-writer", daemon=True).start()
        atexit.register(self.flush)

    def _run(self) -> None:
        closing = self._closing
        next_flush = time.monotonic() + FLUSH_EVERY_S
        while not closing.is_set():
            if self._queue:
                with self._lock:
                    if self._queue:
                        self._encode_one()
                if len(self._queue) < _HURRY_ABOVE:
                    time.sleep(_PAUSE_S)
            else:
                closing.wait(0.02)
            self.cpu_ns = time.thread_time_ns()
            if time.monotonic() >= next_flush or len(self._encoded) >= SPANS_PER_LINE:
                with self._lock:
                    self._write_line()
                next_flush = time.monotonic() + FLUSH_EVERY_S

    def _encode_one(self) -> None:
        try:
            self._encoded.append(encode_span(self._queue.popleft()()))
        except Exception as fault:  # noqa: BLE001  one bad record must not stop the rest
            self.dropped += 1
            note_fault(fault)

    def _write_line(self) -> None:
        if not self._encoded:
            return
        encoded, self._encoded = self._encoded, []
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(encode_line(self._resource, encoded))
            self._file.flush()
            self.written += len(encoded)
        except OSError as fault:
            self.dropped += len(encoded)
            note_fault(fault)

    def _open(self) -> TextIO:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._resource = self._make_resource()
        name = f"traces-{os.getpid()}-{time.time_ns() // 1_000_000}.jsonl"
        return (self._directory / name).open("x", encoding="utf-8")
