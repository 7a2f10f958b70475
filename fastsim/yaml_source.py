"""Read and write FastSim's YAML files: models, scenarios, traffic mixes.

Reading tells everything that is wrong at once, each with line, column, source line and a
suggestion. Writing lives in ``fastsim.yaml_writing`` and is offered here as well.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fastsim.errors import FileFormatError, ScenarioError
from fastsim.short_forms import long_form
from fastsim.yaml_nodes import Document, NotYamlError, Place, Problem, Value, read_document
from fastsim.yaml_problems import problems_of
from fastsim.yaml_writing import dump_yaml, write_new

__all__ = [
    "Problem",
    "SourceError",
    "dump_yaml",
    "load_yaml",
    "parse_yaml",
    "read_text",
    "write_new",
]

M = TypeVar("M", bound=BaseModel)

MAX_SHOWN = 20
MAX_BYTES = 64 * 2**20
_LINE_WIDTH = 100


class SourceError(ScenarioError):
    """A file with wrong keys or values; ``problems`` lists all of them, by line."""

    def __init__(self, name: str, text: str, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place))
        self._name = name
        self._lines = text.splitlines()
        first = self.problems[0]
        more = len(self.problems) - 1
        super().__init__(
            first.message + (f" (and {more} more)" if more else ""),
            hint=first.hint,
            where=self._where(first.place),
        )

    def report(self) -> str:
        """Return every problem with its source line, at most 20 of them."""
        blocks = [self._block(problem) for problem in self.problems[:MAX_SHOWN]]
        if len(self.problems) > MAX_SHOWN:
            blocks.append(f"and {len(self.problems) - MAX_SHOWN} more")
        return "\n\n".join(blocks)

    def _block(self, problem: Problem) -> str:
        place = problem.place
        path = ".".join(map(str, problem.path))
        lines = [
            f"error: {problem.message}",
            f"  --> {self._where(place)}" + (f" ({path})" if path else ""),
        ]
        source = self._lines[place.line] if place.line < len(self._lines) else ""
        margin = " " * len(str(place.line + 1))
        if source.strip():
            shown, column = _crop(source, place.column)
            carets = "^" * max(1, min(place.width, len(shown) - column))
            lines += [
                f"{margin} |",
                f"{place.line + 1} | {shown}",
                f"{margin} | {' ' * column}{carets}",
            ]
        if problem.hint:
            lines.append(f"{margin} = help: {problem.hint}")
        return "\n".join(lines)

    def _where(self, place: Place) -> str:
        return f"{self._name}:{place.line + 1}:{place.column + 1}"


def _crop(source: str, column: int) -> tuple[str, int]:
    """Return what fits of a line, safe to print, and where the column went."""
    shown = "".join(c if c.isprintable() else " " for c in source)
    start = max(0, column - _LINE_WIDTH // 2) if len(shown) > _LINE_WIDTH else 0
    return shown[start : start + _LINE_WIDTH].rstrip(), column - start


def load_yaml(path: str | Path, model: type[M]) -> M:
    """Read a file as ``model``; ``-`` is standard input.

    Raises
    ------
    FileFormatError
        When the file is missing, empty, not YAML, or of another kind.
    ScenarioError
        When keys or values are wrong; a ``SourceError`` with all problems.
    """
    return parse_yaml(read_text(path), model, name=_name(path))


def parse_yaml(text: str, model: type[M], *, name: str = "text") -> M:
    """Read text as ``model``; ``name`` stands for the file in messages.

    Raises
    ------
    FileFormatError
        When the text is empty, not YAML, or of another kind.
    ScenarioError
        When keys or values are wrong; a ``SourceError`` with all problems.
    """
    document = _document(text, name)
    value = document.value
    if not isinstance(value, dict):
        raise FileFormatError(
            f"{name} holds no keys",
            hint=f"a {_kind(model)} file has lines 'key: value'",
            where=name,
        )
    _check_kind(value, document, model, name)
    if _kind(model) == "model":
        document = long_form(document)
        value = document.value
    problems = list(document.problems)
    try:
        # As JSON, because strict reading of JSON takes text for enums but no "2" for 2.
        result = model.model_validate_json(
            json.dumps(value), strict=True, context={"from_file": True}
        )
    except ValidationError as error:
        known = {problem.path for problem in problems}
        problems += [p for p in problems_of(error, model, document) if p.path not in known]
    if problems:
        told = [replace(problem, path=document.written(problem.path)) for problem in problems]
        raise SourceError(name, text, told)
    return result


def load_json(path: str | Path, model: type[M]) -> M:
    """Read a JSON file that FastSim wrote (a run, a comparison) as ``model``.

    Raises
    ------
    FileFormatError
        When the file is missing, empty, torn, or of another kind.
    ScenarioError
        When keys or values are wrong; a ``SourceError`` with all problems.
    """
    name, text = _name(path), read_text(path)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        wrong = error
    try:
        json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{name} is not JSON, or was torn off: {error}", where=name) from None
    # JSON is YAML, too: reading it again finds the lines.
    document = _document(text, name)
    if not isinstance(document.value, dict):
        raise FileFormatError(f"{name} is not a {_kind(model)} file", where=name)
    _check_kind(document.value, document, model, name)
    raise SourceError(name, text, problems_of(wrong, model, document) or document.problems)


def kind_of(text: str, models: Iterable[type[BaseModel]], *, name: str = "text") -> str | None:
    """Return what a file says it is, else the kind whose required keys it has, else None.

    Raises
    ------
    FileFormatError
        When the text is not YAML.
    """
    value = _document(text, name).value
    if not isinstance(value, dict):
        return None
    if "kind" in value:
        return str(value["kind"])
    for model in models:
        required = {key for key, field in model.model_fields.items() if field.is_required()}
        if required & set(value):
            return _kind(model)
    return None


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file that is not empty; ``-`` is standard input.

    Raises
    ------
    FileFormatError
        When there is no such file, it cannot be read, is empty, too large, or no text.
    """
    name = _name(path)
    try:
        data = _read_bytes(path)
    except FileNotFoundError:
        raise FileFormatError(f"{name} does not exist", hint="check the path", where=name) from None
    except IsADirectoryError:
        raise FileFormatError(f"{name} is a directory", hint="name a file", where=name) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFormatError(f"{name} cannot be read: {reason}", where=name) from None
    if len(data) > MAX_BYTES:
        raise FileFormatError(
            f"{name} is too large to be such a file",
            hint=f"fastsim show {name} tells what it holds",
            where=name,
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"{name} is not UTF-8 text", hint="save it as UTF-8", where=f"{name}:{line}"
        ) from None
    if not text.strip():
        raise FileFormatError(f"{name} is empty", where=name)
    return text


def _read_bytes(path: str | Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _name(path: str | Path) -> str:
    return "standard input" if str(path) == "-" else str(path)


def _document(text: str, name: str) -> Document:
    try:
        return read_document(text)
    except NotYamlError as error:
        source = SourceError(name, text, [Problem(error.place, (), error.message)])
        looks_json = text.lstrip().startswith(("{", "["))
        raise FileFormatError(
            f"{name} is not YAML: {error.message}",
            hint=f"fastsim show {name} tells what it holds" if looks_json else None,
            where=source.where,
        ) from None


def _kind(model: type[BaseModel]) -> str:
    """Return what the files of a model call themselves."""
    field = model.model_fields.get("kind")
    return str(field.default) if field is not None else model.__name__


def _check_kind(
    value: dict[str, Value], document: Document, model: type[BaseModel], name: str
) -> None:
    wanted = _kind(model)
    kind = value.get("kind", wanted)
    place = document.value_place(("kind",))
    where = f"{name}:{place.line + 1}:{place.column + 1}"
    hint = f"fastsim show {name} tells what it holds"
    if isinstance(kind, str) and kind in KINDS - {wanted}:
        raise FileFormatError(
            f"{name} is a {kind} file, but a {wanted} file is needed", hint=hint, where=where
        )
    if "kind" not in value and not set(value) & set(_keys(model)):
        raise FileFormatError(f"{name} is not a {wanted} file", hint=hint, where=name)


_WRITTEN = ("model", "scenario", "traffic", "schedule")
_ANSWERS = ("run", "comparison", "limit", "size", "sweep", "forecast")
KINDS = frozenset({*_WRITTEN, *_ANSWERS})
"""What FastSim's files say after ``kind:``."""


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
