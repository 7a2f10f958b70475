"""Why pydantic refused a file, in our words and with places.

One table of wordings, and the walk from pydantic's locations to the keys people wrote.
"""

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fastsim.yaml_nodes import Document, Path, Place, Problem, Value, parts

DISCRIMINATORS = ("do", "family")
"""Keys that choose between the forms of a block; pydantic puts their value into locations."""

Schema = Mapping[str, object]


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document
) -> list[Problem]:
    """Return what is wrong, one entry per mistake a person made."""
    schema = _schema(model)
    explained: set[Path] = set()
    found: dict[Path, Problem] = {}
    missing: list[Problem] = []
    for details in error.errors():
        path = _path(details["loc"], document.value)
        if details["type"] == "extra_forbidden":
            names = _keys_at(schema, details["loc"][:-1])
            near = nearest(str(path[-1]), names)
            if near is not None:
                explained.add((*path[:-1], near))
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(names)}"
            place = document.key_place(path)
            found.setdefault(path, Problem(place, path, f"unknown key {path[-1]!r}", hint))
        elif details["type"] == "missing":
            path = (*path, str(details["loc"][-1]))
            place = document.key_place(path[:-1])
            missing.append(Problem(place, path, f"missing key {path[-1]!r}"))
        elif details["type"] == "union_tag_not_found":
            key = str(details.get("ctx", {})["discriminator"]).strip("'")
            forms = _forms(_block_at(schema, details["loc"]))
            hint = f"known: {', '.join(forms)}"
            place = document.key_place(path)
            missing.append(Problem(place, (*path, key), f"missing key {key!r}", hint))
        else:
            problem = _wrong_value(details, path, document)
            found.setdefault(problem.path, problem)
    # A misspelt key explains why the right one is missing.
    missing = [problem for problem in missing if problem.path not in explained]
    return [*found.values(), *missing]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return near[0] if near else None


@cache
def _schema(model: type[BaseModel]) -> Schema:
    return cast("Schema", model.model_json_schema(by_alias=True))


# --- locations ---------------------------------------------------------------------------


def _path(location: tuple[int | str, ...], value: Value) -> Path:
    """Leave out of a location what is no key of the file: the forms of a block."""
    path: list[str | int] = []
    tagged = False
    for part in location:
        if isinstance(value, dict):
            if not tagged and part in _tags(value):
                tagged = True
                continue
            if part not in value:
                break
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            break
        tagged = False
        path.append(part)
    return tuple(path)


def _tags(value: dict[str, Value]) -> list[Value]:
    return [value[key] for key in DISCRIMINATORS if key in value]


def _block_at(schema: Schema, location: tuple[int | str, ...]) -> Schema:
    """Return the schema of a block, references and options followed."""
    definitions = cast("Mapping[str, Schema]", schema.get("$defs", {}))

    def resolve(node: Schema) -> Schema:
        while True:
            if "$ref" in node:
                node = definitions[str(node["$ref"]).rpartition("/")[2]]
            elif "anyOf" in node:  # an optional block
                options = cast("list[Schema]", node["anyOf"])
                node = next((o for o in options if o.get("type") != "null"), {})
            else:
                return node

    node = resolve(schema)
    for part in location:
        node = resolve(_inner(node, str(part)))
    return node


def _keys_at(schema: Schema, location: tuple[int | str, ...]) -> list[str]:
    return list(cast("Schema", _block_at(schema, location).get("properties", {})))


def _forms(node: Schema) -> Mapping[str, str]:
    """Return the forms of a block by the value that chooses them."""
    if "discriminator" not in node:
        return {}
    return cast("Mapping[str, Mapping[str, str]]", node["discriminator"])["mapping"]


def _inner(node: Schema, part: str) -> Schema:
    if forms := _forms(node):
        return {"$ref": forms[part]} if part in forms else {}
    if "properties" in node:
        return cast("Schema", cast("Schema", node["properties"]).get(part, {}))
    inner = node.get("items", node.get("additionalProperties"))
    return inner if isinstance(inner, dict) else {}


# --- wordings ----------------------------------------------------------------------------


def _wrong_value(details: ErrorDetails, path: Path, document: Document) -> Problem:
    context = details.get("ctx", {})
    kind = details["type"]
    value = _at(document.value, path)
    place = document.value_place(path)
    if kind == "value_error":
        # Our own validators say "what is wrong; what to write instead".
        message, _, hint = str(context.get("error", details["msg"])).partition("; ")
        path, place = _quoted_part(message, path, value, document) or (path, place)
        return Problem(place, path, message, hint or None)
    if kind == "union_tag_invalid":
        key = str(context["discriminator"]).strip("'")
        path = (*path, key)
        shown, place = repr(context["tag"]), document.value_place(path)
        return Problem(place, path, f"unknown {key} {shown}", _choice_hint(details))
    shown = _shown(value, path, document)
    if kind in {"literal_error", "enum"}:
        return Problem(place, path, f"{shown} is not allowed here", _choice_hint(details))
    for limit, words in _LIMITS.items():
        if kind == limit:
            bound = float(next(iter(context.values())))
            return Problem(place, path, f"{shown} is out of range: it must be {words} {bound:g}")
    if kind == "too_short":
        count = context.get("min_length", 1)
        return Problem(place, path, f"too few entries: at least {count} needed")
    message = f"{shown} {_TYPES.get(kind) or '- ' + details['msg'][0].lower() + details['msg'][1:]}"
    quotes = kind == "string_type" and not isinstance(value, (dict, list, type(None)))
    return Problem(place, path, message, "put it in quotes" if quotes else None)


_LIMITS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}
_TYPES = {
    "string_type": "is not text",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "bool_type": "is not true or false",
    "bool_parsing": "is not true or false",
    "list_type": "is not a list",
    "dict_type": "is not a block of keys",
    "model_type": "is not a block of keys",
    "model_attributes_type": "is not a block of keys",
}


def _choice_hint(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    choices = str(context.get("expected_tags", context.get("expected", "")))
    names = [name.strip(" '") for name in choices.replace(" or ", ", ").split(",")]
    wrong = context.get("tag", details["input"])
    near = nearest(wrong, names) if isinstance(wrong, str) else None
    return f"did you mean {near!r}?" if near else f"known: {', '.join(names)}"


def _shown(value: Value, path: Path, document: Document) -> str:
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "an empty value"
    text = document.texts.get(path, str(value))
    text = text if len(text) <= 60 else text[:57] + "..."
    return repr(text) if isinstance(value, str) else text


def _at(value: Value, path: Path) -> Value:
    for part in path:
        if isinstance(value, dict):
            value = value[str(part)]
        elif isinstance(value, list):
            value = value[int(part)]
    return value


def _quoted_part(
    message: str, path: Path, value: Value, document: Document
) -> tuple[Path, Place] | None:
    """Find the part of a block that a message about the whole block quotes."""
    for inside, part in parts(value, path):
        if isinstance(part, str) and part and repr(part) in message:
            return inside, document.value_place(inside)
    return None
