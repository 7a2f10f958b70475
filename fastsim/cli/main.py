"""The ``fastsim`` command: registers the commands and turns errors into exit codes.

One file per command, each importing what is heavy inside its function, so that
``fastsim --help`` is quick.
"""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from fastsim import __version__
from fastsim.cli.calibrate import calibrate
from fastsim.cli.check import check
from fastsim.cli.compare import compare
from fastsim.cli.demo import demo
from fastsim.cli.forecast import forecast
from fastsim.cli.init import init
from fastsim.cli.interrupts import heard
from fastsim.cli.limit import limit
from fastsim.cli.load import load
from fastsim.cli.record import record
from fastsim.cli.report import report
from fastsim.cli.run import run
from fastsim.cli.schema import schema
from fastsim.cli.show import show
from fastsim.cli.size import size
from fastsim.cli.sweep import sweep
from fastsim.errors import ExitCode, FastSimError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""What a full or broken disk says when the answer is printed to it."""

EPILOG = (
    "Exit codes: 0 the answer is yes · 1 the answer is no · 2 bad input · "
    "3 no honest answer · 70 a bug in FastSim · 130 interrupted"
)

app = typer.Typer(
    name="fastsim",
    help="A digital twin of your FastAPI service, calibrated from its own traces.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LEARN = "Learn"
ASK = "Ask"
SHARE = "Share"
TRY = "Try"

app.command(rich_help_panel=LEARN)(init)
# What follows the first word belongs to the command that is recorded, with or without --.
app.command(rich_help_panel=LEARN, context_settings={"allow_interspersed_args": False})(record)
app.command(rich_help_panel=LEARN)(calibrate)
app.command(rich_help_panel=LEARN)(show)
app.command(rich_help_panel=LEARN)(check)
app.command(rich_help_panel=ASK)(run)
app.command(rich_help_panel=ASK)(limit)
app.command(rich_help_panel=ASK)(size)
app.command(rich_help_panel=ASK)(sweep)
app.command(rich_help_panel=ASK)(forecast)
app.command(rich_help_panel=ASK)(compare)
app.command(rich_help_panel=SHARE)(report)
app.command(rich_help_panel=SHARE)(schema)
app.command(rich_help_panel=TRY)(load)
app.command(rich_help_panel=TRY)(demo)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fastsim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in FastSim an error came from.")
    ] = False,
) -> None:
    if debug:
        # An environment variable reaches the processes that commands start, too.
        os.environ["FASTSIM_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; ends by ``SystemExit`` with an ``ExitCode``.

    Parameters
    ----------
    arguments
        Without the program's name; those of the process when absent.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without µ must not end a command
            stream.reconfigure(errors="replace")
    with heard():
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.PIPE_CLOSED
        _forget_stdout()
    except OSError as error:
        _print(f"error: the output cannot be written: {error.strerror}")
        code = ExitCode.BAD_INPUT
        _forget_stdout()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        app(arguments, prog_name="fastsim")
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # Typer makes it a 1, which means "no"
            _forget_stdout()
            return ExitCode.PIPE_CLOSED
        # Typer makes Ctrl-C a silent exit.
        if isinstance(getattr(error.__context__, "__cause__", None), KeyboardInterrupt):
            _print("interrupted")
            return ExitCode.INTERRUPTED
        return error.code if isinstance(error.code, int) else ExitCode.YES
    except FastSimError as error:
        _print(error.report())
        if _debugging():
            _print(traceback.format_exc().rstrip())
        return error.exit_code
    except KeyboardInterrupt:
        _print("interrupted")
        return ExitCode.INTERRUPTED
    except OSError as error:
        if error.errno not in _NO_ROOM:
            return _failed(error)
        _print(f"error: the output cannot be written: {error.strerror}")
        _forget_stdout()
        return ExitCode.BAD_INPUT
    except Exception as error:  # noqa: BLE001 - the last line of defence: no user sees a traceback
        return _failed(error)
    return ExitCode.YES


def _failed(error: Exception) -> int:
    _print(f"error: FastSim failed: {type(error).__name__}: {error}".split("\n", 1)[0])
    if _debugging():
        _print(traceback.format_exc().rstrip())
    else:
        _print("help: this is a bug; run again with --debug to see where it happened")
    return ExitCode.BUG


def _debugging() -> bool:
    return os.environ.get("FASTSIM_DEBUG", "") not in {"", "0"}


def _print(text: str) -> None:
    # A closed standard error must not hide the exit code.
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _forget_stdout() -> None:
    # Python flushes standard output once more at exit and would complain.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
