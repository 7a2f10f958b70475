"""The steps of a request as they travel: all numbers in one text, all names in one short table.

Standard library only: the collector packs inside production services. A recording holds millions of
numbers; as one attribute each, writing them took several times the CPU of measuring them
(docs/decisions/0009). The numbers are 64-bit integers, little-endian, column after column, in
base64; the first column is the index of the step's name. A name is kind, via, label and place,
separated by tabs.
"""

import binascii
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

StepRow = tuple[str, str, int, int, int, int, int, int, str, str, int]
"""kind, via, start, wall, cpu, bound, late, idle, label, where, task (see ``fastsim.spans``)."""

_COLUMNS = 8


class StepColumns(NamedTuple):
    """One entry per step; numbers are nanoseconds, but for ``idle_ppm`` and ``task``."""

    kind: tuple[str, ...]
    via: tuple[str, ...]
    label: tuple[str, ...]
    where: tuple[str, ...]
    start_ns: Sequence[int]
    wall_ns: Sequence[int]
    cpu_ns: Sequence[int]
    bound_ns: Sequence[int]
    late_ns: Sequence[int]
    idle_ppm: Sequence[int]
    task: Sequence[int]


def pack_steps(rows: Iterable[StepRow]) -> tuple[str, list[str]]:
    """Return the numbers of all steps in one text, and the names they refer to."""
    columns = list(zip(*rows, strict=True))
    if not columns:
        return "", []
    kind, via, start, wall, cpu, bound, late, idle, label, where, task = columns
    known: dict[tuple[str, ...], int] = {}
    numbers = array(
        "q",
        [known.setdefault(name, len(known)) for name in zip(kind, via, label, where, strict=True)],
    )
    for column in (start, wall, cpu, bound, late, idle, task):
        numbers.extend(column)
    if sys.byteorder == "big":
        numbers.byteswap()
    names = ["\t".join(part.replace("\t", " ") for part in name) for name in known]
    return binascii.b2a_base64(numbers, newline=False).decode("ascii"), names


def unpack_steps(packed: str, names: Sequence[str]) -> StepColumns:
    """Return the columns again.

    Raises
    ------
    ValueError
        When they are damaged; the message is the reason, fit for counting.
    """
    try:
        content = binascii.a2b_base64(packed, strict_mode=True) if packed else b""
    except (ValueError, binascii.Error):
        raise ValueError("timeline that is no base64") from None
    if len(content) % (8 * _COLUMNS):
        raise ValueError("timeline with columns of unequal length")
    numbers = array("q")
    numbers.frombytes(content)
    if sys.byteorder == "big":
        numbers.byteswap()
    steps = len(numbers) // _COLUMNS
    index, *columns = (numbers[at * steps : (at + 1) * steps] for at in range(_COLUMNS))
    if steps and not 0 <= min(index) <= max(index) < len(names):
        raise ValueError("timeline with a step of no name")
    parts = [tuple(map(sys.intern, name.split("\t"))) for name in names]
    if any(len(part) != 4 for part in parts):
        raise ValueError("timeline with a broken name")
    kind, via, label, where = (
        tuple(map([part[at] for part in parts].__getitem__, index)) for at in range(4)
    )
    return StepColumns(kind, via, label, where, *columns)
