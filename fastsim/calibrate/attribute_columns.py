"""Read columns of numbers and words from the attributes of a span, or say what is wrong.

All raise ``FileFormatError``; the message is the reason, fit for counting.
"""

import sys
from array import array
from collections.abc import Sequence
from typing import NoReturn, TypeVar

from fastsim.errors import FileFormatError
from fastsim.spans import Attributes

_C = TypeVar("_C", bound=Sequence[object])

LONGEST_NS = 10 * 24 * 3600 * 10**9
"""Ten days: what is longer is damage, not a request."""


def same(length: int, column: _C) -> _C:
    """Return a column, which must have so many entries."""
    if len(column) != length:
        raise FileFormatError("timeline with columns of unequal length")
    return column


def column(attributes: Attributes, name: str) -> Sequence[object]:
    """Return a column, which must be there."""
    values = attributes.get(name)
    if values is None:
        raise FileFormatError("timeline with a missing column", where=name)
    if not isinstance(values, list):
        raise FileFormatError("timeline with a column that is no list", where=name)
    return values


def texts(attributes: Attributes, name: str) -> tuple[str, ...]:
    """Return a column of words."""
    # The same few labels occur in every request: interning keeps one copy of each.
    return tuple(
        sys.intern(value) if isinstance(value, str) else refuse(name)
        for value in column(attributes, name)
    )


def whole(attributes: Attributes, name: str, longest: int = LONGEST_NS) -> tuple[int, ...]:
    """Return a column of whole numbers from 0 to ``longest``."""
    return tuple(
        value if type(value) is int and 0 <= value <= longest else refuse(name)
        for value in column(attributes, name)
    )


def seconds(attributes: Attributes, name: str) -> Sequence[float]:
    """Return a column of nanoseconds in seconds."""
    return array("d", [value / 1e9 for value in whole(attributes, name)])


def number(attributes: Attributes, name: str, lowest: int) -> int:
    """Return a whole number of at least ``lowest``."""
    value = attributes.get(name)
    if type(value) is int and lowest <= value <= LONGEST_NS:
        return value
    raise FileFormatError("timeline with impossible times", where=name)


def refuse(name: str) -> NoReturn:
    """Say that a value is impossible."""
    raise FileFormatError("timeline with impossible values", where=name)
