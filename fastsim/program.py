"""What a request does: a program of steps, some of which hold programs of their own.

Nobody needs to know which steps hold others: ``bodies`` and ``with_bodies`` do, and everything
that goes through a program is built on them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fastsim.laws import Counts, Distribution, Part
from fastsim.spans import StepKind, Via
from fastsim.units import Duration, Share


class _Step(Part):
    label: str = Field("", description="library or peer, for people")
    where: str = Field("", description="the service's own code, file.py:function")


class _Sized(_Step):
    size: float = Field(
        0.0,
        ge=-1.0,
        le=1.0,
        description="how far it follows the size of its request, which all such steps share: 0 "
        "by itself, 1 entirely; two steps have their product as correlation (normal scores)",
    )


class CpuStep(_Sized):
    """Code on the event loop; nothing else of this worker runs meanwhile."""

    do: Literal["cpu"] = "cpu"
    time: Distribution
    blocking: Share = Field(
        0.0, description="part of the time that holds the loop without using a core"
    )
    gil: bool = Field(
        True,
        description="false for native code that needs a core but lets go of the GIL: hashing, "
        "compression, numpy",
    )

    @model_validator(mode="after")
    def _native_uses_a_core(self) -> Self:
        if self.blocking and not self.gil:
            raise ValueError("code that lets go of the GIL to compute is not blocking: it computes")
        return self


class Tokens(Part):
    """What a wait for a language model has to do with how much the model writes.

    ``time`` of the wait is ``first`` plus ``each`` times the tokens, and some more or less; with it
    in pieces it can be asked what longer answers would take.
    """

    output: Counts = Field(description="tokens of an answer")
    each: Duration = Field(gt=0.0, description="time that each of them takes")
    first: Duration = Field(ge=0.0, description="what does not depend on how many there are")
    spread: float = Field(
        0.0, ge=0.0, description="standard deviation of the logarithm of the time around that"
    )
    explained: Share = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="part of that variance that tokens explain",
    )


class WaitStep(_Sized):
    """Suspended until something outside the loop answers; the loop is free meanwhile."""

    do: Literal["wait"] = "wait"
    kind: StepKind
    via: Via = Via.SOCKET
    time: Distribution
    thread_cpu: Duration = Field(
        0.0, ge=0.0, description="via thread: CPU of the other thread, which needs the GIL for it"
    )
    tokens: Tokens | None = Field(None, description="of a language model: how its time comes about")


class YieldStep(_Step):
    """Suspended only to be queued again at once, as ``asyncio.sleep(0)`` does."""

    do: Literal["yield"] = "yield"


class ThreadStep(_Sized):
    """Work in the thread pool: ``cpu`` needs the GIL, ``off_gil`` does not."""

    do: Literal["thread"] = "thread"
    cpu: Distribution
    off_gil: Distribution | None = None


class CallStep(_Step):
    """A call in the thread pool, step by step: code under the GIL, waits off it, slots it holds.

    While it waits for a slot, its thread is taken all the same.
    """

    do: Literal["call"] = "call"
    steps: "list[Step]" = Field(min_length=1)

    @model_validator(mode="after")
    def _of_a_thread(self) -> Self:
        wrong = [step.do for step in all_steps(self.steps) if isinstance(step, _OF_THE_LOOP)]
        if wrong:
            raise ValueError(f"a thread cannot do {wrong[0]!r}; that is of the event loop")
        return self


class StreamStep(_Sized):
    """``chunks`` times: wait ``gap``, then ``cpu`` on the loop. A streamed LLM answer.

    Its ``size`` is that of the number of chunks.

    A peer that streams writes by its own clock: ``gap`` is the time between two chunks as they
    come. Who reads late finds the next ones there, and those that came by the time he read are
    handled in one go. Through a timer or a thread, and where each chunk is asked for, ``gap``
    begins when it is waited for.
    """

    do: Literal["stream"] = "stream"
    kind: StepKind
    via: Via = Via.SOCKET
    chunks: Counts
    gap: Distribution
    cpu: Distribution
    pushed: bool = Field(
        True,
        description="via socket: the peer writes each chunk at its own time, however late the one "
        "before was read; false where each is asked for",
    )

    @property
    def by_peers_clock(self) -> bool:
        """Whether chunks come however late they are read."""
        return self.pushed and self.via is Via.SOCKET


class AcquireStep(_Step):
    """Take one slot of a resource; waits in first-come order when none is free."""

    do: Literal["acquire"] = "acquire"
    resource: str


class ReleaseStep(_Step):
    """Give the slot back."""

    do: Literal["release"] = "release"
    resource: str


class RespondStep(_Step):
    """The last byte of the response leaves; later steps do not count as latency."""

    do: Literal["respond"] = "respond"


class UseStep(_Step):
    """Hold a slot of a resource around other steps: a pooled connection, a semaphore."""

    do: Literal["use"] = "use"
    resource: str
    steps: "list[Step]" = Field(default_factory=list)


class RepeatStep(_Sized):
    """The same steps ``count`` times, each drawn anew: a loop, N+1 queries.

    Its ``size`` is that of the count.
    """

    do: Literal["repeat"] = "repeat"
    count: Counts
    steps: "list[Step]" = Field(min_length=1)


class Way(Part):
    """One of the ways a choice can go."""

    name: str = ""
    share: Share
    steps: "list[Step]" = Field(default_factory=list)


class ChooseStep(_Step):
    """Go one of several ways: hit or miss, found or not."""

    do: Literal["choose"] = "choose"
    ways: list[Way] = Field(min_length=1)


class LimitStep(_Step):
    """Pass a limit: at once, after waiting in turn, or not at all."""

    do: Literal["limit"] = "limit"
    limit: str


class Branch(Part):
    """Tasks of a parallel step that all take the same steps."""

    count: Counts = Field(Counts(values=[1], weights=[1.0]), description="how many there are")
    steps: "list[Step]" = Field(min_length=1)


class ParallelStep(_Step):
    """Start several tasks, as ``asyncio.gather`` does, and wait for them."""

    do: Literal["parallel"] = "parallel"
    join: Literal["all", "first", "none"] = Field(
        "all",
        description="wait for all of them; for the first, and cancel the others; or for none",
    )
    branches: list[Branch] = Field(min_length=1)


Step = Annotated[
    CpuStep
    | WaitStep
    | YieldStep
    | ThreadStep
    | CallStep
    | StreamStep
    | AcquireStep
    | ReleaseStep
    | RespondStep
    | ParallelStep
    | UseStep
    | RepeatStep
    | ChooseStep
    | LimitStep,
    Field(discriminator="do"),
]


_OF_THE_LOOP = (YieldStep, ThreadStep, CallStep, StreamStep, RespondStep, ParallelStep, LimitStep)

for _nesting in (Branch, Way, UseStep, RepeatStep, CallStep):
    _nesting.model_rebuild()


def bodies(step: Step) -> list[list[Step]]:
    """Return the programs that a step holds."""
    match step:
        case UseStep() | RepeatStep() | CallStep():
            return [step.steps]
        case ChooseStep():
            return [way.steps for way in step.ways]
        case ParallelStep():
            return [branch.steps for branch in step.branches]
        case _:
            return []


def with_bodies(step: Step, programs: Sequence[list[Step]]) -> Step:
    """Return a step that holds other programs instead."""
    match step:
        case UseStep() | RepeatStep() | CallStep():
            return step.model_copy(update={"steps": programs[0]})
        case ChooseStep():
            ways = zip(step.ways, programs, strict=True)
            update = [way.model_copy(update={"steps": steps}) for way, steps in ways]
            return step.model_copy(update={"ways": update})
        case ParallelStep():
            branches = zip(step.branches, programs, strict=True)
            changed = [branch.model_copy(update={"steps": steps}) for branch, steps in branches]
            return step.model_copy(update={"branches": changed})
        case _:
            return step


def all_steps(steps: Iterable[Step], *, of_threads: bool = True) -> Iterator[Step]:
    """Yield steps and, after one that holds others, those.

    Parameters
    ----------
    of_threads
        Whether what calls do in their threads is among them.
    """
    for step in steps:
        yield step
        if of_threads or not isinstance(step, CallStep):
            for body in bodies(step):
                yield from all_steps(body, of_threads=of_threads)


_LAWS = ("time", "cpu", "off_gil", "gap")
"""Fields of steps that are laws of times."""


def laws_of(step: Step) -> list[Distribution]:
    """Return the laws of a step's times; not of the steps that it holds."""
    found = [getattr(step, name, None) for name in _LAWS]
    return [law for law in found if law is not None]


def with_laws(step: Step, change: Callable[[Distribution], Distribution]) -> Step:
    """Return a step whose times follow other laws."""
    laws = {name: getattr(step, name, None) for name in _LAWS}
    update = {name: change(law) for name, law in laws.items() if law is not None}
    return step.model_copy(update=update) if update else step


Change = Callable[[Step], Step]


def changed(steps: Iterable[Step], change: Change, in_threads: Change | None = None) -> list[Step]:
    """Return a program in which every step that holds no others has been changed.

    Parameters
    ----------
    in_threads
        What is done to the steps of calls instead.
    """
    found = []
    for step in steps:
        each = in_threads if in_threads and isinstance(step, CallStep) else change
        inner = [changed(body, each, in_threads) for body in bodies(step)]
        found.append(with_bodies(step, inner) if inner else change(step))
    return found


def nested(steps: Iterable[Step]) -> list[Step]:
    """Return a program in which what lies between taking a slot and giving it back is a block.

    Where slots are not given back in the reverse order, or not at all, those steps stay as they
    are.
    """
    found: list[Step] = []
    opened: list[tuple[int, AcquireStep]] = []
    for each in steps:
        step = with_bodies(each, [nested(body) for body in bodies(each)])
        if isinstance(step, ReleaseStep) and opened and opened[-1][1].resource == step.resource:
            place, taken = opened.pop()
            block = UseStep(
                resource=taken.resource,
                label=taken.label,
                where=taken.where,
                steps=found[place + 1 :],
            )
            del found[place:]
            found.append(block)
            continue
        if isinstance(step, AcquireStep):
            opened.append((len(found), step))
        found.append(step)
    return found
