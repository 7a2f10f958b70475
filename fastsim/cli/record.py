"""``fastsim record``: run a service with the recorder attached."""

from pathlib import Path
from typing import Annotated

import typer

from fastsim.errors import AnswerError, FileFormatError, InputError, NotEnoughDataError
from fastsim.units import parse_duration

_KNOWN = ("uvicorn", "gunicorn", "fastapi", "python")


def record(
    command: Annotated[
        list[str], typer.Argument(help="how you start the service: uvicorn app:app --port 8000")
    ],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="directory for the trace files")
    ] = Path("traces"),
    duration: Annotated[
        str | None, typer.Option("--duration", help="stop after this time, such as 60s")
    ] = None,
    sample: Annotated[
        float, typer.Option("--sample", help="share of requests to record, 0 to 1")
    ] = 1.0,
    service: Annotated[
        str | None, typer.Option("--service", help="service name; by default the app's title")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the account as JSON")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="add to a directory that already holds a recording")
    ] = False,
) -> None:
    """Start a service and record what its requests do, with no change to its code.

    Works for uvicorn (also with --workers), gunicorn with uvicorn workers and fastapi run.
    The recording goes to one file per process; stop the service as usual, or give --duration.

    Example: fastsim record -o traces -- uvicorn shop.app:app --port 8000
    """
    import os

    from fastsim.cli.output import note, print_json
    from fastsim.collector.launcher import (
        count_recorded,
        find_command,
        recording_environment,
        run_recorded,
    )

    _check_command(command)
    duration_s = parse_duration(duration) if duration is not None else None
    if duration_s is not None and duration_s <= 0.0:
        raise InputError(f"{duration!r} is not above 0", where="--duration")
    if not 0.0 < sample <= 1.0:
        raise InputError(f"{sample} is not a share above 0 and at most 1", where="--sample")
    _check_output(output, force=force)
    try:
        resolved = find_command(command)
    except FileNotFoundError:
        raise InputError(
            f"there is no command {command[0]!r}",
            hint="write after -- what you type to start the service",
        ) from None
    environment = recording_environment(output, sample_ratio=sample, service_name=service)
    before = count_recorded(output)
    note(f"recording into {output}{os.sep}; stop the service to finish")
    code = run_recorded(resolved, environment, duration_s=duration_s)
    found = count_recorded(output)
    requests = found.requests - before.requests
    if requests == 0:
        raise _nothing_recorded(command, code)
    per_request_us = found.recorder_cpu_s / max(found.requests, 1) * 1e6
    note(
        f"recorded {requests:,} requests in {found.files - before.files} file(s), "
        f"{found.size_bytes / 1e6:.1f} MB, {found.dropped} dropped; "
        f"writing took {per_request_us:.0f} us of CPU per request"
    )
    note(f"next: fastsim calibrate {output} -o model.yaml")
    if as_json:
        print_json(
            {
                "directory": str(output),
                "files": found.files - before.files,
                "requests": requests,
                "dropped": found.dropped,
                "recorder_cpu_s": found.recorder_cpu_s,
                "exit_code": code,
            }
        )


def _check_command(command: list[str]) -> None:
    if not command:
        raise InputError("the command to record is missing", hint="add: -- uvicorn app:app")
    if any(word.startswith("--reload") for word in command):
        raise InputError(
            "--reload cannot be recorded: it restarts the service under the recorder",
            hint="leave --reload out",
        )
    name = Path(command[0]).name
    if name == "fastapi" and "dev" in command[1:2]:
        raise InputError("fastapi dev reloads the service", hint="use: fastapi run")
    if name in {"hypercorn", "granian", "daphne"}:
        raise InputError(
            f"{name} cannot be recorded from outside",
            hint="add one line to the service: fastsim.collector.instrument(app)",
        )


def _check_output(output: Path, *, force: bool) -> None:
    if output.exists() and not output.is_dir():
        raise FileFormatError(f"{output} is not a directory", where="--output")
    if output.is_dir() and not force and any(output.glob("traces-*.jsonl")):
        raise InputError(
            f"{output} already holds a recording",
            hint="choose another directory with -o, or add to it with --force",
            where="--output",
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot create {output}: {error.strerror}", where="--output"
        ) from None


def _nothing_recorded(command: list[str], code: int) -> AnswerError | InputError:
    if code not in {0, 130, -2, -15, 143}:
        return InputError(
            f"the service ended with exit code {code} before it served a request",
            hint=f"see its own messages above; does it run without fastsim? {' '.join(command)}",
        )
    return NotEnoughDataError(
        "no request was recorded",
        hint="send some traffic while recording, for example with fastsim load",
    )
