"""record, calibrate and demo refuse bad input with one clear message and lose nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fastsim.yaml_source import load_yaml
from tests.cli.running import run

Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *arguments: str) -> str:
    assert run(*arguments) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert "Traceback" not in found.err
    return found.err


# --- record ------------------------------------------------------------------------------


def test_record_refuses_what_it_cannot_record(capsys: Capture, tmp_path: Path) -> None:
    out = str(tmp_path / "traces")
    assert "restarts" in refused(capsys, "record", "-o", out, "--", "uvicorn", "a:b", "--reload")
    assert "instrument(app)" in refused(capsys, "record", "-o", out, "--", "hypercorn", "a:b")
    assert "fastapi run" in refused(capsys, "record", "-o", out, "--", "fastapi", "dev", "a.py")
    assert "no command 'nonsense-3'" in refused(capsys, "record", "-o", out, "--", "nonsense-3")
    assert "--duration" in refused(
        capsys, "record", "-o", out, "--duration", "0s", "--", "uvicorn", "a:b"
    )
    assert "--sample" in refused(capsys, "record", "-o", out, "--sample", "2", "--", "uvicorn", "a")
    assert not (tmp_path / "traces").exists() or not any((tmp_path / "traces").iterdir())


def test_record_does_not_mix_recordings(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "traces-1-2.jsonl").write_text("old\n")
    message = refused(capsys, "record", "-o", str(tmp_path), "--", "uvicorn", "a:b")
    assert "already holds a recording" in message
    assert (tmp_path / "traces-1-2.jsonl").read_text() == "old\n"


@pytest.mark.live
def test_record_says_when_the_service_does_not_start(capfd: Capture, tmp_path: Path) -> None:
    code = subprocess.run(
        [sys.executable, "-m", "uvicorn", "no_such_module:app"], check=False, capture_output=True
    )
    end = run("record", "-o", str(tmp_path / "t"), "--", "uvicorn", "no_such_module:app")
    assert end == code.returncode != 0
    assert "before it served a request" in capfd.readouterr().err


@pytest.mark.live
def test_record_says_when_nothing_was_sent(capfd: Capture, tmp_path: Path) -> None:
    from fastsim.demo.servers import free_port

    here = str(Path(__file__).parent.parent / "live")
    command = ["uvicorn", "--app-dir", here, "work_app:app", "--port", str(free_port())]
    code = run("record", "-o", str(tmp_path / "t"), "--duration", "3s", "--", *command)
    assert code == 3
    assert "no request was recorded" in capfd.readouterr().err


# --- calibrate ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        ("", "empty"),
        ("this is no JSON\n", "trace"),
        ('{"Traces": [{"Segments": []}]}', "X-Ray"),
    ],
)
def test_calibrate_says_what_is_wrong_with_a_file(
    content: str | None, says: str, capsys: Capture, tmp_path: Path
) -> None:
    path = tmp_path / "traces.json"
    if content is not None:
        path.write_text(content)
    model = tmp_path / "model.yaml"
    message = refused(capsys, "calibrate", str(path), "-o", str(model))
    assert says in message
    assert "traces.json" in message
    assert not model.exists()


def one_span(kind: int) -> str:
    span = {
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "name": "GET /",
        "kind": kind,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [{"key": "http.route", "value": {"stringValue": "/"}}],
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


def test_traces_without_requests_give_no_answer(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    path.write_text(one_span(kind=3))
    assert run("calibrate", str(path), "-o", str(tmp_path / "m.yaml")) == 3
    assert "no SERVER span" in capsys.readouterr().err


def test_a_single_request_is_too_little(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(one_span(kind=2))
    assert run("calibrate", str(path), "-o", str(tmp_path / "m.yaml")) == 3
    assert "only 1 request" in capsys.readouterr().err


def test_calibrate_never_overwrites_unasked(capsys: Capture, tmp_path: Path) -> None:
    model = tmp_path / "model.yaml"
    model.write_text("mine")
    path = tmp_path / "one.json"
    path.write_text(one_span(kind=2))
    assert "--force" in refused(capsys, "calibrate", str(path), "-o", str(model))
    assert model.read_text() == "mine"
    new = str(tmp_path / "new.yaml")
    assert "--force" in refused(capsys, "calibrate", str(path), "-o", new, "--html", str(model))
    assert model.read_text() == "mine"
    assert not (tmp_path / "new.yaml").exists()


# --- demo -------------------------------------------------------------------------------------


def test_demo_leaves_strange_directories_alone(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "not empty" in refused(capsys, "demo", "-o", str(tmp_path))
    assert "not empty" in refused(capsys, "demo", "-o", str(tmp_path), "--force")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.live
@pytest.mark.timed
def test_a_recording_becomes_a_model_that_answers(capfd: Capture, tmp_path: Path) -> None:
    from fastsim.load.outcome import to_run
    from fastsim.model import ServiceModel
    from fastsim.report.json import to_json
    from tests.live.service import recorded_service, send

    traces, live = tmp_path / "traces", tmp_path / "live.json"
    with recorded_service("work_app:app", traces) as url:
        mix = "GET /spin=50%,GET /limited=30%,GET /thread=20%"
        sent = send(url, mix, rate=40.0, duration_s=8.0)
    live.write_text(to_json(to_run(sent)))
    model = tmp_path / "model.yaml"
    page = tmp_path / "fit.html"
    options = ["-o", str(model), "--client", str(live), "--html", str(page)]
    assert run("calibrate", str(traces), *options) == 0
    assert "self-check" in capfd.readouterr().out
    assert "How well the laws of GET /spin describe what was seen" in page.read_text()
    fitted = load_yaml(model, ServiceModel)
    assert [endpoint.name for endpoint in fitted.endpoints] == [
        "GET /limited",
        "GET /spin",
        "GET /thread",
    ]
    assert fitted.resources["slots"].capacity == 1
    # A slot is held for 10 ms: one slot serves at most 100 of the 30 % per second.
    arguments = [
        "run",
        str(model),
        "--rate",
        "60/s",
        "--duration",
        "20s",
        "--replications",
        "2",
        "--json",
    ]
    assert run(*arguments) == 0
    one = json.loads(capfd.readouterr().out)
    more = "deployment.resources.slots.capacity=3"
    assert run(*arguments, "--set", more) == 0
    three = json.loads(capfd.readouterr().out)
    waited = [found["endpoints"]["GET /limited"]["breakdown"]["pool"] for found in (one, three)]
    assert waited[0] > 5 * waited[1]
    assert run(*arguments) == 0
    again = json.loads(capfd.readouterr().out)
    assert again["total"] == one["total"]
