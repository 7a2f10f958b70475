"""Finished requests are encoded together, in short turns of the loop, and none is lost."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from fastsim.collector import batch as batch_module
from fastsim.collector import export as export_module
from fastsim.collector.batch import MOST_AT_ONCE, Batch
from fastsim.collector.export import Counters
from fastsim.collector.faults import fault_count
from fastsim.collector.timeline import LoopClock, RequestRecord
from fastsim.collector.writer import NoWriter
from fastsim.step_columns import COLUMNS

FIRST = Counters(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, None, None, None, None, None)
SECOND = FIRST._replace(requests_seen=2)


class Kept(NoWriter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.turns: list[tuple[list[dict[str, Any]], int, int]] = []

    def submit_requests(
        self, encode: Callable[[], list[str]], *, requests: int, steps: int
    ) -> None:
        self.turns.append(([json.loads(text) for text in encode()], requests, steps))

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [span for spans, _, _ in self.turns for span in spans]


def finished(counters: Counters = FIRST, *, rows: int = 1) -> RequestRecord:
    record = RequestRecord({"method": "GET", "path": "/"})
    record.rows = [0] * (COLUMNS * rows)
    record.end_clock = record.start_clock + 5
    record.counters = counters
    return record


def counted(span: dict[str, Any]) -> str | None:
    values = {item["key"]: item["value"] for item in span["attributes"]}
    seen = values.get("fastsim.requests_seen")
    return None if seen is None else seen["intValue"]


def serve(records: list[RequestRecord], seconds: float = 0.3) -> Kept:
    """Give records to a batch on a running loop, and let that run."""
    kept = Kept()

    async def main() -> None:
        clock = LoopClock()
        batch = Batch(kept, clock, asyncio.get_running_loop())
        for record in records:
            batch.add(record)
        assert not kept.turns, "encoded at once"
        await asyncio.sleep(seconds)
        assert clock.own > 0

    asyncio.run(main())
    return kept


def test_requests_are_encoded_later_and_in_turns() -> None:
    kept = serve([finished() for _ in range(2 * MOST_AT_ONCE + 1)])
    assert [requests for _, requests, _ in kept.turns] == [MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert [len(spans) for spans, _, _ in kept.turns] == [MOST_AT_ONCE, MOST_AT_ONCE, 1]


def test_one_reading_of_the_counters_is_told_once() -> None:
    kept = serve([finished(FIRST), finished(FIRST), finished(SECOND), finished(SECOND)])
    assert [counted(span) for span in kept.spans] == ["1", None, "2", None]


def test_each_turn_tells_the_counters_again() -> None:
    # Each may begin a line, or a file.
    kept = serve([finished() for _ in range(MOST_AT_ONCE + 2)])
    assert [counted(spans[0]) for spans, _, _ in kept.turns] == ["1", "1"]


def test_a_bad_request_is_left_out_and_the_rest_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    good = export_module.encode_request

    def encode(record: RequestRecord, counters: str) -> str:
        if record.status == 13:
            raise ValueError("a bug of the recorder")
        return good(record, counters)

    monkeypatch.setattr(batch_module, "encode_request", encode)
    records = [finished() for _ in range(3)]
    records[0].status = 13
    before = fault_count()
    kept = serve(records)
    assert fault_count() == before + 1
    assert [(len(spans), requests) for spans, requests, _ in kept.turns] == [(2, 3)]
    assert [counted(span) for span in kept.spans] == ["1", None]  # not lost with the first


def test_long_requests_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "MOST_NUMBERS", 10 * COLUMNS)
    kept = Kept()

    async def main() -> None:
        batch = Batch(kept, LoopClock(), asyncio.get_running_loop())
        batch.add(finished(rows=6))
        assert not kept.turns
        batch.add(finished(rows=6))
        assert len(kept.spans) == 2

    asyncio.run(main())


def test_what_waits_in_the_parent_is_not_the_childs(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()

    async def main() -> None:
        batch = Batch(kept, LoopClock(), asyncio.get_running_loop())
        batch.add(finished())
        monkeypatch.setattr(os, "getpid", lambda: -1)
        batch.write()

    asyncio.run(main())
    assert not kept.turns


def test_without_a_loop_it_is_done_in_between() -> None:
    kept = Kept()
    batch = Batch(kept, LoopClock(), None)
    for _ in range(MOST_AT_ONCE):
        batch.add(finished())
    assert len(kept.spans) == MOST_AT_ONCE
