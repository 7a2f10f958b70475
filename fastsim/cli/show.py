"""``fastsim show``: say what is in a file, finding out by content which kind it is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

_HEAD_BYTES = 65_536

_READ_AS_TEXT = (
    "is not JSON",
    "is a FastSim model or scenario, not a trace file",
)
"""What the readers of traces say of files that FastSim itself may have written."""


def show(
    file: Annotated[
        str,
        typer.Argument(
            help="Traces (file, directory or pattern), model, scenario, traffic, schedule, or any "
            "answer as JSON; - is standard input, for traces.",
            show_default=False,
        ),
    ],
    *,
    service: Annotated[
        str | None, typer.Option("--service", help="Traces: the service to look at.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what a file holds, whatever kind of FastSim file or trace export it is.

    Example: fastsim show traces/
    """
    from fastsim.answers import ANSWERS
    from fastsim.cli.show_traces import show_traces

    kind = sniff(file)
    if kind == "traces":
        show_traces(file, service=service, as_json=as_json)
        return
    if kind in ANSWERS:
        _show_result(file, kind, as_json=as_json)
        return
    _show_written(file, kind, as_json=as_json)


def sniff(file: str) -> str:
    """Return the kind of a file: ``traces`` or what it says after ``kind``.

    Raises
    ------
    FileFormatError
        When it is missing, unreadable, empty, or nothing FastSim knows.
    """
    from fastsim.errors import FileFormatError
    from fastsim.schema import WRITTEN
    from fastsim.yaml_source import KINDS, kind_of, read_text

    path = Path(file)
    if file == "-" or path.is_dir() or _is_pattern(file) or _is_trace(path):
        return "traces"
    what, hint = _described(path)
    refused = FileFormatError(f"{file} {what}", hint=hint, where=file)
    if what not in _READ_AS_TEXT and not _is_json(path):
        raise refused
    text = read_text(path)
    if _is_json(path):
        # JSON that says nothing of itself is of no format of traces either.
        kind = _json_kind(text)
        if kind is None:
            raise refused
    else:
        kind = kind_of(text, WRITTEN.values(), name=file)
    if kind in KINDS:
        return kind
    says = f"says it is a {kind!r} file" if kind else "does not say what it is"
    raise FileFormatError(
        f"{file} {says}; nothing FastSim knows",
        hint=f"known: traces, {', '.join(sorted(KINDS))}",
        where=file,
    )


def _is_json(path: Path) -> bool:
    from fastsim.calibrate.readers.bytestream import head_text

    try:
        with path.open("rb") as file:
            return head_text(file.read(_HEAD_BYTES)).startswith(("{", "["))
    except OSError:
        return False


def _described(path: Path) -> tuple[str, str]:
    """Say what a file is that is not of a format of traces, as ``calibrate`` does."""
    from fastsim.calibrate.readers.unsupported import describe

    try:
        with path.open("rb") as file:
            return describe(file.read(_HEAD_BYTES))
    except OSError:
        return _READ_AS_TEXT[0], ""  # told by whoever reads it next


def _is_pattern(file: str) -> bool:
    return any(sign in file for sign in "*?[") and not Path(file).exists()


def _is_trace(path: Path) -> bool:
    from fastsim.calibrate.readers import FORMATS
    from fastsim.calibrate.readers.bytestream import head_text
    from fastsim.errors import FileFormatError

    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False  # told by whoever reads it next
    if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return True  # compressed, as only traces are
    if not head.strip():
        raise FileFormatError(f"{path} is empty", where=str(path))
    return bool(head_text(head)) and any(form.sniff(head) for form in FORMATS.values())


def _json_kind(text: str) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None  # JSON lines, or torn: the readers tell exactly
    if isinstance(value, dict) and isinstance(value.get("kind"), str):
        return str(value["kind"])
    return None


def _show_result(file: str, kind: str, *, as_json: bool) -> None:
    from fastsim.answers import ANSWERS
    from fastsim.cli.output import print_json
    from fastsim.report.answer import render_answer
    from fastsim.yaml_source import load_json

    found = load_json(file, ANSWERS[kind])
    if as_json:
        print_json(found)
    else:
        typer.echo(render_answer(found), nl=False)


def _show_written(file: str, kind: str, *, as_json: bool) -> None:
    """Show what people write: model, scenario, traffic mix; and schedules."""
    from fastsim.cli.output import print_json, stdout_console
    from fastsim.cli.show_model import model_lines
    from fastsim.model import ServiceModel

    if kind == "schedule":
        _show_schedule(file, as_json=as_json)
        return
    value = _read_written(file, kind)
    if as_json:
        print_json(value)
    elif isinstance(value, ServiceModel):
        console = stdout_console()
        for line in model_lines(value):
            console.print(line)
    else:
        from fastsim.yaml_source import dump_yaml

        typer.echo(f"{kind} file, valid; what it sets:\n")
        typer.echo(dump_yaml(value), nl=False)


def _read_written(file: str, kind: str) -> "BaseModel":
    from fastsim.schema import WRITTEN
    from fastsim.yaml_source import load_yaml

    return load_yaml(file, WRITTEN[kind])


def _show_schedule(file: str, *, as_json: bool) -> None:
    from collections import Counter

    from fastsim.cli.output import print_json, stdout_console
    from fastsim.load.schedule import Schedule
    from fastsim.report.wording import clean, count, duration, plural, rate, share

    schedule = Schedule.load(Path(file))
    requests = Counter(schedule.target.tolist())
    counts = {target.endpoint: requests[i] for i, target in enumerate(schedule.targets)}
    if as_json:
        print_json(
            {
                "kind": "schedule",
                "seed": schedule.seed,
                "rate_per_s": schedule.rate_per_s,
                "duration_s": schedule.duration_s,
                "warmup_s": schedule.warmup_s,
                "arrivals": schedule.arrivals,
                "requests": counts,
            }
        )
        return
    console = stdout_console()
    console.print(
        f"schedule of {plural(len(schedule), 'request')} · {rate(schedule.rate_per_s)} "
        f"{schedule.arrivals} · {duration(schedule.duration_s)} after "
        f"{duration(schedule.warmup_s)} warm-up · seed {schedule.seed}"
    )
    for endpoint, number in counts.items():
        part = share(number / len(schedule)) if len(schedule) else share(None)
        console.print(f"  {clean(endpoint)}  {count(number)}  {part}")
