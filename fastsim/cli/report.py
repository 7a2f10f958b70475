"""``fastsim report``: put stored results together into something to read or to pass on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fastsim.model import ServiceModel
    from fastsim.result import Comparison, Run


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Results of run, load and compare (JSON), and at most one model.yaml.",
            show_default=False,
        ),
    ],
    *,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one offline HTML file.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Heading of the HTML file.")] = None,
    notes: Annotated[
        list[str] | None,
        typer.Option("--note", help="A remark for the HTML file. Repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Show stored results as text, or write them as one HTML file that needs no network.

    Comparisons, twin runs and live runs belong together when their titles are equal,
    otherwise in the order in which they are named.
    """
    from fastsim.cli.output import refuse_existing, save_text
    from fastsim.report.findings import model_trust
    from fastsim.report.html import render_html
    from fastsim.report.text import render_comparison, render_run

    if html is not None:
        refuse_existing(html, force=force)
    runs, comparisons, model = read_results(files)
    if html is None:
        texts = [*map(render_comparison, comparisons), *map(render_run, runs)]
        if model is not None:
            texts.append(model_trust(model, runs) + "\n")
        typer.echo("\n".join(texts), nl=False)
        return
    text = render_html(
        title=title or (f"{model.service}: FastSim report" if model else "FastSim report"),
        comparisons=comparisons,
        runs=[run for run in runs if run.source == "twin"],
        live=[run for run in runs if run.source == "live"],
        model=model,
        notes=notes or [],
    )
    save_text(html, text, force=force)


def read_results(
    files: list[Path],
) -> tuple[list["Run"], list["Comparison"], "ServiceModel | None"]:
    """Read result and model files, telling by content which is which.

    Raises
    ------
    InputError
        When a file is unreadable or of another kind, or there is more than one model.
    """
    from fastsim.cli.show import sniff
    from fastsim.errors import FileFormatError, InputError
    from fastsim.model import ServiceModel
    from fastsim.result import Comparison, Run
    from fastsim.yaml_source import load_json, load_yaml

    runs: list[Run] = []
    comparisons: list[Comparison] = []
    models: list[ServiceModel] = []
    for file in files:
        kind = sniff(str(file))
        if kind == "run":
            runs.append(load_json(file, Run))
        elif kind == "comparison":
            comparisons.append(load_json(file, Comparison))
        elif kind == "model":
            models.append(load_yaml(file, ServiceModel))
        else:
            raise FileFormatError(
                f"{file} is a {kind} file; a report shows results",
                hint="write one with fastsim run, load or compare and its option -o",
                where=str(file),
            )
    if len(models) > 1:
        raise InputError(f"{len(models)} models were given", hint="name at most one model.yaml")
    return runs, comparisons, models[0] if models else None
