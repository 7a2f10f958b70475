"""``fastsim sweep``: ask the twin about every combination of some settings."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

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
    OfEachLoad,
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
from fastsim.errors import ExitCode, InputError

if TYPE_CHECKING:
    from fastsim.cli.question import Question
    from fastsim.twin.sweep import SweepCase

_SHORT = {"rate": "traffic.rate", "users": "traffic.users.count"}
_WHAT_IF = ("slow", "faster")


def sweep(
    file: QuestionFile,
    *,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="PATH=VALUES",
            help="deployment.workers=1..4, rate=100/s..500/s:100/s, slow.db=1x,2x. Repeatable.",
        ),
    ],
    rate: Rate = None,
    phases: Phases = None,
    bursts: BurstTexts = None,
    source: TrafficSource = None,
    users: UserCount = None,
    think: Think = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Measured time of each, such as 60s.")
    ] = None,
    mix: Mix = None,
    settings: Settings = None,
    slow: Slow = None,
    faster: Faster = None,
    slo: Slo = None,
    seed: Seed = None,
    replications: OfEachLoad = 4,
    jobs: JobCount = None,
    against: Against = None,
    as_json: AsJson = False,
    as_format: Format = None,
    html: Html = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Simulate every combination of some settings and put the answers side by side.

    What can vary is what --set can change, the rate, and parts of the service (slow.db,
    faster.cpu). Ends with exit code 1 when there are goals and no combination meets them. Ctrl-C
    ends it with the combinations that are done, and exit code 130.

    Example: fastsim sweep model.yaml --vary rate=100/s..500/s:100/s --vary deployment.workers=1,2
    """
    from fastsim.cli.against import provenance_of
    from fastsim.cli.output import Delivery, progress
    from fastsim.cli.question import apply_traffic, ask
    from fastsim.cli.varying import combinations, parse_varied
    from fastsim.twin.sweep import settings_text
    from fastsim.twin.sweep import sweep as simulate

    delivery = Delivery(as_json, as_format, html, output, force)
    varied = parse_varied(vary)
    if users is None and "users" in varied:
        users = 1  # how many, each combination says
    question = ask(file, settings, slow, faster)
    scenario = question.scenario
    apply_traffic(
        scenario,
        rate=rate,
        phases=phases,
        bursts=bursts,
        source=source,
        users=users,
        think=think,
        duration=duration,
        mix=mix,
    )
    try:
        cases = [_case(question, chosen) for chosen in combinations(varied)]
    except InputError as error:
        error.where = "--vary"
        raise
    chosen_seed = scenario.seed if seed is None else seed
    provenance = provenance_of(question, file, against, seed=chosen_seed, jobs=jobs)
    with progress("sweeping", total=1.0) as move:
        answer = simulate(
            cases,
            varied,
            [*scenario.slo, *(slo or [])],
            title=question.model.service,
            replications=replications,
            seed=chosen_seed,
            jobs=jobs,
            on_point=lambda tried, done: move(done, f"trying {settings_text(tried)}"),
        )
    answer.provenance = provenance
    delivery.hand_over(answer)
    if len(answer.points) < len(cases):
        raise typer.Exit(ExitCode.INTERRUPTED)
    if answer.verdict == "no":
        raise typer.Exit(1)


def _case(question: "Question", chosen: Mapping[str, str]) -> "SweepCase":
    """Return a combination as something that can be simulated."""
    from fastsim.cli.question import apply_settings, apply_what_if
    from fastsim.cli.sources import source_of
    from fastsim.phases import check_phases
    from fastsim.scenario import check_users
    from fastsim.twin.sweep import SweepCase

    changes: dict[str, list[str]] = {name: [] for name in _WHAT_IF}
    settings = []
    for path, value in chosen.items():
        kind, _, part = path.partition(".")
        if kind in _WHAT_IF and part:
            changes[kind].append(f"{part}={value}")
        else:
            settings.append(f"{_SHORT.get(path, path)}={value}")
    changed = apply_settings(question, settings)
    changed = apply_what_if(changed, changes["slow"], changes["faster"])
    scenario = changed.scenario
    check_phases(scenario.traffic.phases, scenario.traffic.rate)
    check_users(scenario.traffic)
    return SweepCase(
        dict(chosen), changed.model, scenario.traffic, scenario.deployment, source_of(changed)
    )
