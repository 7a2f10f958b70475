"""The steps of a request as they travel: what the recorder stamped, packed into one text.

Standard library only: the collector packs inside production services, so all that can be computed
later is computed here, by the reader: the queueing that a wait can contain, how cold the processor
was. A recording holds millions of numbers; as one attribute each, writing them took several times
the CPU of measuring them (docs/decisions/0009). They are 64-bit integers, little-endian, in
base64, row after row; ``fastsim.spans.STEPS`` says what a row means.
"""

import binascii
import struct
import sys
from array import array
from collections.abc import Sequence
from math import exp
from typing import NamedTuple

from fastsim.spans import RECENT_NS

COLUMNS = 12
CALL_COLUMNS = 4
NO_WAIT = 0
"""Number of the name in the row of code that no wait came before."""
NO_CODE = -1
"""Wall of a wait that no code of its task came after."""
UNKNOWN = -1


class StepColumns(NamedTuple):
    """One entry per step; numbers are nanoseconds, but for ``idle_ppm`` and ``task``."""

    kind: list[str]
    via: list[str]
    label: list[str]
    where: list[str]
    start_ns: list[int]
    """Offset from the start of the request."""
    wall_ns: list[int]
    cpu_ns: list[int]
    bound_ns: list[int]
    """Of a wait the most queueing it can contain, of code the loop's idle gap before it."""
    late_ns: list[int]
    """Of a wait the least queueing it contains."""
    idle_ppm: list[int]
    """Of code the recent share of time that the loop slept, parts per million."""
    task: list[int]
    wait_of_row: list[int]
    """By row: the index of its wait among the steps; -1 where it has none."""


def pack_rows(rows: Sequence[int]) -> str:
    """Return the numbers of all rows in one text."""
    # Half the time of an array made of a list.
    numbers = struct.pack(f"<{len(rows)}q", *rows)
    return binascii.b2a_base64(numbers, newline=False).decode("ascii")


def unpack_rows(packed: str, columns: int) -> "array[int]":
    """Return the numbers of all rows.

    Raises
    ------
    ValueError
        When they are damaged; the message is the reason, fit for counting.
    """
    try:
        content = binascii.a2b_base64(packed, strict_mode=True) if packed else b""
    except (ValueError, binascii.Error):
        raise ValueError("timeline that is no base64") from None
    if len(content) % (8 * columns):
        raise ValueError("timeline with columns of unequal length")
    numbers = array("q")
    numbers.frombytes(content)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def name_of(number: int, kind: str, via: str, label: str, where: str) -> str:
    """Return the entry of the table of names that rows refer to by number."""
    return "\t".join(
        (str(number), *(part.replace("\t", " ") for part in (kind, via, label, where)))
    )


def unpack_steps(packed: str, names: Sequence[str], origin_ns: int = 0) -> StepColumns:
    """Return the steps of a request.

    Parameters
    ----------
    origin_ns
        When the request began, on the clock of the rows.

    Raises
    ------
    ValueError
        When they are damaged; the message is the reason, fit for counting.
    """
    numbers = unpack_rows(packed, COLUMNS)
    known_names = dict(map(_parsed, names))
    steps: list[tuple[str, str, str, str, int, int, int, int, int, int, int]] = []
    wait_of_row: list[int] = []
    each = iter(numbers)
    for name, task, since, begin, wall, cpu, after, before, known, gap, awake, woke in zip(
        *[each] * COLUMNS, strict=True
    ):
        wait_of_row.append(-1)
        if name != NO_WAIT:
            found = known_names.get(name)
            if found is None:
                raise ValueError("timeline with a step of no name")
            wait_of_row[-1] = len(steps)
            waited = begin - since
            most, least = _queueing(waited, begin, after, before, known)
            steps.append((*found, since - origin_ns, waited, 0, most, least, 0, task))
        if wall != NO_CODE:
            idle = int(awake * exp(max(min(woke - begin, 0), -_LONG_AGO) / RECENT_NS))
            steps.append(("cpu", "loop", "", "", begin - origin_ns, wall, cpu, gap, 0, idle, task))
    # fmt: off
    kind, via, label, where, start, walls, cpus, bound, late, idles, tasks = (
        map(list, zip(*steps, strict=True)) if steps else ([] for _ in range(11))
    )
    # fmt: on
    return StepColumns(
        kind, via, label, where, start, walls, cpus, bound, late, idles, tasks, wait_of_row
    )


_LONG_AGO = 100 * RECENT_NS


def _queueing(waited: int, begin: int, after: int, before: int, known: int) -> tuple[int, int]:
    """Bound the time a wait spent ready but queued: (most, least)."""
    if known > 0:
        most = least = waited - known
    else:
        most = begin - after
        least = begin - before if before != UNKNOWN else 0
    most = min(max(most, 0), waited)
    return most, min(max(least, 0), most)


def _parsed(name: str) -> tuple[int, tuple[str, str, str, str]]:
    number, *parts = name.split("\t")
    if len(parts) != 4 or not number.isascii() or not number.isdigit():
        raise ValueError("timeline with a broken name")
    kind, via, label, where = map(sys.intern, parts)
    return int(number), (kind, via, label, where)
