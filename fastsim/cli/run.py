"""``fastsim run``: ask the twin whether the service will hold."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    file: Annotated[
        Path, typer.Argument(help="A model.yaml or scenario.yaml.", show_default=False)
    ],
    *,
    rate: Annotated[
        str | None, typer.Option("--rate", help="Mean arrivals, such as 300/s.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Measured time, such as 60s.")
    ] = None,
    warmup: Annotated[
        str | None, typer.Option("--warmup", help="Simulated before and not counted.")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            "--mix", help="Shares, such as 'GET /a=60%'; the rest keep their proportions."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Change a key of the scenario, such as deployment.workers=4. Repeatable.",
        ),
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option("--slo", help="A goal, such as 'p95 < 100ms'. Repeatable."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Same seed, same answer.")
    ] = None,
    replications: Annotated[
        int | None,
        typer.Option("--replications", min=1, help="Independent simulations; more narrow it."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", min=1, help="Processes; every core when it pays. Never changes the answer."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the result as JSON.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Simulate a service under traffic: latency, throughput, errors, bottleneck, goals.

    Ends with exit code 1 when a goal is missed, and with 3 when more arrives than the
    service can do and no goal was set: then there is no steady answer.
    """
    from fastsim.cli.output import print_json, progress, refuse_existing, save_text
    from fastsim.cli.question import apply_settings, apply_traffic, read_question
    from fastsim.errors import NoSteadyStateError
    from fastsim.report.json import to_json
    from fastsim.report.text import render_run
    from fastsim.twin.forecast import forecast_run
    from fastsim.twin.trust import find_overload

    if output is not None:
        refuse_existing(output, force=force)
    question = apply_settings(read_question(file), settings or [])
    scenario = question.scenario
    apply_traffic(scenario, rate=rate, duration=duration, warmup=warmup, mix=mix)
    count = scenario.replications if replications is None else replications
    with progress("simulating", total=count) as move:
        answer, found = forecast_run(
            question.model,
            traffic=scenario.traffic,
            deployment=scenario.deployment,
            slo=[*scenario.slo, *(slo or [])],
            replications=count,
            seed=scenario.seed if seed is None else seed,
            jobs=jobs,
            on_progress=lambda done, _: move(done),
            with_advice=True,
        )
    answer.provenance = question.provenance()
    if output is not None:
        save_text(output, to_json(answer), force=force)
    if as_json:
        print_json(answer)
    else:
        typer.echo(render_run(answer), nl=False)
    if answer.verdict == "no":
        raise typer.Exit(1)
    overload = find_overload(found)
    if overload is not None and not answer.slo:
        raise NoSteadyStateError(
            answer.warnings[0], hint="lower --rate, or add workers or slots with --set"
        )
