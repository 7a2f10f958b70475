"""The writer's thread: bounded, counted, and never in the service's way."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsim.collector import writer as writer_module
from fastsim.collector.account import ProcessAccount, read_accounts
from fastsim.collector.destination import Destination
from fastsim.collector.files import TraceFiles
from fastsim.collector.otlp import encode_span
from fastsim.collector.recorded import count_recorded
from fastsim.collector.writer import TraceWriter
from fastsim.spans import FORMAT, Span, SpanKind

PATIENCE_S = 10.0


def span(name: str = "GET /") -> str:
    return encode_span(
        Span("0" * 32, "1" * 16, None, SpanKind.SERVER, name, 0, 1, attributes={FORMAT: 1})
    )


def submit(writer: TraceWriter, encode: Callable[[], str], *, steps: int = 1) -> None:
    writer.submit_requests(lambda: [encode()], requests=1, steps=steps)


def resource() -> dict[str, Any]:
    return {"service.name": "x"}


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


class StalledDisk(TraceFiles):
    """A disk that takes its time: ``write`` returns when the test says so."""

    release = threading.Event()

    def write(self, line: bytes) -> None:
        StalledDisk.release.wait(PATIENCE_S)
        super().write(line)


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    StalledDisk.release = threading.Event()
    monkeypatch.setattr(writer_module, "TraceFiles", StalledDisk)
    yield StalledDisk.release
    StalledDisk.release.set()


def test_closing_writes_what_is_left(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, resource)
    submit(writer, span)
    writer.close()
    [path] = tmp_path.glob("*.jsonl")
    assert path.read_text(encoding="utf-8").endswith("\n")


def test_a_stalled_disk_bounds_the_queue_and_counts_what_it_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stalled: threading.Event
) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_LIMIT", 500)
    writer = TraceWriter(tmp_path, resource)
    for _ in range(5000):
        submit(writer, span)
    process = writer._process
    assert process is not None
    assert len(process._queue) <= 500
    # What is neither queued nor dropped is in the one line the thread is stuck with.
    assert 5000 - 500 - 2 * writer_module.SPANS_PER_LINE <= writer.dropped < 5000
    assert not writer.flush(within_s=0.05)  # shutdown would not wait for the disk either
    stalled.set()
    assert writer.flush()
    account = writer.account
    assert account.recorded == 5000
    assert account.written + account.dropped["queue"] == 5000
    writer.close()


def test_long_requests_fill_the_queue_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stalled: threading.Event
) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_BYTES", 10_000)
    long = span("GET /" + "x" * 2000)
    writer = TraceWriter(tmp_path, resource)
    for _ in range(500):
        submit(writer, lambda: long, steps=2000)
    process = writer._process
    assert process is not None
    assert sum(len(text) for texts, _ in process._queue for text in texts) <= 13_000
    assert writer.dropped > 0
    stalled.set()
    writer.close()


def test_a_full_disk_is_counted_and_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = True
    really_write = os.write

    def write(handle: int, data: Any) -> int:
        if full and len(data) > 20:
            if len(data) > 100:  # a full disk often takes a part first
                return really_write(handle, bytes(data[:100]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really_write(handle, data)

    monkeypatch.setattr("fastsim.collector.files.os.write", write)
    writer = TraceWriter(tmp_path, resource)
    for _ in range(3):
        submit(writer, span)
        writer.flush()
    assert writer.account.dropped == {"disk": 3}
    assert "No space left" in writer.account.problem
    full = False
    submit(writer, span)
    writer.close()
    [path] = tmp_path.glob("*.jsonl")
    [line] = path.read_text(encoding="utf-8").splitlines()  # no torn halves before it
    json.loads(line)
    found = count_recorded(tmp_path)
    assert (found.requests, found.total.dropped) == (1, {"disk": 3})
    said = [record for record in caplog.records if "No space left" in record.getMessage()]
    assert len(said) == 1  # once, not for every line


def test_a_new_file_begins_before_one_grows_too_large(tmp_path: Path) -> None:
    writer = TraceWriter(Destination(tmp_path, max_file_bytes=2000), resource)
    for _ in range(30):
        submit(writer, span)
        writer.flush()
    writer.close()
    paths = sorted(tmp_path.glob("*.jsonl"))
    assert len(paths) > 2
    assert all(path.stat().st_size <= 2000 for path in paths)
    found = count_recorded(tmp_path)
    assert (found.files, found.processes, found.requests) == (len(paths), 1, 30)


def test_the_total_is_never_exceeded_and_nothing_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "traces-1-1.jsonl").write_bytes(b"x" * 3000)  # of an earlier recording
    destination = Destination(tmp_path, max_file_bytes=2000, max_total_bytes=8000)
    writers = [TraceWriter(destination, resource) for _ in range(3)]
    for _ in range(20):
        for writer in writers:
            submit(writer, span)
            writer.flush()
    for writer in writers:
        writer.close()
    assert (tmp_path / "traces-1-1.jsonl").stat().st_size == 3000
    assert 7000 < sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")) <= 8000
    found = count_recorded(tmp_path, besides={"traces-1-1"})
    assert found.total.recorded == 60
    assert found.requests + found.total.dropped["limit"] == 60
    assert found.lost == 0


def test_a_bad_record_is_counted_and_the_rest_written(tmp_path: Path) -> None:
    def broken() -> str:
        raise ValueError("a bug of the recorder")

    writer = TraceWriter(tmp_path, resource)
    for make in (span, broken, span):
        submit(writer, make)
    writer.close()
    found = count_recorded(tmp_path)
    assert (found.requests, found.total.dropped) == (2, {"fault": 1})


def test_spans_inside_requests_are_written_but_are_not_requests(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, resource)
    inside = encode_span(Span("0" * 32, "2" * 16, "1" * 16, SpanKind.CLIENT, "GET", 0, 1))
    writer.submit(lambda: inside)
    submit(writer, span)
    writer.close()
    [account] = read_accounts(tmp_path).values()
    assert (account.recorded, account.written, account.spans_written) == (1, 1, 2)


def test_a_forked_child_has_its_own_thread_file_and_counts(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, resource)
    submit(writer, span)
    writer.flush()
    submit(writer, span)  # still queued, in the parent only, at the fork
    child = os.fork()
    if child == 0:  # pragma: no cover  in the child
        try:
            for _ in range(5):
                submit(writer, span)
            writer.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    writer.close()
    accounts = {account.pid: account.written for account in read_accounts(tmp_path).values()}
    assert accounts == {os.getpid(): 2, child: 5}
    assert count_recorded(tmp_path).requests == 7


def test_the_account_says_how_many_requests_there_were(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, resource, seen=lambda: 41)
    submit(writer, span, steps=3)
    writer.close()
    [account] = read_accounts(tmp_path).values()
    assert (account.seen, account.recorded, account.steps) == (41, 1, 3)
    assert account.service == "x"


def test_a_killed_process_is_counted_from_its_files(tmp_path: Path) -> None:
    line = json.dumps(
        {
            "resourceSpans": [
                {
                    "scopeSpans": [
                        {
                            "spans": [
                                {
                                    "attributes": [
                                        {"key": FORMAT, "value": {"intValue": "1"}},
                                        {
                                            "key": "fastsim.requests_seen",
                                            "value": {"intValue": "9"},
                                        },
                                    ]
                                }
                            ]
                        }
                    ]
                }
            ]
        }
    )
    path = tmp_path / "traces-7-1.jsonl"
    path.write_text(f'{line}\n{line}\n{{"resourceSpans":[{{"fastsim.format" torn', encoding="utf-8")
    found = count_recorded(tmp_path)
    assert (found.requests, found.total.seen, found.total.written) == (2, 9, 2)


def test_damaged_accounts_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "traces-1-1.account").write_bytes(b'{"pid": 1, "seen"')
    (tmp_path / "traces-2-1.account").write_text('{"pid": 2, "seen": 4, "later": true}')
    assert read_accounts(tmp_path) == {"traces-2-1": ProcessAccount(pid=2, seen=4)}
