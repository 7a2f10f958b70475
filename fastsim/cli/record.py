"""``fastsim record``: run a service with the recorder attached."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastsim.cli.recordable import ONE_LINE
from fastsim.cli.recording_account import because
from fastsim.collector.destination import DEFAULT_MODE, MODES
from fastsim.errors import (
    AnswerError,
    FastSimError,
    FileFormatError,
    InputError,
    NotEnoughDataError,
    ServiceFailedError,
    UnknownNameError,
)
from fastsim.units import parse_bytes, parse_duration

if TYPE_CHECKING:
    from fastsim.collector.destination import Destination
    from fastsim.collector.notes import Notes
    from fastsim.collector.recorded import Recorded

_CLEAN_ENDS = frozenset({0, 130, 143, -2, -15, -1, 129})
"""Nothing went wrong: it ended by itself or was told to (interrupt, terminate, hang up)."""


def record(
    command: Annotated[
        list[str], typer.Argument(help="how you start the service: uvicorn app:app --port 8000")
    ],
    *,
    output: Annotated[
        str, typer.Option("-o", "--output", help="directory for the trace files, or none")
    ] = "traces",
    duration: Annotated[
        str | None, typer.Option("--duration", help="stop after this time, such as 60s")
    ] = None,
    sample: Annotated[
        float, typer.Option("--sample", help="share of requests to record, 0 to 1")
    ] = 1.0,
    mode: Annotated[
        str,
        typer.Option("--mode", help="your OpenTelemetry's spans: auto (used) or light (not)"),
    ] = DEFAULT_MODE,
    service: Annotated[
        str | None, typer.Option("--service", help="service name; by default the app's title")
    ] = None,
    max_file: Annotated[
        str, typer.Option("--max-file", help="begin a new file at this size")
    ] = "64MiB",
    max_total: Annotated[
        str, typer.Option("--max-total", help="write no more than this in all; the rest is counted")
    ] = "1GiB",
    otlp: Annotated[
        bool,
        typer.Option("--otlp", help="also send to the endpoint in OTEL_EXPORTER_OTLP_ENDPOINT"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the account as JSON")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="add to a directory that already holds a recording")
    ] = False,
) -> None:
    """Start a service and record what its requests do, with no change to its code.

    Works for whatever serves with Uvicorn: uvicorn, fastapi run, gunicorn with its workers,
    a script, opentelemetry-instrument, uv run.
    Nothing of FastSim has to be installed where the service runs. The recording goes to one
    file per process; stop the service as usual, or give --duration. A service that fails ends
    this command with its own exit code.

    Example: fastsim record -o traces -- uvicorn shop.app:app --port 8000
    """
    from fastsim.cli.output import note, print_json
    from fastsim.cli.recordable import check_command, check_script
    from fastsim.collector.launcher import recording_environment, run_recorded
    from fastsim.collector.notes import read_notes
    from fastsim.collector.recorded import count_recorded, processes_in

    check_command(command)
    duration_s = parse_duration(duration) if duration is not None else None
    if duration_s is not None and duration_s <= 0.0:
        raise InputError(f"{duration!r} is not above 0", where="--duration")
    if not 0.0 < sample <= 1.0:
        raise InputError(f"{sample} is not a share above 0 and at most 1", where="--sample")
    if mode not in MODES:
        raise UnknownNameError("mode", mode, MODES, where="--mode")
    resolved = _resolve(command)
    check_script(resolved[0])
    with (
        _destination(output, max_file, max_total, otlp=otlp, force=force) as destination,
        tempfile.TemporaryDirectory(prefix="fastsim-notes-") as noted,
    ):
        directory = destination.directory or destination.accounts or Path()
        environment = recording_environment(
            destination,
            sample_ratio=sample,
            mode=mode,
            service_name=service,
            notes=Path(noted),
        )
        before = processes_in(directory)
        note(f"recording into {_where(destination)}; stop the service to finish")
        code = run_recorded(resolved, environment, duration_s=duration_s, keep_stdout=as_json)
        found = count_recorded(directory, besides=before)
        notes = read_notes(Path(noted))
    if found.total.recorded == 0:
        raise _nothing_recorded(command, code, notes)
    for line in _report(found):
        note(line)
    if as_json:
        print_json(_as_json(found, destination, code))
    if found.requests == 0 and destination.directory is not None:
        raise AnswerError(
            f"{found.total.recorded:,} requests were recorded, but none could be written",
            hint=found.total.problem or None,
            where="--output",
        )
    if destination.directory is not None:
        note(f"next: fastsim calibrate {output} -o model.yaml")
    if code not in _CLEAN_ENDS:
        raise ServiceFailedError(code, "; what it had served is recorded")


def _resolve(command: list[str]) -> list[str]:
    from fastsim.collector.launcher import find_command

    try:
        return find_command(command)
    except FileNotFoundError:
        raise InputError(
            f"there is no command {command[0]!r}",
            hint="write after -- what you type to start the service",
        ) from None


@contextmanager
def _destination(
    output: str, max_file: str, max_total: str, *, otlp: bool, force: bool
) -> "Iterator[Destination]":
    from fastsim.collector.destination import NO_FILES, Destination

    sizes = {"--max-file": parse_bytes(max_file), "--max-total": parse_bytes(max_total)}
    for option, size in sizes.items():
        if size <= 0:
            raise InputError("the size is not above 0", where=option)
    limits = (sizes["--max-file"], sizes["--max-total"])
    if otlp:
        _check_endpoint()
    if output != NO_FILES:
        _check_output(Path(output), force=force)
        yield Destination(Path(output), *limits, otlp=otlp)
        return
    if not otlp:
        raise InputError("--output none without --otlp records nothing", where="--output")
    with tempfile.TemporaryDirectory(prefix="fastsim-") as accounts:
        yield Destination(None, *limits, otlp=True, accounts=Path(accounts))


def _check_endpoint() -> None:
    from fastsim.collector.endpoint import EndpointSettingsError, endpoint_settings

    try:
        endpoint_settings(os.environ)
    except EndpointSettingsError as error:
        raise InputError(str(error), where="OTEL_EXPORTER_OTLP_*") from None


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
        raise InputError(f"cannot create {output}: {error.strerror}", where="--output") from None


def _where(destination: "Destination") -> str:
    places = [f"{destination.directory}{os.sep}"] if destination.directory else []
    if destination.otlp:
        from fastsim.collector.endpoint import endpoint_settings

        places.append(endpoint_settings(os.environ).url)
    return " and ".join(places)


def _report(found: "Recorded") -> Iterator[str]:
    """Say what was recorded, what was not and why, and what it cost."""
    total = found.total
    yield (
        f"recorded {total.recorded:,} of {max(total.seen, total.recorded):,} requests "
        f"in {found.processes} process(es): {found.requests:,} in {found.files} file(s), "
        f"{found.size_bytes / 1e6:.1f} MB"
    )
    if total.exported or total.export_dropped:
        yield f"sent {total.exported:,} requests to the endpoint"
    yield f"{total.dropped_total:,} dropped{because(total.dropped)}"
    if total.export_dropped:
        yield f"{sum(total.export_dropped.values()):,} not sent{because(total.export_dropped)}"
    if found.lost:
        yield f"{found.lost:,} lost with a process that was killed"
    if total.problem:
        yield f"the recorder said: {total.problem}"
    if total.faults:
        yield f"the recorder met {total.faults:,} errors of its own; please report them"
    timer_s, writer_s = total.timer_ns / 1e9, total.writer_cpu_ns / 1e9
    share = ""
    if total.process_cpu_ns:
        share = f"; about {(timer_s + writer_s) / (total.process_cpu_ns / 1e9):.0%} of the service"
    yield (
        f"recording took {timer_s / total.recorded * 1e6:.0f} us of the event loop per request, "
        f"and {writer_s / total.recorded * 1e6:.0f} us of CPU beside it{share}"
    )


def _as_json(found: "Recorded", destination: "Destination", code: int) -> dict[str, object]:
    total = found.total
    return {
        "kind": "recording",
        "directory": str(destination.directory) if destination.directory else None,
        "files": found.files,
        "processes": found.processes,
        "size_bytes": found.size_bytes,
        "requests": found.requests,
        "seen": total.seen,
        "recorded": total.recorded,
        "dropped": total.dropped_total,
        "dropped_by_reason": total.dropped,
        "lost": found.lost,
        "exported": total.exported,
        "not_exported_by_reason": total.export_dropped,
        "recorder_cpu_s": total.writer_cpu_ns / 1e9,
        "timer_s": total.timer_ns / 1e9,
        "service_cpu_s": total.process_cpu_ns / 1e9,
        "recorder_faults": total.faults,
        "exit_code": code,
    }


def _nothing_recorded(command: list[str], code: int, notes: "Notes") -> FastSimError:
    """Say why: the service failed, we were not in it, or nobody asked it anything."""
    if code not in _CLEAN_ENDS:
        return ServiceFailedError(
            code,
            " before it served a request",
            hint=f"see its own messages above; does it run without fastsim? {' '.join(command)}",
        )
    if notes.attached:
        return NotEnoughDataError(
            "no request was recorded",
            hint="send some traffic while recording, for example with fastsim load",
        )
    if notes.failures:
        return InputError(f"the recorder could not be loaded: {'; '.join(notes.failures)}")
    if notes.loaded:
        return InputError(
            f"the recorder was loaded into {notes.loaded} Python process(es), none ran Uvicorn",
            hint="start the service with uvicorn, fastapi run or gunicorn -k "
            f"uvicorn_worker.UvicornWorker, or {ONE_LINE}",
        )
    return InputError(
        "the recorder was never loaded: the command started no Python that reads PYTHONPATH",
        hint=f"put fastsim record where Python starts, or {ONE_LINE}",
    )
