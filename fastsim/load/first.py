"""What is sent once before a load: a login, say, whose answer holds what the others need."""

import http.client
import json
import os
from collections.abc import Mapping
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from fastsim.errors import InputError
from fastsim.load.address import Address
from fastsim.load.template import Template
from fastsim.load.traffic_file import VARIABLE, FirstRequest, Mix, Sendable, TrafficFile

_TIMEOUT_S = 30.0
_MOST_BYTES = 10_000_000
R = TypeVar("R", bound=Sendable)


def prepared(file: TrafficFile, address: Address) -> Mix:
    """Send what comes before, and return the mix with what was captured in its place.

    Raises
    ------
    InputError
        When one of them fails, its answer lacks what is to be captured, or a variable of the
        environment is not set.
    """
    known: dict[str, str] = {}
    for request in file.before:
        known |= _send(_filled(request, known), address)
    requests = [_filled(request, known) for request in file.requests]
    return file.model_copy(update={"requests": requests}).mix()


def _filled(request: R, known: Mapping[str, str]) -> R:
    """Return a request with the values of its variables."""
    set_ = request.model_dump(by_alias=True, exclude_unset=True)
    if not VARIABLE.search(json.dumps(set_, default=str)):
        return request
    try:
        return type(request).model_validate({k: _with(v, known) for k, v in set_.items()})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{request.endpoint} with what was captured: {said}") from None


def _with(value: JsonValue, known: Mapping[str, str]) -> JsonValue:
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _value(match[1], known), value)
    if isinstance(value, dict):
        return {key: _with(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_with(item, known) for item in value]
    return value


def _value(name: str, known: Mapping[str, str]) -> str:
    if not name.startswith("env."):
        return known[name]
    variable = name.removeprefix("env.")
    if variable not in os.environ:
        raise InputError(
            f"the environment has no {variable}", hint=f"set it: {variable}=... fastsim load"
        )
    return os.environ[variable]


def _send(request: FirstRequest, address: Address) -> dict[str, str]:
    """Send a request and return what it captures."""
    entry = request.entry()
    body = None if entry.body is None else _first(entry.body).encode()
    path = address.prefix + _first(entry.path)
    try:
        status, content = fetch(address, entry.method, path, body, dict(entry.headers))
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{entry.endpoint} before the load failed: {error}") from None
    if not 200 <= status < 400:
        said = content[:120].decode("utf-8", "replace")
        raise InputError(f"{entry.endpoint} before the load: status {status}, {said!r}")
    return {
        name: _captured(content, path_text, f"{name} of {entry.endpoint}")
        for name, path_text in request.capture.items()
    }


def _first(template: Template) -> str:
    """Return a text with the first of every range."""
    return template.fill([drawn.low for drawn in template.ranges])


def fetch(
    address: Address,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Send one request and return the status and the content of its answer.

    Raises
    ------
    OSError, http.client.HTTPException
        When there is no answer within half a minute.
    """
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.host, address.port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(_MOST_BYTES)
    finally:
        connection.close()


def _captured(content: bytes, path: str, what: str) -> str:
    """Return the part of a JSON answer that a path such as ``items.0.id`` leads to."""
    try:
        value = json.loads(content)
    except ValueError:
        raise InputError(f"{what}: the answer is not JSON") from None
    for key in path.split("."):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            has = ", ".join(value) if isinstance(value, dict) else type(value).__name__
            raise InputError(
                f"{what}: the answer has no {path!r}", hint=f"at {key!r} it has: {has[:200]}"
            ) from None
    return value if isinstance(value, str) else json.dumps(value)
