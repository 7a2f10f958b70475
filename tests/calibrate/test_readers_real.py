"""Files of other tools, where the test material is at hand (it is not part of FastSim)."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastsim.calibrate.readers import Account, Skip, read_spans
from fastsim.calibrate.requests import collect_requests
from fastsim.errors import FastSimError, NotEnoughDataError

MATERIAL = Path(__file__).resolve().parents[3] / "shared" / "traces"
OTLP = sorted((MATERIAL / "otlp-json").glob("*.json*"))
OTHERS = sorted(path for path in MATERIAL.glob("*/*") if path.parent.name != "otlp-json")

pytestmark = pytest.mark.skipif(not OTLP, reason="test material is not there")


def _found(value: Any) -> list[dict[str, Any]]:
    """Find everything that has a span's times, wherever it is."""
    if isinstance(value, list):
        return [span for item in value for span in _found(item)]
    if not isinstance(value, dict):
        return []
    if any(re.fullmatch("start_?time_?unix_?nano", key.lower()) for key in value):
        return [value]
    return [span for item in value.values() for span in _found(item)]


def _documents(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def _of(span: dict[str, Any], name: str) -> str:
    """Return a value whose key is in either case style."""
    (value,) = [span[key] for key in span if key.lower() == name.replace("_", "") or key == name]
    return str(value)


@pytest.mark.parametrize("path", OTLP, ids=lambda path: path.name)
def test_every_span_is_read(path: Path) -> None:
    raw = [span for document in _documents(path.read_text()) for span in _found(document)]
    account = Account()
    read = list(read_spans([path], account))
    assert {(span.trace_id, span.span_id) for span in read} == {
        (_of(span, "trace_id").lower(), _of(span, "span_id").lower()) for span in raw
    }
    assert account.spans_read == len(raw)
    assert Counter(span.name for span in read) == Counter(span["name"] for span in raw)
    assert sum(span.end_ns - span.start_ns for span in read) == sum(
        int(_of(span, "end_time_unix_nano")) - int(_of(span, "start_time_unix_nano"))
        for span in raw
    )
    assert sum(len(span.attributes) for span in read) == sum(
        len(span.get("attributes", [])) for span in raw
    )


def test_traces_of_a_test_runner_hold_no_requests() -> None:
    (path,) = [path for path in OTLP if "pabot" in path.name]
    with pytest.raises(NotEnoughDataError, match="no SERVER span, only"):
        collect_requests(read_spans([path]))


def _in_jaeger(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_in_jaeger, value))
    return len(value["spans"]) if "spans" in value else _in_jaeger(value["data"])


COUNTS: dict[str, Callable[[str], int]] = {
    "jaeger": lambda text: _in_jaeger(json.loads(text)),
    "zipkin": lambda text: sum(
        len(item) if isinstance(item, list) else 1 for item in json.loads(text)
    ),
    "datadog": lambda text: sum(len(trace) for trace in json.loads(text)),
    "csv": lambda text: len(text.strip().splitlines()) - 1,
}
"""Spans in a file, counted without our readers."""


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_files_of_other_tools_are_read_whole(path: Path) -> None:
    account = Account()
    read = list(read_spans([path], account))
    wanted = COUNTS[path.parent.name](path.read_text())
    assert account.spans_read == wanted
    assert len(read) == account.spans_kept > 0
    # Zipkin writes spans without a time when it got only the other half of them.
    assert account.skipped.keys() <= {Skip.BAD_TIMES}
    assert account.spans_kept >= 0.85 * wanted


@pytest.mark.parametrize("path", [*OTLP, *OTHERS], ids=lambda path: path.name)
def test_every_file_ends_in_requests_or_a_sentence(path: Path) -> None:
    try:
        requests = collect_requests(read_spans([path]))
    except FastSimError as error:
        refused: str | None = error.message
    else:
        refused = None
        assert len(requests) > 0
        assert len(requests.waits) == len(requests)
    assert refused is None or "hold" in refused
