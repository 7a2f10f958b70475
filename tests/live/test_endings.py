"""However a recorded service ends, nothing is lost, nothing is left, and the reason is told."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastsim.collector.launcher import children_of
from tests.live.starters import HERE, RecordedCommand

pytestmark = pytest.mark.live

REQUESTS = 40
PLAIN = "{python} -m uvicorn --app-dir {here} ending_app:plain --host 127.0.0.1 --port {port}"


def record(output: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Record a command that ends by itself."""
    recorder = [sys.executable, "-m", "fastsim", "record", "-o", str(output), "--", *command]
    return subprocess.run(recorder, check=False, timeout=60, capture_output=True, text=True)


@pytest.mark.parametrize("options", ["", " --lifespan off", " --loop uvloop --http httptools"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_application_without_lifespan_loses_nothing(
    how: signal.Signals, options: str, tmp_path: Path
) -> None:
    with RecordedCommand(tmp_path, PLAIN + options) as service:
        assert set(service.get_many("asked", REQUESTS)) == {200}
        answer = service.end(how)
    assert (answer["requests"], answer["lost"], answer["recorder_faults"]) == (REQUESTS, 0, 0)


@pytest.mark.parametrize(("path", "code"), [("exit", 7), ("kill", 137)])
def test_the_services_exit_code_is_the_recorders(path: str, code: int, tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, PLAIN) as service:
        service.get_many("asked", REQUESTS)
        time.sleep(1.0)  # the promise is one second
        with contextlib.suppress(OSError):
            service.get(path)
        answer = service.end(None, code=code)
    assert answer["requests"] == REQUESTS
    ended = "signal 9" if path == "kill" else "exit code 7"
    assert f"the service ended with {ended}; what it had served is recorded" in service.said


def test_a_service_that_cannot_start_says_so_with_its_own_code(tmp_path: Path) -> None:
    command = ("-m", "uvicorn", "--app-dir", str(HERE), "ending_app:cannot_start", "--port", "0")
    alone = subprocess.run([sys.executable, *command], check=False, capture_output=True)
    done = record(tmp_path, sys.executable, *command)
    assert done.returncode == alone.returncode != 0
    assert "before it served a request" in done.stderr
    assert "Traceback" not in done.stderr.partition("error:")[2]


@pytest.mark.parametrize(
    ("how", "command"),
    [
        (signal.SIGTERM, "python -m uvicorn --workers 2"),
        (signal.SIGINT, "python -m uvicorn --workers 2"),
        (signal.SIGHUP, PLAIN),  # a supervisor starts its workers anew instead
    ],
)
def test_no_process_is_left_behind(how: signal.Signals, command: str, tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, command) as service:
        service.get_many("asked", 4)
        time.sleep(1.0)  # what ends at once had its second
        [server] = children_of(service.pid)
        processes = [server, *children_of(server)]
        service.end(how)
    end = time.monotonic() + 10.0  # Python's own helpers notice a moment later
    while left := [process for process in processes if Path(f"/proc/{process}").exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_orders_to_a_gunicorn_are_passed_on(tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, "gunicorn") as service:
        service.workers(2)
        os.kill(service.pid, signal.SIGTTIN)
        service.workers(3)
        assert set(service.get_many("items/1", 9)) == {200}
        assert service.end()["requests"] == 9


# --- why nothing was recorded ------------------------------------------------------------


def test_a_command_that_starts_no_python(tmp_path: Path) -> None:
    done = record(tmp_path, "true")
    assert done.returncode == 2
    assert "the recorder was never loaded" in done.stderr


def test_a_python_that_serves_nothing(tmp_path: Path) -> None:
    done = record(tmp_path, sys.executable, "-c", "pass")
    assert done.returncode == 2
    assert "loaded into 1 Python process(es), none ran Uvicorn" in done.stderr


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = [shutil.which(f"python3.{minor}") for minor in (10, 9, 8)]
    managed = sorted(Path.home().glob(".pyenv/versions/3.[0-9].*/bin/python"))
    candidates = [*filter(None, old), *map(str, managed)]
    runs = [
        python
        for python in candidates
        if subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0
    ]
    if not runs:
        pytest.skip("there is no older Python")
    done = record(tmp_path, runs[0], "-c", "pass")
    assert done.returncode == 2
    assert "is too old, it needs 3.11" in done.stderr


def test_a_service_that_nobody_asked(tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, PLAIN) as service:
        service.end(code=3)
    assert "no request was recorded" in service.said
