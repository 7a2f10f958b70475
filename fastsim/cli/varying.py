"""Values that vary, as they are written on the command line: lists, and ranges with a step."""

import itertools
import re
from collections.abc import Mapping, Sequence

from fastsim.errors import InputError

MOST_VALUES = 1000
_NUMBER = re.compile(r"(x?)(\d+(?:\.\d+)?)(\D*)")


def parse_varied(texts: Sequence[str]) -> dict[str, list[str]]:
    """Read ``path=1..8``, ``path=5,10,20``, ``path=100/s..500/s:100/s`` or ``path=a,b``.

    Raises
    ------
    InputError
        When a text is none of these, or a path stands twice.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        path, equals, spec = (part.strip() for part in text.partition("="))
        try:
            values = [value for piece in spec.split(",") for value in _values(piece.strip())]
        except ValueError:
            values = []
        if not equals or not path or not values:
            raise not_varied(text)
        if path in found:
            raise InputError(f"{path} varies twice", where="--vary")
        found[path] = list(dict.fromkeys(values))
    return found


def not_varied(text: str) -> InputError:
    """Return the error of a text that does not say what varies."""
    return InputError(
        f"{text!r} does not say what varies",
        hint="write it like deployment.workers=1..8, or =5,10,20, or =10..50:10",
        where="--vary",
    )


def combinations(vary: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return every combination of the values, the last field changing first.

    Raises
    ------
    InputError
        When there are more than can be listed.
    """
    total = 1
    for values in vary.values():
        total *= len(values)
    if total > MOST_VALUES:
        raise InputError(
            f"these are {total} combinations; {MOST_VALUES} at most",
            hint="give larger steps, or vary less at once",
            where="--vary",
        )
    return [dict(zip(vary, row, strict=True)) for row in itertools.product(*vary.values())]


def _values(piece: str) -> list[str]:
    first, dots, rest = piece.partition("..")
    if not dots:
        if not piece:
            raise ValueError("nothing")
        return [piece]
    last, _, step_text = rest.partition(":")
    begin, end = _number(first), _number(last)
    step = _number(step_text) if step_text else (begin[0], 1.0, begin[2])
    if begin[::2] != end[::2] or step[::2] not in {begin[::2], ("", "")}:
        raise ValueError("units differ")
    if step[1] <= 0.0:
        raise ValueError("a step leads upwards")
    count = int((end[1] - begin[1]) / step[1] + 1e-9) + 1
    if count > MOST_VALUES:
        raise InputError(
            f"{piece} are more than {MOST_VALUES} values",
            hint="give a step: 10..500:10",
            where="--vary",
        )
    return [f"{begin[0]}{begin[1] + n * step[1]:.10g}{begin[2]}" for n in range(count)]


def _number(text: str) -> tuple[str, float, str]:
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise ValueError("no number")
    return match[1], float(match[2]), match[3].strip()
