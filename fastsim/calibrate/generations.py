"""Which stretches of code of a busy event loop ran in the same turn, by their lengths alone.

A loop serves in generations: whatever becomes ready while one generation runs is found by the
next poll and makes the next generation. Spans show stretches in order, not where one ends.
If things become ready by chance, at any rate, then ``m`` of them while a generation of length ``l``
runs have the weight ``l**m / m!``: the rate cancels, because all of a busy period's length counts
once. One division is drawn from the probabilities that follow, so that what is fitted to the
intervals it gives is fitted to intervals as a recorder of polls would give them.
"""

import random
from collections.abc import Sequence
from itertools import accumulate

LONGEST = 48
"""Stretches of a busy period beyond which divisions are not weighed but taken as they mostly
are."""


def generations(lengths: Sequence[float], rng: random.Random) -> list[int]:
    """Divide a busy period.

    Parameters
    ----------
    lengths
        Of its stretches, in order; the first woke the loop.

    Returns
    -------
    Where each generation begins, and the number of stretches at the end: ``[0, 1, ..., n]``.
    """
    count = len(lengths)
    if count <= 2:
        return list(range(count + 1))
    whole = max(sum(lengths), 1e-300)
    until = [0.0, *accumulate(length * (count - 1) / whole for length in lengths)]
    return _usual(until) if count > LONGEST else _drawn(until, rng)


def _usual(until: Sequence[float]) -> list[int]:
    """Have every generation be as large as expected of the length of the one before."""
    count = len(until) - 1
    found = [0, 1]
    while found[-1] < count:
        expected = until[found[-1]] - until[found[-2]]
        found.append(min(found[-1] + max(round(expected), 1), count))
    return found


def _drawn(until: Sequence[float], rng: random.Random) -> list[int]:
    count = len(until) - 1
    # weight[a][b]: of all ways to go on after a generation of the stretches a to b - 1.
    weight = [[0.0] * (count + 1) for _ in range(count + 1)]
    for begin in range(count):
        weight[begin][count] = 1.0
    for end in range(count - 1, 0, -1):
        for begin in range(end):
            weight[begin][end] = sum(_ways(until, weight, begin, end))
    found = [0, 1]
    while found[-1] < count:
        ways = _ways(until, weight, *found[-2:])
        sizes = range(1, len(ways) + 1)
        some = sum(ways) > 0.0
        found.append(found[-1] + (rng.choices(sizes, ways)[0] if some else 1))
    return found


def _ways(
    until: Sequence[float], weight: Sequence[Sequence[float]], begin: int, end: int
) -> list[float]:
    """Return the weight of each size of the next generation, from one stretch on."""
    length, factor, ways = until[end] - until[begin], 1.0, []
    for size in range(1, len(until) - end):
        factor *= length / size
        ways.append(factor * weight[end][end + size])
    return ways
