"""``fastsim demo``: the main job on the example service, in about a minute."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastsim.errors import InputError

if TYPE_CHECKING:
    from fastsim.demo.story import DemoResult
    from fastsim.demo.turns import Bar


def demo(
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="directory for recording, model and report")
    ] = Path("demo-out"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the traffic and the twin")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="print the comparisons as JSON")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="say by the exit code whether twin and live agree")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="replace the results of an earlier demo")
    ] = False,
) -> None:
    """Record the example shop, predict a higher load, measure it, and compare.

    Loads are shares of what this machine can do, which is measured first; recording and
    measuring take turns. Starts a few small services on loopback and ends them all again, also
    on Ctrl-C. It is done when everything is measured, whatever came out; with --strict the exit
    code is that of fastsim compare: 0 agrees, 1 off, 3 cannot tell.

    Example: fastsim demo
    """
    from fastsim.cli.compare import EXIT_CODES
    from fastsim.cli.output import note, print_json
    from fastsim.demo.servers import require_examples
    from fastsim.demo.story import run_demo
    from fastsim.demo.turns import Settings

    require_examples()
    _prepare(output, force=force)
    with _bar() as bar:
        result = run_demo(output, Settings(seed=seed), note, bar)
    if as_json:
        print_json(
            {
                "verdict": result.table.verdict,
                "table": result.table.model_dump(mode="json"),
                "comparisons": [item.model_dump(mode="json") for item in result.comparisons],
                "notes": result.notes,
            }
        )
    else:
        typer.echo(_text(result))
    raise typer.Exit(EXIT_CODES[result.table.verdict] if strict else 0)


def _prepare(output: Path, *, force: bool) -> None:
    """Make the directory; clear what an earlier demo left only when asked to."""
    import shutil

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        ours = output.is_dir() and any(
            (output / name).exists() for name in ("recording", "shop.log", "report.html")
        )
        if not force or not ours:
            raise InputError(
                f"{output} exists and is not empty",
                hint="choose another directory with -o"
                + (", or replace that demo with --force" if ours else ""),
                where="--output",
            )
        shutil.rmtree(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create {output}: {error.strerror}", where="--output") from None


@contextmanager
def _bar() -> "Iterator[Bar]":
    """Show a bar on a terminal, plain lines elsewhere: a demo of a minute must not be silent."""
    from fastsim.cli.output import note, progress

    if not sys.stderr.isatty():
        yield lambda what, _done: note(f"... {what}")
        return
    with progress("starting the services", 1.0) as bar:
        yield lambda what, done: bar(done, what)


def _text(result: "DemoResult") -> str:
    from fastsim.report.layout import finish, labelled
    from fastsim.report.text import render_comparison

    lines = [render_comparison(result.table, every=True).rstrip()]
    for number, remark in enumerate(result.notes):
        lines += labelled("Note" if number == 0 else "", remark)
    lines += labelled("Report", str(result.report))
    return "\n" + finish(lines).rstrip()
