"""Turn the observed steps of a variant into the model's steps, one fit each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.cold import on_a_busy_loop
from fastsim.calibrate.counts import fit_counts
from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.held_code import held
from fastsim.calibrate.loop_costs import ThreadUse
from fastsim.calibrate.observed import Chunk, ObservedStep
from fastsim.calibrate.pauses import without_pauses
from fastsim.calibrate.pushed import Peer, Stream, gaps_s, leading_chunks, streams_of
from fastsim.calibrate.request_size import Scores, exact_scores, interval_scores, shared_sizes
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.token_times import fit_tokens
from fastsim.calibrate.variants import BranchGroup, ObservedVariant, branch_groups
from fastsim.calibrate.wander import MachineSpeed
from fastsim.model import (
    AcquireStep,
    Branch,
    ColdCost,
    CpuStep,
    Distribution,
    ParallelStep,
    ReleaseStep,
    RepeatStep,
    RespondStep,
    Step,
    StreamStep,
    ThreadStep,
    WaitStep,
    YieldStep,
)
from fastsim.program import Tokens
from fastsim.spans import StepKind, Via

FloatArray = npt.NDArray[np.float64]

MINOR_S = 100e-6
"""Code shorter than this decides nothing: two quick families, else its own quantile curve."""

_MINOR_FAMILIES = ("gamma", "lognorm")
_CODE_FAMILIES = ("expon", "gamma", "lognorm", "weibull", "invgauss", "light pareto", "mixture")


@dataclass(frozen=True, slots=True)
class StepFitter:
    """Fits the steps of one service.

    Attributes
    ----------
    cold
        Cost of code on an idle loop; divided out before fitting, the twin puts its own in.
    speed
        How the machine's speed wandered; divided out likewise.
    thread_use
        CPU of other threads per wait that they end.
    pushing
        Peers that write their streams by their own clocks.
    """

    requests: RequestSet
    cold: ColdCost
    speed: MachineSpeed
    thread_use: ThreadUse
    pushing: frozenset[Peer] = frozenset()

    def fit(self, variant: ObservedVariant) -> list[Step]:
        """Return the steps of one variant, with the size that they share if they do."""
        columns = list(zip(*variant.requests, strict=True))
        fitted = [self._fit_step(observed, variant.indices) for observed in columns]
        scores = [
            self._scores(observed, variant.indices, steps[-1]) if steps else None
            for observed, steps in zip(columns, fitted, strict=True)
        ]
        for steps, size in zip(fitted, shared_sizes(scores), strict=True):
            if size:
                steps[-1] = steps[-1].model_copy(update={"size": size})
        return [step for steps in fitted for step in steps]

    def _fit_step(self, observed: Sequence[ObservedStep], rows: tuple[int, ...]) -> list[Step]:
        first = observed[0]
        match first.do:
            case "cpu":
                return [self._cpu(observed, rows)]
            case "wait":
                return [self._wait(observed)]
            case "yield":
                return [YieldStep(where=first.where)]
            case "thread":
                return [self._thread(observed)]
            case "stream":
                return self._stream(observed)
            case "acquire":
                return [AcquireStep(resource=first.resource)]
            case "release":
                return [ReleaseStep(resource=first.resource)]
            case "respond":
                return [RespondStep()]
            case "parallel":
                return [self._parallel(observed, rows)]
            case "repeat":
                return [self._loop(rounds) for rounds in branch_groups(observed, rows)]

    def _loop(self, rounds: BranchGroup) -> RepeatStep | StreamStep:
        """Return a loop; one that waits and handles what comes may be a stream."""
        first, streams = rounds.branches.requests[0][0], streams_of(rounds)
        if streams is not None and Peer.of(first) in self.pushing:
            return self._chunks(first, streams, 0)
        return RepeatStep(
            count=fit_counts(np.array(rounds.counts)), steps=self._fit_parts(rounds.branches)
        )

    def _fit_parts(self, variant: ObservedVariant) -> list[Step]:
        """Return the steps of branches or of rounds, several of which a request may have."""
        columns = zip(*variant.requests, strict=True)
        fitted = (self._fit_step(observed, variant.indices) for observed in columns)
        return [step for steps in fitted for step in steps]

    def _scores(
        self, observed: Sequence[ObservedStep], rows: tuple[int, ...], fitted: Step
    ) -> Scores | None:
        """Return where the requests' times lie among all; None for what has no size."""
        match fitted:
            case CpuStep():
                times, _ = self._code(observed, rows)
                return Scores(exact_scores(times), float(times.std()))
            case WaitStep():
                wall, bound, late = _columns(observed, "wall_s", "bound_s", "late_s")
                low, high = np.maximum(wall - bound, 0.0), wall - late
                scores = interval_scores(fitted.time, low, high)
                return Scores(scores, float(((low + high) / 2.0).std()))
            case ThreadStep():
                cpu, off_gil = _columns(observed, "cpu_s", "off_gil_s")
                return Scores(exact_scores(cpu + off_gil), float((cpu + off_gil).std()))
            case StreamStep() | RepeatStep():
                counts = np.array([len(step.chunks) + len(step.branches) for step in observed])
                (wall,) = _columns(observed, "wall_s")
                return Scores(exact_scores(counts), float(wall.std()))
            case _:
                return None

    def _parallel(self, observed: Sequence[ObservedStep], rows: tuple[int, ...]) -> ParallelStep:
        return ParallelStep(
            branches=[
                Branch(
                    count=fit_counts(np.array(group.counts)), steps=self._fit_parts(group.branches)
                )
                for group in branch_groups(observed, rows)
            ]
        )

    def _cpu(self, observed: Sequence[ObservedStep], rows: tuple[int, ...]) -> CpuStep:
        steady, blocking = self._code(observed, rows)
        return CpuStep(time=_code_law(steady), blocking=blocking, where=observed[0].where)

    def _code(
        self, observed: Sequence[ObservedStep], rows: tuple[int, ...]
    ) -> tuple[FloatArray, float]:
        """Return how long the code holds a busy loop, seconds, and the blocking share of that."""
        wall, cpu, idle, warm, start = _columns(
            observed, "wall_s", "cpu_s", "idle_share", "warm", "start_s"
        )
        held_s, blocking = held(wall, without_pauses(cpu))
        alike = on_a_busy_loop(self.cold, held_s, idle, warm)
        steady = alike / self.speed.factors(self.requests, rows, start)
        # Fast and slow windows are known with an error: their inverses are too large in the mean.
        steady *= alike.mean() / max(float(steady.mean()), 1e-300)
        return steady, blocking

    def _wait(self, observed: Sequence[ObservedStep]) -> WaitStep:
        first = observed[0]
        wall, bound, late = _columns(observed, "wall_s", "bound_s", "late_s")
        return WaitStep(
            kind=first.kind,
            via=first.via,
            time=_censored(wall, bound, late),
            label=first.label,
            where=first.where,
            thread_cpu=self.thread_use.cpu_per_wait_s if first.via is Via.THREAD else 0.0,
            tokens=_tokens(observed, wall - bound, wall - late),
        )

    def _thread(self, observed: Sequence[ObservedStep]) -> ThreadStep:
        cpu, off_gil = _columns(observed, "cpu_s", "off_gil_s")
        # A bare hand-over (a dependency that only looks something up) leaves the GIL for nothing.
        idle = float(np.median(off_gil)) < 50e-6
        return ThreadStep(
            cpu=_code_law(cpu),
            off_gil=None if idle else fit_distribution(off_gil, np.zeros_like(off_gil)),
            label=observed[0].label,
            where=observed[0].where,
        )

    def _stream(self, observed: Sequence[ObservedStep]) -> list[Step]:
        first = observed[0]
        streams = [step.chunks for step in observed]
        leading = leading_chunks(streams)
        fitted: list[Step] = []
        for position in range(leading):
            chunks = [step.chunks[position] for step in observed]
            fitted.append(
                WaitStep(
                    kind=first.kind,
                    via=first.via,
                    time=self._gap(chunks),
                    label=first.label,
                    where=first.where,
                )
            )
            fitted.append(CpuStep(time=self._chunk_cpu(chunks)))
        return [*fitted, self._chunks(first, streams, leading)]

    def _chunks(self, first: ObservedStep, streams: Sequence[Stream], leading: int) -> StreamStep:
        """Return the chunks of a stream, but for those at its beginning."""
        pushed = Peer.of(first) in self.pushing
        rest = [chunk for chunks in streams for chunk in chunks[leading:]]
        counts = [len(chunks) - leading for chunks in streams]
        return StreamStep(
            kind=first.kind,
            via=first.via,
            chunks=fit_counts(np.array(counts)),
            gap=_apart(streams, leading) if pushed else self._gap(rest),
            cpu=self._chunk_cpu(rest),
            pushed=pushed,
            label=first.label,
            where=first.where,
        )

    def _gap(self, chunks: Sequence[Chunk]) -> Distribution:
        wall, bound, late = _columns(chunks, "wall_s", "bound_s", "late_s")
        return _censored(wall, bound, late)

    def _chunk_cpu(self, chunks: Sequence[Chunk]) -> Distribution:
        cpu, idle, warm = _columns(chunks, "cpu_s", "idle_share", "warm")
        return _code_law(on_a_busy_loop(self.cold, cpu, idle, warm))


def _columns(rows: Sequence[object], *names: str) -> tuple[FloatArray, ...]:
    return tuple(np.array([getattr(row, name) for row in rows], np.float64) for name in names)


def _code_law(times: FloatArray) -> Distribution:
    """Fit code: its tail has a variance.

    Short code that was now and then interrupted looks as if its times had none, and would be
    seconds long once in millions of runs.
    """
    families = _CODE_FAMILIES if float(np.mean(times)) >= MINOR_S else _MINOR_FAMILIES
    return fit_distribution(times, np.zeros_like(times), families=families, tail="light pareto")


def _censored(wall: FloatArray, bound: FloatArray, late: FloatArray) -> Distribution:
    """Fit the true wait, which lies in ``[wall - bound, wall - late]``."""
    return fit_distribution(wall - late, bound - late)


def _apart(streams: Sequence[Stream], leading: int) -> Distribution:
    """Fit the times between chunks as they came."""
    low, high = gaps_s(streams, leading)
    return fit_distribution(high, high - low)


def _tokens(
    observed: Sequence[ObservedStep], low_s: FloatArray, high_s: FloatArray
) -> Tokens | None:
    if observed[0].kind is not StepKind.LLM:
        return None
    tokens = np.array([step.tokens for step in observed], np.int64)
    return fit_tokens(np.maximum(low_s, 0.0), high_s, tokens)
