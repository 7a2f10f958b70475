"""Export to an OTLP endpoint: complete when it listens, bounded and counted when it does not."""

import threading
import time
from pathlib import Path

import pytest

from fastsim.collector import endpoint as endpoint_module
from fastsim.collector.account import read_accounts
from fastsim.collector.destination import Destination
from fastsim.collector.endpoint import (
    EndpointSettingsError,
    OtlpEndpoint,
    endpoint_settings,
    make_endpoint,
)
from fastsim.collector.writer import TraceWriter
from tests.collector.otlp_receiver import Receiver, receiver
from tests.collector.test_writer import resource, span, submit

LINE = b'{"resourceSpans":[]}\n'


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(endpoint_module, "LONGEST_RETRY_S", 0.02)
    for name in ("ENDPOINT", "HEADERS", "PROTOCOL", "COMPRESSION", "TIMEOUT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_TRACES_{name}", raising=False)


def endpoint_at(there: Receiver, **variables: str) -> OtlpEndpoint:
    return OtlpEndpoint(endpoint_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": there.url, **variables}))


@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_everything_arrives(
    protocol: str, compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20secret, x-other = 1")
        writer = TraceWriter(Destination(None, otlp=True, accounts=tmp_path), resource)
        for _ in range(250):
            submit(writer, span)
        writer.close()
    assert there.span_names() == ["GET /"] * 250
    assert set(there.paths) == {"/v1/traces"}
    assert there.headers[0]["x-key"] == "a secret"
    assert there.headers[0]["x-other"] == "1"
    [account] = read_accounts(tmp_path).values()
    assert (account.exported, account.export_dropped, account.dropped) == (250, {}, {})
    assert list(tmp_path.glob("*.jsonl")) == []


def test_files_and_endpoint_both_get_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        writer = TraceWriter(Destination(tmp_path, otlp=True), resource)
        for _ in range(10):
            submit(writer, span)
        writer.close()
    [account] = read_accounts(tmp_path).values()
    assert (account.exported, account.written, len(there.span_names())) == (10, 10, 10)


def test_a_busy_endpoint_is_asked_again() -> None:
    with receiver() as there:
        there.answers = [503, 429]
        target = endpoint_at(there)
        target.submit(LINE, 3)
        assert target.flush(10.0)
        target.close()
    assert (len(there.paths), target.exported, target.dropped) == (3, 3, {})


@pytest.mark.parametrize(("status", "requests"), [(400, 1), (401, 1), (503, 5)])
def test_a_refusal_is_counted_and_retries_end(status: int, requests: int) -> None:
    with receiver() as there:
        there.answers = [status] * 20
        target = endpoint_at(there)
        target.submit(LINE, 7)
        assert target.flush(10.0)
        target.close()
    assert len(there.paths) == requests
    assert target.dropped == {"refused": 7}
    assert str(status) in target.problem


def test_part_of_a_batch_can_be_refused() -> None:
    with receiver() as there:
        there.body = b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}'
        target = endpoint_at(there)
        target.submit(LINE, 5)
        assert target.flush(10.0)
        target.close()
    assert (target.exported, target.dropped, target.problem) == (3, {"refused": 2}, "too old")


def test_nobody_listening_is_counted() -> None:
    with receiver() as there:
        pass  # gone, and its port closed
    target = endpoint_at(there)
    target.submit(LINE, 2)
    assert target.flush(10.0)
    target.close()
    assert target.dropped == {"unreachable": 2}


def test_an_endpoint_that_hangs_bounds_the_queue_and_not_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint_module, "QUEUE_BATCHES", 10)
    with receiver() as there:
        there.hold = threading.Event()
        target = endpoint_at(there)
        for _ in range(100):
            target.submit(LINE, 1)
        assert len(target._queue) <= 10
        assert 89 <= target.dropped["queue"] <= 90  # one more if one was being sent already
        assert not target.flush(0.05)
        there.hold.set()
        assert target.flush(10.0)
        assert target.exported + target.dropped["queue"] == 100
        target.close()


def test_a_connection_closed_in_between_is_made_anew() -> None:
    with receiver() as there:
        target = endpoint_at(there)
        target.submit(LINE, 1)
        assert target.flush(10.0)
        connection = target._connection
        assert connection is not None
        assert connection.sock is not None
        connection.sock.close()
        target.submit(LINE, 1)
        assert target.flush(10.0)
        target.close()
    assert (target.exported, target.dropped) == (2, {})


def test_the_variables_for_traces_go_first_and_as_they_are() -> None:
    settings = endpoint_settings(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://general:1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces:2/custom/path",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
        }
    )
    assert settings.url == "https://traces:2/custom/path"
    assert (settings.protocol, settings.timeout_s) == ("http/json", 2.5)
    assert endpoint_settings({}).url == "http://localhost:4318/v1/traces"
    assert (
        endpoint_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1/base/"}).url
        == "http://h:1/base/v1/traces"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROTOCOL", "grpc"),
        ("ENDPOINT", "localhost:4317"),
        ("COMPRESSION", "zstd"),
        ("TIMEOUT", "soon"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_and_counted(name: str, value: str) -> None:
    variables = {f"OTEL_EXPORTER_OTLP_{name}": value}
    with pytest.raises(EndpointSettingsError, match=value):
        endpoint_settings(variables)
    target = make_endpoint(variables)
    target.submit(LINE, 4)
    assert target.dropped == {"settings": 4}
    assert value in target.problem


def test_closing_does_not_wait_for_an_endpoint_that_hangs() -> None:
    with receiver() as there:
        there.hold = threading.Event()
        target = endpoint_at(there)
        for _ in range(3):
            target.submit(LINE, 1)
        closing = threading.Thread(target=target.close)
        closing.start()
        closing.join(15.0)
        assert not closing.is_alive()
        there.hold.set()
    time.sleep(0)
    assert target.dropped.get("queue", 0) >= 2
