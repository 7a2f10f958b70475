"""docs/reference/cli.md, written from the commands themselves.

python -m tests.cli_reference       # write it anew
"""

import inspect
from pathlib import Path
from typing import Any, get_args

import typer

from fastsim.cli.main import app
from fastsim.errors import ExitCode

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

_HEAD = """# The command line

Written from the commands themselves (`python -m tests.cli_reference`); `fastsim COMMAND --help`
says the same. Quantities have units: `20ms`, `300/s`, `5%`. What may stand several times has a `…`.

| exit code | means |
|---|---|
"""
_CODES = {
    ExitCode.YES: "done, and the answer is yes",
    ExitCode.NO: "done, and the answer is no: a goal is missed, twin and live differ",
    ExitCode.BAD_INPUT: "asked wrongly: an option, a file, a field",
    ExitCode.NO_ANSWER: "no honest answer: too little data, an overload, cannot tell",
    ExitCode.BUG: "a bug in FastSim",
    ExitCode.INTERRUPTED: "Ctrl-C; what was done is kept where that makes sense",
}


def reference() -> str:
    """Return the whole document."""
    codes = [f"| {int(code)} | {text} |" for code, text in _CODES.items()]
    commands: dict[str, Any] = getattr(typer.main.get_command(app), "commands", {})
    parts = [_section(name, command) for name, command in commands.items()]
    return _HEAD + "\n".join(codes) + "\n\n" + "\n".join(parts)


def _section(name: str, command: Any) -> str:
    lines = [f"## fastsim {name}", ""]
    for block in inspect.cleandoc(command.help or "").split("\n\n"):
        text = " ".join(block.split())
        if text.startswith("Example: "):
            lines += ["```console", f"$ {text.removeprefix('Example: ')}", "```", ""]
        else:
            lines += [text, ""]
    rows = [_row(each) for each in command.params if not each.hidden and each.name != "help"]
    if rows:
        lines += ["| option | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.multiple or parameter.nargs == -1:
        names += " …"
    text = " ".join((parameter.help or "").split())
    choices = get_args(getattr(parameter.type_descriptor, "annotation", None))
    if choices and all(isinstance(choice, str) for choice in choices):
        text += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    default = parameter.default
    if isinstance(default, (str, int, float, Path)) and not isinstance(default, bool):
        text += f" (default: `{default}`)"
    escaped = text.replace("|", "\\|")
    return f"| {names} | {escaped} |"


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
