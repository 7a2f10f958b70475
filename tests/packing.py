"""Pack steps that a test makes up, a row for each."""

from collections.abc import Iterable

from fastsim.step_columns import NO_CODE, NO_WAIT, UNKNOWN, name_of, pack_rows

StepRow = tuple[str, str, int, int, int, int, int, int, str, str, int]
"""kind, via, start, wall, cpu, bound, late, idle, label, where, task (see ``StepColumns``)."""


def pack_steps(steps: Iterable[StepRow], *, origin: int = 0) -> tuple[str, list[str]]:
    """Return the numbers of all steps in one text, and the names they refer to.

    Starts are counted from ``origin``, the start of the request.
    """
    names: dict[tuple[str, ...], int] = {}
    rows: list[int] = []
    for kind, via, start, wall, cpu, bound, late, idle, label, where, task in steps:
        start += origin  # noqa: PLW2901
        if kind == "cpu":
            rows += (NO_WAIT, task, 0, start, wall, cpu, 0, 0, UNKNOWN, bound, idle, start)
            continue
        number = names.setdefault((kind, via, label, where), len(names) + 1)
        end = start + wall
        rows += (number, task, start, end, NO_CODE, 0, end - bound)
        rows += (end - late if late else UNKNOWN, UNKNOWN, 0, 0, 0)
    return pack_rows(rows), [name_of(number, *name) for name, number in names.items()]
