"""The recorder inside somebody's service: light, harmless, and out of the way."""

import asyncio
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fastsim.collector import FastSimMiddleware, instrument
from fastsim.collector import batch as batch_module
from fastsim.collector import resume as resume_module
from fastsim.collector import timeline as timeline_module
from fastsim.collector.faults import fault_count
from fastsim.collector.timeline import current_record
from fastsim.collector.writer import TraceWriter

HEAVY = ("numpy", "scipy", "pydantic", "simpy", "typer", "rich", "aiohttp")


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, fastsim.collector, fastsim.collector.hook, fastsim.collector.launcher; "
    code += f"print([name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "[]"


def make_app() -> FastAPI:
    app = FastAPI(title="Plain")

    @app.get("/double/{number}")
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    return app


def answers(app: FastAPI) -> tuple[int, Any, dict[str, str]]:
    with TestClient(app) as client:
        found = client.get("/double/21")
    headers = {key: value for key, value in found.headers.items() if key != "date"}
    return found.status_code, found.json(), headers


def test_responses_are_the_same_with_and_without_it(tmp_path: Path) -> None:
    assert answers(instrument(make_app(), output=tmp_path)) == answers(make_app())
    assert len(list(tmp_path.glob("traces-*.jsonl"))) == 1


def test_attaching_twice_records_once(tmp_path: Path) -> None:
    app = instrument(instrument(make_app(), output=tmp_path), output=tmp_path)
    assert isinstance(app, FastAPI)
    answers(app)
    [path] = tmp_path.glob("traces-*.jsonl")
    assert path.read_text(encoding="utf-8").count('"fastsim.format"') == 1


def explode(*_args: object, **_kwargs: object) -> Any:
    raise RuntimeError("a bug of the recorder")


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (resume_module, "find_wait"),
        (resume_module.TimedCoroutine, "_leave"),
        (batch_module, "encode_request"),
        (timeline_module.LoopClock, "watch"),
        (TraceWriter, "submit_requests"),
        (FastSimMiddleware, "_count"),
    ],
)
def test_its_own_errors_never_reach_the_request(
    where: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = instrument(make_app(), output=tmp_path)
    before = fault_count()
    monkeypatch.setattr(where, name, explode)
    status, body, _ = answers(app)
    assert (status, body) == (200, 42)
    assert fault_count() > before


def test_an_error_before_the_code_runs_never_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline_module.LoopClock, "watch", lambda *_: None)
    monkeypatch.setattr(timeline_module.LoopClock, "enter", explode)
    before = fault_count()
    assert answers(instrument(make_app(), output=tmp_path))[:2] == (200, 42)
    assert fault_count() > before


def test_a_directory_that_cannot_be_written_does_not_stop_the_service(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    assert answers(instrument(make_app(), output=blocked))[:2] == (200, 42)
    assert blocked.read_text() == "not a directory"


def test_the_services_own_errors_pass_through(tmp_path: Path) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("the service's own")

    recorder = FastSimMiddleware(broken, output=tmp_path)
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    with pytest.raises(ValueError, match="the service's own"):
        asyncio.run(recorder({"type": "http", "method": "GET", "path": "/"}, receive, send))
    assert current_record.get() is None


def test_websockets_and_unknown_scopes_pass_untouched(tmp_path: Path) -> None:
    seen: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    recorder = FastSimMiddleware(inner, output=tmp_path)
    asyncio.run(recorder({"type": "websocket"}, nothing, nothing))
    asyncio.run(recorder({"type": "something new"}, nothing, nothing))
    assert seen == ["websocket", "something new"]
    assert list(tmp_path.iterdir()) == []


def test_sampling_counts_what_it_does_not_record(tmp_path: Path) -> None:
    app = instrument(make_app(), output=tmp_path, sample_ratio=0.0)
    answers(app)
    assert app._fastsim_recorder._requests_seen == 1  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
