"""``fastsim size``: ask the twin for the cheapest deployment that works."""

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
from fastsim.cli.varying import not_varied, parse_varied
from fastsim.errors import InputError


def size(
    file: QuestionFile,
    *,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="PATH=VALUES",
            help="What may change: deployment.workers=1..8, or 5,10,20, or 10..50:10. Repeatable.",
        ),
    ],
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="PATH=COST",
            help="Cost of one unit, in any money: deployment.workers=25. Repeatable.",
        ),
    ] = None,
    rate: Rate = None,
    slo: Slo = None,
    phases: Phases = None,
    bursts: BurstTexts = None,
    source: TrafficSource = None,
    users: UserCount = None,
    think: Think = None,
    mix: Mix = None,
    settings: Settings = None,
    slow: Slow = None,
    faster: Faster = None,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Deployments to list besides the best.")
    ] = 8,
    seed: Seed = None,
    jobs: JobCount = None,
    against: Against = None,
    as_json: AsJson = False,
    as_format: Format = None,
    html: Html = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Search the cheapest deployment that meets the goals.

    Ends with exit code 1 when none does. Ctrl-C ends it with the cheapest that was found by then,
    and exit code 130.

    Example: fastsim size model.yaml --rate 300/s --slo 'p95 < 100ms' --vary deployment.workers=1..8
    """
    from fastsim.cli.against import provenance_of
    from fastsim.cli.output import Delivery, leave_with, progress
    from fastsim.cli.question import (
        apply_traffic,
        ask,
        search_plan,
    )
    from fastsim.report.decisions import render_size, settings_text
    from fastsim.twin.size import find_size

    delivery = Delivery(as_json, as_format, html, output, force)
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
        mix=mix,
    )
    plan, goals = search_plan(question, slo)
    chosen_seed = scenario.seed if seed is None else seed
    provenance = provenance_of(question, file, against, seed=chosen_seed, jobs=jobs)
    with progress("searching", total=1.0) as move:
        answer = find_size(
            plan,
            goals,
            parse_vary(vary),
            prices=parse_prices(price or []),
            seed=chosen_seed,
            jobs=jobs,
            on_trial=lambda tried, done, total: move(
                done / total, f"trying {settings_text(tried)}"
            ),
        )
    answer.provenance = provenance
    delivery.hand_over(answer, render=lambda: render_size(answer, top=top))
    leave_with(answer.verdict, stopped=answer.stopped)


def parse_vary(texts: list[str]) -> dict[str, list[int]]:
    """Read ``path=1..8``, ``path=5,10,20`` or ``path=10..50:10``.

    Raises
    ------
    InputError
        When a text is none of these, or a path stands twice.
    """
    found: dict[str, list[int]] = {}
    for path, values in parse_varied(texts).items():
        try:
            found[path] = sorted({int(value) for value in values})
        except ValueError:
            found[path] = [0]
        if min(found[path]) < 1:
            raise not_varied(f"{path}={','.join(values)}")
    return found


def parse_prices(texts: list[str]) -> dict[str, float]:
    """Read ``path=25``.

    Raises
    ------
    InputError
        When a price is no number, or below 0, or a path stands twice.
    """
    prices: dict[str, float] = {}
    for text in texts:
        path, equals, cost = (part.strip() for part in text.partition("="))
        try:
            price = float(cost)
        except ValueError:
            price = -1.0
        if not equals or not path or not 0.0 <= price < float("inf"):
            raise InputError(
                f"{text!r} is not a price",
                hint="write it like deployment.workers=25",
                where="--price",
            )
        if path in prices:
            raise InputError(f"{path} has two prices", where="--price")
        prices[path] = price
    return prices
