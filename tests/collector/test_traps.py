"""What telemetry of FastAPI services is known to get wrong or to leave out: we do not."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from fastsim.collector import instrument
from fastsim.spans import StepKind
from tests.collector.answering import answering
from tests.collector.recording import Handler, events, record
from tests.collector.servers import POSTGRES, need_postgres

pytestmark = pytest.mark.timed

CLIENT = trace.SpanKind.CLIENT


def major(distribution: str) -> int:
    return int(version(distribution).partition(".")[0])


def routed(app: FastAPI) -> FastAPI:
    """Give an application a route two routers down."""
    inner, outer = APIRouter(prefix="/deep"), APIRouter(prefix="/v1")

    @inner.get("/{item}")
    async def answer(item: str) -> str:
        return item

    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    return app


def server_spans(directory: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in directory.glob("traces-*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            for group in json.loads(line)["resourceSpans"]:
                for scope in group["scopeSpans"]:
                    found += [span for span in scope["spans"] if span["kind"] == 2]
    return found


def attribute(span: dict[str, Any], name: str) -> Any:
    values = [each["value"] for each in span["attributes"] if each["key"] == name]
    return next(iter(values[0].values())) if values else None


def test_included_routers_keep_their_prefix(tmp_path: Path) -> None:
    """``scope["route"].path`` has lost it since FastAPI 0.137."""
    with TestClient(instrument(routed(FastAPI()), output=tmp_path)) as client:
        assert client.get("/api/v1/deep/7").json() == "7"
    [span] = server_spans(tmp_path)
    assert attribute(span, "http.route") == "/api/v1/deep/{item}"
    assert attribute(span, "fastsim.format") is not None


NATIVE = """
import sys
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from fastsim.collector import instrument
from tests.collector.test_traps import routed
trace.set_tracer_provider(TracerProvider())
with TestClient(instrument(routed(FastAPI()), output=sys.argv[1])) as client:
    assert client.get("/api/v1/deep/7").json() == "7"
"""


def test_fastapis_own_telemetry_gives_one_server_span_with_the_prefix(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NATIVE, str(tmp_path)]
    subprocess.run(command, check=True, timeout=60, cwd=Path(__file__).parents[2])
    [span] = server_spans(tmp_path)
    assert attribute(span, "http.route") == "/api/v1/deep/{item}"
    assert attribute(span, "fastsim.format") is not None


def test_openai_on_httpx2_is_seen_where_instrumented_httpx_sees_nothing() -> None:
    openai = pytest.importorskip("openai")
    chat: dict[str, object] = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    body = json.dumps(chat).encode()

    with answering(lambda _path, _body: ("application/json", [(0.03, body)])) as url:

        @asynccontextmanager
        async def service() -> AsyncIterator[Handler]:
            async with openai.AsyncOpenAI(api_key="none", base_url=url) as client:

                async def handle(_path: str) -> None:
                    await client.chat.completions.create(model="small", messages=[])

                yield handle

        [line] = record(service, ["/"])
    carrier = "httpx2" if major("openai") >= 3 else "httpx"
    names = {event.name.partition("-")[0] for event in line.events}
    assert names == {carrier}
    assert [call.output_tokens for call in line.llm_calls] == [2]
    waits = [line.wall_s[row] for row in range(len(line)) if line.kind[row] is StepKind.LLM]
    assert max(waits) >= 0.03


@pytest.mark.parametrize("spans", [True, False])
def test_sqlalchemy_is_seen_whatever_telemetry_supports(*, spans: bool) -> None:
    """2.1 is silent under the instrumentation; of nested spans both describe one wait."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    need_postgres()
    tracer = TracerProvider().get_tracer("acme")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(POSTGRES.replace("postgresql:", "postgresql+asyncpg:"))
        query = sqlalchemy.text("select pg_sleep(0.05)")
        async with engine.connect() as connection:
            await connection.execute(query)  # the first connection asks five things of its own

        async def handle(_path: str) -> None:
            async with engine.connect() as connection:
                if not spans:
                    await connection.execute(query)
                    return
                db = {"db.system": "postgresql"}
                with (
                    tracer.start_as_current_span("select test", kind=CLIENT, attributes=db),
                    tracer.start_as_current_span("select", kind=CLIENT, attributes=db),
                ):
                    await connection.execute(query)

        yield handle
        await engine.dispose()

    [line] = record(service, ["/"])
    db_waits = [line.wall_s[row] for row in range(len(line)) if line.kind[row] is StepKind.DB]
    assert sum(wait >= 0.045 for wait in db_waits) == 1
    found = [event.event for event in line.events if event.name.startswith("sqlalchemy")]
    assert found == ["acquire", "release"]


def test_the_reset_of_a_pooled_connection_is_part_of_holding_it() -> None:
    """Its query is an ordinary client span in traces; here it lies before the release."""
    asyncpg = need_postgres()

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async with asyncpg.create_pool(POSTGRES, min_size=1, max_size=1) as pool:

            async def handle(_path: str) -> None:
                async with pool.acquire() as connection:
                    await connection.execute("listen something")

            yield handle

    [line] = record(service, ["/"])
    name = next(event.name for event in line.events)
    _, release = events(line, name)
    ends = [
        line.start_s[row] + line.wall_s[row]
        for row in range(len(line))
        if line.kind[row] is StepKind.DB
    ]
    assert len(ends) == 2, "the statement and the reset"
    assert max(ends) <= release.at_s
