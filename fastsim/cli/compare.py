"""``fastsim compare``: set the twin against what the live service did."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastsim.cli.options import (
    AsJson,
    Force,
    Format,
    Html,
    JobCount,
    Output,
    Over,
    Sampled,
    Seed,
    Think,
    UserCount,
    parse_over,
    parse_sampled,
)
from fastsim.errors import ExitCode, InputError

EXIT_CODES = {
    "agrees": ExitCode.YES,
    "off": ExitCode.NO,
    "cannot tell": ExitCode.NO_ANSWER,
}

if TYPE_CHECKING:
    from fastsim.calibrate.requests import RequestSet
    from fastsim.cli.question import Question
    from fastsim.result import Run
    from fastsim.twin.live import LiveSample
    from fastsim.twin.live_summary import LiveSummary


def compare(
    twin: Annotated[
        Path,
        typer.Argument(
            help="A model.yaml, a scenario.yaml or a stored result of fastsim run.",
            show_default=False,
        ),
    ],
    live: Annotated[
        Path,
        typer.Argument(
            help="A result of fastsim load, recorded traces, or what Locust, k6, vegeta, oha, hey, "
            "JMeter, wrk2 or Prometheus measured.",
            show_default=False,
        ),
    ],
    *,
    tolerance: Annotated[
        list[str] | None,
        typer.Option("--tolerance", help="Such as p95=10%; the metric then counts. Repeatable."),
    ] = None,
    mode: Annotated[
        Literal["free", "arrivals"],
        typer.Option("--mode", help="Draw arrivals, or repeat the live ones (less noise)."),
    ] = "free",
    view: Annotated[
        Literal["client", "server"] | None,
        typer.Option("--view", help="Latencies of the client (load results) or server (traces)."),
    ] = None,
    recorded: Annotated[
        bool | None,
        typer.Option(
            "--recorded/--not-recorded",
            help="Whether fastsim record watched the live run, which costs it CPU. "
            "[default: what traces show; not, for load results]",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a key of the scenario."),
    ] = None,
    service: Annotated[
        str | None, typer.Option("--service", help="The service, if the traces hold several.")
    ] = None,
    sampled: Sampled = None,
    over: Over = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="What was asked, where the tool does not say: 'GET /a'."),
    ] = None,
    users: UserCount = None,
    think: Think = None,
    seed: Seed = None,
    replications: Annotated[
        int, typer.Option("--replications", min=20, help="Simulations to compare with.")
    ] = 40,
    jobs: JobCount = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every value, not only those that count.")
    ] = False,
    as_json: AsJson = False,
    as_format: Format = None,
    html: Html = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Compare the twin with live measurements: agrees, off, or cannot tell.

    Agreement has to be shown: the error and all that chance may have done to it must lie within
    the tolerance, for p50 and p95 of every endpoint and of the total, or the metrics that
    --tolerance names. Exit codes: 0 agrees, 1 off, 3 cannot tell.

    Example: fastsim compare model.yaml live.json
    """
    from fastsim.cli.against import provenance_of
    from fastsim.cli.output import Delivery, progress
    from fastsim.cli.question import apply_settings, apply_traffic, read_question
    from fastsim.report.text import render_comparison
    from fastsim.twin.compare import compare as compare_twin
    from fastsim.twin.live import simulate_live
    from fastsim.twin.live_summary import LiveSummary

    delivery = Delivery(as_json, as_format, html, output, force)
    limits = _limits(tolerance or [])
    stored = _read_run(twin)
    question = None if stored is not None else apply_settings(read_question(twin), settings or [])
    sample, requests, said = read_live(
        live,
        service,
        _endpoints(stored, question),
        endpoint,
        users=users is not None,
        sampled=sampled,
        over=over,
    )
    seen: Literal["client", "server"] = "client" if requests is None else "server"
    if isinstance(sample, LiveSummary):
        seen = sample.view
    if recorded is not None:
        sample = replace(sample, recorded=recorded)
    if view is not None and view != seen:
        raise InputError(
            f"{live} holds {seen} latencies, not {view} latencies",
            hint="load results are the client view, traces the server view",
            where="--view",
        )
    if stored is not None:
        _refuse_for_stored(settings, mode, seed, recorded)
        result = compare_twin(stored, sample, view=seen, tolerance=limits)
    elif question is not None:
        scenario = question.scenario
        apply_traffic(scenario, users=users, think=think)
        with progress("simulating", total=replications) as move:
            found = simulate_live(
                question.model,
                sample,
                mode="arrival replay" if mode == "arrivals" else "free",
                deployment=scenario.deployment,
                users=scenario.traffic.users,
                warmup_s=scenario.traffic.warmup,
                replications=replications,
                seed=scenario.seed if seed is None else seed,
                jobs=jobs,
                on_progress=lambda done, _: move(done),
            )
        result = compare_twin(
            found,
            sample,
            mode="arrival replay" if mode == "arrivals" else "free",
            view=seen,
            tolerance=limits,
        )
        result.provenance = provenance_of(question, twin, None, others=[live], seed=0, jobs=jobs)
        if result.verdict == "off" and requests is not None:
            from fastsim.cli.calibrate_beside import reasons

            with progress("looking for what differs"):
                result.reasons = reasons(question.model, requests)
    result.warnings = said + result.warnings
    delivery.hand_over(result, render=lambda: render_comparison(result, every=every))
    if code := EXIT_CODES[result.verdict]:
        raise typer.Exit(code)


def _limits(texts: list[str]) -> dict[str, float]:
    from fastsim.cli.question import flag
    from fastsim.twin.compare import checked_tolerance
    from fastsim.units import parse_share

    limits: dict[str, float] = {}
    with flag("--tolerance"):
        for text in texts:
            metric, equals, share = (part.strip() for part in text.partition("="))
            if not equals:
                raise InputError(f"{text!r} is not a tolerance", hint="write it like p95=10%")
            limits[metric] = parse_share(share)
    return checked_tolerance(limits)  # before anything is simulated


def _read_run(path: Path) -> "Run | None":
    """Return a stored run, None if the file is something else.

    Raises
    ------
    FileFormatError
        When the file is a torn or damaged run.
    """
    from pydantic import ValidationError

    from fastsim.errors import FileFormatError
    from fastsim.result import Run
    from fastsim.yaml_source import read_text

    if not _begins_as_run(path):
        return None
    try:
        return Run.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FileFormatError(
            f"{path} is not a whole result: {place + ': ' if place else ''}{first['msg']}",
            hint="write it again with fastsim run or fastsim load",
            where=str(path),
        ) from None


def _begins_as_run(path: Path) -> bool:
    """Tell by the first bytes; traces may be directories, patterns or very large."""
    import re

    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(400)
    return re.search(rb'^\s*\{[^{}\[\]]*"kind"\s*:\s*"run"', head) is not None


def read_live(
    path: Path,
    service: str | None,
    endpoints: list[str],
    endpoint: str | None,
    *,
    users: bool,
    sampled: str | None = None,
    over: str | None = None,
) -> "tuple[LiveSample | LiveSummary, RequestSet | None, list[str]]":
    """Return what was measured, the requests of a recording (the view of the server), remarks."""
    from fastsim.cli.recorded_live import read_recorded
    from fastsim.cli.tool_live import of_tool
    from fastsim.load.tools import ToolSummary, read_tool
    from fastsim.twin.live import LiveSample

    stored = _read_run(path)
    if stored is not None:
        parse_sampled(sampled, of_traces=False)
        parse_over(over, of_metrics=False)
        return LiveSample.of_run(stored, where=str(path)), None, []
    measured = read_tool(path, parse_over(over))
    parse_over(over, of_metrics=isinstance(measured, ToolSummary) and measured.view == "server")
    if measured is not None:
        parse_sampled(sampled, of_traces=False)
        sample, said = of_tool(measured, endpoints, endpoint, users=users)
        return sample, None, said
    recording = read_recorded(path, service, parse_sampled(sampled))
    return recording.sample, recording.requests, recording.remarks()


def _endpoints(stored: "Run | None", question: "Question | None") -> list[str]:
    """Return the endpoints of the twin, which other tools name in their own way."""
    if stored is not None:
        return list(stored.endpoints)
    return [] if question is None else [each.name for each in question.model.endpoints]


def _refuse_for_stored(
    settings: list[str] | None, mode: str, seed: int | None, recorded: bool | None
) -> None:
    asked = {
        "--set": bool(settings),
        "--mode": mode != "free",
        "--seed": seed is not None,
        "--recorded": recorded is not None,
    }
    for name, given in asked.items():
        if given:
            raise InputError(
                f"{name} does nothing to a stored result",
                hint="name the model or scenario instead, so that it is simulated",
                where=name,
            )
