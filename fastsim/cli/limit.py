"""``fastsim limit``: ask the twin where the service breaks."""

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
    Seed,
    Settings,
    Slo,
    Slow,
    TrafficSource,
)


def limit(
    file: QuestionFile,
    *,
    slo: Slo = None,
    phases: Phases = None,
    bursts: BurstTexts = None,
    source: TrafficSource = None,
    mix: Mix = None,
    settings: Settings = None,
    slow: Slow = None,
    faster: Faster = None,
    seed: Seed = None,
    replications: OfEachLoad = 6,
    jobs: JobCount = None,
    against: Against = None,
    as_json: AsJson = False,
    as_format: Format = None,
    html: Html = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Search the highest load that meets the goals, and the load that is too much.

    Ends with exit code 1 when the goals are missed even by a service that hardly has anything
    to do. Without goals only the saturation is searched. Ctrl-C ends it with the loads that were
    tried, and exit code 130.

    Example: fastsim limit model.yaml --slo 'p95 < 100ms'
    """
    from fastsim.cli.against import provenance_of
    from fastsim.cli.output import Delivery, leave_with, progress
    from fastsim.cli.question import (
        apply_traffic,
        ask,
        search_plan,
    )
    from fastsim.report.wording import rate as rate_text
    from fastsim.twin.limit import find_limit

    delivery = Delivery(as_json, as_format, html, output, force)
    question = ask(file, settings, slow, faster)
    scenario = question.scenario
    apply_traffic(scenario, phases=phases, bursts=bursts, source=source, mix=mix)
    plan, goals = search_plan(question, slo, from_anywhere=True)
    chosen_seed = scenario.seed if seed is None else seed
    provenance = provenance_of(question, file, against, seed=chosen_seed, jobs=jobs)
    with progress("searching", total=1.0) as move:
        answer = find_limit(
            plan,
            goals,
            replications=replications,
            seed=chosen_seed,
            jobs=jobs,
            on_trial=lambda tried, done: move(done, f"trying {rate_text(tried)}"),
        )
    answer.provenance = provenance
    delivery.hand_over(answer)
    leave_with(answer.verdict, stopped=answer.stopped)
