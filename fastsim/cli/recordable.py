"""Which commands ``fastsim record`` cannot record, and what to do instead."""

import re
from collections.abc import Sequence
from pathlib import Path

from fastsim.errors import InputError

_OTHER_SERVERS = ("hypercorn", "granian", "daphne", "uwsgi", "nginx-unit")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?")
ONE_LINE = "add one line to the service: fastsim.collector.instrument(app)"
_WITH_VALUE = "XW"


def check_command(command: Sequence[str]) -> None:
    """Refuse what would start and record nothing.

    Raises
    ------
    InputError
        With the reason.
    """
    if not command:
        raise InputError("the command to record is missing", hint="add: -- uvicorn app:app")
    name = Path(command[0]).name
    arguments = list(command[1:])
    if _PYTHON.fullmatch(name):
        name, arguments = _module_of_python(command)
    if any(word.split("=")[0] in {"--reload", "--reload-dir"} for word in arguments):
        raise InputError(
            "--reload cannot be recorded: it restarts the service under the recorder",
            hint="leave --reload out",
        )
    if name == "fastapi" and "dev" in arguments[:1]:
        raise InputError("fastapi dev reloads the service", hint="use: fastapi run")
    if name in _OTHER_SERVERS:
        raise InputError(f"{name} cannot be recorded from outside", hint=ONE_LINE)
    if name == "gunicorn":
        _check_gunicorn(arguments)


def check_script(program: str) -> None:
    """Refuse a script whose own first line keeps Python from loading the recorder.

    Raises
    ------
    InputError
        With the reason.
    """
    try:
        with Path(program).open("rb") as script:
            first = script.readline(400)
    except OSError:
        return
    if first.startswith(b"#!"):
        words = first[2:].decode("utf-8", "replace").split()
        python = next((i for i, word in enumerate(words) if _is_python(word)), None)
        if python is not None:
            _module_of_python(words[python:], where=program)


def _is_python(word: str) -> bool:
    return bool(_PYTHON.fullmatch(Path(word).name))


def _module_of_python(command: Sequence[str], where: str | None = None) -> tuple[str, list[str]]:
    """Return what ``python`` runs and its arguments; refuse flags that shut us out."""
    rest = list(command[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-":
        flags = rest.pop(0)
        if flags.startswith("--"):
            continue
        for at, letter in enumerate(flags[1:], 1):
            if letter in "ISE":
                raise InputError(
                    f"python -{letter} keeps the recorder out: it ignores "
                    + ("the site packages" if letter == "S" else "PYTHONPATH"),
                    hint=f"leave -{letter} out, or {ONE_LINE}",
                    where=where,
                )
            if letter == "m":
                name = flags[at + 1 :] or (rest.pop(0) if rest else "")
                return name.partition(".")[0], rest
            if letter == "c":
                return "", rest
            if letter in _WITH_VALUE:
                if at == len(flags) - 1 and rest:
                    rest.pop(0)
                break
    return (Path(rest[0]).name if rest else ""), rest[1:]


def _check_gunicorn(arguments: Sequence[str]) -> None:
    for at, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option in {"-k", "--worker-class"}:
            kind = value or (arguments[at + 1] if at + 1 < len(arguments) else "")
        elif word.startswith("-k") and not word.startswith("--"):
            kind = word[2:]
        else:
            continue
        if "uvicorn" not in kind.lower():
            raise InputError(
                f"gunicorn's {kind or 'nameless'} workers cannot be recorded: "
                "they do not run Uvicorn",
                hint="use: -k uvicorn_worker.UvicornWorker",
            )
