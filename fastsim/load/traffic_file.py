"""The traffic mix: which requests to send, in which shares.

Reads ``kind: traffic`` files and ``--mix`` text into a compiled ``Mix``. When requests are
sent is decided by ``fastsim.load.schedule``.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import ConfigDict, Field, JsonValue, model_validator

from fastsim.errors import InputError
from fastsim.load.template import OneOf, Template, form_template, json_template, text_template
from fastsim.model import Part
from fastsim.units import Share, format_share, parse_share
from fastsim.yaml_source import load_yaml

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
METHODS: tuple[str, ...] = get_args(Method)
SHARE_TOLERANCE = 0.005

# What may follow the host in a request line: visible ASCII, no fragment.
REQUEST_TARGET = re.compile(r"/[!-\"$-~]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VARIABLE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
"""``${name}``: captured from the answer to an earlier request, or ``${env.NAME}``."""
_OWN_HEADERS = frozenset({"traceparent", "host", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class MixEntry:
    """One kind of request. ``share`` is a ratio; the shares of a mix add up to 1."""

    endpoint: str
    method: str
    share: float
    path: Template
    body: Template | None = None
    headers: tuple[tuple[str, str], ...] = ()


Mix = tuple[MixEntry, ...]


class Sendable(Part):
    """A request as people write it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    endpoint: str = Field(description="method and route template, for example GET /items/{id}")
    path: str | None = Field(
        None,
        description="path and query to ask for; {a..b} is a number and {a|b} a text drawn "
        "uniformly, ${name} was captured before",
    )
    # Named json_body because pydantic's own method is called json.
    json_body: JsonValue = Field(None, alias="json", description="body; strings may hold {a..b}")
    form: dict[str, str] | None = Field(
        None, description="fields of a form, as a body instead of json"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="sent as they are")

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        try:
            self.entry()
        except InputError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None
        return self

    def entry(self, share: float = 1.0) -> MixEntry:
        """Compile to what the schedule uses.

        Raises
        ------
        InputError
            When endpoint, path, body or headers cannot be sent.
        """
        method, route = _split_endpoint(self.endpoint)
        path = _path_template(route if self.path is None else self.path)
        body, content = self._body()
        headers = dict(self.headers)
        if body is not None and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = content
        _check_headers(headers)
        return MixEntry(
            endpoint=f"{method} {route}",
            method=method,
            share=share,
            path=path,
            body=body,
            headers=tuple(headers.items()),
        )

    def _body(self) -> tuple[Template | None, str]:
        if "json_body" in self.model_fields_set:
            if self.form is not None:
                raise InputError("a request has one body", hint="leave json or form out")
            return json_template(self.json_body), "application/json"
        if self.form is None:
            return None, ""
        return form_template(self.form), "application/x-www-form-urlencoded"


class TrafficRequest(Sendable):
    """One kind of request in a traffic file."""

    share: Share = Field(description="part of all requests")


class FirstRequest(Sendable):
    """A request that is sent once before all others, such as a login."""

    capture: dict[str, str] = Field(
        default_factory=dict,
        description="names for parts of the JSON answer: token: access_token, id: items.0.id",
    )


class TrafficFile(Part):
    """A traffic mix as people write it."""

    version: Literal[1] = 1
    kind: Literal["traffic"] = "traffic"
    before: list[FirstRequest] = Field(
        default_factory=list, description="sent once, one after the other, and not measured"
    )
    requests: list[TrafficRequest] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        try:
            _check_shares([request.share for request in self.requests])
            self._check_variables()
        except InputError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None
        return self

    def mix(self) -> Mix:
        """Return the compiled requests, shares scaled to add up to exactly 1."""
        return _scaled([request.entry(request.share) for request in self.requests])

    def _check_variables(self) -> None:
        known: list[str] = []
        for request in (*self.before, *self.requests):
            for name in variables_of(request):
                if not name.startswith("env.") and name not in known:
                    raise InputError(
                        f"${{{name}}} is not captured by a request before",
                        hint=f"known: {', '.join(known) or 'none'}; ${{env.NAME}} is the "
                        "environment's",
                    )
            known += list(getattr(request, "capture", {}))


def variables_of(request: Sendable) -> list[str]:
    """Return the names of all ``${name}`` of a request."""
    text = json.dumps(request.model_dump(exclude={"capture"}, mode="json"), ensure_ascii=False)
    return VARIABLE.findall(text)


def read_traffic_file(path: Path) -> Mix:
    """Read a traffic mix file that needs nothing captured before.

    Raises
    ------
    FileFormatError
        When the file is missing, empty, not YAML, or of another kind.
    ScenarioError
        When keys or values are wrong, or the shares do not add up to 100 %.
    """
    return load_yaml(path, TrafficFile).mix()


def parse_mix(text: str) -> Mix:
    """Read a mix such as ``GET /a=60%,POST /b=40%``; paths may hold ``{a..b}``.

    Raises
    ------
    InputError
        When an entry is not ``METHOD /path=share`` or the shares do not add up.

    >>> [entry.endpoint for entry in parse_mix("GET /a=60%, GET /b/{1..9}=40%")]
    ['GET /a', 'GET /b/{1..9}']
    """
    entries = []
    # A comma inside a query string is not followed by a method.
    for part in re.split(r",\s*(?=[A-Za-z]+\s+/)", text.strip()):
        name, equals, share = part.rpartition("=")
        if not equals:
            raise InputError(
                f"{part!r} has no share", hint="write the mix like 'GET /a=60%,GET /b=40%'"
            )
        method, route = _split_endpoint(name)
        entries.append(
            MixEntry(f"{method} {route}", method, parse_share(share), _path_template(route))
        )
    _check_shares([entry.share for entry in entries])
    return _scaled(entries)


def single_path(path: str) -> Mix:
    """Return the mix that only asks ``GET path``.

    Raises
    ------
    InputError
        When the path cannot be sent.
    """
    return (MixEntry(f"GET {path}", "GET", 1.0, _path_template(path)),)


def _split_endpoint(text: str) -> tuple[str, str]:
    method, _, route = text.strip().partition(" ")
    route = route.strip()
    if method not in METHODS or not route.startswith("/"):
        raise InputError(
            f"{text.strip()!r} is not an endpoint",
            hint=f"write it like 'GET /items/{{id}}'; methods: {', '.join(METHODS)}",
        )
    return method, route


def _path_template(text: str) -> Template:
    template = text_template(text)
    # What is captured, and texts to choose from, go into the path as well.
    chosen = [one for drawn in template.ranges if isinstance(drawn, OneOf) for one in drawn.texts]
    fixed = VARIABLE.sub("", "".join([*template.literals, *chosen]))
    if "{" in fixed or "}" in fixed:
        raise InputError(
            f"path {text!r} has a parameter without a value",
            hint="give a path with values to draw: /items/{1..500}, or /items/{lamp|chair}",
        )
    if REQUEST_TARGET.fullmatch(fixed) is None:
        raise InputError(
            f"path {text!r} cannot be sent",
            hint="start it with / and percent-encode blanks and letters outside ASCII",
        )
    return template


def _check_headers(headers: dict[str, str]) -> None:
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None or not value.isprintable() or not value.isascii():
            raise InputError(f"header {name!r} cannot be sent", hint="use plain ASCII text")
        if name.lower() in _OWN_HEADERS:
            raise InputError(f"header {name!r} is set by the driver", hint="leave it out")
        if text_template(value).ranges:
            raise InputError(
                f"header {name!r} has a placeholder", hint="only path and json may have them"
            )


def _check_shares(shares: list[float]) -> None:
    for share in shares:
        if not 0.0 <= share <= 1.0:
            raise InputError(f"share {format_share(share)} is impossible", hint="use 0% to 100%")
    total = math.fsum(shares)
    if abs(total - 1.0) > SHARE_TOLERANCE:
        raise InputError(
            f"the shares add up to {format_share(total)}", hint="make them add up to 100%"
        )


def _scaled(entries: list[MixEntry]) -> Mix:
    total = math.fsum(entry.share for entry in entries)
    return tuple(
        MixEntry(
            entry.endpoint,
            entry.method,
            entry.share / total,
            entry.path,
            entry.body,
            entry.headers,
        )
        for entry in entries
    )
