"""``fastsim run``: ask the twin whether the service will hold."""

from typing import Annotated

import typer

from fastsim.cli.options import (
    Against,
    AsJson,
    BurstTexts,
    Faster,
    Force,
    Format,
    Html,
    JobCount,
    Mix,
    Output,
    Phases,
    QuestionFile,
    Rate,
    Seed,
    Settings,
    Slo,
    Slow,
    Think,
    TrafficSource,
    UserCount,
)


def run(
    file: QuestionFile,
    *,
    rate: Rate = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Measured time, such as 60s.")
    ] = None,
    warmup: Annotated[
        str | None, typer.Option("--warmup", help="Simulated before and not counted.")
    ] = None,
    phases: Phases = None,
    bursts: BurstTexts = None,
    source: TrafficSource = None,
    users: UserCount = None,
    think: Think = None,
    mix: Mix = None,
    settings: Settings = None,
    slow: Slow = None,
    faster: Faster = None,
    slo: Slo = None,
    seed: Seed = None,
    replications: Annotated[
        int | None,
        typer.Option("--replications", min=1, help="Independent simulations; more narrow it."),
    ] = None,
    jobs: JobCount = None,
    against: Against = None,
    as_json: AsJson = False,
    as_format: Format = None,
    html: Html = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Simulate a service under traffic: latency, throughput, errors, bottleneck, goals.

    Ends with exit code 1 when a goal is missed, and with 3 when more arrives than the
    service can do and no goal was set: then there is no steady answer. Ctrl-C ends it with
    what has been simulated so far, and exit code 130.

    Example: fastsim run model.yaml --rate 300/s --slo 'p95 < 100ms'
    """
    from fastsim.cli.against import provenance_of
    from fastsim.cli.output import Delivery, progress
    from fastsim.cli.question import (
        apply_traffic,
        ask,
    )
    from fastsim.cli.sources import source_of
    from fastsim.errors import ExitCode, NoSteadyStateError
    from fastsim.twin.forecast import forecast_run
    from fastsim.twin.trust import find_overload

    delivery = Delivery(as_json, as_format, html, output, force)
    question = ask(file, settings, slow, faster)
    scenario = question.scenario
    apply_traffic(
        scenario,
        rate=rate,
        duration=duration,
        warmup=warmup,
        phases=phases,
        bursts=bursts,
        source=source,
        users=users,
        think=think,
        mix=mix,
    )
    count = scenario.replications if replications is None else replications
    chosen_seed = scenario.seed if seed is None else seed
    provenance = provenance_of(question, file, against, seed=chosen_seed, jobs=jobs)
    with progress("simulating", total=count) as move:
        answer, found = forecast_run(
            question.model,
            traffic=scenario.traffic,
            deployment=scenario.deployment,
            source=source_of(question),
            slo=[*scenario.slo, *(slo or [])],
            replications=count,
            seed=chosen_seed,
            jobs=jobs,
            on_progress=lambda done, total: move(done * count // total),
            with_advice=True,
            with_doubt=True,
            keep=True,
        )
    answer.provenance = provenance
    delivery.hand_over(answer)
    if found.stopped:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if answer.verdict == "no":
        raise typer.Exit(1)
    overload = find_overload(found)
    if overload is not None and not answer.slo:
        raise NoSteadyStateError(
            answer.warnings[0], hint="lower --rate, or add workers or slots with --set"
        )
