"""What is sent once before a load."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner

from fastsim.cli.load import load
from fastsim.errors import InputError
from fastsim.load.address import parse_address
from fastsim.load.first import prepared
from fastsim.load.traffic_file import TrafficFile
from fastsim.yaml_source import parse_yaml

Serve = Callable[[Callable[[web.Request], object]], str]

TRAFFIC = """\
before:
  - endpoint: POST /token
    form: {username: "ann{1..9}", password: "${env.SHOP_PASSWORD}"}
    capture: {token: access_token, first: "items.0.id"}
  - endpoint: GET /me
    path: /me/${first}
    headers: {Authorization: "Bearer ${token}"}
requests:
  - endpoint: GET /items/{id}
    share: 60%
    path: /items/${first}?colour={red|light blue}
    headers: {Authorization: "Bearer ${token}"}
  - endpoint: POST /items
    share: 40%
    json: {owner: "${first}", size: "{1..3}", kind: "{lamp|chair}"}
"""


def file() -> TrafficFile:
    return parse_yaml(TRAFFIC.replace("light blue", "blue"), TrafficFile)


class Shop:
    """Answers a login and keeps what it was asked."""

    def __init__(self, status: int = 200) -> None:
        self.asked: list[tuple[str, str, str | None, str]] = []
        self.status = status

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.asked.append(
            (request.method, request.path_qs, request.headers.get("Authorization"), body)
        )
        if request.path == "/token":
            value = {"access_token": "t-1", "items": [{"id": 7}]}
            return web.json_response(value, status=self.status)
        return web.json_response({})


def test_a_login_gives_what_the_others_need(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "a&b")
    shop = Shop()
    get, post = prepared(file(), parse_address(serve(shop.answer)))
    assert shop.asked == [
        ("POST", "/token", None, "username=ann1&password=a%26b"),
        ("GET", "/me/7", "Bearer t-1", ""),
    ]
    assert get.path.fill([1]) == "/items/7?colour=blue"
    assert dict(get.headers) == {"Authorization": "Bearer t-1"}
    assert post.body is not None
    assert post.body.fill([2, 0]) == '{"owner": "7", "size": 2, "kind": "lamp"}'


def test_what_goes_wrong_is_said(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    url = serve(Shop().answer)
    with pytest.raises(InputError, match="no SHOP_PASSWORD"):
        prepared(file(), parse_address(url))
    monkeypatch.setenv("SHOP_PASSWORD", "x")
    with pytest.raises(InputError, match="status 401"):
        prepared(file(), parse_address(serve(Shop(401).answer)))
    wrong = parse_yaml(
        TRAFFIC.replace("items.0.id", "items.3.id").replace("light ", ""), TrafficFile
    )
    with pytest.raises(InputError, match=r"first of POST /token: the answer has no 'items.3.id'"):
        prepared(wrong, parse_address(url))


def test_a_captured_value_that_cannot_be_sent_is_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "a\nb")
    text = "requests: [{endpoint: GET /a, share: 100%, headers: {x-key: '${env.KEY}'}}]"
    with pytest.raises(InputError, match="header 'x-key' cannot be sent"):
        prepared(parse_yaml(text, TrafficFile), parse_address(serve(Shop().answer)))


def test_secrets_are_not_written_into_schedules(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "x")
    path = tmp_path / "traffic.yaml"
    path.write_text(TRAFFIC.replace("light ", ""))
    app = typer.Typer()
    app.command()(load)
    shop = Shop()
    arguments = [serve(shop.answer), "--traffic", str(path), "--rate", "40/s", "--duration", "0.3s"]
    refused = CliRunner().invoke(app, [*arguments, "--save-schedule", str(tmp_path / "s.json")])
    assert isinstance(refused.exception, InputError)
    assert refused.exception.where == "--save-schedule"
    assert shop.asked == []
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert shop.asked[0][1] == "/token"
    assert {path.partition("?")[0] for _, path, _, _ in shop.asked[2:]} <= {"/items/7", "/items"}
