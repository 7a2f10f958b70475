"""``fastsim calibrate``: traces in, a fitted model out."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastsim.cli.options import Over, Sampled, parse_over, parse_sampled
from fastsim.errors import InputError
from fastsim.units import format_rate, format_share, parse_duration, parse_share

if TYPE_CHECKING:
    from fastsim.calibrate.requests import RequestSet
    from fastsim.calibrate.selfcheck import SelfCheck
    from fastsim.model import ServiceModel
    from fastsim.twin.live import LiveSample
    from fastsim.twin.processes import Processes

WORTH_PROCESSES = 3_000
"""Requests from which replays of the recording are worth starting processes for, beside the fit."""


def calibrate(
    traces: Annotated[
        list[str],
        typer.Argument(
            help="trace files, directories or globs; - for standard input; or metrics of Prometheus"
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="where to write the model")] = Path(
        "model.yaml"
    ),
    service: Annotated[
        str | None, typer.Option("--service", help="which service, when the traces hold several")
    ] = None,
    client: Annotated[
        Path | None,
        typer.Option("--client", help="load result of the same recording: fits the network too"),
    ] = None,
    skip_first: Annotated[
        str | None, typer.Option("--skip-first", help="warm-up to leave out, such as 2s")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="of a table: trace=TraceID,start=Start:ns,duration=Took:ms"),
    ] = None,
    sampled: Sampled = None,
    over: Over = None,
    assume_cpu: Annotated[
        str | None,
        typer.Option("--assume-cpu", help="without FastSim's timeline: code's share of the gaps"),
    ] = None,
    busy: Annotated[
        str | None,
        typer.Option(
            "--busy", help="without FastSim's timeline: CPU of each process, of one core (40%)"
        ),
    ] = None,
    loops: Annotated[
        int,
        typer.Option(
            "--loops", min=1, help="without FastSim's timeline: workers that share an instance id"
        ),
    ] = 1,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="replay the recording through the twin")
    ] = True,
    diff: Annotated[
        Path | None, typer.Option("--diff", help="older model of the service: say what drifted")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="another recording: does the twin foretell it?"),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="a page too: laws beside what was seen, and the self-check"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="of the self-check")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print the model as JSON")] = False,
    force: Annotated[bool, typer.Option("--force", help="overwrite an existing model")] = False,
) -> None:
    """Fit a model of a service to its traces.

    Every wait is fitted by maximum likelihood with its queueing taken out, every piece of
    code by its CPU. The twin then replays the recording; a bad self-check is the first
    thing to read. Metrics alone (latency histograms) give a coarse model.

    Example: fastsim calibrate traces/ -o model.yaml
    """
    from fastsim.calibrate.build import build_model, hash_inputs, read_requests
    from fastsim.calibrate.readers import parse_columns
    from fastsim.cli.calibrate_beside import against_lines, compare_beside, drift_lines
    from fastsim.cli.of_metrics import is_metrics, of_metrics, refuse_of_traces
    from fastsim.cli.output import note, print_json, progress, refuse_existing, save_text
    from fastsim.twin.processes import shared
    from fastsim.yaml_writing import dump_yaml, write_new

    code_share = None if assume_cpu is None else parse_share(assume_cpu)
    if code_share is not None and not 0.0 <= code_share <= 1.0:
        raise InputError(f"{assume_cpu!r} is not a share from 0% to 100%", where="--assume-cpu")
    used = None if busy is None else parse_share(busy)
    if used is not None and not 0.0 < used <= 8.0:
        raise InputError(f"{busy!r} is not the CPU of a process", where="--busy")
    part = parse_sampled(sampled)
    named = None if columns is None else parse_columns(columns)
    skip_first_s = None if skip_first is None else parse_duration(skip_first)
    refuse_existing(output, force=force)
    if html is not None:
        refuse_existing(html, force=force)
    if is_metrics(traces):
        refuse_of_traces(
            {
                "--client": client,
                "--skip-first": skip_first,
                "--columns": columns,
                "--sampled": sampled,
                "--assume-cpu": assume_cpu,
                "--diff": diff,
                "--against": against,
                "--html": html,
            }
        )
        model = of_metrics(Path(traces[0]), parse_over(over), service, used, loops)
        write_new(output, dump_yaml(model), force=force)
        if as_json:
            print_json(model)
        else:
            typer.echo(_summary(model, output, []))
        return
    parse_over(over, of_metrics=False)
    older, other = _to_hold_against(diff, against, service, part)
    with progress("reading traces"):
        requests = read_requests(
            traces, service=service, skip_first_s=skip_first_s, columns=named, sampled=part
        )
    note(requests.account.summary())
    for problem in requests.reading:
        note(f"  {problem}")
    command = shlex.join(["fastsim", *sys.argv[1:]])
    with shared(None) as jobs:
        if len(requests) >= WORTH_PROCESSES:
            jobs.start()  # beside the fit
        with progress("fitting", 1.0) as bar:
            model = build_model(
                requests,
                command=command,
                data_sha256=hash_inputs(traces),
                assume_cpu=code_share,
                busy=used,
                loops=loops,
                jobs=jobs,
                on_progress=lambda what, done: bar(done, f"fitting {what}"),
            )
        if check or client is not None:
            model = _checked(model, requests, client, seed, jobs)
    write_new(output, dump_yaml(model), force=force)
    beside, answers = [], []
    if older is not None and diff is not None:
        beside += drift_lines(older, model, diff)
    if other is not None and against is not None:
        with progress("replaying the other recording"):
            answers.append(compare_beside(model, other, seed))
        beside += against_lines(answers[0], against)
    if html is not None:
        from fastsim.report.page import page_of

        save_text(html, page_of(answers, model), force)
    if as_json:
        print_json(model)
        note("\n".join(beside))
    else:
        typer.echo(_summary(model, output, beside))


def _to_hold_against(
    diff: Path | None, against: Path | None, service: str | None, sampled: float | None
) -> "tuple[ServiceModel | None, LiveSample | None]":
    """Read the older model and the other recording: before anything is fitted."""
    from fastsim.cli.calibrate_beside import read_older
    from fastsim.cli.recorded_live import read_recorded

    older = None if diff is None else read_older(diff)
    return older, None if against is None else read_recorded(against, service, sampled).sample


def _checked(
    model: "ServiceModel",
    requests: "RequestSet",
    client: Path | None,
    seed: int,
    jobs: "Processes",
) -> "ServiceModel":
    from fastsim.calibrate.selfcheck import check_warnings, replay_recording
    from fastsim.cli.output import progress

    with progress("replaying the recording"):
        found: SelfCheck = replay_recording(model, requests, seed=seed, jobs=jobs)
    updates: dict[str, object] = {
        "self_check": found.rows,
        "warnings": check_warnings(found) + model.warnings,
    }
    if client is not None:
        updates["client"] = _client_path(client, requests, found)
    return model.model_copy(update=updates)


def _client_path(client: Path, requests: "RequestSet", found: "SelfCheck") -> object:
    from pydantic import ValidationError

    from fastsim.calibrate.client_path import fit_client_overhead
    from fastsim.model import ClientPath
    from fastsim.result import Run

    try:
        run = Run.model_validate_json(client.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {client}: {error.strerror}", where="--client") from None
    except ValidationError:
        raise InputError(
            f"{client} is not the result of fastsim load",
            hint="write one with: fastsim load ... -o load.json",
            where="--client",
        ) from None
    return ClientPath(overhead=fit_client_overhead(run, requests, found.before_application_s))


def _summary(model: "ServiceModel", output: Path, beside: list[str]) -> str:
    """Say what was fitted and how well the twin repeats it, in 80 columns."""
    from fastsim.report.findings import self_check_sentence
    from fastsim.report.layout import aligned, finish, labelled, warnings_text, wrapped
    from fastsim.report.wording import MARKS, clean, duration, metric_name, plural, signed_percent

    head = f"{clean(model.service)}: {plural(len(model.endpoints), 'endpoint')} fitted"
    if model.traffic is not None:
        busy = model.traffic.utilisation
        head += f" at {format_rate(model.traffic.rate, 4)}"
        head += "" if busy is None else f", event loop {format_share(busy, 3)} busy"
    lines = [*wrapped(head), ""]
    rows = [
        [
            f"{clean(row.endpoint)} {metric_name(row.metric)}",
            duration(row.recorded),
            duration(row.twin),
            signed_percent(row.error),
            f"{MARKS[row.verdict]} {row.verdict}",
        ]
        for row in model.self_check
    ]
    if rows:
        table = [["self-check", "recorded", "twin", "error", "verdict"], *rows]
        lines += [*aligned(table, "<>>><", first_wide=True), ""]
        lines += labelled("Check", self_check_sentence(model).removeprefix("Self-check: "))
    lines += beside
    lines += warnings_text(model.warnings)
    lines += labelled("Model", f"written to {output}; next: fastsim show {output}")
    return finish(lines).rstrip()
