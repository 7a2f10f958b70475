"""What commands share: the answer on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from fastsim.errors import ExitCode, InputError, StoreError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

    from fastsim.result import Block


PLAIN_WIDTH = 160
"""Columns of tables that are piped: wide enough that nothing is cut."""


def print_json(value: "BaseModel | Mapping[str, object]") -> None:
    """Print an answer as JSON, keys in the order of the model.

    Raises
    ------
    ValueError
        When a number of a mapping is not finite: JSON cannot say that. In a model it
        becomes null.
    """
    from fastsim.report.json import to_json

    if isinstance(value, Mapping):
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    else:
        text = to_json(value)
    typer.echo(text, nl=False)


def stdout_console() -> "Console":
    """Return the console of the answer: coloured on a terminal, plain and wide in a pipe."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def stderr_console() -> "Console":
    """Return the console of progress and remarks."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def note(text: str) -> None:
    """Print a remark on standard error."""
    typer.echo(text, err=True)


class Progress(Protocol):
    """A bar that commands move."""

    def __call__(self, done: float, text: str | None = None) -> None:
        """Set how much is done, in the unit of ``total``, and what is going on."""


@contextmanager
def progress(title: str, total: float | None = None) -> Iterator[Progress]:
    """Show a bar on standard error while a block runs; nothing when that is no terminal.

    Parameters
    ----------
    title
        What is going on, until ``move`` says otherwise.
    total
        What 100 % is; without it the bar only shows that something goes on.
    """
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = stderr_console()
    columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
    if total is not None:
        columns.append(TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)

        def move(done: float, text: str | None = None) -> None:
            bar.update(task, completed=done, description=title if text is None else text)

        yield move


def save_text(path: Path, text: str, force: bool) -> None:
    """Write a file a command was asked for, and say so on standard error.

    Raises
    ------
    StoreError
        When the file exists and ``force`` is not set, or cannot be written.
    """
    from fastsim.yaml_source import write_new

    write_new(path, text, force=force)
    note(f"wrote {path}")


def refuse_existing(path: Path, force: bool) -> None:
    """Refuse before the work is done what ``save_text`` would refuse after it.

    Raises
    ------
    StoreError
        When the file exists and ``force`` is not set, or its directory does not exist.
    """
    if path.is_file() and not force:
        raise StoreError(f"{path} exists", hint="--force overwrites it", where=str(path))
    if not path.parent.is_dir():
        raise StoreError(
            f"directory {path.parent} does not exist", hint="create it first", where=str(path)
        )


def leave_with(verdict: str, *, stopped: bool) -> None:
    """End a search with the exit code of its answer: 1 for no, 130 where Ctrl-C ended it."""
    if stopped:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if verdict == "no":
        raise typer.Exit(ExitCode.NO)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a command was asked to hand over its answer; wrong wishes are refused before the work.

    Raises
    ------
    StoreError
        When a file exists and ``force`` is not set, or its directory does not exist.
    InputError
        When two formats were asked for.
    """

    as_json: bool
    as_format: str | None
    """One of those of ``--format``; text when None, unless ``as_json``."""
    html: Path | None
    """Where to write it as a page, too."""
    output: Path | None
    """Where to write it as JSON."""
    force: bool

    def __post_init__(self) -> None:
        if self.as_json and self.as_format not in {None, "json"}:
            raise InputError("--json and --format exclude each other", hint="leave one of them out")
        for path in (self.output, self.html):
            if path is not None:
                refuse_existing(path, force=self.force)

    def hand_over(self, answer: "Block", *, render: Callable[[], str] | None = None) -> None:
        """Save an answer where that was asked for, and print it.

        Parameters
        ----------
        render
            Writes the text, where that is not the usual one.

        Raises
        ------
        StoreError
            As ``save_text`` does.
        """
        from fastsim.report.answer import render_answer
        from fastsim.report.formats import FORMATS
        from fastsim.report.json import to_json
        from fastsim.report.page import page_of

        # Neither a full disk nor a reader who has seen enough may lose what took minutes.
        try:
            if self.as_json or self.as_format == "json":
                print_json(answer)
            elif self.as_format is not None and self.as_format in FORMATS:
                typer.echo(FORMATS[self.as_format](answer), nl=False)
            else:
                typer.echo(render_answer(answer) if render is None else render(), nl=False)
        finally:
            if self.output is not None:
                save_text(self.output, to_json(answer), force=self.force)
            if self.html is not None:
                save_text(self.html, page_of([answer]), force=self.force)
