"""Text with placeholders: ``{a..b}`` is a whole number, ``{a|b|c}`` one of these, drawn uniformly.

A template is compiled once into literal text and number ranges, so that filling it in for
a request is one join. Drawing the numbers is the schedule's business.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus

from pydantic import JsonValue

from fastsim.errors import InputError

_PLACEHOLDER = re.compile(r"\{(-?\d+)\.\.(-?\d+)\}|\{([^{}|]*(?:\|[^{}|]*)+)\}")
# Draws are floor(u * size) of a double: beyond 2**52 some numbers could never come up.
_LARGEST = 2**52


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Whole numbers from ``low`` to ``high``, both included."""

    low: int
    high: int

    def text(self, number: int) -> str:
        """Write what was drawn."""
        return str(number)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Some texts, drawn by their place."""

    texts: tuple[str, ...]

    @property
    def low(self) -> int:
        """Return the place of the first."""
        return 0

    @property
    def high(self) -> int:
        """Return the place of the last."""
        return len(self.texts) - 1

    def text(self, number: int) -> str:
        """Write what was drawn."""
        return self.texts[number]


@dataclass(frozen=True, slots=True)
class Template:
    """``literals[0] range[0] literals[1] range[1] ... literals[-1]``."""

    literals: tuple[str, ...]
    ranges: tuple[NumberRange | OneOf, ...]

    def fill(self, numbers: Sequence[int]) -> str:
        """Return the text with one number per range, in order."""
        if len(numbers) != len(self.ranges):
            raise ValueError(f"{len(numbers)} numbers for {len(self.ranges)} placeholders")
        pieces = [self.literals[0]]
        for drawn, number, literal in zip(self.ranges, numbers, self.literals[1:], strict=True):
            pieces.append(drawn.text(number))
            pieces.append(literal)
        return "".join(pieces)


_Piece = str | NumberRange | OneOf


def text_template(text: str) -> Template:
    """Compile text such as ``/products/{1..500}``.

    Raises
    ------
    InputError
        When a range is empty or too large.

    >>> text_template("/products/{1..500}").fill([7])
    '/products/7'
    """
    return _join(_split(text))


def form_template(fields: Mapping[str, str]) -> Template:
    """Compile the fields of a form, as browsers send them; their values may hold placeholders.

    Raises
    ------
    InputError
        When a range is empty or too large.

    >>> form_template({"user": "u{1..9}", "mode": "a b"}).fill([3])
    'user=u3&mode=a+b'
    """
    return _join(_form_pieces(fields))


def _form_pieces(fields: Mapping[str, str]) -> Iterator[_Piece]:
    for index, (name, value) in enumerate(fields.items()):
        yield f"{'&' if index else ''}{quote_plus(name)}="
        for piece in _split(value):
            yield _changed(piece, quote_plus)


def _changed(piece: _Piece, change: Callable[[str], str]) -> _Piece:
    """Write the texts of a piece in another way; numbers are the same in all."""
    if isinstance(piece, str):
        return change(piece)
    if isinstance(piece, OneOf):
        return OneOf(tuple(map(change, piece.texts)))
    return piece


def json_template(value: JsonValue) -> Template:
    """Compile a JSON value whose strings may hold placeholders.

    A string that is exactly one placeholder becomes a number. Keys are taken as they are.

    Raises
    ------
    InputError
        When a range is empty or too large, or a number is not finite.

    >>> json_template({"sku": "sku-{1..5}", "quantity": "{1..3}"}).fill([4, 2])
    '{"sku": "sku-4", "quantity": 2}'
    """
    return _join(_json_pieces(value))


def _json_pieces(value: JsonValue) -> Iterator[_Piece]:
    if isinstance(value, str):
        yield from _json_string(value)
    elif isinstance(value, dict):
        yield "{"
        for index, (key, item) in enumerate(value.items()):
            yield f"{', ' if index else ''}{json.dumps(key)}: "
            yield from _json_pieces(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for index, item in enumerate(value):
            yield ", " if index else ""
            yield from _json_pieces(item)
        yield "]"
    else:
        yield _json_scalar(value)


def _json_string(text: str) -> Iterator[_Piece]:
    pieces = list(_split(text))
    if len(pieces) == 1 and isinstance(pieces[0], NumberRange):
        yield pieces[0]
        return
    yield '"'
    for piece in pieces:
        yield _changed(piece, lambda text: json.dumps(text)[1:-1])
    yield '"'


def _json_scalar(value: float | bool | None) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        raise InputError(f"{value!r} cannot be written as JSON", hint="use a number") from None


def _split(text: str) -> Iterator[_Piece]:
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        if match.start() > position:
            yield text[position : match.start()]
        yield _number_range(match) if match[3] is None else OneOf(tuple(match[3].split("|")))
        position = match.end()
    if position < len(text):
        yield text[position:]


def _number_range(match: re.Match[str]) -> NumberRange:
    # int() refuses absurdly long digit strings with ValueError; none of them is in range.
    low, high = (int(text) if len(text) < 20 else 2 * _LARGEST for text in match.groups()[:2])
    if max(abs(low), abs(high)) > _LARGEST:
        raise InputError(f"{match[0]} has a number beyond 2**52", hint="use smaller numbers")
    if low > high:
        raise InputError(f"{match[0]} is an empty range", hint=f"write {{{high}..{low}}}")
    return NumberRange(low, high)


def _join(pieces: Iterator[_Piece]) -> Template:
    literals: list[str] = [""]
    ranges: list[NumberRange | OneOf] = []
    for piece in pieces:
        if not isinstance(piece, str):
            ranges.append(piece)
            literals.append("")
        else:
            literals[-1] += piece
    return Template(tuple(literals), tuple(ranges))
