"""Rare paths, put together: what is too rare to fit by itself keeps its time and its errors.

Each request of a rare path becomes the same short program: code, one wait, code, the response,
code after it; inside the slots of a resource where the paths take one. CPU, waits and failures
are those of the requests; their order within a request is not kept. Requests that wait many times,
as those do that pass on a stream, have a loop of waits and code instead: all their code in one
piece would hold the event loop for as long as no request ever did.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fastsim.calibrate.observed import ObservedStep
from fastsim.spans import StepKind, Via

MANY = 8
"""Waits of a request from which they are a loop."""


@dataclass
class _Sums:
    """What the steps of a request add up to."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    idle_s: float = 0.0
    """CPU times the idle share it ran at."""

    def add(self, wall_s: float, cpu_s: float, idle_share: float) -> None:
        self.wall_s += wall_s
        self.cpu_s += cpu_s
        self.idle_s += cpu_s * idle_share

    def step(self, start_s: float, *, after: bool = False) -> ObservedStep:
        return ObservedStep(
            do="cpu",
            start_s=start_s,
            wall_s=self.wall_s,
            cpu_s=self.cpu_s,
            idle_share=self.idle_s / self.cpu_s if self.cpu_s > 0.0 else 0.0,
            after_response=after,
        )


@dataclass
class _Request:
    """A request as it is gone through."""

    first: _Sums = field(default_factory=_Sums)
    """Code before the first wait."""
    later: _Sums = field(default_factory=_Sums)
    after: _Sums = field(default_factory=_Sums)
    """Code after the response."""
    wait_s: float = 0.0
    bound_s: float = 0.0
    late_s: float = 0.0
    waits: dict[tuple[StepKind, Via], float] = field(default_factory=dict)
    peers: dict[tuple[StepKind, Via, str, str], float] = field(default_factory=dict)
    """Waits by kind, via, label and the user's line."""
    rounds: list[tuple[ObservedStep, _Sums]] = field(default_factory=list)
    """Each wait, and the code up to the next one."""

    def code(self, step: ObservedStep, wall_s: float, cpu_s: float) -> None:
        if step.after_response:
            self.after.add(wall_s, cpu_s, step.idle_share)
        elif self.rounds:
            self.later.add(wall_s, cpu_s, step.idle_share)
            self.rounds[-1][1].add(wall_s, cpu_s, step.idle_share)
        else:
            self.first.add(wall_s, cpu_s, step.idle_share)

    def wait(
        self,
        step: ObservedStep,
        wall_s: float,
        bound_s: float,
        late_s: float,
        *,
        start_s: float | None = None,
    ) -> None:
        if step.after_response:
            return
        begin_s = step.start_s if start_s is None else start_s
        one = ObservedStep(
            "wait", begin_s, wall_s, bound_s=min(bound_s, wall_s), late_s=min(late_s, wall_s)
        )
        self.rounds.append((one, _Sums()))
        self.wait_s += wall_s
        self.bound_s += bound_s
        self.late_s += late_s
        key = (step.kind, step.via)
        self.waits[key] = self.waits.get(key, 0.0) + wall_s
        peer = (*key, step.label, step.where)
        self.peers[peer] = self.peers.get(peer, 0.0) + wall_s


def resources_of(steps: Iterable[ObservedStep]) -> tuple[str, ...]:
    """Return the names of the resources that a request takes, in order; peers are none."""
    names = [step.resource for step in steps if step.do == "acquire" and not at_a_peer(step)]
    for step in steps:
        for branch in step.branches:
            names += resources_of(branch)
    return tuple(dict.fromkeys(names))


def at_a_peer(step: ObservedStep) -> bool:
    """Tell whether the slot that a step takes is one of a peer, for one call."""
    return step.via is Via.SOCKET


def pooled(steps: Sequence[ObservedStep]) -> tuple[ObservedStep, ...]:
    """Return a request's steps as the program that all rare paths share."""
    request = _Request()
    for step in steps:
        _take_in(request, step)
    kind, via = max(request.waits, key=request.waits.__getitem__, default=(StepKind.IO, Via.SOCKET))
    names = resources_of(steps)
    at_s = request.first.wall_s
    held = [ObservedStep(do="acquire", start_s=at_s, resource=name) for name in names]
    given = [
        ObservedStep(do="release", start_s=at_s + request.wait_s, resource=name)
        for name in reversed(names)
    ]
    wait = ObservedStep(
        do="wait",
        start_s=at_s,
        wall_s=request.wait_s,
        bound_s=min(request.bound_s, request.wait_s),
        late_s=min(request.late_s, request.wait_s),
        kind=kind,
        via=Via.SOCKET if via is Via.LOOP else via,
    )
    end_s = at_s + request.wait_s + request.later.wall_s
    middle = [*held, wait, *given, request.later.step(at_s + request.wait_s)]
    if len(request.rounds) >= MANY:
        middle = [*held, _loop(request, wait), *given]
    return (
        request.first.step(0.0),
        *middle,
        ObservedStep(do="respond", start_s=end_s),
        request.after.step(end_s, after=True),
    )


def _loop(request: _Request, usual: ObservedStep) -> ObservedStep:
    """Return the waits of a request, each with the code that follows it; all of the usual kind."""
    kind, via, label, where = max(request.peers, key=request.peers.__getitem__)
    via = Via.SOCKET if via is Via.LOOP else via
    rounds = [
        (
            replace(wait, kind=kind, via=via, label=label, where=where),
            code.step(wait.start_s + wait.wall_s),
        )
        for wait, code in request.rounds
    ]
    return ObservedStep(
        do="repeat",
        start_s=usual.start_s,
        wall_s=request.wait_s + request.later.wall_s,
        cpu_s=request.later.cpu_s,
        branches=tuple(rounds),
        unit="waits of rare paths",
    )


def _take_in(request: _Request, step: ObservedStep) -> None:
    match step.do:
        case "cpu":
            request.code(step, step.wall_s, step.cpu_s)
        case "wait":
            request.wait(step, step.wall_s, step.bound_s, step.late_s)
        case "thread":
            # What its threads did keeps its length; the queue for a thread is the twin's matter.
            inside_s = step.cpu_s + step.off_gil_s
            request.wait(step, inside_s, 0.0, 0.0)
        case "stream":
            for chunk in step.chunks:
                request.wait(step, chunk.wall_s, chunk.bound_s, chunk.late_s, start_s=chunk.start_s)
                request.code(step, chunk.loop_s, chunk.cpu_s)
        case "repeat":
            for each in step.branches:
                for inner in each:
                    _take_in(request, inner)
        case "parallel":
            _side_by_side(request, step)
        case "acquire" if at_a_peer(step):
            request.wait(step, step.wall_s, 0.0, 0.0)
        case "yield" | "acquire" | "release" | "respond":
            pass


def _side_by_side(request: _Request, step: ObservedStep) -> None:
    """Take in branches: all their code, and of their waits what nobody's code covers."""
    code_s = 0.0
    for branch in step.branches:
        inner = _Request()
        for each in branch:
            _take_in(inner, each)
        for sums in (inner.first, inner.later, inner.after):
            code_s += sums.wall_s
            request.code(step, sums.wall_s, sums.cpu_s)
    request.wait(step, max(step.wall_s - code_s, 0.0), 0.0, 0.0)
