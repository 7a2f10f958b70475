"""Requests that ended, encoded together ten times a second.

Code that runs once per request runs cold, and takes more than the next time at once. It happens on
the event loop all the same, in short turns: a thread that encodes takes the GIL from it, and the
caches (docs/decisions/0009).
"""

import asyncio
import contextvars
import os

from fastsim.collector import clocks
from fastsim.collector.export import Counters, encode_counters, encode_request
from fastsim.collector.faults import note_fault
from fastsim.collector.timeline import LoopClock, RequestRecord
from fastsim.collector.writer import NoWriter, TraceWriter

EVERY_S = 0.1
MOST_AT_ONCE = 25
"""Requests encoded before the loop gets its turn again: less than a millisecond."""
MOST_NUMBERS = 250_000
"""Of the rows that wait to be encoded, all in all; each takes some 40 bytes."""


class Batch:
    """Takes finished requests of one event loop; without a loop, writes every so many.

    Parameters
    ----------
    clock
        Charged with the time that encoding takes.
    """

    def __init__(
        self,
        writer: TraceWriter | NoWriter,
        clock: LoopClock,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._loop = loop
        self._pid = os.getpid()
        self._records: list[RequestRecord] = []
        self._numbers = 0
        self._due = False
        # The timer must not keep the context of the request that happened to set it.
        self._own = contextvars.Context()

    def add(self, record: RequestRecord) -> None:
        """Take a request that nothing is added to any more; on the loop."""
        self._records.append(record)
        self._numbers += len(record.rows)
        if self._loop is None:
            if len(self._records) >= MOST_AT_ONCE:
                self.write()
        elif self._numbers > MOST_NUMBERS:
            self.write()
        elif not self._due:
            self._due = True
            self._loop.call_later(EVERY_S, self._turn, context=self._own)

    def write(self) -> None:
        """Encode all there is and hand it to the writer; in a forked process it is not ours."""
        if self._pid != os.getpid():
            self._records, self._numbers = [], 0
        while self._records:
            self._write(len(self._records))

    def _turn(self) -> None:
        begun = clocks.perf_counter_ns()
        try:
            self._write(MOST_AT_ONCE)
        except Exception as fault:  # noqa: BLE001  never into the service
            note_fault(fault)
        self._due = bool(self._records)
        if self._due and self._loop is not None:
            self._loop.call_soon(self._turn, context=self._own)
        self._clock.own += clocks.perf_counter_ns() - begun

    def _write(self, most: int) -> None:
        records, self._records = self._records[:most], self._records[most:]
        steps = 0
        for record in records:
            self._numbers -= len(record.rows)
            steps += record.steps
        if records:
            self._writer.submit_requests(
                lambda: self._encoded(records), requests=len(records), steps=steps
            )

    def _encoded(self, records: list[RequestRecord]) -> list[str]:
        last: Counters | None = None
        encoded: list[str] = []
        for record in records:
            try:
                # Requests that share one reading of the counters are told it once.
                counted = "" if record.counters is last else encode_counters(record.counters)
                encoded.append(encode_request(record, counted))
                last = record.counters
            except Exception as fault:  # noqa: BLE001  one bad record must not stop the rest
                note_fault(fault)
        return encoded
