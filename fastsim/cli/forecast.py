"""``fastsim forecast``: ask until when the service holds, by the load that it had."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastsim.cli.options import (
    Against,
    AsJson,
    Faster,
    Force,
    Format,
    Html,
    JobCount,
    Mix,
    OfEachLoad,
    Output,
    QuestionFile,
    Sampled,
    Seed,
    Settings,
    Slo,
    Slow,
    parse_sampled,
)
from fastsim.errors import InputError

if TYPE_CHECKING:
    from fastsim.load.history import History
    from fastsim.load.seasons import LoadEvent

_DAY_S = 86400.0
_MOST_DAYS = 400.0


def forecast(
    file: QuestionFile,
    history: Annotated[
        Path,
        typer.Option(
            "--history",
            help="Rates over weeks: CSV (time, rate), a Prometheus answer, or traces.",
            show_default=False,
        ),
    ],
    *,
    horizon: Annotated[str, typer.Option("--horizon", help="How far to look.")] = "30d",
    growth: Annotated[
        str | None,
        typer.Option("--growth", help="Instead of what the history shows: 5%/month."),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="DAY=TIMES",
            help="Days of another load: 2026-11-27=x3, 2026-12-01..2026-12-24=x1.4. Repeatable.",
        ),
    ] = None,
    holidays: Annotated[
        str | None,
        typer.Option(
            "--holidays",
            metavar="PLACE",
            help="Public holidays of a country or a part: DE, DE-BY, US-CA (extra: forecast).",
        ),
    ] = None,
    method: Annotated[
        Literal["seasons", "mstl"],
        typer.Option(
            "--method",
            help="How the load is carried on: our own fit, or MSTL with exponential smoothing of "
            "statsmodels (extra: forecast). The backtest says which is better.",
        ),
    ] = "seasons",
    sampled: Sampled = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="PATH=COST",
            help="Cost of one unit for an hour, in any money: deployment.replicas=0.05. The first "
            "one follows the load. Repeatable.",
        ),
    ] = None,
    slo: Slo = None,
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
    """Carry the load of past weeks on, and say when the goals are missed.

    Ends with exit code 1 when a goal is more likely missed than met in some hour of the horizon.
    Hours and days are those of UTC.

    Example: fastsim forecast model.yaml --history rates.csv --growth 5%/month --slo 'p95 < 100ms'
    """
    from fastsim.cli.against import provenance_of
    from fastsim.cli.output import Delivery, leave_with, progress
    from fastsim.cli.question import (
        apply_traffic,
        ask,
        flag,
        search_plan,
    )
    from fastsim.cli.size import parse_prices
    from fastsim.load.special_days import holidays_of
    from fastsim.twin.outlook import look_ahead
    from fastsim.units import parse_duration

    delivery = Delivery(as_json, as_format, html, output, force)
    with flag("--horizon"):
        ahead_s = parse_duration(horizon)
        if not 3600.0 <= ahead_s <= _MOST_DAYS * _DAY_S:
            raise InputError(f"{horizon} is not between an hour and {_MOST_DAYS:g} days")
    with flag("--growth"):
        growth_per_month = None if growth is None else parse_growth(growth)
    with flag("--event"):
        parsed = [parse_event(text) for text in events or []]
    prices = parse_prices(price or [])
    question = ask(file, settings, slow, faster)
    scenario = question.scenario
    apply_traffic(scenario, mix=mix)
    past = _history(history, sampled)
    special = None
    if holidays is not None:
        special = holidays_of(holidays, past.start_s, float(past.hours_s()[-1]) + ahead_s)
    plan, goals = search_plan(question, slo, from_anywhere=True)
    chosen_seed = scenario.seed if seed is None else seed
    provenance = provenance_of(
        question, file, against, others=[history], seed=chosen_seed, jobs=jobs
    )
    with progress("searching", total=1.0) as move:
        answer = look_ahead(
            plan,
            goals,
            past,
            hours=round(ahead_s / 3600.0),
            growth_per_month=growth_per_month,
            events=parsed,
            holidays=special,
            method=method,
            prices=prices,
            replications=replications,
            seed=chosen_seed,
            jobs=jobs,
            on_step=move,
        )
    answer.provenance = provenance
    delivery.hand_over(answer)
    leave_with(answer.verdict, stopped=answer.stopped)


def _history(path: Path, sampled: str | None) -> "History":
    """Read rates, or else traces, whose requests are counted."""
    from fastsim.load.history import NoRatesError, from_arrivals, read_history

    try:
        found = read_history(path)
    except NoRatesError as no_rates:
        part = parse_sampled(sampled)
        from fastsim.calibrate.build import read_requests
        from fastsim.calibrate.growth import unsampled
        from fastsim.cli.output import progress

        try:
            with progress("reading traces"):
                requests = read_requests([path], skip_first_s=0.0, sampled=part)
        except InputError:
            raise no_rates from None
        return from_arrivals(requests.start_ns, unsampled(requests))
    parse_sampled(sampled, of_traces=False)
    return found


def parse_growth(text: str) -> float:
    """Read a growth per month: ``5%/month``, ``-2%/month``, ``80%/year``, ``1%/week``.

    Raises
    ------
    InputError
        When it is none.
    """
    from fastsim.load.history import HOUR_S
    from fastsim.load.seasons import DAY_H, MONTH_S
    from fastsim.units import parse_share

    amount, slash, per = (part.strip() for part in text.partition("/"))
    months = {"month": 1.0, "year": 12.0, "week": 7.0 * DAY_H * HOUR_S / MONTH_S}.get(per)
    sign = -1.0 if amount.startswith("-") else 1.0
    try:
        share = sign * parse_share(amount.lstrip("+-"))
    except InputError:
        months = None
    if months is None or not slash or share <= -1.0:
        raise InputError(f"{text!r} is no growth", hint="write it like 5%/month or 80%/year")
    return float((1.0 + share) ** (1.0 / months) - 1.0)


def parse_event(text: str) -> "LoadEvent":
    """Read days of another load: ``2026-11-27=x3``, ``2026-12-01..2026-12-24=x1.4``.

    Raises
    ------
    InputError
        When it is none.
    """
    from datetime import UTC, datetime

    from fastsim.load.seasons import LoadEvent

    days, _, times = (part.strip() for part in text.partition("="))
    first, _, last = (part.strip() for part in days.partition(".."))
    try:
        begin, end = (
            datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
            for day in (first, last or first)
        )
        factor = float(times.strip("x×"))
    except ValueError:
        factor = 0.0
    if not 0.0 < factor < float("inf") or end < begin:
        raise InputError(f"{text!r} is no event", hint="write it like 2026-11-27=x3")
    return LoadEvent(begin, end + _DAY_S, factor)
