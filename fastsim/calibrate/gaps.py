"""What requests did, from spans alone: calls, and gaps between them.

Spans say how long a call took on the clock. They cannot say what filled the gaps between
calls: code, a queue of the event loop, or a wait that nobody instrumented. So a share of each
gap is *assumed* to be code, the rest a wait, and the model says so. The share is chosen by the
caller; by default all of it, or as much as fits into the time there was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.observed import ObservedStep
from fastsim.spans import StepKind, Via

UNKNOWN = "unknown"
"""Label of the part of a gap that is not taken for code."""

MOST_BUSY = 0.7
"""The assumed code may not keep a recorded process busier than this on average."""

_SHORTEST_S = 1e-6


@dataclass(frozen=True, slots=True)
class Assumption:
    """What was assumed about the gaps."""

    code_share: float
    """Part of every gap taken for code on the event loop."""
    chosen: bool
    """By the user, not by us."""

    def sentence(self) -> str:
        """Say it for people."""
        how = "as asked" if self.chosen else "assumed"
        return (
            "recorded without FastSim: spans do not tell CPU from waiting. "
            f"{self.code_share:.0%} of the time between calls is {how} to be code on the event "
            "loop, and calls contain the loop's queueing; predictions beyond the recorded load "
            "are guesses (record with fastsim record, or set --assume-cpu)"
        )


def gap_share(gap_s: float, busy_limit_s: float) -> float:
    """Return which part of all gaps can be code.

    Parameters
    ----------
    gap_s
        Sum of all gaps of all requests, seconds.
    busy_limit_s
        Seconds of code that the recorded processes can have run.
    """
    return 1.0 if gap_s <= 0.0 else float(min(busy_limit_s / gap_s, 1.0))


def gaps_of(start_ns: int, end_ns: int, waits: Sequence[Wait]) -> float:
    """Return the time of a request outside its calls, seconds."""
    covered = sum(over - begin for begin, over, _ in _merged(start_ns, end_ns, waits))
    return max(end_ns - start_ns - covered, 0) / 1e9


def program(
    start_ns: int, end_ns: int, waits: Sequence[Wait], code_share: float
) -> tuple[ObservedStep, ...]:
    """Return the steps of one request: its calls in order, and what is assumed between them.

    Calls that overlap become branches side by side. What lies beyond the request's own span
    is cut off.
    """
    steps: list[ObservedStep] = []
    at = start_ns
    for begin, over, calls in _merged(start_ns, end_ns, waits):
        steps += _gap(at - start_ns, begin - at, code_share)
        steps.append(_calls(start_ns, begin, over, calls))
        at = over
    steps += _gap(at - start_ns, end_ns - at, code_share)
    steps.append(ObservedStep(do="respond", start_s=(end_ns - start_ns) / 1e9))
    return tuple(steps)


def _merged(start_ns: int, end_ns: int, waits: Sequence[Wait]) -> list[tuple[int, int, list[Wait]]]:
    """Clip calls to the request and join those that overlap: (begin, end, calls)."""
    groups: list[tuple[int, int, list[Wait]]] = []
    for wait in waits:
        begin, over = max(wait.start_ns, start_ns), min(wait.end_ns, end_ns)
        if over <= begin:
            continue
        if groups and begin < groups[-1][1]:
            first, last, calls = groups[-1]
            groups[-1] = (first, max(last, over), [*calls, wait])
        else:
            groups.append((begin, over, [wait]))
    return groups


def _gap(offset_ns: int, length_ns: int, code_share: float) -> list[ObservedStep]:
    start_s, length_s = offset_ns / 1e9, max(length_ns, 0) / 1e9
    code_s = length_s * code_share
    steps = [ObservedStep(do="cpu", start_s=start_s, wall_s=code_s, cpu_s=code_s)]
    if code_share < 1.0:
        steps.append(
            ObservedStep(
                do="wait",
                start_s=start_s + code_s,
                wall_s=length_s - code_s,
                kind=StepKind.IO,
                via=Via.SOCKET,
                label=UNKNOWN,
            )
        )
    return steps


def _calls(start_ns: int, begin: int, over: int, calls: list[Wait]) -> ObservedStep:
    if len(calls) == 1:
        return _wait(start_ns, begin, over, calls[0])
    branches = []
    for call in calls:
        # A call that began later than the first is a branch that waits for its turn.
        own = [_wait(start_ns, begin, min(call.end_ns, over), call)]
        branches.append(tuple(own))
    return ObservedStep(
        do="parallel",
        start_s=(begin - start_ns) / 1e9,
        wall_s=(over - begin) / 1e9,
        kind=StepKind.IO,
        label="parallel",
        branches=tuple(branches),
    )


def _wait(start_ns: int, begin: int, over: int, wait: Wait) -> ObservedStep:
    return ObservedStep(
        do="wait",
        start_s=(begin - start_ns) / 1e9,
        wall_s=max((over - begin) / 1e9, _SHORTEST_S),
        kind=wait.kind,
        via=Via.SOCKET,
        label=wait.label,
    )


def assume(
    starts_ns: Sequence[int],
    ends_ns: Sequence[int],
    waits: Sequence[Sequence[Wait]],
    *,
    processes: int,
    code_share: float | None,
) -> tuple[Assumption, list[tuple[ObservedStep, ...]]]:
    """Return the assumption made and every request's steps.

    Parameters
    ----------
    processes
        Recorded processes; each has one event loop.
    code_share
        Part of the gaps that is code, 0 to 1; None to assume it.
    """
    share = code_share
    if share is None:
        spans = zip(starts_ns, ends_ns, waits, strict=True)
        total_s = float(np.sum([gaps_of(*each) for each in spans]))
        window_s = (max(ends_ns) - min(starts_ns)) / 1e9
        share = round(gap_share(total_s, MOST_BUSY * window_s * processes), 3)
    programs = [
        program(start, end, own, share)
        for start, end, own in zip(starts_ns, ends_ns, waits, strict=True)
    ]
    return Assumption(share, code_share is not None), programs
