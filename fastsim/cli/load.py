"""``fastsim load``: send open-loop traffic to a live service and report what it met."""

import hashlib
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastsim.cli.options import BurstTexts, Phases, TrafficSource
from fastsim.errors import InputError
from fastsim.units import format_duration, format_share, parse_duration, parse_rate

if TYPE_CHECKING:
    from fastsim.bursts import Bursts
    from fastsim.load.address import Address
    from fastsim.load.course import Course
    from fastsim.load.driver import Progress
    from fastsim.load.schedule import Schedule
    from fastsim.load.source import Source
    from fastsim.load.traffic_file import Mix


def load(
    url: Annotated[str, typer.Argument(help="The service, for example http://127.0.0.1:8000.")],
    *,
    traffic: Annotated[
        Path | None, typer.Option("--traffic", help="Traffic mix file (kind: traffic).")
    ] = None,
    schedule: Annotated[
        Path | None, typer.Option("--schedule", help="Replay a saved schedule exactly.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help="Mean arrivals, such as 200/s.")
    ] = None,
    phases: Phases = None,
    bursts: BurstTexts = None,
    source: TrafficSource = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Measured time, such as 30s (the default).")
    ] = None,
    mix: Annotated[
        str | None, typer.Option("--mix", help="Shares, such as 'GET /a=60%,GET /b/{1..9}=40%'.")
    ] = None,
    warmup: Annotated[
        str | None,
        typer.Option("--warmup", help="Sent before the measured time and dropped from the result."),
    ] = None,
    arrivals: Annotated[
        Literal["poisson", "uniform"] | None, typer.Option("--arrivals", help="Poisson by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same requests.")] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", help="A request that takes longer has failed.")
    ] = "30s",
    save_schedule: Annotated[
        Path | None, typer.Option("--save-schedule", help="Write the requests to replay them.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the result as JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Permit a host other than this machine.")
    ] = False,
) -> None:
    """Send requests at their own times, however slow the service is, and measure it.

    Latency counts from the moment a request was due, so a stalled service cannot hide
    its queue. Ctrl-C ends early and keeps what finished (exit code 130).

    Example: fastsim load http://127.0.0.1:8000 --traffic traffic.yaml --rate 50/s -o live.json
    """
    from fastsim.cli.output import note, print_json, refuse_existing, save_text
    from fastsim.load.address import parse_address, require_loopback
    from fastsim.load.outcome import to_run
    from fastsim.load.session import check_reachable, run_load
    from fastsim.report.json import to_json
    from fastsim.report.text import render_run

    address = parse_address(url)
    require_loopback(address, allow_remote=allow_remote)
    timeout_s = _positive("--timeout", timeout)
    asked = _Asked(rate, phases, bursts, source, duration, warmup, arrivals, seed, mix, traffic)
    for path in (save_schedule, output):
        if path is not None:
            refuse_existing(path, force=force)
    if save_schedule is not None and traffic is not None:
        _refuse_secrets(traffic)
    plan = _drawn(address, asked) if schedule is None else _replayed(schedule, address, asked)
    check_reachable(address)
    if save_schedule is not None:
        plan.save(save_schedule, force=force)

    with _progress(plan) as on_progress:
        result = run_load(address.origin, plan, timeout_s=timeout_s, on_progress=on_progress)
    inputs = {str(path): _sha256(path) for path in (traffic, schedule) if path is not None}
    run = to_run(result, command=shlex.join(["fastsim", *sys.argv[1:]]), inputs=inputs)
    # Printed first: a full disk must not lose what took minutes to measure.
    if as_json:
        print_json(run)
    else:
        typer.echo(render_run(run), nl=False)
    if run.driver is not None:
        note(
            f"the driver sent {format_duration(run.driver.lag_mean_s, 3)} late on average "
            f"(p99 {format_duration(run.driver.lag_p99_s, 3)}) and used "
            f"{format_share(run.driver.cpu_share, 3)} of a core"
        )
    if output is not None:
        save_text(output, to_json(run), force=force)
    if result.stopped:
        raise typer.Exit(130)
    if run.total.requests and not run.total.completed:
        note(f"no request succeeded: {_why(run.total.errors)}")
        raise typer.Exit(1)


def _why(errors: dict[str, int]) -> str:
    """Name the cause that most requests failed of, and what to do about it."""
    cause = max(errors, key=errors.__getitem__, default="no answer")
    remedies = {
        "status 404": "the service has no such route; name what it serves: --mix 'GET /items=100%'",
        "status 405": "the route takes another method; name it: --mix 'POST /items=100%'",
        "status 422": "the route wants parameters or a body; write a traffic file (--traffic)",
        "status 401": "the service wants a login; give headers in a traffic file (--traffic)",
        "status 403": "the service wants other rights; give headers in a traffic file (--traffic)",
    }
    return f"{cause}; {remedies[cause]}" if cause in remedies else cause


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the user said about drawing a schedule; None where nothing was said."""

    rate: str | None
    phases: str | None
    bursts: str | None
    source: str | None
    duration: str | None
    warmup: str | None
    arrivals: Literal["poisson", "uniform"] | None
    seed: int | None
    mix: str | None
    traffic: Path | None


def _replayed(path: Path, address: "Address", asked: _Asked) -> "Schedule":
    from fastsim.load.schedule import Schedule

    for field in fields(asked):
        if getattr(asked, field.name) is not None:
            raise InputError(
                f"--schedule and --{field.name} exclude each other",
                hint="a saved schedule fixes every request; leave one of them out",
                where=f"--{field.name}",
            )
    if address.path != "/":
        raise InputError(
            f"the schedule holds whole paths, but the URL ends in {address.path}",
            hint=f"write {address.origin}",
            where="URL",
        )
    return Schedule.load(path)


def _drawn(address: "Address", asked: _Asked) -> "Schedule":
    from fastsim.load.schedule import draw_schedule

    mix = _mix(address, asked)
    source = _source(asked, mix)
    if source is not None and source.rate_per_s is not None and asked.rate is None:
        rate_per_s, course = source.rate_per_s, None
    else:
        rate_per_s, course = _rate_and_course(asked)
    with _where("--warmup"):
        warmup_s = 0.0 if asked.warmup is None else parse_duration(asked.warmup)
    return draw_schedule(
        mix,
        rate_per_s=rate_per_s,
        duration_s=_positive("--duration", asked.duration or "30s"),
        course=course,
        bursts=_bursts(asked),
        source=source,
        warmup_s=warmup_s,
        seed=1 if asked.seed is None else asked.seed,
        arrivals=asked.arrivals or "poisson",
        # Without a mix the URL's path is the request itself.
        prefix="" if asked.mix is None and asked.traffic is None else address.prefix,
    )


def _bursts(asked: _Asked) -> "Bursts | None":
    from fastsim.bursts import parse_bursts

    if asked.bursts is None:
        return None
    with _where("--bursts"):
        if asked.arrivals == "uniform":
            raise InputError("bursts do not come evenly", hint="leave --arrivals out")
        return parse_bursts(asked.bursts)


def _source(asked: _Asked, mix: "Mix") -> "Source | None":
    from fastsim.cli.sources import read_source

    if asked.source is None:
        return None
    with _where("--source"):
        others = {
            "phases": asked.phases,
            "bursts": asked.bursts,
            "arrivals": asked.arrivals,
        }
        given = [name for name, value in others.items() if value is not None]
        if given:
            raise InputError(
                f"a source says when requests come: --{given[0]} says it a second time",
                hint=f"leave --source or --{given[0]} out",
            )
        source = read_source(asked.source, list(dict.fromkeys(entry.endpoint for entry in mix)))
        if source.length_s is not None and asked.duration is not None:
            raise InputError(
                "a recording has its own duration",
                hint=f"'{asked.source} in {asked.duration}' repeats it in that time",
            )
        return source


def _rate_and_course(asked: _Asked) -> "tuple[float, Course | None]":
    """Return the mean rate, requests per second, and the phases if there are any."""
    from fastsim.load.course import course_of
    from fastsim.load.rates import phases_of
    from fastsim.phases import check_phases

    rate_per_s = None
    if asked.rate is not None:
        with _where("--rate"):
            rate_per_s = parse_rate(asked.rate)
    if asked.phases is None:
        if rate_per_s is None:
            raise InputError("the rate is missing", hint="add --rate 50/s", where="--rate")
        return rate_per_s, None
    with _where("--phases"):
        if asked.duration is not None:
            raise InputError("phases say how long they last", hint="leave --duration out")
        phases = phases_of(asked.phases)
        check_phases(phases, rate_per_s)
        course, rate_per_s = course_of(phases, rate_per_s)
    return rate_per_s, course


def _mix(address: "Address", asked: _Asked) -> "Mix":
    from fastsim.load.first import prepared
    from fastsim.load.session import check_reachable
    from fastsim.load.traffic_file import TrafficFile, parse_mix, single_path
    from fastsim.yaml_source import load_yaml

    if asked.traffic is not None and asked.mix is not None:
        raise InputError("--traffic and --mix exclude each other", hint="leave one of them out")
    if asked.traffic is not None:
        file = load_yaml(asked.traffic, TrafficFile)
        if file.before:
            check_reachable(address)
        return prepared(file, address)
    if asked.mix is not None:
        with _where("--mix"):
            return parse_mix(asked.mix)
    return single_path(address.path)


def _refuse_secrets(traffic: Path) -> None:
    """Refuse to write down what is captured or comes from the environment."""
    from fastsim.load.traffic_file import TrafficFile, variables_of
    from fastsim.yaml_source import load_yaml

    file = load_yaml(traffic, TrafficFile)
    if any(map(variables_of, file.requests)):
        raise InputError(
            "a saved schedule would hold what is captured or taken from the environment",
            hint="leave --save-schedule out",
            where="--save-schedule",
        )


def _positive(flag: str, text: str) -> float:
    with _where(flag):
        seconds = parse_duration(text)
        if seconds <= 0.0:
            raise InputError(f"{text!r} is not above 0", hint="write it like 30s")
        return seconds


@contextmanager
def _where(flag: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        error.where = error.where or flag
        raise


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _progress(plan: "Schedule") -> "Iterator[Callable[[Progress], None] | None]":
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as bars
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    from fastsim.cli.output import stderr_console

    with bars.Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} sent, {task.fields[note]}"),
        TimeRemainingColumn(),
        console=stderr_console(),
        # Redrawn by our own calls: a refresh thread would compete with the sender.
        auto_refresh=False,
        transient=True,
    ) as bar:
        task = bar.add_task("load", total=len(plan), note="starting")

        def on_progress(now: "Progress") -> None:
            note = f"{now.sent - now.finished} in flight, {now.failed} failed"
            bar.update(task, completed=now.sent, note=note, refresh=True)

        yield on_progress
