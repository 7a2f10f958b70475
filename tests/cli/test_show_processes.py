"""``fastsim show traces`` says what the service ran on and what became of its requests."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from fastsim.calibrate.requests import Instance
from fastsim.cli.show_processes import process_lines
from fastsim.collector import instrument
from tests.cli.test_learn_commands import Capture
from tests.cli.test_show import show, shown_json

FACTS: dict[str, Any] = {
    "fastsim.process.workers": 2,
    "fastsim.process.loop": "uvloop",
    "fastsim.process.cores": 2,
    "fastsim.process.machine_cores": 8,
    "fastsim.process.cpu_quota": 1.5,
    "fastsim.process.thread_tokens": 100,
    "fastsim.process.http": "httptools",
    "fastsim.process.limit_concurrency": 50,
    "fastsim.process.backlog": 2048,
    "fastsim.process.keep_alive_s": 5,
    "fastsim.process.gil": False,
    "fastsim.process.sample_ratio": 0.25,
    "fastsim.process.opentelemetry": False,
    "fastsim.process.versions": ["fastsim==1.0", "fastapi==0.165.0"],
    "process.runtime.version": "3.14.1",
    "process.pid": 7,
}


def test_processes_that_are_alike_are_described_once() -> None:
    instances = tuple(Instance(f"i{pid}", FACTS | {"process.pid": pid}) for pid in (7, 8))
    [line] = process_lines(instances)
    assert line == (
        "2 processes: one of 2 workers, uvloop, 2 of 8 cores, container limit 1.5 cores, "
        "100 threads, httptools, at most 50 requests at once, backlog 2048, keep-alive 5 s, "
        "Python 3.14.1 without GIL, fastapi 0.165.0, fastsim 1.0, "
        "0.25 of the requests sampled, without OpenTelemetry"
    )


def test_traces_of_other_tools_have_no_such_facts() -> None:
    assert list(process_lines((Instance("x", {"service.name": "shop"}),))) == []


def test_a_recording_shows_its_account_and_processes(capsys: Capture, tmp_path: Path) -> None:
    app = FastAPI(title="Plain")

    @app.get("/a")
    async def a() -> int:
        return 1

    with TestClient(instrument(app, output=tmp_path, mode="light")) as client:
        for _ in range(3):
            client.get("/a")
    text = show(capsys, tmp_path)
    assert "the recorder saw 3 requests, recorded 3, wrote 3, dropped 0" in text
    assert "1 process: one of 1 worker, asyncio" in text
    answer = shown_json(capsys, tmp_path)
    recorder, processes = answer["recorder"], answer["processes"]
    assert isinstance(recorder, dict)
    assert isinstance(processes, list)
    assert (recorder["seen"], recorder["dropped"]) == (3, {})
    assert processes[0]["mode"] == "light"
    assert json.dumps(processes)
