"""OTLP attribute values: one-key unions in JSON, to plain Python values."""

import json
from collections.abc import Callable
from typing import Any

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.otlp_typed import Pair
from fastsim.spans import Attributes, AttributeValue

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def attributes_of(items: Any, account: FileAccount) -> Attributes:
    """Decode a list of key-value pairs; pairs that make no sense are counted and left out."""
    attributes: Attributes = {}
    if not isinstance(items, list):
        if items is not None:
            account.skip(Skip.ATTRIBUTE)
        return attributes
    for item in items:
        try:
            attributes[_text(item["key"])] = _value(item.get("value"))
        except _UNREADABLE:
            account.skip(Skip.ATTRIBUTE)
    return attributes


def attributes_of_pairs(pairs: list[Pair], account: FileAccount) -> Attributes:
    """Decode pairs that have been read into rows; those that make no sense are left out."""
    attributes: Attributes = {}
    for pair in pairs:
        key, union = pair.key, pair.value
        try:
            # Nearly all are plain text: no calls for those.
            text = union.get("stringValue") if union else None
            if union is None or type(text) is not str or len(union) != 1 or not text.isascii():
                text = _value(union)
            attributes[key if key.isascii() else printable(key)] = text
        except _UNREADABLE:
            account.skip(Skip.ATTRIBUTE)
    return attributes


def _value(union: Any) -> AttributeValue:
    if not union:  # an empty value is valid OTLP
        return None
    ((form, raw),) = union.items()
    return _DECODERS[form](raw)


def _text(raw: Any) -> str:
    if type(raw) is str:
        return printable(raw)
    raise TypeError


def printable(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON may hold and no output can print."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _integer(raw: Any) -> int:
    if type(raw) is float and not raw.is_integer():
        raise ValueError
    return int(raw)


def _boolean(raw: Any) -> bool:
    if type(raw) is bool:
        return raw
    return {"true": True, "false": False}[raw]


def _list(raw: Any) -> AttributeValue:
    items = raw.get("values") or []
    if not items:
        return []
    form = next(iter(items[0]), None)
    try:  # the long arrays of a timeline, quickly
        if form == "intValue":
            return [int(item["intValue"]) for item in items]
        if form == "stringValue":
            return [_text(item["stringValue"]) for item in items]
    except _UNREADABLE:
        pass
    return typed_list([_plain(item) for item in items])


def typed_list(values: list[Any]) -> AttributeValue:
    """Give a list of mixed values one type: the widest number, else text."""
    types = {type(value) for value in values}
    if types in ({bool}, {int}):
        return values
    if types <= {int, float}:
        return [float(value) for value in values]
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _plain(union: Any) -> Any:
    """Decode a value inside another one; made text only once, by the outermost.

    Text inside text would double its backslashes at each level.
    """
    if union and (values := union.get("arrayValue") or union.get("array_value")) is not None:
        return [_plain(item) for item in values.get("values") or []]
    if union and (pairs := union.get("kvlistValue") or union.get("kvlist_value")) is not None:
        return _map(pairs)
    return _value(union)


def _map(raw: Any) -> dict[str, Any]:
    return {_text(pair["key"]): _plain(pair.get("value")) for pair in raw.get("values") or []}


def _nested(raw: Any) -> str:
    """Keep a map as JSON text: no step of calibration looks inside one."""
    return nested_text(_map(raw))


def nested_text(value: dict[str, Any]) -> str:
    """Return a map as JSON text."""
    return json.dumps(value)


_DECODERS: dict[str, Callable[[Any], AttributeValue]] = {
    "stringValue": _text,
    "string_value": _text,
    "intValue": _integer,
    "int_value": _integer,
    "doubleValue": float,
    "double_value": float,
    "boolValue": _boolean,
    "bool_value": _boolean,
    "arrayValue": _list,
    "array_value": _list,
    "kvlistValue": _nested,
    "kvlist_value": _nested,
    "bytesValue": _text,
    "bytes_value": _text,
}


def of_tail_sampling(noted: Attributes) -> Attributes:
    """Return what a collector that samples whole traces noted with a scope."""
    return {name: value for name, value in noted.items() if name.startswith("tailsampling.")}
