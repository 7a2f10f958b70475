"""Requests that an OpenAPI description allows."""

import asyncio
import json
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, Path, Query
from fastapi.security import OAuth2PasswordBearer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from fastsim.errors import FileFormatError
from fastsim.load.openapi import Described, read_openapi
from fastsim.load.schedule import draw_schedule
from fastsim.load.traffic_file import TrafficFile


class Line(BaseModel):
    sku: str = Field(min_length=8)
    quantity: int = Field(ge=2, le=5)
    price: float | None = None


class Order(BaseModel):
    customer: str
    day: date
    kind: Literal["rush", "usual"]
    lines: list[Line]
    ratio: float = Field(gt=0, lt=3)
    paid: bool
    extra: dict[str, int] = {}


def service() -> FastAPI:
    app = FastAPI(title="store")
    scheme = OAuth2PasswordBearer(tokenUrl="login")

    @app.get("/items/{item}")
    def item(
        item: Annotated[int, Path(ge=5, le=7)], limit: Annotated[int, Query(ge=1)], page: int = 0
    ) -> int:
        return item + limit + page

    @app.get("/days/{day}/{who}")
    def day(day: date, who: UUID, x_tenant: Annotated[int, Header()]) -> str:
        return f"{day} {who} {x_tenant}"

    @app.post("/orders")
    def order(order: Order) -> int:
        return len(order.lines)

    @app.get("/me")
    def me(token: Annotated[str, Depends(scheme)]) -> str:
        return token

    @app.put("/shade/{shade}")
    def shade(shade: Literal["dark", "light"], values: list[int]) -> int:
        return len(shade) + len(values)

    return app


def described(app: FastAPI) -> Described:
    return read_openapi(json.dumps(app.openapi()), "openapi.json")


def traffic(found: Described) -> TrafficFile:
    share = 1.0 / len(found.operations)
    requests: list[dict[str, Any]] = []
    for each in found.operations:
        request: dict[str, Any] = {
            "endpoint": each.endpoint, "share": share, "path": each.path, "headers": each.headers
        }  # fmt: skip
        if each.json_body is not None:
            request["json"] = each.json_body
        if each.form is not None:
            request["form"] = each.form
        requests.append(request)
    return TrafficFile.model_validate(
        {
            "before": [{"endpoint": "POST /login", "capture": {"token": "a"}}],
            "requests": requests,
        }
    )


def test_fastapi_accepts_every_request_that_is_drawn() -> None:
    app = service()
    schedule = draw_schedule(traffic(described(app)).mix(), rate_per_s=100.0, duration_s=3.0)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:
            found = []
            for row, target in enumerate(schedule.target):
                about = schedule.targets[target]
                answer = await client.request(
                    about.method,
                    schedule.path[row],
                    content=schedule.body[row],
                    headers=dict(about.headers),
                )
                found.append(answer.status_code)
            return found

    assert set(asyncio.run(ask())) == {200}
    assert len({schedule.targets[target].endpoint for target in schedule.target}) == 5


def test_what_is_described() -> None:
    found = described(service())
    assert found.title == "store"
    assert found.login == "/login"
    by_name = {each.endpoint: each for each in found.operations}
    assert by_name["GET /items/{item}"].path == "/items/{5..7}?limit={1..100}"
    assert by_name["GET /items/{item}"].unsure == ("item",)
    assert by_name["GET /me"].headers == {"Authorization": "Bearer ${token}"}
    assert by_name["PUT /shade/{shade}"].path == "/shade/dark"
    order = by_name["POST /orders"].json_body
    assert order["kind"] == "rush"
    assert order["lines"] == [{"sku": "skuxxxxx", "quantity": "{2..5}"}]


def test_a_form_and_keys_of_other_kinds() -> None:
    schema = {"properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}}}
    media = {"application/x-www-form-urlencoded": {"schema": schema}}
    post = {"requestBody": {"content": media}, "security": [{"key": []}]}
    document = {
        "paths": {"/form": {"post": post, "get": {"security": [{"bearer": []}]}}},
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
        },
    }
    form, get = read_openapi(json.dumps(document), "x.json").operations
    assert form.form == {"name": "name", "age": "{1..100}"}
    assert form.headers == {"X-Key": "${env.API_KEY}"}
    assert get.headers == {"Authorization": "Bearer ${env.TOKEN}"}


def test_examples_come_first() -> None:
    class Named(BaseModel):
        mail: str = Field(examples=["ann@example.com"])

    app = FastAPI()

    @app.post("/a")
    def named(named: Named) -> str:
        return named.mail

    [operation] = described(app).operations
    assert operation.json_body == {"mail": "ann@example.com"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"paths": {}}', '{"paths": {"/a": 1}}', "nope"])
def test_what_is_no_description(text: str) -> None:
    with pytest.raises(FileFormatError):
        read_openapi(text, "x.json")


def test_a_schema_that_holds_itself_ends() -> None:
    node = {
        "type": "object",
        "required": ["next"],
        "properties": {"next": {"$ref": "#/components/schemas/Node"}},
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    document = {
        "paths": {"/a": {"post": {"requestBody": body}}},
        "components": {"schemas": {"Node": node}},
    }
    [operation] = read_openapi(json.dumps(document), "x.json").operations
    assert isinstance(operation.json_body, dict)


KEYS = [
    *("type", "properties", "items", "enum", "anyOf", "allOf", "$ref", "minimum", "required"),
    *("format", "name", "in", "schema", "content", "examples"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_odd_descriptions_are_read_or_refused(parameters: Any, body: Any) -> None:
    document = {"paths": {"/a/{b}": {"post": {"parameters": parameters, "requestBody": body}}}}
    try:
        found = read_openapi(json.dumps(document), "x.json")
    except FileFormatError:
        return
    assert found.operations[0].endpoint == "POST /a/{b}"
