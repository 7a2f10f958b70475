"""Nothing that users send or databases are asked about gets into the files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from fastsim.collector import instrument
from fastsim.collector.privacy import kept_attributes, statement_shape

SECRET = "s3cr3t-marker"


def leaky_app() -> FastAPI:
    """Return a service that handles the secret in every way it can."""
    app = FastAPI(title="Leaky")
    tracer = TracerProvider().get_tracer("test")

    @app.post("/users/{user}")
    async def user(user: str, request: Request, q: str = "") -> JSONResponse:
        body = (await request.body()).decode()
        with tracer.start_as_current_span(
            "POST",
            kind=SpanKind.CLIENT,
            attributes={
                "url.full": f"https://{SECRET}:pw@peer/{SECRET}?key={SECRET}",
                "http.request.header.authorization": [SECRET],
                "db.query.text": f"SELECT 1 FROM t WHERE a = '{SECRET}'",  # noqa: S608
                "gen_ai.input.messages": SECRET,
                "gen_ai.request.model": "small",
            },
        ):
            pass
        return JSONResponse({"said": body, "q": q}, headers={"x-answer": SECRET})

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(403, SECRET)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(SECRET)

    return app


@pytest.mark.parametrize("mode", ["auto", "light"])
def test_no_secret_reaches_the_files(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    app = instrument(leaky_app(), output=tmp_path, mode=mode)
    with TestClient(app, raise_server_exceptions=False, cookies={"session": SECRET}) as client:
        answer = client.post(
            f"/users/{SECRET}?q={SECRET}",
            content=SECRET,
            headers={"authorization": f"Bearer {SECRET}", "user-agent": SECRET},
        )
        assert answer.json() == {"said": SECRET, "q": SECRET}
        client.get("/refused", headers={"referer": f"https://x/?token={SECRET}"})
        client.get("/broken")
        client.get(f"/no-such-page/{SECRET}?q={SECRET}")
    [path] = tmp_path.glob("*.jsonl")
    text = path.read_text(encoding="utf-8")
    assert text.count('"fastsim.format"') == 4
    assert "/users/{user}" in text
    assert SECRET not in text
    assert SECRET not in "".join(p.read_text() for p in tmp_path.glob("*.account"))


def test_what_a_model_needs_is_kept() -> None:
    attributes: dict[str, Any] = {
        "http.route": "/a/{b}",
        "http.response.status_code": 200,
        "db.system.name": "postgresql",
        "db.query.text": "SELECT name FROM users WHERE id = $1",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "llm.token_count.prompt": 12,
        "server.address": "db",
        "network.peer.port": 5432,
    }
    assert kept_attributes(attributes, of_server=False) == attributes


def test_the_path_is_kept_where_nothing_else_says_what_was_asked() -> None:
    attributes = {"url.path": "/plain/asgi", "http.target": "/plain/asgi?a=1", "url.query": "a=1"}
    kept = kept_attributes(attributes, of_server=True)
    assert kept == {"url.path": "/plain/asgi", "http.target": "/plain/asgi"}


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("select 1", "select ?"),
        ("INSERT INTO t (a, b) VALUES ('x''y', -4.5e3)", "INSERT INTO t (a, b) VALUES (?, ?)"),
        ("SELECT a1, b FROM t2 WHERE id = $1", "SELECT a1, b FROM t2 WHERE id = $1"),
        ("UPDATE t SET a = %s WHERE b = :name", "UPDATE t SET a = %s WHERE b = :name"),
        ('SELECT "Column" FROM t -- why\n WHERE c = 7', "SELECT ? FROM t ? WHERE c = ?"),
        (r"SELECT 'a\' , 'hidden'", "SELECT"),
        ("SELECT 'unbalanced", "SELECT"),
        ("SELECT $tag$hidden$tag$", "SELECT"),
        ("SET key value", "SET"),
        ("SET ? ?", "SET"),
        ("GET\nINCRBY", "GET"),
        ("HSET user:41 name Ann", "HSET"),
        ('{"find": "users"}', ""),
        ("", ""),
    ],
)
def test_statements_lose_their_values(statement: str, shape: str) -> None:
    assert statement_shape(statement) == shape


def statements() -> Iterator[str]:
    yield "SELECT * FROM t WHERE a = '{}' AND b = 2"
    yield "INSERT INTO t VALUES (1, '{}', 'more')"
    yield "SET session '{}'"
    yield "WITH x AS (SELECT '{}') SELECT * FROM x WHERE y = '{}'"


@given(st.sampled_from(list(statements())), st.text(max_size=20), st.text(max_size=20))
def test_no_quoting_lets_a_value_through(statement: str, before: str, after: str) -> None:
    value = f"{before}{SECRET}{after}".replace("'", "''")
    assert SECRET not in statement_shape(statement.replace("{}", value))
