"""Templates from the ASGI scope, for services that OpenTelemetry does not instrument."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from fastsim.collector.routes import route_template


def build() -> FastAPI:
    app = FastAPI()
    inner = APIRouter(prefix="/users/{user}")
    below = FastAPI()

    @app.get("/plain/{item}")
    @inner.get("/orders/{order}")
    @below.get("/deep/{path:path}")
    async def answer() -> str:
        return "x"

    router = APIRouter(prefix="/v1")
    router.include_router(inner)
    app.include_router(router, prefix="/api")
    app.mount("/below", below)
    return app


def templates(app: Any, path: str) -> str | None:
    found: list[str | None] = []

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope["type"] == "http":
            found.append(route_template(scope, ""))

    with TestClient(outer) as client:
        client.get(path)
    return found[-1]


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/plain/7", "/plain/{item}"),
        ("/api/v1/users/7/orders/8", "/api/v1/users/{user}/orders/{order}"),
        ("/api/v1/users/7/orders/7", "/api/v1/users/{user}/orders/{order}"),
        ("/below/deep/a/b/c", "/below/deep/{path}"),
        ("/nowhere", None),
    ],
)
def test_fastapi(path: str, template: str | None) -> None:
    assert templates(build(), path) == template


def test_starlette() -> None:
    async def answer(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    app = Starlette(routes=[Mount("/sub", routes=[Route("/items/{item}", answer)])])
    assert templates(app, "/sub/items/3") == "/sub/items/{item}"
