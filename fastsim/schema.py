"""JSON Schema of the files that people write and of those that FastSim writes.

Of model files the schema knows the short forms too (docs/reference/model.md): editors complete and
check what people write. What only ``fastsim check`` can tell (sums of shares, names that must
exist) is not in it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from fastsim.answers import ANSWERS
from fastsim.errors import UnknownNameError
from fastsim.load.traffic_file import TrafficFile
from fastsim.model import ServiceModel
from fastsim.scenario import Scenario
from fastsim.short_forms import HEADS, MARKS
from fastsim.short_laws import ALIASES
from fastsim.short_writing import WAITS
from fastsim.units import DURATION_SCHEMA, RATE_SCHEMA

Schema = dict[str, Any]

WRITTEN: Mapping[str, type[BaseModel]] = {
    "model": ServiceModel,
    "scenario": Scenario,
    "traffic": TrafficFile,
}
"""Kinds of files that people write."""
KINDS: Mapping[str, type[BaseModel]] = {
    **WRITTEN,
    **ANSWERS,
}

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: str) -> Schema:
    """Return the schema of one kind of file.

    Raises
    ------
    UnknownNameError
        When there is no such kind.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of file", kind, list(KINDS))
    found = KINDS[kind].model_json_schema(
        by_alias=True, mode="validation" if kind in WRITTEN else "serialization"
    )
    if kind == "model":
        found = _with_short_forms(found)
    return {"$schema": _DIALECT, "title": f"FastSim {kind}", **found}


def _with_short_forms(schema: Schema) -> Schema:
    """Let a model be written as people write it."""
    long: Schema = _replaced(schema)
    parts: Schema = long["$defs"]
    parts["LongStep"], parts["LongLaw"] = _union(schema, "do"), _union(schema, "family")
    parts["Step"] = _any(_ref("LongStep"), _ref("ShortStep"), {"enum": list(MARKS)})
    parts["Law"] = _any(DURATION_SCHEMA, _ref("LongLaw"), _ref("ShortLaw"))
    parts["ShortLaw"] = _short_law()
    parts["ShortStep"] = _short_step()
    parts["Steps"] = {"type": "array", "items": _ref("Step")}
    parts["Count"] = _any({"type": "integer", "minimum": 0}, _ref("Counts"))
    _let_holders_be_short(parts)
    top: Schema = long["properties"]
    top["resources"]["additionalProperties"] = _any({"type": "integer"}, _ref("Resource"))
    top["limits"]["additionalProperties"] = _any(RATE_SCHEMA, _ref("Limit"))
    parts["Resource"]["properties"] |= {
        name: {"type": "integer", "minimum": 0, "description": text}
        for name, text in (
            ("size", "instead of capacity: connections that are kept"),
            ("overflow", "and those beyond them"),
        )
    }
    parts["Resource"].pop("required", None)
    body = _any(_ref("Steps"), _ref("Endpoint"))
    named: Schema = {"type": "object", "minProperties": 1, "additionalProperties": body}
    top["endpoints"] = _any({"type": "array", "items": _ref("Endpoint")}, named)
    return long


def _let_holders_be_short(parts: Schema) -> None:
    """Let what holds steps be just the list of them, and leave out what can be filled in."""
    steps = {"steps": _ref("Steps")}
    endpoint: Schema = parts["Endpoint"]
    endpoint["properties"] |= steps
    endpoint.pop("required", None)
    parts["Variant"].pop("required", None)
    parts["Way"].pop("required", None)
    for name in ("Variant", "Branch", "Way"):
        block = parts.pop(name)
        block["properties"] |= steps
        if name == "Branch":
            block["properties"]["count"] = _ref("Count")
        parts[f"Long{name}"] = block
        parts[name] = _any(_ref(f"Long{name}"), _ref("Steps"))
    for name, count in (("RepeatStep", "count"), ("StreamStep", "chunks")):
        parts[name]["properties"][count] = _ref("Count")
    parts["Tokens"]["properties"]["output"] = _ref("Count")


def _short_law() -> Schema:
    inner = _any(DURATION_SCHEMA, {"type": "object"})
    return {
        "type": "object",
        "properties": dict.fromkeys(ALIASES, inner) | {"shift": DURATION_SCHEMA, "fit": {}},
        "oneOf": [{"required": [name]} for name in ALIASES],
        "additionalProperties": False,
    }


def _short_step() -> Schema:
    ways: Schema = {"type": "object", "additionalProperties": _ref("Way")}
    heads: Schema = {
        "cpu": _ref("Law"),
        **{name: _ref("Law") for name in (*WAITS, "sleep")},
        "thread": _any(_ref("Law"), _ref("Steps")),
        "use": {"type": "string"},
        "limit": {"type": "string"},
        "parallel": {"type": "array", "items": _ref("Branch")},
        "choose": ways,
        "repeat": _ref("Count"),
        "stream": _ref("Count"),
    }
    beside: Schema = {
        "steps": _ref("Steps"),
        "gap": _ref("Law"),
        "off_gil": _ref("Law"),
        **{name: {"type": "string"} for name in ("label", "where", "kind", "blocking", "via")},
        "thread_cpu": DURATION_SCHEMA,
        "size": {"type": "number", "minimum": -1, "maximum": 1},
        "tokens": _ref("Tokens"),
        "gil": {"type": "boolean"},
        "join": {"enum": ["all", "first", "none"]},
    }
    # The code of a chunk stands beside the stream, under the name of a step.
    with_head = [{"required": [head]} for head in HEADS if head != "cpu"]
    alone: Schema = {"required": ["cpu"], "not": {"anyOf": with_head}}
    return {
        "type": "object",
        "properties": {**heads, **beside},
        "anyOf": [*with_head, alone],
        "additionalProperties": False,
    }


def _any(*ways: Schema) -> Schema:
    return {"anyOf": list(ways)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


_UNIONS = {"do": "Step", "family": "Law"}


def _is_union(part: object, tag: str) -> bool:
    return isinstance(part, dict) and (
        isinstance(part.get("discriminator"), dict) and part["discriminator"]["propertyName"] == tag
    )


def _replaced(part: Any) -> Any:
    """Return a part in which steps and laws are referred to instead of spelt out."""
    if isinstance(part, list):
        return [_replaced(each) for each in part]
    if not isinstance(part, dict):
        return part
    for tag, name in _UNIONS.items():
        if _is_union(part, tag):
            return _ref(name)
    return {key: _replaced(value) for key, value in part.items()}


def _union(part: Any, tag: str) -> Schema:
    """Return the first union of all steps or laws; its members are references."""
    if _is_union(part, tag):
        return {"oneOf": part["oneOf"]}
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for each in inner:
        found = _union(each, tag)
        if found:
            return found
    return {}
