"""One step of a request's sequential program as observed, and how repetitions fold.

``ObservedStep`` mirrors the steps of ``fastsim.model`` with measurements in place of
distributions. ``fastsim.calibrate.timeline`` makes them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fastsim.spans import StepKind, Via

Do = Literal[
    "cpu",
    "wait",
    "yield",
    "thread",
    "stream",
    "acquire",
    "release",
    "respond",
    "parallel",
    "repeat",
]

UNKNOWN = "unknown"
"""Label of waits that no span says anything of."""

FOLD_WAITS = 4
"""So many equal waits in a row are one stream."""
FOLD_HOPS = 16
"""So many yields or thread calls in a row are one stream. More than for waits: a stream
says less about them, so they are folded only where counting them would make every request
a variant of its own."""

_FOLDABLE = {"wait": FOLD_WAITS, "yield": FOLD_HOPS, "thread": FOLD_HOPS}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One repetition of a stream: a wait, then code on the loop."""

    start_s: float
    """When the wait began, from the start of the request."""
    wall_s: float
    """Length of the wait."""
    bound_s: float
    late_s: float
    """The true wait lies in ``[wall_s - bound_s, wall_s - late_s]``."""
    loop_s: float
    """Time on the loop afterwards."""
    cpu_s: float
    """CPU of that code."""
    idle_share: float
    """Recent idle share of the loop when that code ran."""
    warm: float = 0.0
    """How much of that code was still in the caches (``fastsim.calibrate.warmth``)."""


@dataclass(frozen=True, slots=True)
class ObservedStep:
    """A step of one request. ``start_s`` and ``wall_s`` of all steps tile its whole time."""

    do: Do
    start_s: float
    wall_s: float = 0.0
    """Elapsed: on the loop (cpu), suspended (wait, thread, acquire), or both (stream)."""
    cpu_s: float = 0.0
    """cpu, stream: CPU on the loop. thread: CPU inside the thread."""
    bound_s: float = 0.0
    """Waits: most queueing in ``wall_s``. cpu: idle gap of the loop just before."""
    late_s: float = 0.0
    """Waits: least queueing in ``wall_s``."""
    idle_share: float = 0.0
    """cpu: recent idle share of the loop."""
    warm: float = 0.0
    """cpu: how much of the code was still in the caches (``fastsim.calibrate.warmth``)."""
    kind: StepKind = StepKind.CPU
    via: Via = Via.LOOP
    label: str = ""
    where: str = ""
    resource: str = ""
    """acquire, release: which."""
    off_gil_s: float = 0.0
    """thread: time inside the thread without CPU."""
    queue_s: float = 0.0
    """thread: from submission to the first instruction in the thread."""
    chunks: tuple[Chunk, ...] = ()
    branches: "tuple[tuple[ObservedStep, ...], ...]" = ()
    """parallel: the steps of each of the tasks awaited together, their ``start_s`` counted from
    the start of the request, too. repeat: the steps of each round."""
    tokens: int = -1
    """Waits for a language model: how many it wrote; -1 where nobody knows."""
    unit: str = ""
    """repeat: what its rounds have in common, also where there is none."""
    after_response: bool = False


Signature = tuple[tuple[str, str, str], ...]
"""What groups requests into variants: (do, kind, label or resource) of every step."""


def signature(steps: Sequence[ObservedStep]) -> Signature:
    """Return what two requests of one variant have in common: no counts, no times."""
    return tuple((step.do, step.kind.value, _named(step)) for step in steps)


def _named(step: ObservedStep) -> str:
    if step.do == "parallel":
        return str(sorted(set(map(signature, step.branches))))
    return step.unit or step.resource or step.label


def walk(steps: Iterable[ObservedStep]) -> Iterator[ObservedStep]:
    """Yield all steps, after a parallel one those of its branches."""
    for step in steps:
        yield step
        for branch in step.branches:
            yield from walk(branch)


def fold_streams(steps: Sequence[ObservedStep]) -> tuple[ObservedStep, ...]:
    """Replace long runs of equal waits, each followed by code, by one stream each."""
    steps = [
        replace(step, branches=tuple(map(fold_streams, step.branches))) if step.branches else step
        for step in steps
    ]
    folded: list[ObservedStep] = []
    position = 0
    while position < len(steps):
        units = _run(steps, position)
        if len(units) >= _FOLDABLE.get(steps[position].do, len(steps)):
            folded.append(_stream(steps, units))
            position = units[-1][1]
        else:
            # The code after the wait goes along; its yields may begin a run of their own.
            after = position + 2 if units else position + 1
            folded += steps[position:after]
            position = after
    return tuple(folded)


def _run(steps: Sequence[ObservedStep], begin: int) -> list[tuple[int, int]]:
    """Find the (begin, end) of every repetition of the unit that starts at ``begin``."""
    first = steps[begin]
    units: list[tuple[int, int]] = []
    while (end := _unit_end(steps, begin)) > begin and _alike(steps[begin], first):
        units.append((begin, end))
        begin = end
    if len(units) > 1:
        # Yields after the last repetition are its own only as far as the others have them.
        usual = max(end - begin for begin, end in units[:-1])
        begin, end = units[-1]
        units[-1] = (begin, min(end, begin + usual))
    return units


def _unit_end(steps: Sequence[ObservedStep], begin: int) -> int:
    """Return the end of "wait, code, any number of (yield, code)"; ``begin`` if none starts."""
    if begin >= len(steps) or steps[begin].do not in _FOLDABLE:
        return begin
    end = _pair_end(steps, begin)
    if end > begin and steps[begin].do != "yield":
        # A chunk handed from task to task (a middleware in between) takes hops on its way.
        while end < len(steps) and steps[end].do == "yield" and _pair_end(steps, end) > end:
            end += 2
    return end


def _pair_end(steps: Sequence[ObservedStep], begin: int) -> int:
    follows = begin + 1 < len(steps) and steps[begin + 1].do == "cpu"
    return begin + 2 if follows else begin


def _alike(step: ObservedStep, other: ObservedStep) -> bool:
    return (step.do, step.kind, step.label, step.via) == (
        other.do,
        other.kind,
        other.label,
        other.via,
    )


def _stream(steps: Sequence[ObservedStep], units: Sequence[tuple[int, int]]) -> ObservedStep:
    begin, end = units[0][0], units[-1][1]
    first = steps[begin]
    chunks = tuple(chunk_of(steps[start:stop]) for start, stop in units)
    return ObservedStep(
        do="stream",
        start_s=first.start_s,
        wall_s=sum(step.wall_s for step in steps[begin:end]),
        cpu_s=sum(chunk.cpu_s for chunk in chunks),
        kind=first.kind,
        via=first.via,
        label=first.label,
        where=first.where,
        chunks=chunks,
        after_response=first.after_response,
    )


def chunk_of(unit: Sequence[ObservedStep]) -> Chunk:
    """Return a wait and the code that follows it as one chunk of a stream."""
    wait, code = unit[0], [step for step in unit[1:] if step.do == "cpu"]
    return Chunk(
        start_s=wait.start_s,
        wall_s=wait.wall_s,
        bound_s=wait.bound_s,
        late_s=wait.late_s,
        loop_s=sum(step.wall_s for step in code),
        cpu_s=sum(step.cpu_s for step in code),
        idle_share=code[0].idle_share,
    )
