"""Python of the user's own that a file names: ``quota.py:Quota``."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

from fastsim.errors import InputError


def check_own(place: str, *, called: str, hint: str) -> None:
    """Tell, without running it, whether a user's file defines what it should.

    Parameters
    ----------
    place
        File and name: ``quota.py:Quota``.
    called
        ``class`` or ``function``: what the name should be of.
    hint
        How such a place is written.

    Raises
    ------
    InputError
        When there is no such file, or nothing of that kind and name in it.
    """
    path, name = file_and_name(place, called=called, hint=hint)
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise own_failed(place, error, hint=hint) from error
    kinds = (ast.ClassDef,) if called == "class" else (ast.FunctionDef, ast.ClassDef)
    if not any(isinstance(node, kinds) and node.name == name for node in tree.body):
        raise InputError(f"{path} defines no {called} {name}", hint=hint)


def file_and_name(place: str, *, called: str, hint: str) -> tuple[Path, str]:
    """Split ``quota.py:Quota``.

    Raises
    ------
    InputError
        When it is written differently, or there is no such file.
    """
    file, _, name = place.rpartition(":")
    if not file or not name.isidentifier():
        raise InputError(f"{place!r} names no {called} in a file", hint=hint)
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"there is no Python file {file}", hint=hint)
    return path, name


def load_own(place: str, *, called: str, hint: str) -> Any:
    """Run a user's file and return what it defines under a name.

    Raises
    ------
    InputError
        When the file is missing, fails, or does not define it.
    """
    path, name = file_and_name(place, called=called, hint=hint)
    spec = importlib.util.spec_from_file_location(f"fastsim_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"there is no Python file {path}", hint=hint)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return getattr(module, name)
    except Exception as error:
        raise own_failed(place, error, hint=hint) from error


def own_failed(place: str, error: Exception, *, hint: str) -> InputError:
    """Say what a user's file did wrong, and in which of its lines."""
    what = f"{type(error).__name__}: {error}"
    file, line = place.rpartition(":")[0], None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return InputError(
        f"{place} cannot be used: {what}",
        hint=hint,
        where=None if line is None else f"{file}:{line}",
    )
