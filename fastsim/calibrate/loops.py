"""Loops in the code of a service: the same steps from the same lines, several times in a row.

Twenty-seven queries of an N+1 loop are one step of the model, not 54, and requests that went round
5 or 25 times take one path, not two. What tells a loop from steps that happen to be alike is where
in the code they wait (or for what, in traces that do not say where); and, because several queries
may go through one helper, that its rounds take equally long.

The last round stays apart: the code after its last wait is also that of what follows the loop. So a
loop of k rounds is k - 1 repetitions and one round, also for k = 1.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from scipy import stats

from fastsim.calibrate.observed import ObservedStep, signature

LEAST_ROUNDS = 4
"""So many rounds in a row make a loop; where one is known, fewer belong to it."""
MOST_STEPS = 16
"""Of one round."""
_DEPTH = 2
"""Loops within loops."""
_COMPARED, _FEWEST = 12, 8
"""Rounds that are compared, and requests that have to have gone through them."""
_ALIKE, _CHANCE = 1.2, 1e-4
"""Rounds differ when their medians do by more, and by more than chance would have it."""

Steps = tuple[ObservedStep, ...]
_Key = tuple[object, ...]
_Unit = tuple[_Key, ...]


def fold_loops(programs: Mapping[int, Steps]) -> dict[int, Steps]:
    """Return the programs of an endpoint's requests with their loops as ``repeat`` steps."""
    found = dict(programs)
    unlike: set[_Unit] = set()
    for _ in range(_DEPTH):
        while True:
            units: set[_Unit] = set()
            for steps in found.values():
                units |= _loops_of(steps, unlike)
            wrong = {unit for unit in units if not _alike(unit, list(found.values()))}
            if not wrong:
                break
            unlike |= wrong  # perhaps several of them are one round
        if not units:
            break
        ordered = sorted(units, key=lambda unit: (len(unit), str(unit)))
        found = {row: _folded(steps, ordered) for row, steps in found.items()}
    return found


def _key(step: ObservedStep) -> _Key:
    """Return what the same step of another round has in common with a step."""
    if step.do == "cpu":  # where it was seen is seldom known
        return ("cpu", step.after_response)
    inside = signature([step])[0] if step.branches or step.unit else ()
    return (
        *(step.do, step.kind, step.via, step.label, step.where, step.resource),
        *(step.after_response, inside),
    )


def _loops_of(steps: Sequence[ObservedStep], unlike: Collection[_Unit]) -> set[_Unit]:
    """Return the rounds of the loops in a program."""
    keys = [_key(step) for step in steps]
    found: set[_Unit] = set()
    begin = 0
    while begin < len(keys):
        length = _round(steps, keys, begin, unlike)
        if length:
            unit = tuple(keys[begin : begin + length])
            found.add(unit)
            begin += length * _rounds(keys, begin, unit)
        else:
            begin += 1
    return found


def _round(
    steps: Sequence[ObservedStep], keys: Sequence[_Key], begin: int, unlike: Collection[_Unit]
) -> int:
    """Return how many steps a round has of the loop that begins somewhere; 0 if none does."""
    if steps[begin].do == "cpu":
        return 0
    for length in range(1, MOST_STEPS + 1):
        if begin + LEAST_ROUNDS * length > len(keys):
            return 0
        if keys[begin + length] != keys[begin]:
            continue
        unit = tuple(keys[begin : begin + length])
        if unit in unlike:
            continue
        if _rounds(keys, begin, unit) >= LEAST_ROUNDS and _is_round(steps[begin : begin + length]):
            return length
    return 0


def _alike(unit: _Unit, programs: Sequence[Steps]) -> bool:
    """Tell whether the rounds of a loop wait equally long, the first and the last one apart."""
    waited_s: dict[int, list[float]] = {}
    for steps in programs:
        keys = [_key(step) for step in steps]
        begin = 0
        while begin < len(steps):
            count = _rounds(keys, begin, unit)
            for number in range(1, min(count - 1, _COMPARED)):
                at = begin + number * len(unit)
                waits = [step.wall_s for step in steps[at : at + len(unit)] if step.do != "cpu"]
                waited_s.setdefault(number, []).append(sum(waits))
            begin += max(count * len(unit), 1)
    groups = [values for values in waited_s.values() if len(values) >= _FEWEST]
    if len(groups) < 2:
        return True
    medians = [float(np.median(values)) for values in groups]
    if max(medians) <= _ALIKE * min(medians):
        return True
    return float(stats.kruskal(*groups).pvalue) > _CHANCE


def _rounds(keys: Sequence[_Key], begin: int, unit: _Unit) -> int:
    """Count how often a unit stands in a row."""
    length, count = len(unit), 0
    while tuple(keys[begin + count * length : begin + (count + 1) * length]) == unit:
        count += 1
    return count


def _is_round(steps: Sequence[ObservedStep]) -> bool:
    """Tell whether steps can be repeated: they wait for something known, and keep no slot."""
    if not any(step.where or step.label for step in steps if step.do in {"wait", "thread"}):
        return False
    held: list[str] = []
    for step in steps:
        if step.do == "acquire":
            held.append(step.resource)
        elif step.do == "release":
            if step.resource not in held:
                return False
            held.remove(step.resource)
        elif step.do == "respond":
            return False
    return not held


def _folded(steps: Steps, units: Iterable[_Unit]) -> Steps:
    """Return a program in which rounds of known loops are repetitions."""
    for unit in units:
        keys = [_key(step) for step in steps]
        made: list[ObservedStep] = []
        begin = 0
        while begin < len(steps):
            count = _rounds(keys, begin, unit)
            if not count:
                made.append(steps[begin])
                begin += 1
                continue
            last = begin + (count - 1) * len(unit)
            made.append(_repeat(steps, begin, count - 1, len(unit)))
            made += steps[last : last + len(unit)]
            begin = last + len(unit)
        steps = tuple(made)
    return steps


def _repeat(steps: Steps, begin: int, count: int, length: int) -> ObservedStep:
    rounds = tuple(steps[at : at + length] for at in range(begin, begin + count * length, length))
    all_of_them = [step for each in rounds for step in each]
    unit = steps[begin : begin + length]
    return ObservedStep(
        do="repeat",
        start_s=unit[0].start_s,
        wall_s=sum(step.wall_s for step in all_of_them),
        cpu_s=sum(step.cpu_s for step in all_of_them if step.do == "cpu"),
        branches=rounds,
        unit=str(signature(unit)),
        after_response=unit[0].after_response,
    )
