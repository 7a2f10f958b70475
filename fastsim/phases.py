"""Phases of traffic, as people write them: how long, and at what rate.

``60s 100/s`` is constant, ``2min 100/s..400/s`` rises or falls evenly, ``spike: 30s x3`` has a name
and three times the rate of the traffic.
"""

import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fastsim.errors import InputError
from fastsim.model import Part
from fastsim.units import Duration, Share, format_rate, parse_duration, parse_rate


class Level(NamedTuple):
    """The rate of a phase at its begin and its end."""

    begin: float
    end: float
    relative: bool
    """Whether these are times the rate of the traffic, else requests per second."""


def parse_level(text: str) -> Level:
    """Read ``100/s``, ``100/s..400/s``, ``x3`` or ``x1..x3``.

    Raises
    ------
    InputError
        When it is neither a rate nor a multiple, or below 0.

    >>> parse_level("100/s..400/s")
    Level(begin=100.0, end=400.0, relative=False)
    """
    begin, dots, end = (piece.strip() for piece in text.partition(".."))
    hint = "write it like 100/s, 100/s..400/s, x3 or x1..x3"
    pair = (begin, end if dots else begin)
    relative = all(piece[:1] in {"x", "×"} for piece in pair)
    try:
        if relative:
            first, last = (float(piece[1:]) for piece in pair)
        else:
            first, last = (parse_rate(piece) for piece in pair)
    except (InputError, ValueError):
        raise InputError(f"{text!r} is not the rate of a phase", hint=hint) from None
    if not (0.0 <= first < float("inf") and 0.0 <= last < float("inf")):
        raise InputError(f"{text!r} is below 0 or without end", hint=hint)
    return Level(first, last, relative)


def _level_field(value: object) -> object:
    if isinstance(value, Level):
        return value
    try:
        return parse_level(str(value))
    except InputError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None


def format_level(level: Level) -> str:
    """Write a level as ``parse_level`` reads it."""
    pair = [f"x{v:.6g}" if level.relative else format_rate(v) for v in level[:2]]
    return pair[0] if pair[0] == pair[1] else "..".join(pair)


_PHASE = re.compile(r"(?:(?P<name>[^:]+):\s*)?(?P<length>\S+)\s+(?:at\s+)?(?P<rate>.+)")
_PHASE_HINT = "write it like '60s 100/s', '2min 100/s..400/s' or 'spike: 30s x3'"


class Phase(Part):
    """A stretch of the traffic, at one rate or at a rate that changes evenly."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str = ""
    length: Duration = Field(alias="for", gt=0.0, description="how long it lasts")
    rate: Annotated[
        Level,
        BeforeValidator(_level_field),
        PlainSerializer(format_level),
        WithJsonSchema({"type": "string", "examples": ["100/s", "100/s..400/s", "x1..x3"]}),
    ] = Field(description="requests per second or times the rate of the traffic; from..to")
    mix: dict[str, Share] = Field(
        default_factory=dict, description="endpoint shares, where they differ in this phase"
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        long = handler.resolve_ref_schema(handler(core_schema))
        short = {"type": "string", "examples": ["60s 100/s", "2min 100/s..400/s", "spike: 30s x3"]}
        named = {"type": "object", "additionalProperties": short, "maxProperties": 1}
        return {"anyOf": [short, long, named]}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, dict) and len(value) == 1:
            [(name, rest)] = value.items()
            if isinstance(rest, str) and name not in {"name", "for", "length", "rate", "mix"}:
                value = f"{name}: {rest}"
        if not isinstance(value, str):
            return value
        try:
            return _phase_parts(value)
        except InputError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None


def _phase_parts(text: str) -> dict[str, object]:
    match = _PHASE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text.strip()!r} is not a phase", hint=_PHASE_HINT)
    return {
        "name": (match["name"] or "").strip(),
        "for": match["length"],
        "rate": match["rate"].strip(),
    }


def parse_phases(text: str) -> list[Phase]:
    """Read phases such as ``60s 100/s, 30s 100/s..400/s, spike: 10s x3``.

    Raises
    ------
    InputError
        When one is none, or lasts no time.
    """
    found = []
    for piece in text.split(","):
        parts = _phase_parts(piece)
        length = parse_duration(str(parts["for"]))
        if length <= 0.0:
            raise InputError(f"{piece.strip()!r} lasts no time", hint=_PHASE_HINT)
        found.append(
            Phase(name=str(parts["name"]), length=length, rate=parse_level(str(parts["rate"])))
        )
    return found


def check_phases(phases: Sequence[Phase], rate_per_s: float | None) -> None:
    """Refuse phases that say of one rate two things.

    Raises
    ------
    InputError
        When some are rates and others multiples, or when they are rates and there is another.
    """
    kinds = {phase.rate.relative for phase in phases}
    if len(kinds) > 1:
        raise InputError(
            "some phases are rates and others multiples", hint="write all of them one way"
        )
    if kinds == {False} and rate_per_s is not None:
        raise InputError(
            "phases with rates of their own leave nothing for the rate to say",
            hint="write them as multiples of it: x1, x3",
        )
