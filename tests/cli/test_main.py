import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from fastsim.cli.main import EPILOG, app, main
from fastsim.errors import ExitCode, InputError, NotEnoughDataError

ENVIRONMENT = {**os.environ, "_TYPER_FORCE_DISABLE_TERMINAL": "1", "COLUMNS": "100"}

# Loaded by a command when it needs it, not by every `fastsim --help`.
HEAVY = ("numpy", "scipy", "fastapi", "aiohttp", "simpy", "opentelemetry", "uvicorn", "yaml")


def fastsim(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastsim", *arguments],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **options},
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def exit_code(arguments: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


BUG = (
    "error: FastSim failed: ZeroDivisionError: oops\n"
    "help: this is a bug; run again with --debug to see where it happened\n"
)


def commands() -> list[str]:
    return [
        str(command.name or command.callback.__name__)
        for command in app.registered_commands
        if command.callback is not None
    ]


def test_help_lists_every_command_and_the_exit_codes() -> None:
    done = fastsim("--help")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    for name in commands():
        assert f" {name} " in done.stdout
    for panel in ("Learn", "Ask", "Try"):
        assert panel in done.stdout
    assert "130 interrupted" in " ".join(done.stdout.split())
    assert "130 interrupted" in EPILOG


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself_and_its_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code([name, "--help"]) == 0
    # A report is for people; its parts are JSON already. What init writes is YAML.
    assert name in {"report", "init"} or "--json" in capsys.readouterr().out
    (command,) = [c for c in app.registered_commands if c.callback and c.callback.__name__ == name]
    assert command.callback is not None
    assert "Example: fastsim " + name in (command.callback.__doc__ or "")
    assert command.rich_help_panel in {"Learn", "Ask", "Share", "Try"}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from fastsim.cli import main\n"
        "try:\n    main(['--help'])\n"
        f"finally:\n    print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.stderr == "[]\n"


def test_the_version_is_printed() -> None:
    from fastsim import __version__

    assert fastsim("--version").stdout == f"fastsim {__version__}\n"


def test_a_wrong_command_or_flag_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["shwo"]) == ExitCode.BAD_INPUT
    assert "Did you mean 'show'" in capsys.readouterr().err
    assert exit_code(["show", "--nope", "x"]) == ExitCode.BAD_INPUT


def test_a_user_mistake_is_three_lines_on_standard_error() -> None:
    done = fastsim("show", "no-such.yaml")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "error: no-such.yaml does not exist\n  --> no-such.yaml\nhelp: check the path\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("asked wrongly", hint="ask so"), 2, "error: asked wrongly\nhelp: ask so\n"),
        (NotEnoughDataError("3 requests"), 3, "error: 3 requests\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            ZeroDivisionError("oops\nmore"),
            70,
            BUG,
        ),
    ],
)
def test_every_end_has_its_exit_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("FASTSIM_DEBUG", raising=False)
    monkeypatch.setattr(sys.modules["fastsim.cli.main"], "app", _raise(error))
    assert exit_code([]) == code
    assert capsys.readouterr().err == said


def _raise(error: BaseException) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_debug_shows_where_a_bug_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTSIM_DEBUG", "1")
    monkeypatch.setattr(sys.modules["fastsim.cli.main"], "app", _raise(KeyError("x")))
    assert exit_code([]) == ExitCode.BUG
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_inside_a_command_is_130_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted = typer.Typer()

    @interrupted.command()
    def wait() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["fastsim.cli.main"], "app", interrupted)
    assert exit_code([]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fastsim", "--help"],
            stdout=write,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == b""
    assert done.returncode == ExitCode.PIPE_CLOSED


def test_a_terminal_without_unicode_gets_question_marks() -> None:
    done = fastsim("--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "Exit codes" in done.stdout


def test_exit_codes_are_those_of_the_errors() -> None:
    assert (InputError("x").exit_code, NotEnoughDataError("x").exit_code) == (
        ExitCode.BAD_INPUT,
        ExitCode.NO_ANSWER,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_no_bug() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fastsim", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr == "error: the output cannot be written: No space left on device\n"
