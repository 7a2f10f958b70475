"""The rule by which the twin is found equal to what was measured, or not.

Each compared value has an error ``e`` (twin against live, on logarithms for times and rates),
a half-width ``f`` of its 95 % interval, and a tolerance ``T``:

- ``|e| + f <= T``: it **agrees**, whatever chance did;
- ``|e| - f > T``: it is **off**, whatever chance did;
- otherwise the data **cannot tell**.

This is an equivalence test: agreement has to be shown, it is not the absence of evidence.
The half-widths hold for all values together. Values of one run rise and fall together, so the
joint limit is not computed from their number: each replication is held out in turn and compared
with the others as the live run is, and the largest of its errors, in standard deviations, is
noted. A live run of a perfect twin is one more such replication; the limit is the order
statistic that it exceeds in at most 5 % of cases (split conformal prediction, exact for
exchangeable runs whatever the laws; Lei et al., JASA 113, 2018).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsim.result import Finding
from fastsim.twin.statistics import CONFIDENCE, student_quantile

Floats = NDArray[np.float64]

FEWEST_RUNS = 19
"""Replications from which the joint limit exists; with fewer, Student's t and Bonferroni."""


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One value, live and in the twin; logarithms where errors are relative."""

    live: float
    centre: float
    """The twin's value."""
    tolerance: float
    twin: Floats | None = None
    """Its value in each replication, which have the live run's size; None if not known."""
    deviation: float = 0.0
    """Standard deviation between runs of the live size, where ``twin`` is None."""
    runs: int = 0
    """Replications behind ``deviation``."""
    least_half: float = 0.0
    """A half-width that counting alone explains."""
    fixed: float = 0.0
    """Share of the variance that a longer live run would not lessen: doubt of the model."""
    log: bool = False
    """Whether these are logarithms, so that the error is relative."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found about one value."""

    error: float
    half: float
    finding: Finding


def judge(rows: Sequence[Compared], counting: Sequence[Compared] | None = None) -> list[Judgement]:
    """Judge values of one comparison together.

    Parameters
    ----------
    counting
        Those that decide the verdict; their joint limit is used for all. All by default.
    """
    deciding = rows if counting is None else counting
    limit = joint_limit(deciding)
    return [_judge(row, limit, len(deciding)) for row in rows]


def joint_limit(rows: Sequence[Compared]) -> float | None:
    """Return how many standard deviations a perfect twin is off by at most, in any row.

    None when there are too few replications to hold one out.
    """
    away = np.array(
        [
            np.abs(row.twin - row.centre)
            for row in rows
            if row.twin is not None and np.isfinite(row.twin).all()
        ]
    )
    if not len(away):
        return None
    runs = away.shape[1]
    if runs < FEWEST_RUNS:
        return None
    squares = away**2
    # Without the one held out: its share of the centre, and of the deviation, taken out.
    rest = np.sqrt((squares.sum(axis=1, keepdims=True) - squares) / (runs - 2))
    held_out = away * runs / (runs - 1)
    ratio = np.divide(held_out, rest, out=np.zeros_like(away), where=rest > 0.0)
    largest = np.sort(ratio.max(axis=0))
    rank = math.ceil(CONFIDENCE * (runs + 1))
    return float(largest[min(rank, runs) - 1])


def _judge(row: Compared, limit: float | None, count: int) -> Judgement:
    error = row.centre - row.live
    half = max(_half(row, limit, count), row.least_half)
    finding: Finding = "cannot tell"
    # Equal values may differ in their last digits.
    if abs(error) + half <= row.tolerance + 1e-12:
        finding = "agrees"
    elif abs(error) - half > row.tolerance:
        finding = "off"
    return Judgement(error, half, finding)


def _half(row: Compared, limit: float | None, count: int) -> float:
    deviation, runs = row.deviation, row.runs
    if row.twin is not None:
        present = row.twin[np.isfinite(row.twin)]
        runs = len(present)
        if runs < 2:
            return math.inf
        deviation = float(np.sqrt(((present - row.centre) ** 2).sum() / (runs - 1)))
        if limit is not None and runs == len(row.twin):
            return limit * deviation
    if runs < 2:
        return math.inf
    confidence = 1.0 - (1.0 - CONFIDENCE) / max(count, 1)
    return student_quantile(runs - 1, confidence) * deviation * math.sqrt(1.0 + 1.0 / runs)


def together(findings: Sequence[Finding]) -> Finding:
    """Return what several findings that all count say together."""
    if "off" in findings:
        return "off"
    if findings and all(finding == "agrees" for finding in findings):
        return "agrees"
    return "cannot tell"


def times_longer(judged: Sequence[tuple[Judgement, Compared]]) -> float:
    """Return about how many times longer a live run would tell; infinite if none would.

    Half-widths fall with the square root of the length, for live and twin alike, but for what
    is doubtful about the model. An error near the tolerance may be there by chance, so no more
    than half the tolerance is asked for.

    Parameters
    ----------
    judged
        Values that cannot be told.
    """
    needed = 1.0
    for judgement, row in judged:
        room = max(abs(row.tolerance - abs(judgement.error)), row.tolerance / 2.0)
        wanted = (room / judgement.half) ** 2 - row.fixed
        if wanted <= 0.0:
            return math.inf
        needed = max(needed, (1.0 - row.fixed) / wanted)
    return needed
