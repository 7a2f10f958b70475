"""Trace files: every loss is counted, several are read as one, and errors are clear."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastsim.calibrate.readers import Account, Skip, open_traces, read_spans
from fastsim.errors import FileFormatError, InputError
from tests.calibrate.otlp_examples import (
    TWO_LINES,
    Write,
    export,
    raw_span,
    read_all,
)

# --- nothing is lost silently ------------------------


@pytest.mark.parametrize(
    ("content", "kept", "skipped"),
    [
        (TWO_LINES + TWO_LINES[:100], 2, {Skip.TORN: 1}),
        (TWO_LINES[:-30], 1, {Skip.TORN: 1}),
        (TWO_LINES[40:], 1, {Skip.NOT_JSON: 1}),
        ("api-1 | started\n" + TWO_LINES, 2, {Skip.NOT_JSON: 1}),
        (TWO_LINES + TWO_LINES, 2, {Skip.DUPLICATE: 2}),
        (TWO_LINES + '{"resourceLogs":[]}\n{"resourceMetrics":[]}\n', 2, {Skip.OTHER_SIGNAL: 2}),
        ('{"resourceLogs":[]}\n' + TWO_LINES, 2, {Skip.OTHER_SIGNAL: 1}),
        (TWO_LINES + '{"some":1}\n[1]\n3\n', 2, {Skip.NOT_A_TRACE: 3}),
        (json.dumps(export(raw_span(spanId=...))), 0, {Skip.NO_IDS: 1}),
        (json.dumps(export(raw_span(traceId="0" * 32))), 0, {Skip.NO_IDS: 1}),
        (json.dumps(export(raw_span(traceId=[1]))), 0, {Skip.NO_IDS: 1}),
        (json.dumps(export(raw_span(endTimeUnixNano="1"))), 0, {Skip.BAD_TIMES: 1}),
        (json.dumps(export(raw_span(startTimeUnixNano=...))), 0, {Skip.BAD_TIMES: 1}),
        (json.dumps(export(raw_span(endTimeUnixNano=str(2**64)))), 0, {Skip.BAD_TIMES: 1}),
        (json.dumps(export(raw_span(), 7, None)), 1, {Skip.MALFORMED: 2}),
        ('{"resourceSpans":[3,{"scopeSpans":{}}]}', 0, {Skip.MALFORMED: 2}),
    ],
)
def test_what_is_skipped_is_counted(
    content: str, kept: int, skipped: dict[Skip, int], write: Write
) -> None:
    account = Account()
    assert len(read_all(write(content), account)) == kept
    assert account.skipped == skipped
    assert (account.spans_kept, account.spans_read) == (kept, kept + account.files[0].spans_skipped)


def test_server_and_client_span_of_one_id_are_two_spans(write: Write) -> None:
    assert len(read_all(write(export(raw_span(kind=2), raw_span(kind=3))))) == 2


def test_gzip_cut_off_gives_what_is_whole(write: Write) -> None:
    account = Account()
    many = "".join(json.dumps(export(raw_span(n))) + "\n" for n in range(2000))
    packed = gzip.compress(many.encode())
    spans = read_all(write(packed[: len(packed) // 2]), account)
    assert 100 < len(spans) < 2000
    assert account.skipped == {Skip.TORN: 1}


def test_summary_says_what_was_read_and_skipped(write: Write) -> None:
    path = write(TWO_LINES + TWO_LINES + "{")
    account = Account()
    read_all(path, account)
    assert account.summary().splitlines() == [
        "2 spans from 1 file",
        "  skipped 1 line torn off",
        "  skipped 2 spans met before",
    ]


# --- several files ------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(["a.json", "b.jsonl", "c.jsonl.gz"]):
        content = json.dumps(export(raw_span(number))).encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    (tmp_path / "notes.txt").write_text("not looked at")
    return tmp_path


def test_directory_pattern_and_repeated_names(folder: Path) -> None:
    assert len(list(read_spans([folder]))) == 3
    assert len(list(read_spans([str(folder / "*.json*")]))) == 3
    account = Account()
    assert len(list(read_spans([folder, folder / "a.json"], account))) == 3
    assert len(account.files) == 3


def test_other_files_of_a_directory_are_left_out_and_named(folder: Path) -> None:
    (folder / "d.json").write_text('{"version": 1}')
    (folder / "e.jsonl").write_text("")
    account = Account()
    assert len(list(read_spans([folder], account))) == 3
    assert "d.json is JSON, but holds no traces" in account.summary()
    assert "e.jsonl is empty" in account.summary()


def test_a_file_named_by_hand_must_be_a_trace(folder: Path) -> None:
    odd = folder / "d.json"
    odd.write_text('{"version": 1}')
    with pytest.raises(FileFormatError, match="holds no traces"):
        list(read_spans([folder, odd]))


def test_one_empty_worker_file_does_not_stop_the_others(folder: Path) -> None:
    empty = folder / "d.jsonl"
    empty.touch()
    assert len(list(read_spans([folder / "a.json", empty]))) == 1


def test_the_account_fills_while_reading(folder: Path) -> None:
    source = open_traces([folder / "a.json"])
    assert source.account.spans_read == 0
    assert len(list(source)) == 1
    assert source.account.spans_read == 1


# --- clear errors ------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("\ufeff", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        ("hello", "is not JSON"),
        ("{hello}", "is not JSON"),
        ("[]", "is JSON, but holds no traces"),
        ('{"a": 1}', "is JSON, but holds no traces"),
        ("a,b,c\n1,2,3\n", "looks like a CSV table"),
        ("<!doctype html>", "web page"),
        ("kind: model\nversion: 1\n", "model or scenario"),
        (b"\x0a\x8f\x01\x00\x01\x02", "is binary"),
        (b"\x1f\x8b damaged", "damaged gzip"),
        (b"\x28\xb5\x2f\xfd....", "damaged zstd"),
        ('{"Traces":[{"Segments":[{"Id":"1","Document":"{}"}]}]}', "AWS X-Ray"),
        (TWO_LINES[:100], "is cut off or damaged"),
        (json.dumps(export(raw_span()), indent=1)[:-40], r"cut off or damaged: .* at line \d+"),
    ],
)
def test_files_that_are_no_traces(content: str | bytes, message: str, write: Write) -> None:
    path = write(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_all(path)
    assert caught.value.exit_code == 2
    assert caught.value.where == str(path)
    assert str(path) in caught.value.message


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for name, message in (
        ("none.json", "does not exist"),
        ("none*.json", "matches no file"),
        (".", "holds no trace files"),
        ("a\0b", "a\0b"),
    ):
        with pytest.raises(FileFormatError, match=message.replace("*", r"\*")):
            open_traces([tmp_path / name])
    with pytest.raises(InputError, match="no trace files given"):
        open_traces([])


def test_a_folder_without_any_trace_says_so(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(FileFormatError, match="none of 2 files holds traces"):
        list(read_spans([tmp_path]))


def test_permission_denied(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(TWO_LINES)

    def refuse(*args: object, **kwargs: object) -> Iterator[bytes]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileFormatError, match="may not be read"):
        read_all(path)
