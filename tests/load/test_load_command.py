import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner, Result

from fastsim.cli.load import load
from fastsim.errors import FastSimError
from fastsim.result import Run

Serve = Callable[[Callable[[web.Request], object]], str]


async def answer_ok(request: web.Request) -> web.Response:
    return web.Response(text="ok")


def fastsim_load(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(load)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def problem(*arguments: object) -> FastSimError:
    error = fastsim_load(*arguments).exception
    assert isinstance(error, FastSimError)
    assert error.exit_code == 2
    return error


def test_json_is_a_run(serve: Serve) -> None:
    result = fastsim_load(
        serve(answer_ok) + "/items", "--rate", "50/s", "--duration", "0.4s", "--json"
    )
    assert result.exit_code == 0
    run = Run.model_validate_json(result.stdout)
    assert run.source == "live"
    assert list(run.endpoints) == ["GET /items"]
    assert run.total.requests == run.total.completed > 0


def test_phases_are_sent_and_reported(serve: Serve) -> None:
    url = serve(answer_ok) + "/items"
    result = fastsim_load(url, "--rate", "50/s", "--phases", "0.4s x1, rush: 0.3s x1..x4", "--json")
    run = Run.model_validate_json(result.stdout)
    assert [phase.name for phase in run.phases] == ["phase 1", "rush"]
    assert run.phases[1].end_per_s == pytest.approx(200.0)
    assert sum(phase.total.requests for phase in run.phases) == run.total.requests > 0


def test_what_a_function_says_is_sent(serve: Serve, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "def arrivals(rate_per_s, duration_s, random):\n"
        "    return [(0.3, 'GET /b'), (0.1, 'GET /a'), (0.2, 'GET /a')]\n"
    )
    asked = ("--mix", "GET /a=50%,GET /b=50%", "--source", f"{own}:arrivals", "--rate", "10/s")
    result = fastsim_load(serve(answer_ok), *asked, "--duration", "0.4s", "--json")
    run = Run.model_validate_json(result.stdout)
    assert {name: each.requests for name, each in run.endpoints.items()} == {
        "GET /a": 2,
        "GET /b": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--phases", "1s 5/s", "--rate", "5/s"], "nothing for the rate"),
        (["--phases", "1s 5/s", "--duration", "5s"], "how long they last"),
        (["--phases", "1s x2"], "not known"),
        (["--phases", "often"], "not a phase"),
    ],
)
def test_phases_that_make_no_sense(arguments: list[str], said: str) -> None:
    error = problem("http://127.0.0.1:1", *arguments)
    assert said in error.message
    assert error.where == "--phases"


def test_saved_schedule_replays_the_same_requests(serve: Serve, tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path_qs + request.headers["traceparent"])
        return web.Response()

    url, saved, output = serve(handler), tmp_path / "s.json", tmp_path / "r.json"
    mix = "GET /a/{1..999}=50%,GET /b=50%"
    first = fastsim_load(
        url,
        "--rate",
        "100/s",
        "--duration",
        "0.3s",
        "--warmup",
        "0.1s",
        "--mix",
        mix,
        "--save-schedule",
        saved,
    )
    assert first.exit_code == 0
    assert "GET /b" in first.stdout
    sent = sorted(seen)
    seen.clear()
    assert fastsim_load(url, "--schedule", saved, "-o", output).exit_code == 0
    assert sorted(seen) == sent
    run = Run.model_validate_json(output.read_text(encoding="utf-8"))
    assert list(run.provenance.inputs) == [str(saved)]


def test_traffic_file_paths_follow_the_prefix_of_the_url(serve: Serve, tmp_path: Path) -> None:
    seen: set[str] = set()

    async def handler(request: web.Request) -> web.Response:
        seen.add(f"{request.method} {request.path}")
        return web.Response()

    traffic = tmp_path / "traffic.yaml"
    traffic.write_text("requests: [{endpoint: POST /o, share: 100%, json: {}}]", encoding="utf-8")
    result = fastsim_load(
        serve(handler) + "/api", "--traffic", traffic, "--rate", "50/s", "--duration", "0.2s"
    )
    assert result.exit_code == 0
    assert seen == {"POST /api/o"}


def test_replay_needs_no_path_in_the_url(serve: Serve, tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path_qs)
        return web.Response()

    url, saved = serve(handler), tmp_path / "s.json"
    fastsim_load(url + "/a?b=1", "--rate", "50/s", "--duration", "0.2s", "--save-schedule", saved)
    assert fastsim_load(url, "--schedule", saved).exit_code == 0
    assert set(seen) == {"/a?b=1"}
    assert "whole paths" in problem(url + "/a?b=1", "--schedule", saved).message


def test_ctrl_c_writes_what_finished_and_exits_130(serve: Serve, tmp_path: Path) -> None:
    seen = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        if seen == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return web.Response()

    output = tmp_path / "r.json"
    result = fastsim_load(serve(handler), "--rate", "100/s", "--duration", "60s", "-o", output)
    assert result.exit_code == 130
    assert json.loads(output.read_text(encoding="utf-8"))["total"]["completed"] >= 1


def test_existing_output_is_refused_before_anything_is_sent(serve: Serve, tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response()

    output = tmp_path / "r.json"
    output.write_text("mine", encoding="utf-8")
    error = problem(serve(handler), "--rate", "50/s", "--duration", "0.1s", "-o", output)
    assert "--force" in (error.hint or "")
    assert output.read_text(encoding="utf-8") == "mine"
    assert seen == []


def test_refused_connection_is_said_before_the_run(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        saved = tmp_path / "s.json"
        error = problem(url, "--rate", "50/s", "--save-schedule", saved)
    assert "connection refused" in error.message
    assert not saved.exists()


@pytest.mark.parametrize(
    ("arguments", "where", "message"),
    [
        ((), "--rate", "missing"),
        (("--rate", "200"), "--rate", "not a rate"),
        (("--rate", "2/s", "--duration", "30"), "--duration", "not a duration"),
        (("--rate", "2/s", "--timeout", "0s"), "--timeout", "not above 0"),
        (("--rate", "2/s", "--mix", "GET /a=50%"), "--mix", "add up"),
        (("--rate", "2/s", "--schedule", "s.json"), "--rate", "exclude"),
        (("--schedule", "absent.json"), "absent.json", "cannot read"),
    ],
)
def test_wrong_options_name_the_flag(arguments: tuple[str, ...], where: str, message: str) -> None:
    error = problem("http://127.0.0.1:9", *arguments)
    assert where in (error.where or "")
    assert message in error.message


def test_another_host_needs_permission() -> None:
    error = problem("http://192.0.2.1/", "--rate", "2/s")
    assert "--allow-remote" in (error.hint or "")


@pytest.mark.parametrize(
    ("status", "remedy"), [(404, "no such route"), (422, "parameters or a body"), (500, "500")]
)
def test_load_without_any_success_is_no_result_and_says_why(
    serve: Serve, status: int, remedy: str
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    result = fastsim_load(serve(refuse), "--rate", "50/s", "--duration", "0.3s")
    assert result.exit_code == 1
    assert f"no request succeeded: status {status}" in result.stderr
    assert remedy in result.stderr
