"""What waits are called, by number: a row of a timeline names its wait by an integer.

Numbers are those of one process. A span carries the names of the few that it uses.
"""

from collections.abc import Iterable

from fastsim.collector.otlp import encode_attributes
from fastsim.spans import STEP_NAMES, StepKind, Via
from fastsim.step_columns import name_of

MOST_NAMES = 20_000
"""A service may call its steps by anything; its memory must not grow with it."""
_MOST_TABLES = 2_000

_names: list[str] = [""]  # number 0 is no wait
_numbers: dict[tuple[str, str, str, str], int] = {}
_tables: dict[frozenset[int], str] = {}


def number_of(kind: str, via: str, label: str, where: str) -> int:
    """Return the number of a name."""
    key = (kind, via, label, where)
    number = _numbers.get(key)
    if number is None:
        if len(_names) >= MOST_NAMES and (label or where):
            return number_of(kind, via, "", "")
        number = _numbers[key] = len(_names)
        _names.append(name_of(number, *key))
    return number


def encode_names(numbers: Iterable[int]) -> str:
    """Return the attribute with the names of these numbers, as it stands in OTLP/JSON."""
    used = frozenset(numbers)
    table = _tables.get(used)
    if table is None:
        if len(_tables) >= _MOST_TABLES:
            _tables.clear()
        names = [_names[number] for number in sorted(used) if number]
        table = _tables[used] = encode_attributes({STEP_NAMES: names})
    return table


EXECUTOR = (StepKind.THREAD.value, Via.THREAD.value, "executor")
"""Kind, via and label of work in a thread that no library gave a name."""
