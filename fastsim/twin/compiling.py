"""From the steps of a model to the flat code that a worker runs."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastsim.distributions import mean
from fastsim.means import mean_count
from fastsim.model import (
    AcquireStep,
    BackgroundWork,
    CallStep,
    ChooseStep,
    Constant,
    Counts,
    CpuStep,
    Distribution,
    Empirical,
    Expon,
    LimitStep,
    ParallelStep,
    ReleaseStep,
    RepeatStep,
    RespondStep,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    UseStep,
    Variant,
    WaitStep,
    YieldStep,
    all_steps,
)
from fastsim.spans import StepKind, Via
from fastsim.twin import code as ops
from fastsim.twin.code import Branch, Code
from fastsim.twin.footprints import Place, places
from fastsim.twin.tables import Choice, Fixed, Table, choice_of, table_of

KINDS: tuple[str, ...] = tuple(kind.value for kind in StepKind)
"""What a wait may be booked under."""

_KIND = {kind: number for number, kind in enumerate(StepKind)}
_VIA = {
    Via.SOCKET: ops.SOCKET,
    Via.TIMER: ops.TIMER,
    Via.THREAD: ops.BY_THREAD,
    Via.LOOP: ops.SOCKET,
}
_JOINS = {"all": ops.ALL, "first": ops.FIRST, "none": ops.NONE}


@dataclass(frozen=True, slots=True)
class Program:
    """The code of a service and where each endpoint's begins."""

    code: Code
    entries: tuple[int, ...]
    endpoints: tuple[str, ...]
    stations: tuple[str, ...]
    limits: tuple[str, ...] = ()
    background: tuple[int, ...] = ()
    """Where what the loop does for no request begins."""


def compile_model(model: ServiceModel, shares: Sequence[float]) -> Program:
    """Compile every endpoint of a model.

    Parameters
    ----------
    shares
        How much of the traffic asks for each endpoint; only speed depends on it.
    """
    compiler = _Compiler(model)
    entries = []
    for endpoint, share in zip(model.endpoints, shares, strict=True):
        entries.append(compiler.endpoint(endpoint.name, endpoint.variants, share))
    names = tuple(endpoint.name for endpoint in model.endpoints)
    stations, limits = tuple(model.resources), tuple(model.limits)
    background = tuple(compiler.background(work) for work in model.loop.background)
    return Program(compiler.code, tuple(entries), names, stations, limits, background)


def _named(step: Step) -> tuple[str, str, str]:
    """Return what a step is to the code that follows it."""
    kind = step.kind.value if isinstance(step, (WaitStep, StreamStep)) else ""
    if isinstance(step, (AcquireStep, ReleaseStep, UseStep)):
        return step.do, kind, step.resource
    return step.do, kind, step.label


def _code_s(step: CpuStep | StreamStep) -> float:
    return mean(step.time if isinstance(step, CpuStep) else step.cpu)


_FOREVER = 2.0**53


class _Compiler:
    def __init__(self, model: ServiceModel) -> None:
        self.code = Code()
        self._stations = list(model.resources)
        self._limits = list(model.limits)
        self._peers = {
            name for name, resource in model.resources.items() if resource.hand_over == "peer"
        }
        self._pauses = model.loop.pauses
        self._paused: Step | None = None
        self._endpoint, self._place = "", Place()
        self._rounds = 1.0
        """How often the innermost loop around a step goes round, in the mean."""
        self._tables: dict[tuple[int, bool], Table] = {}

    def endpoint(self, name: str, variants: Sequence[Variant], share: float) -> int:
        """Compile the paths of an endpoint and return where it begins."""
        weights = [variant.share for variant in variants]
        entries = []
        for number, (variant, weight) in enumerate(zip(variants, weights, strict=True)):
            entries.append(len(self.code))
            self.code.add(ops.MARK, number, second=float(variant.failed))
            reached = share * weight / sum(weights)
            self._paused = self._longest(variant.steps)
            self._endpoint, self._place = name, ()
            self._steps(variant.steps, f"{name}/{number}", reached)
            self.code.add(ops.END)
        if len(entries) == 1:
            return entries[0]
        table = Choice(weights, [float(number) for number in range(len(weights))])
        self.code.choices.append(entries)
        node = self.code.draw(f"{name}/variant", table, share)
        return self.code.add(ops.CHOOSE, len(self.code.choices) - 1, node=node)

    def background(self, work: BackgroundWork) -> int:
        """Compile work of no request, which never ends, and return where it begins."""
        code, name = self.code, f"background/{work.name}"
        # From the end of a run to the begin of the next; the first one at a random moment.
        gap_s = max(work.every - mean(work.time), 0.01 * work.every)
        phase = Empirical(probabilities=[0.0, 1.0], values=[0.0, work.every])
        gap: Distribution = Constant(value=gap_s) if work.regular else Expon(mean=gap_s)
        begin = len(code)
        self._endpoint, self._place = name, ()
        via = ops.TIMER if work.regular else ops.SOCKET
        self._timed(ops.WAIT, phase, f"{name}/phase", 0.0, argument=via)
        forever = code.add(ops.REPEAT, value=_FOREVER)
        self._timed(ops.CPU, work.time, name, 0.0)
        self._timed(ops.WAIT, gap, f"{name}/gap", 0.0, argument=via)
        code.add(ops.AGAIN, forever + 1)
        return begin

    def _longest(self, steps: Sequence[Step]) -> Step | None:
        """Return the code that a stop of the loop falls into: the longest, in the mean."""
        if self._pauses.time is None or self._pauses.per_request <= 0.0:
            return None
        own = all_steps(steps, of_threads=False)
        code = [step for step in own if isinstance(step, (CpuStep, StreamStep))]
        return max(code, key=_code_s) if code else None

    def _steps(self, steps: Sequence[Step], name: str, share: float) -> None:
        within, named = self._place, [_named(step) for step in steps]
        for position, (step, place) in enumerate(zip(steps, places(named, within), strict=True)):
            self._place = place
            if isinstance(step, StreamStep):
                follows = _begins(steps[max(position - 2, 0) : position], step)
                self._stream(step, f"{name}/{position}", share, follows=follows)
            else:
                self._step(step, f"{name}/{position}", share)
            if step is self._paused:
                self._pause(name, share)
        self._place = within

    def _pause(self, name: str, share: float) -> None:
        """Stop the loop, seldom."""
        assert self._pauses.time is not None  # noqa: S101 - there is none without
        often = self._pauses.per_request
        chance = Choice([1.0 - often, often], [0.0, 1.0])
        code, node = self.code, self.code.draw(f"{name}/paused", chance, share)
        stop = len(code) + 1
        code.choices.append([stop + 1, stop])
        code.add(ops.CHOOSE, len(code.choices) - 1, node=node)
        self._timed(ops.CPU, self._pauses.time, f"{name}/pause", share * often)

    def _step(self, step: Step, name: str, share: float) -> None:
        code = self.code
        match step:
            case CpuStep():
                self._timed(
                    ops.CPU,
                    step.time,
                    name,
                    share,
                    # Native code lets others have the GIL, as code does that waits.
                    second=step.blocking if step.gil else 1.0,
                    kind=ops.PYTHON if step.gil else ops.NATIVE,
                    size=step.size,
                )
            case WaitStep():
                self._timed(
                    ops.WAIT,
                    step.time,
                    name,
                    share,
                    argument=_VIA[step.via],
                    kind=_KIND[step.kind],
                    second=step.thread_cpu,
                    size=step.size,
                )
            case YieldStep():
                code.add(ops.YIELD)
            case ThreadStep():
                self._thread(step, name, share)
            case CallStep():
                code.add(ops.CALL, len(code) + 2)
                over = code.add(ops.JUMP)
                self._steps(step.steps, name, share)
                code.add(ops.END)
                code.argument[over] = len(code)
            case AcquireStep():
                code.add(ops.ACQUIRE, self._stations.index(step.resource))
            case ReleaseStep():
                code.add(ops.RELEASE, self._stations.index(step.resource))
            case RespondStep():
                code.add(ops.RESPOND)
            case ParallelStep():
                self._fork(step, name, share)
            case UseStep(steps=[WaitStep() as asked]) if step.resource in self._peers:
                self._timed(
                    ops.ASK,
                    asked.time,
                    f"{name}/0",
                    share,
                    argument=self._stations.index(step.resource),
                    kind=_KIND[asked.kind],
                    size=asked.size,
                )
            case UseStep():
                station = self._stations.index(step.resource)
                code.add(ops.ACQUIRE, station)
                self._steps(step.steps, name, share)
                code.add(ops.RELEASE, station)
            case LimitStep():
                code.add(ops.LIMIT, self._limits.index(step.limit))
            case RepeatStep():
                self._repeat(step, name, share)
            case ChooseStep():
                self._choose(step, name, share)

    def _timed(
        self,
        operation: int,
        law: Distribution,
        name: str,
        share: float,
        *,
        argument: int = 0,
        kind: int = 0,
        second: float = 0.0,
        size: float = 0.0,
    ) -> None:
        node, value = self._drawn(law, name, share, size)
        code = operation == ops.CPU
        prints = self.code.footprints.of(self._endpoint, self._place) if code else (-1, -1)
        self.code.add(
            operation, argument, kind=kind, value=value, second=second, node=node, prints=prints
        )

    def _drawn(
        self, law: Distribution, name: str, share: float, size: float = 0.0
    ) -> tuple[int, float]:
        """Return the node that draws from a law, or -1 and the value that it always has."""
        table = self._table(law, in_order=size != 0.0)
        if isinstance(table, Fixed):
            return -1, table.value
        return self.code.draw(name, table, share, size, self._rounds), 0.0

    def _table(self, law: Distribution, *, in_order: bool) -> Table:
        # Steps of all variants that were fitted together share one law.
        key = (id(law), in_order)
        if key not in self._tables:
            self._tables[key] = table_of(law, in_order=in_order)
        return self._tables[key]

    def _thread(self, step: ThreadStep, name: str, share: float) -> None:
        node, value = self._drawn(step.cpu, name, share, step.size)
        second_node, second = -1, 0.0
        if step.off_gil is not None:
            second_node, second = self._drawn(step.off_gil, f"{name}/off", share, step.size)
        self.code.add(
            ops.THREAD,
            kind=_KIND[StepKind.THREAD],
            value=value,
            second=second,
            node=node,
            second_node=second_node,
        )

    def _count(self, counts: Counts, name: str, share: float, size: float = 0.0) -> tuple[int, int]:
        """Return the node that draws a count, or -1 and the count that it always is."""
        likely = {v for v, w in zip(counts.values, counts.weights, strict=True) if w > 0.0}
        if len(likely) == 1:
            return -1, likely.pop()
        return self.code.draw(name, choice_of(counts), share, size), 0

    def _stream(self, step: StreamStep, name: str, share: float, *, follows: bool) -> None:
        """Add a stream; ``follows`` tells whether the wait before it was for the same peer."""
        code = self.code
        node, count = self._count(step.chunks, f"{name}/chunks", share, step.size)
        pushed = step.by_peers_clock
        begin = code.add(ops.REPEAT, node=node, value=float(count), kind=int(pushed and follows))
        kind, via = _KIND[step.kind], _VIA[step.via]
        with self._round(mean_count(step.chunks)):
            told = ops.NEXT if pushed else ops.WAIT
            self._timed(told, step.gap, f"{name}/gap", share, argument=via, kind=kind)
            self._timed(ops.CPU, step.cpu, f"{name}/cpu", share)
        code.add(ops.AGAIN, begin + 1)
        code.argument[begin] = len(code)

    def _repeat(self, step: RepeatStep, name: str, share: float) -> None:
        code = self.code
        node, count = self._count(step.count, f"{name}/count", share, step.size)
        begin = code.add(ops.REPEAT, node=node, value=float(count))
        with self._round(mean_count(step.count)):
            self._steps(step.steps, name, share)
        code.add(ops.AGAIN, begin + 1)
        code.argument[begin] = len(code)

    @contextlib.contextmanager
    def _round(self, times: float) -> Iterator[None]:
        before, self._rounds = self._rounds, times
        try:
            yield
        finally:
            self._rounds = before

    def _choose(self, step: ChooseStep, name: str, share: float) -> None:
        code = self.code
        weights = [way.share for way in step.ways]
        table = Choice(weights, [float(number) for number in range(len(weights))])
        code.choices.append([])
        ways = code.choices[-1]
        code.add(ops.CHOOSE, len(code.choices) - 1, node=code.draw(f"{name}/way", table, share))
        jumps = []
        for number, way in enumerate(step.ways):
            ways.append(len(code))
            self._steps(way.steps, f"{name}/way {number}", share * way.share / sum(weights))
            jumps.append(code.add(ops.JUMP))
        for jump in jumps:
            code.argument[jump] = len(code)

    def _fork(self, step: ParallelStep, name: str, share: float) -> None:
        code = self.code
        code.forks.append([])
        branches = code.forks[-1]
        code.add(ops.FORK, len(code.forks) - 1, kind=_JOINS[step.join])
        over = code.add(ops.JUMP)
        for number, branch in enumerate(step.branches):
            own = f"{name}/branch {number}"
            node, count = self._count(branch.count, own, share)
            branches.append(Branch(len(code), node, count))
            with self._round(1.0):  # the occasions of branches do not follow each other
                self._steps(branch.steps, own, share)
            code.add(ops.END)
        code.argument[over] = len(code)


def _begins(before: Sequence[Step], stream: StreamStep) -> bool:
    """Tell whether the steps before a stream handle what its peer said first."""
    match before:
        case [WaitStep() as wait, CpuStep()]:
            return (wait.kind, wait.via, wait.label) == (stream.kind, stream.via, stream.label)
        case _:
            return False
