"""Who makes the server spans, and whose trace they belong to."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from fastsim.collector import instrument
from fastsim.collector.propagation import calling_span

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLED_BY = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


def recorded(app: FastAPI, output: Path, mode: str) -> dict[str, Any]:
    """Return the server span of one request."""
    with TestClient(instrument(app, output=output, mode=mode)) as client:
        assert client.get("/v1/items/7", headers=CALLED_BY).json() == 7
    [path] = output.glob("*.jsonl")
    groups = [json.loads(line)["resourceSpans"][0] for line in path.read_text().splitlines()]
    spans = [span for group in groups for scope in group["scopeSpans"] for span in scope["spans"]]
    [server] = [span for span in spans if span["kind"] == 2]
    facts = {item["key"]: item["value"] for item in groups[0]["resource"]["attributes"]}
    assert facts["fastsim.process.mode"] == {"stringValue": mode}
    found: dict[str, Any] = server
    return found


def make_app() -> FastAPI:
    app, router = FastAPI(title="Plain"), APIRouter(prefix="/v1")

    @router.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    app.include_router(router)
    return app


@pytest.mark.parametrize("mode", ["auto", "light"])
def test_the_span_names_the_route_and_continues_the_callers_trace(
    mode: str, tmp_path: Path
) -> None:
    span = recorded(make_app(), tmp_path, mode)
    assert span["name"] == "GET /v1/items/{item}"
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, SPAN)
    assert span["spanId"] != SPAN


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"nonsense",
        b"00-" + b"0" * 32 + b"-" + SPAN.encode() + b"-01",
        b"00-" + TRACE.encode() + b"-" + b"0" * 16 + b"-01",
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
    ],
)
def test_a_broken_header_begins_a_new_trace(header: bytes) -> None:
    assert calling_span({"headers": [(b"host", b"x"), (b"traceparent", header)]}) is None
