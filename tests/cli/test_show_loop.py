"""``fastsim show traces``: the loop's lag and the lines that held it."""

import json
import time
from pathlib import Path

import pytest

from fastsim.collector.export import build_series_span
from fastsim.collector.otlp import encode_line, encode_span
from fastsim.collector.series import Window
from fastsim.spans import BLOCK_WHERE
from tests.calibrate.test_requests import span
from tests.calibrate.timeline_story import attributes
from tests.cli.test_show import show, shown_json
from tests.virtual.services import beside_others
from tests.virtual.serving import poisson, serve

MS = 1_000_000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    now = time.perf_counter_ns()
    windows = [
        Window(now + i * 100 * MS, 100 * MS, 25 * MS, MS, 70 * MS if i else MS, 2) for i in range(3)
    ]
    block = (0.0, 65.0, 5.0, "app.py:12 slow", "time.sleep")
    request = span(0, attributes=attributes(("cpu", 0.0, 70.0), blocks=[block]))
    spans = [request, build_series_span(windows, [(now, 90 * MS)])]
    path = tmp_path / "traces.jsonl"
    path.write_text(encode_line({"service.name": "shop"}, [encode_span(one) for one in spans]))
    return path


def test_the_loop_and_its_worst_lines(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = show(capsys, recording)
    assert "lag 1ms on average, 70ms at worst" in text
    assert "1 full garbage collection, the longest 90ms" in text
    (row,) = [line for line in text.splitlines() if line.lstrip().startswith("app.py:12")]
    assert row.split()[:6] == ["app.py:12", "slow", "time.sleep", "1", "65ms", "65ms"]


def test_as_json(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop = shown_json(capsys, recording)["event_loop"]
    assert isinstance(loop, dict)
    assert loop["busy_share"] == pytest.approx(0.25)
    assert loop["lag_max_s"] == pytest.approx(0.07)
    assert loop["full_collections"] == 1
    (line,) = loop["blocking"]
    assert (line["where"], line["called"], line["count"]) == ("app.py:12 slow", "time.sleep", 1)
    assert line["endpoints"] == ["GET /items/{id}"]


def test_recordings_without_them_show_nothing_of_it(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = recording.read_text()
    content = json.loads(text)
    spans = content["resourceSpans"][0]["scopeSpans"][0]["spans"]
    del spans[1]
    spans[0]["attributes"] = [
        item for item in spans[0]["attributes"] if not item["key"].startswith("fastsim.block.")
    ]
    recording.write_text(json.dumps(content))
    assert BLOCK_WHERE not in recording.read_text()
    shown = show(capsys, recording)
    assert "event loop" not in shown
    assert shown_json(capsys, recording)["event_loop"] == {
        "windows": 0,
        "busy_share": None,
        "taken_by_others": None,
        "lag_mean_s": None,
        "lag_max_s": None,
        "full_collections": 0,
        "background_s": {},
        "blocking": [],
    }


@pytest.mark.parametrize("starved_s", [0.0, 0.002])
def test_what_other_processes_took_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], starved_s: float
) -> None:
    app = beside_others(0.004, starved_s)
    serve(app, poisson({"/": 1.0}, rate_per_s=50.0, requests=300, seed=7), record=tmp_path)
    loop = shown_json(capsys, tmp_path)["event_loop"]
    assert isinstance(loop, dict)
    assert loop["taken_by_others"] == pytest.approx(starved_s / (0.004 + starved_s), rel=0.05)
    text = show(capsys, tmp_path)
    assert ("other processes had its core for 33" in text) == bool(starved_s)
