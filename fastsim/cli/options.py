"""Options that several asking commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fastsim.errors import InputError
from fastsim.units import parse_duration, parse_share

QuestionFile = Annotated[
    Path, typer.Argument(help="A model.yaml or scenario.yaml.", show_default=False)
]
Rate = Annotated[str | None, typer.Option("--rate", help="Mean arrivals, such as 300/s.")]
Phases = Annotated[
    str | None,
    typer.Option(
        "--phases",
        help="The rate over time: '60s 100/s, 30s 100/s..400/s', '60s x1, spike: 10s x3', or a "
        "file of rates: 'day.csv x2 in 10min'.",
    ),
]
BurstTexts = Annotated[
    str | None,
    typer.Option(
        "--bursts", help="Clusters of requests around the mean rate, such as 'x4 for 2s every 20s'."
    ),
]
TrafficSource = Annotated[
    str | None,
    typer.Option(
        "--source",
        help="Requests from a recording, 'traces.jsonl x2 in 10min', or from a function of your "
        "own, 'holiday.py:arrivals'.",
        show_default=False,
    ),
]
UserCount = Annotated[
    int | None,
    typer.Option(
        "--users", min=1, help="Users who wait for the answer before they ask again, not a rate."
    ),
]
Think = Annotated[
    str | None,
    typer.Option("--think", help="Mean time of a user between an answer and asking again."),
]
Mix = Annotated[
    str | None,
    typer.Option("--mix", help="Shares, such as 'GET /a=60%'; the rest keep their proportions."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a key of the scenario, such as deployment.workers=4. Repeatable.",
    ),
]
Slow = Annotated[
    list[str] | None,
    typer.Option(
        "--slow",
        metavar="PART=TIMES",
        help="What if something took longer: db=2x, cpu=1.3x, tokens=2x, or a label. Repeatable.",
    ),
]
Faster = Annotated[
    list[str] | None,
    typer.Option(
        "--faster", metavar="PART=TIMES", help="What if it took less: llm=1.5x. Repeatable."
    ),
]
Slo = Annotated[
    list[str] | None, typer.Option("--slo", help="A goal, such as 'p95 < 100ms'. Repeatable.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Same seed, same answer.")]
JobCount = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, help="Processes; every core when it pays. Never changes the answer."
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against", help="What was measured live: the answer says how the twin does against it."
    ),
]
Sampled = Annotated[
    str | None,
    typer.Option(
        "--sampled",
        help="Part of all requests that was traced, such as 10%, where traces do not say.",
        show_default=False,
    ),
]
Over = Annotated[
    str | None,
    typer.Option("--over", help="How long metrics of Prometheus were counted, such as 10min."),
]
OfEachLoad = Annotated[
    int, typer.Option("--replications", min=2, help="Independent simulations of each load.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Format = Annotated[
    Literal["text", "json", "markdown", "github", "junit", "csv"] | None,
    typer.Option(
        "--format",
        help="How to print it: markdown for a pull request, github for annotations, and so on.",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Write it as one offline HTML file, with charts.")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write the result as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]


def parse_over(text: str | None, *, of_metrics: bool = True) -> float | None:
    """Read what ``--over`` says, seconds; None without it.

    Parameters
    ----------
    of_metrics
        Whether there are metrics that it may speak of.

    Raises
    ------
    InputError
        When it is no time, or speaks of something else than metrics.
    """
    if text is None:
        return None
    if not of_metrics:
        raise InputError(
            "only metrics are counted over a time", hint="leave it out", where="--over"
        )
    try:
        length_s = parse_duration(text)
    except InputError as error:
        error.where = "--over"
        raise
    if not length_s > 0.0:
        raise InputError(f"{text!r} is no time", hint="write it like 10min", where="--over")
    return length_s


def parse_sampled(text: str | None, *, of_traces: bool = True) -> float | None:
    """Read what ``--sampled`` says, 0 to 1; None without it.

    Parameters
    ----------
    of_traces
        Whether there are traces that it may speak of.

    Raises
    ------
    InputError
        When it is no part of all requests, or speaks of something else than traces.
    """
    if text is None:
        return None
    try:
        part = parse_share(text)
    except InputError:
        part = 0.0
    if not 0.0 < part <= 1.0:
        raise InputError(
            f"{text!r} is no part of all requests", hint="write it like 10%", where="--sampled"
        )
    if not of_traces:
        raise InputError("only traces are sampled", hint="leave it out", where="--sampled")
    return part
