"""What ``fastsim record`` refuses, and what its report says."""

from pathlib import Path

import pytest

from fastsim.cli.record import _report
from fastsim.cli.recordable import check_command, check_script
from fastsim.collector.account import ProcessAccount
from fastsim.collector.recorded import Recorded
from fastsim.errors import InputError
from tests.cli.test_learn_commands import Capture, refused


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("uvicorn a:b --reload", "restarts"),
        ("uvicorn a:b --reload-dir=src", "restarts"),
        ("python -m uvicorn a:b --reload", "restarts"),
        ("fastapi run a.py --reload", "restarts"),
        ("fastapi dev", "reloads"),
        ("/opt/bin/python3.12 -m fastapi dev a.py", "reloads"),
        ("hypercorn a:b", "hypercorn cannot be recorded from outside"),
        ("granian --interface asgi a:b", "granian cannot"),
        ("python -m hypercorn a:b", "hypercorn cannot"),
        ("python3 -m granian a:b", "granian cannot"),
        ("python -S -m uvicorn a:b", "python -S"),
        ("python3 -I -m uvicorn a:b", "python -I"),
        ("python3.11 -E serve.py", "python -E"),
        ("python -OsEm uvicorn a:b", "python -E"),
        ("python -X dev -W error -I serve.py", "python -I"),
        ("gunicorn a:b -k gevent", "gevent"),
        ("gunicorn a:b --worker-class=sync", "sync"),
        ("gunicorn a:b -kgthread", "gthread"),
    ],
)
def test_what_would_record_nothing_is_refused(command: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refusal:
        check_command(command.split())
    assert refusal.value.hint


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn a:b --workers 4",
        "python -m uvicorn a:b",
        "python -u -X importtime -m uvicorn a:b",
        "python -mfastapi run",
        "python serve.py -S -I -E",
        "gunicorn a:b -k uvicorn_worker.UvicornWorker",
        "gunicorn a:b -k uvicorn.workers.UvicornH11Worker --preload",
        "gunicorn -c conf.py a:b",
        "fastapi run",
        "./start.sh",
    ],
)
def test_what_can_be_recorded_is_not_refused(command: str) -> None:
    check_command(command.split())


def test_a_scripts_own_interpreter_flags_count(tmp_path: Path) -> None:
    script = tmp_path / "uvicorn"
    script.write_text("#!/usr/bin/env -S python3 -I\nimport uvicorn\n")
    with pytest.raises(InputError, match="python -I") as refusal:
        check_script(str(script))
    assert refusal.value.where == str(script)
    script.write_text("#!/usr/bin/python3\n# -I\n")
    check_script(str(script))
    script.write_bytes(b"\x7fELF\x00\xff")
    check_script(str(script))


def test_options_that_make_no_sense_are_refused(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "traces")
    ending = ("--", "uvicorn", "a:b")
    assert "--mode" in refused(capsys, "record", "-o", out, "--mode", "heavy", *ending)
    assert "64 potatoes" in refused(
        capsys, "record", "-o", out, "--max-file", "64 potatoes", *ending
    )
    assert "--max-total" in refused(capsys, "record", "-o", out, "--max-total", "0MiB", *ending)
    assert "without --otlp" in refused(capsys, "record", "-o", "none", *ending)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert "grpc" in refused(capsys, "record", "-o", out, "--otlp", *ending)


def test_the_report_accounts_for_every_request() -> None:
    total = ProcessAccount(
        seen=1000,
        recorded=900,
        written=700,
        dropped={"queue": 100, "disk": 50},
        steps=9000,
        writer_cpu_ns=45_000_000,
        timer_ns=27_900_000,
        process_cpu_ns=2_000_000_000,
        problem="cannot write traces: No space left on device",
        exported=600,
        export_dropped={"unreachable": 300},
    )
    text = "\n".join(_report(Recorded(3, 2, 700, 5_000_000, total)))
    assert "recorded 900 of 1,000 requests in 2 process(es): 700 in 3 file(s), 5.0 MB" in text
    assert "150 dropped: 100 because the recorder's queue was full, 50 because" in text
    assert "50 lost with a process that was killed" in text
    assert "sent 600" in text
    assert "300 not sent: 300 because the endpoint could not be reached" in text
    assert "No space left" in text
    assert (
        "recording took 31 us of the event loop per request, and 50 us of CPU beside it; about 4%"
        in text
    )
