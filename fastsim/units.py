"""Human units at the edge, SI floats inside.

``"20ms"`` <-> 0.02 (seconds), ``"300/s"`` <-> 300.0 (per second), ``"512MiB"``
<-> 536870912 (bytes), ``"0.5%"`` <-> 0.005. The ``Duration``, ``Rate`` and
``Share`` annotations (and ``Surcharge``) make pydantic fields that read and write this text.
"""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema

from fastsim.errors import InputError

DIGITS = r"(?:\d+\.?\d*|\.\d+)"
"""Pattern of a number without sign and exponent."""
_NUMBER = rf"([+-]?{DIGITS}(?:[eE][+-]?\d+)?)"
_DURATION = re.compile(_NUMBER + r"\s*(ns|us|µs|ms|s|min|h|d)")
_RATE = re.compile(_NUMBER + r"\s*/\s*(s|sec|min|h|d)")
_SHARE = re.compile(_NUMBER + r"\s*%")
_BYTES = re.compile(_NUMBER + r"\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)")

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_PERIOD = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTE = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}


def parse_duration(text: str) -> float:
    """Return seconds for text such as ``20ms``, ``1.5s`` or ``2min``.

    Raises
    ------
    InputError
        When the text has no unit or is not a duration.

    >>> parse_duration("20ms")
    0.02
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a duration", hint=_suggest_unit(text, "s or ms", "20ms"))
    number, unit_s = float(match[1]), _SECONDS[match[2]]
    # Division by a whole number rounds once: 57ms is 0.057, as in code.
    seconds = number * unit_s if unit_s >= 1.0 else number / round(1.0 / unit_s)
    return _finite(seconds, text)


def parse_rate(text: str) -> float:
    """Return events per second for text such as ``300/s`` or ``90/min``.

    Raises
    ------
    InputError
        When the text has no period or is not a rate.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a rate", hint=_suggest_unit(text, "/s", "300/s"))
    return _finite(float(match[1]) / _PERIOD[match[2]], text)


def parse_share(text: str) -> float:
    """Return a ratio for text such as ``0.5%``.

    Raises
    ------
    InputError
        When the text is not a percentage.
    """
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a percentage", hint=_suggest_unit(text, "%", "0.5%"))
    return _finite(float(match[1]) / 100.0, text)


def parse_bytes(text: str) -> int:
    """Return bytes for text such as ``512MiB`` or ``2GB``.

    Raises
    ------
    InputError
        When the text has no unit or is not a size.
    """
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a size", hint=_suggest_unit(text, "MiB", "512MiB"))
    return round(_finite(float(match[1]) * _BYTE[match[2]], text))


def _finite(value: float, text: str) -> float:
    # 1e999ms has the right form, but is no time.
    if not math.isfinite(value):
        raise InputError(f"{text!r} is too large", hint="use a finite value")
    return value


def _suggest_unit(text: str, unit: str, example: str) -> str:
    if re.fullmatch(_NUMBER, text.strip()):
        first = unit.split(" ", 1)[0]
        return f"add a unit ({unit}): {text.strip()}{first}, or for example {example}"
    return f"write it like {example}"


def format_duration(seconds: float, digits: int = 5) -> str:
    """Write seconds in the largest unit that keeps the number at least one.

    >>> format_duration(0.0201)
    '20.1ms'
    """
    if not math.isfinite(seconds):
        return str(seconds)
    size = abs(seconds)
    unit, factor = "s", 1.0
    for name, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        unit, factor = name, scale
        if size >= scale or size == 0.0:
            break
    return f"{seconds / factor:.{digits}g}{unit}".replace("e+03", "000")


def format_rate(per_second: float, digits: int = 6) -> str:
    """Write a rate per second.

    >>> format_rate(300.0)
    '300/s'
    """
    return f"{per_second:.{digits}g}/s"


def format_share(ratio: float, digits: int = 4) -> str:
    """Write a ratio as a percentage.

    >>> format_share(0.005)
    '0.5%'
    """
    return f"{ratio * 100:.{digits}g}%"


def _duration_field(value: object, info: ValidationInfo) -> object:
    if _is_inner_number(value, info):
        return value
    if isinstance(value, str):
        return _as_value_error(parse_duration, value)
    raise ValueError(f"{value!r} is not a duration; add a unit (s or ms), for example 20ms")


def parse_duration_range(text: str) -> tuple[float, float]:
    """Read two durations, seconds, of which the first is not the longer one.

    Raises
    ------
    InputError
        When the text is none.

    >>> parse_duration_range("5ms..20ms")
    (0.005, 0.02)
    """
    low, dots, high = text.partition("..")
    if not dots:
        raise InputError(f"{text!r} is not a range of durations", hint="write it like 5ms..20ms")
    pair = parse_duration(low), parse_duration(high)
    if pair[0] > pair[1]:
        raise InputError(f"{text!r} ends before it begins", hint="write it like 5ms..20ms")
    return pair


def _duration_range_field(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        try:
            return parse_duration_range(value)
        except InputError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None
    if isinstance(value, (tuple, list)) and all(_is_inner_number(item, info) for item in value):
        return value
    raise ValueError(f"{value!r} is not a range of durations; write it like 5ms..20ms")


def _duration_range_text(pair: tuple[float, float]) -> str:
    return "..".join(map(format_duration, pair))


def _rate_field(value: object, info: ValidationInfo) -> object:
    if _is_inner_number(value, info):
        return value
    if isinstance(value, str):
        return _as_value_error(parse_rate, value)
    raise ValueError(f"{value!r} is not a rate; add a unit (/s), for example 300/s")


def _share_field(value: object, info: ValidationInfo) -> object:
    if _is_inner_number(value, info):
        return value
    if isinstance(value, str):
        return _as_value_error(parse_share, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value <= 1.0:
        raise ValueError(f"{value!r} is not a percentage; write it as {format_share(value)}")
    raise ValueError(f"{value!r} is not a percentage; add a unit (%), for example 0.5%")


def _share_text(ratio: float) -> str:
    return format_share(ratio, 5)


def _is_inner_number(value: object, info: ValidationInfo) -> bool:
    # Code passes SI floats; only text that a person wrote must carry a unit.
    from_file = bool(info.context and info.context.get("from_file"))
    return not from_file and isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_value_error(parse: object, text: str) -> float:
    # pydantic reports ValueError with the field's place; InputError would escape it.
    try:
        return float(parse(text))  # type: ignore[operator]
    except InputError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None


def _text_schema(pattern: re.Pattern[str], example: str) -> dict[str, object]:
    return {"type": "string", "pattern": f"^\\s*{pattern.pattern}\\s*$", "examples": [example]}


DURATION_SCHEMA = _text_schema(_DURATION, "20ms")
RATE_SCHEMA = _text_schema(_RATE, "300/s")
SHARE_SCHEMA = _text_schema(_SHARE, "0.5%")
"""JSON Schemas of the text that people write."""

Duration = Annotated[
    float,
    BeforeValidator(_duration_field),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema(DURATION_SCHEMA),
]
DurationRange = Annotated[
    tuple[float, float],
    BeforeValidator(_duration_range_field),
    PlainSerializer(_duration_range_text, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["5ms..20ms"]}),
]
Rate = Annotated[
    float,
    BeforeValidator(_rate_field),
    PlainSerializer(format_rate, when_used="json"),
    WithJsonSchema(RATE_SCHEMA),
]
Surcharge = Annotated[
    float,
    BeforeValidator(_share_field),
    PlainSerializer(_share_text, when_used="json"),
    Field(ge=0.0),
    WithJsonSchema(SHARE_SCHEMA),
]
"""A percentage that something costs more; unlike a share it may exceed 100 %."""
Share = Annotated[
    float,
    BeforeValidator(_share_field),
    PlainSerializer(_share_text, when_used="json"),
    Field(ge=0.0, le=1.0),
    WithJsonSchema(SHARE_SCHEMA),
]
