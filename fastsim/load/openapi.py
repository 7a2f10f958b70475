"""Requests that an OpenAPI description allows, with values that its schemas accept.

FastAPI serves one at ``/openapi.json``. What a schema calls an example or a default is taken,
numbers become a range to draw from, and the rest is the least that its type allows.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from fastsim.errors import FileFormatError
from fastsim.load.traffic_file import METHODS

Schema = Mapping[str, Any]

MOST_NUMBERS = 100
"""Numbers that a parameter is drawn from where the schema allows more."""
_DEEPEST = 8
_FORM = "application/x-www-form-urlencoded"
_TEXTS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "email": "user{1..100}@example.com",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "binary": "data",
}
_KEPT = "{}|.@:-,"
"""Signs of placeholders and of usual values, which a path keeps."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of request."""

    endpoint: str
    path: str
    """With values, or placeholders that draw them."""
    json_body: Any = None
    form: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    unsure: tuple[str, ...] = ()
    """Parameters whose values somebody has to look at."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a description says."""

    title: str
    operations: tuple[Operation, ...]
    login: str | None
    """Path of a login with name and password that hands out a token."""


def read_openapi(text: str, name: str) -> Described:
    """Read a description in JSON.

    Raises
    ------
    FileFormatError
        When it is none, or describes no request.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{name} is not JSON: {error}", where=name) from None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise FileFormatError(
            f"{name} is no OpenAPI description",
            hint="FastAPI serves one: http://127.0.0.1:8000/openapi.json",
            where=name,
        )
    reader = _Reader(document)
    operations = tuple(reader.operations())
    if not operations:
        raise FileFormatError(f"{name} describes no request", where=name)
    info = document.get("info")
    title = str(info.get("title", "service")) if isinstance(info, dict) else "service"
    return Described(title, operations, reader.login())


class _Reader:
    def __init__(self, document: Schema) -> None:
        self.document = document

    def operations(self) -> Iterator[Operation]:
        for route, item in self.document["paths"].items():
            if not isinstance(item, dict):
                continue
            shared = _list(item.get("parameters"))
            for method, operation in item.items():
                if method.upper() in METHODS and isinstance(operation, dict):
                    yield self._operation(method.upper(), route, operation, shared)

    def login(self) -> str | None:
        for scheme in self._schemes().values():
            password = _dict(_dict(_dict(scheme).get("flows")).get("password"))
            if "tokenUrl" in password:
                return "/" + str(password["tokenUrl"]).lstrip("/")
        return None

    def _schemes(self) -> dict[str, Any]:
        return _dict(_dict(self.document.get("components")).get("securitySchemes"))

    def _operation(
        self, method: str, route: str, operation: Schema, shared: list[Any]
    ) -> Operation:
        path, query, headers, unsure = route, {}, self._security(operation), []
        for parameter in map(self._resolved, [*shared, *_list(operation.get("parameters"))]):
            name, place = str(parameter.get("name", "")), parameter.get("in")
            schema = self._resolved(parameter.get("schema", {}))
            given = parameter.get("example", schema.get("example"))
            value = _flat(self.value(schema, name=name) if given is None else given)
            value = value or "1"
            if place == "path":
                path = path.replace(f"{{{name}}}", quote(value, safe=_KEPT))
                unsure.append(name)
            elif place == "query" and parameter.get("required"):
                query[name] = value
            elif place == "header" and parameter.get("required"):
                # A header is the same in every request: no drawing.
                headers[name] = re.sub(r"\{(-?\d+)\.\..*?\}", r"\1", value)
        if query:
            path += "?" + urlencode(query, safe=_KEPT)
        body, form = self._body(operation)
        return Operation(f"{method} {route}", path, body, form, headers, tuple(unsure))

    def _security(self, operation: Schema) -> dict[str, str]:
        """Return the headers that let a request in, with values of the environment."""
        required = operation.get("security", self.document.get("security", []))
        schemes = self._schemes()
        for name in (name for each in _list(required) for name in _dict(each)):
            scheme = _dict(schemes.get(name))
            kind = str(scheme.get("type", "")).lower()
            if kind == "apikey" and scheme.get("in") == "header":
                return {str(scheme.get("name", "X-API-Key")): "${env.API_KEY}"}
            if kind == "http" and str(scheme.get("scheme", "")).lower() == "bearer":
                return {"Authorization": "Bearer ${env.TOKEN}"}
            if kind == "oauth2":
                return {"Authorization": "Bearer ${token}"}
        return {}

    def _body(self, operation: Schema) -> tuple[Any, dict[str, str] | None]:
        content = _dict(self._resolved(operation.get("requestBody")).get("content"))
        for kind, described in content.items():
            media = _dict(described)
            schema = self._resolved(media.get("schema"))
            examples = [_dict(e).get("value") for e in _dict(media.get("examples")).values()]
            value = media.get("example", examples[0] if examples else None)
            value = self.value(schema) if value is None else value
            if kind == _FORM and isinstance(value, dict):
                return None, {name: _flat(item) for name, item in value.items()}
            if "json" in kind:
                return value, None
        return None, None

    def _resolved(self, schema: Any) -> Schema:
        for _ in range(_DEEPEST):
            if not isinstance(schema, dict):
                return {}
            if "$ref" not in schema:
                return schema
            found: Any = self.document
            for key in str(schema["$ref"]).removeprefix("#/").split("/"):
                found = found.get(key, {}) if isinstance(found, dict) else {}
            schema = found
        return {}

    def value(self, schema: Any, *, name: str = "", depth: int = 0) -> Any:
        """Return a value that a schema accepts; placeholders stand for numbers to draw."""
        schema = self._resolved(schema)
        for key in ("example", "const", "default"):
            if schema.get(key) is not None:
                return schema[key]
        examples = schema.get("examples")
        if isinstance(examples, list) and examples:
            return examples[0]
        if _list(schema.get("enum")):
            return schema["enum"][0]
        if depth > _DEEPEST:
            return None
        for key in ("anyOf", "oneOf"):
            options = [self._resolved(option) for option in _list(schema.get(key))]
            options = [option for option in options if option.get("type") != "null"]
            if options:
                return self.value(options[0], name=name, depth=depth + 1)
        parts = [self.value(part, depth=depth + 1) for part in _list(schema.get("allOf"))]
        whole = [part for part in parts if isinstance(part, dict)]
        if whole:
            return {key: item for part in whole for key, item in part.items()}
        return self._typed(schema, name=name, depth=depth)

    def _typed(self, schema: Schema, *, name: str, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "string")
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return [self.value(schema.get("items", {}), depth=depth + 1)]
        if kind == "boolean":
            return True
        if kind in {"integer", "number"}:
            low, high = _bounds(schema)
            return f"{{{low}..{high}}}" if low < high else low
        return _text(schema, name)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        fields = _dict(schema.get("properties"))
        names = [str(name) for name in _list(schema.get("required"))] or list(fields)
        return {
            name: self.value(fields[name], name=name, depth=depth + 1)
            for name in names
            if name in fields
        }


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _bounds(schema: Schema) -> tuple[int, int]:
    low = _number(schema.get("minimum", schema.get("exclusiveMinimum")))
    high = _number(schema.get("maximum", schema.get("exclusiveMaximum")))
    first = 1 if low is None else int(low) + ("minimum" not in schema)
    last = first + MOST_NUMBERS - 1
    if high is not None:
        last = min(last, int(high) - ("maximum" not in schema))
    if low is None and last < first:
        first = last
    return first, max(first, last)


def _number(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if known and abs(value) < 2**52 else None


def _text(schema: Schema, name: str) -> str:
    text = _TEXTS.get(str(schema.get("format", "")), name or "text")
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and len(text) < least:
        text = text.ljust(min(least, 1000), "x")
    return text[:most] if isinstance(most, int) and "{" not in text else text


def _flat(value: Any) -> str:
    """Write a value as a part of a path, a query or a form."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)
