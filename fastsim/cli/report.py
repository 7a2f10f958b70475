"""``fastsim report``: put stored results together into something to read or to pass on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastsim.cli.options import Force, Format, Html
from fastsim.errors import InputError

if TYPE_CHECKING:
    from fastsim.model import ServiceModel
    from fastsim.result import Block


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Answers of any command (JSON), and at most one model.yaml.",
            show_default=False,
        ),
    ],
    *,
    html: Html = None,
    as_format: Format = None,
    title: Annotated[str | None, typer.Option("--title", help="Heading of the HTML file.")] = None,
    notes: Annotated[
        list[str] | None,
        typer.Option("--note", help="A remark for the HTML file. Repeatable."),
    ] = None,
    force: Force = False,
) -> None:
    """Show stored results as text, or write them as one HTML file that needs no network.

    Comparisons, twin runs and live runs belong together when their titles are equal,
    otherwise in the order in which they are named.

    Example: fastsim report run.json live.json model.yaml --html report.html
    """
    from fastsim.cli.output import print_json, refuse_existing, save_text
    from fastsim.report.answer import render_answer
    from fastsim.report.findings import model_trust
    from fastsim.report.formats import FORMATS
    from fastsim.report.page import page_of
    from fastsim.result import Comparison, Run

    if html is not None:
        refuse_existing(html, force=force)
    answers, model = read_results(files)
    if html is not None:
        text = page_of(answers, model, title=title, notes=notes or [])
        save_text(html, text, force=force)
    elif as_format == "json" and len(answers) == 1:
        print_json(answers[0])
    elif as_format in {"json", "junit", "csv"} and len(answers) != 1:
        raise InputError(
            f"{as_format} holds one answer, not {len(answers)}", hint="name one file at a time"
        )
    elif as_format is not None and as_format in FORMATS:
        typer.echo("\n".join(map(FORMATS[as_format], answers)), nl=False)
    else:
        answers.sort(key=lambda answer: not isinstance(answer, Comparison))
        texts = list(map(render_answer, answers))
        if model is not None:
            runs = [answer for answer in answers if isinstance(answer, Run)]
            texts.append(model_trust(model, runs) + "\n")
        typer.echo("\n".join(texts), nl=False)


def read_results(files: list[Path]) -> "tuple[list[Block], ServiceModel | None]":
    """Read answers and model files, telling by content which is which.

    Raises
    ------
    InputError
        When a file is unreadable or of another kind, or there is more than one model.
    """
    from fastsim.answers import ANSWERS
    from fastsim.cli.show import sniff
    from fastsim.errors import FileFormatError
    from fastsim.model import ServiceModel
    from fastsim.yaml_source import load_json, load_yaml

    answers: list[Block] = []
    models: list[ServiceModel] = []
    for file in files:
        kind = sniff(str(file))
        if kind in ANSWERS:
            answers.append(load_json(file, ANSWERS[kind]))
        elif kind == "model":
            models.append(load_yaml(file, ServiceModel))
        else:
            raise FileFormatError(
                f"{file} is a {kind} file; a report shows results",
                hint="write one with fastsim run, limit or compare and its option -o",
                where=str(file),
            )
    if len(models) > 1:
        raise InputError(f"{len(models)} models were given", hint="name at most one model.yaml")
    return answers, models[0] if models else None
