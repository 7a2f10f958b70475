"""Decode and check the timeline that the collector writes into a server span.

Times leave here in seconds. What a timeline means for the twin is the business of
``fastsim.calibrate.timeline``.
"""

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Literal, TypeVar, cast

from fastsim import spans
from fastsim.calibrate.attribute_columns import (
    LONGEST_NS,
    column,
    number,
    refuse,
    same,
    seconds,
    texts,
    whole,
)
from fastsim.errors import FileFormatError
from fastsim.spans import Attributes, Outcome, StepKind, Via
from fastsim.step_columns import CALL_COLUMNS, StepColumns, unpack_rows, unpack_steps

_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T")

_LLM_WAITS = frozenset({StepKind.LLM, StepKind.HTTP})


@dataclass(frozen=True, slots=True)
class ResourceEvent:
    """A slot granted to the request or given back, ``at_s`` after its start."""

    name: str
    event: Literal["acquire", "release"]
    at_s: float
    capacity: int
    """Slots of this resource in the process; 0 when unknown."""
    wakes: bool = False
    """Whether it hands over as ``asyncio.Semaphore`` does."""


@dataclass(frozen=True, slots=True)
class ThreadCall:
    """A function run in the thread pool, as seen from inside the thread."""

    step: int
    """Index of the wait it caused."""
    queue_s: float
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Block:
    """Code that held the event loop for long."""

    at_s: float
    wall_s: float
    cpu_s: float
    where: str
    """The service's own line, ``file.py:12 function``; empty if it was not seen."""
    called: str
    """The library function that line had called."""


@dataclass(frozen=True, slots=True)
class LlmCall:
    """A call to a language model. Counts are None where nobody reported them."""

    step: int | None
    """Index of the wait with its answer, of a stream the first one; None if none was recorded."""
    start_s: float
    """From the start of the request."""
    wall_s: float
    """Until the answer was there, of a stream until its last chunk was read."""
    task: int
    model: str
    provider: str
    streamed: bool
    input_tokens: int | None
    """All of them, cached ones included."""
    output_tokens: int | None
    """All of them, reasoning included."""
    cached_tokens: int | None
    reasoning_tokens: int | None
    first_chunk_s: float | None
    """From the call to the first chunk with a part of the answer."""
    chunks: int | None
    """Chunks with a part of the answer."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """What one request did, step by step; the columns have equal length.

    ``start_s`` counts from the start of the request. A wait's true length lies in
    ``[wall_s - bound_s, wall_s - late_s]``; for cpu steps ``bound_s`` is the idle gap of
    the loop before them. See ``fastsim.spans`` for every column.
    """

    kind: tuple[StepKind, ...]
    via: tuple[Via, ...]
    start_s: Sequence[float]
    wall_s: Sequence[float]
    cpu_s: Sequence[float]
    bound_s: Sequence[float]
    late_s: Sequence[float]
    label: tuple[str, ...]
    where: tuple[str, ...]
    task: tuple[int, ...]
    end_s: float
    response_s: float | None
    """When the last byte was sent; None if no response was finished."""
    events: tuple[ResourceEvent, ...] = ()
    """In time order."""
    threads: tuple[ThreadCall, ...] = ()
    blocks: tuple[Block, ...] = ()
    outcome: Outcome = Outcome.COMPLETED
    task_parent: tuple[int, ...] = ()
    """Which task created task 1, task 2, ...; -1 for none of the request's own."""
    offset_s: float = 0.0
    """When this began, counted from the start of its request: a branch's own start."""
    llm_calls: tuple[LlmCall, ...] = ()
    """In the order of their starts."""
    idle_share: Sequence[float] = ()
    """cpu steps: how much of the time just before the loop slept; empty if not recorded."""

    def __len__(self) -> int:
        return len(self.kind)


def decode_timeline(attributes: Attributes) -> Timeline | None:
    """Return the timeline of a span, None if it carries none.

    Raises
    ------
    FileFormatError
        When the timeline is incomplete or contradicts itself. The message begins with the
        reason, fit for counting.
    """
    version = attributes.get(spans.FORMAT)
    if version is None:
        return None
    if version != spans.FORMAT_VERSION:
        raise FileFormatError("timeline of another format version")
    if attributes.get(spans.STEPS_DROPPED):
        raise FileFormatError("timeline cut at the recorder's limit of steps")
    columns = _columns(attributes)
    kind = _words(columns.kind, StepKind)
    steps = len(kind)
    if steps == 0:
        raise FileFormatError("timeline without steps")
    response_ns = number(attributes, spans.RESPONSE_NS, lowest=-1)
    start_s, wall_s = _checked(columns.start_ns), _checked(columns.wall_ns)
    return Timeline(
        kind=_shared("kind", kind),
        via=_shared("via", _words(columns.via, Via)),
        start_s=start_s,
        wall_s=wall_s,
        cpu_s=_checked(columns.cpu_ns),
        bound_s=_checked(columns.bound_ns),
        late_s=_checked(columns.late_ns),
        label=_shared("label", tuple(columns.label)),
        where=_shared("where", tuple(columns.where)),
        task=_shared("task", tuple(_within(columns.task, LONGEST_NS))),
        end_s=number(attributes, spans.END_NS, lowest=0) / 1e9,
        response_s=None if response_ns < 0 else response_ns / 1e9,
        events=_events(attributes),
        llm_calls=_llm_calls(attributes, kind, start_s, wall_s, columns.task),
        threads=_threads(attributes, columns.wait_of_row),
        blocks=_blocks(attributes),
        task_parent=_task_parents(attributes),
        outcome=_outcome(attributes),
        idle_share=_checked(columns.idle_ppm, unit=1e6, longest=1_000_000),
    )


def _llm_calls(
    attributes: Attributes,
    kind: Sequence[StepKind],
    begin: Sequence[float],
    wall: Sequence[float],
    task: Sequence[int],
) -> tuple[LlmCall, ...]:
    if spans.LLM_START_NS not in attributes:
        return ()
    starts = seconds(attributes, spans.LLM_START_NS)
    calls = len(starts)
    walls = same(calls, seconds(attributes, spans.LLM_WALL_NS))
    tasks = same(calls, whole(attributes, spans.LLM_TASK))
    models = same(calls, texts(attributes, spans.LLM_MODEL))
    providers = same(calls, texts(attributes, spans.LLM_PROVIDER))
    streamed = same(calls, column(attributes, spans.LLM_STREAMED))
    given, made, cached, reasoning, first, chunks = (
        same(calls, _perhaps(attributes, name))
        for name in (
            spans.LLM_INPUT_TOKENS,
            spans.LLM_OUTPUT_TOKENS,
            spans.LLM_CACHED_TOKENS,
            spans.LLM_REASONING_TOKENS,
            spans.LLM_FIRST_CHUNK_NS,
            spans.LLM_CHUNKS,
        )
    )
    found: list[LlmCall] = []
    for call in sorted(range(calls), key=starts.__getitem__):
        first_ns = first[call]
        inside = [
            step
            for step in range(len(kind))
            if kind[step] in _LLM_WAITS
            and task[step] == tasks[call]
            and starts[call] <= begin[step] <= starts[call] + walls[call]
        ]
        # Of a library that the recorder does not know, HTTP is all it sees.
        at_once = streamed[call] is not True
        # The answer of one that comes at once is the longest wait: others are sending, connecting.
        inside.sort(
            key=lambda step: (
                kind[step] is not StepKind.LLM,
                -wall[step] if at_once else 0.0,
                begin[step],
            )
        )
        found.append(
            LlmCall(
                step=inside[0] if inside else None,
                start_s=starts[call],
                wall_s=walls[call],
                task=tasks[call],
                model=models[call],
                provider=providers[call],
                streamed=streamed[call] is True,
                input_tokens=given[call],
                output_tokens=made[call],
                cached_tokens=cached[call],
                reasoning_tokens=reasoning[call],
                first_chunk_s=None if first_ns is None else first_ns / 1e9,
                chunks=chunks[call],
            )
        )
    return tuple(found)


def _perhaps(attributes: Attributes, name: str) -> tuple[int | None, ...]:
    """Return a column of numbers in which -1 stands for unknown."""
    return tuple(
        None
        if value == -1
        else value
        if type(value) is int and 0 <= value <= LONGEST_NS
        else refuse(name)
        for value in column(attributes, name)
    )


def _columns(attributes: Attributes) -> StepColumns:
    packed = attributes.get(spans.STEPS)
    if not isinstance(packed, str):
        raise FileFormatError("timeline with a missing column", where=spans.STEPS)
    try:
        return unpack_steps(packed, texts(attributes, spans.STEP_NAMES), _origin(attributes))
    except ValueError as damage:
        raise FileFormatError(str(damage), where=spans.STEPS) from None


def _origin(attributes: Attributes) -> int:
    value = attributes.get(spans.START_CLOCK_NS, 0)
    return value if type(value) is int else refuse(spans.START_CLOCK_NS)


def _words(column: Sequence[str], names: type[_E]) -> tuple[_E, ...]:
    try:
        return tuple(map(names, column))
    except ValueError:
        raise FileFormatError(
            "timeline with an unknown kind of step", where=spans.STEP_NAMES
        ) from None


def _within(column: Sequence[int], longest: int) -> Sequence[int]:
    if not 0 <= min(column) <= max(column) <= longest:
        refuse(spans.STEPS)
    return column


def _checked(
    column: Sequence[int], *, unit: float = 1e9, longest: int = LONGEST_NS
) -> Sequence[float]:
    # A third of the memory of a tuple of floats; a recording holds millions.
    return array("d", [value / unit for value in _within(column, longest)])


@lru_cache(maxsize=4096)
def _one_copy(_name: str, column: tuple[object, ...]) -> tuple[object, ...]:
    return column


def _shared(name: str, column: tuple[_T, ...]) -> tuple[_T, ...]:
    """Return one object for all equal columns: requests of a variant differ in times only."""
    # By name, because a column of kinds equals a column of the same words as labels.
    return cast("tuple[_T, ...]", _one_copy(name, column))


def _events(attributes: Attributes) -> tuple[ResourceEvent, ...]:
    text = attributes.get(spans.RESOURCE_EVENTS, "")
    if not isinstance(text, str):
        refuse(spans.RESOURCE_EVENTS)
    found = [_event(line) for line in text.split("\n")] if text else []
    return tuple(sorted(found, key=lambda event: event.at_s))


_EVENTS: dict[str, Literal["acquire", "release"]] = {
    "acquire": "acquire",
    spans.WOKEN: "acquire",
    "release": "release",
}


def _event(line: str) -> ResourceEvent:
    event, *rest = line.split("\t")
    kind = _EVENTS.get(event)
    if kind is None or len(rest) != 3:
        refuse(spans.RESOURCE_EVENTS)
    name, *digits = rest
    if not all(text.isascii() and text.isdigit() for text in digits):
        refuse(spans.RESOURCE_EVENTS)
    at_ns, capacity = map(int, digits)
    if max(at_ns, capacity) > LONGEST_NS:
        refuse(spans.RESOURCE_EVENTS)
    return ResourceEvent(sys.intern(name), kind, at_ns / 1e9, capacity, event == spans.WOKEN)


def _threads(attributes: Attributes, wait_of_row: Sequence[int]) -> tuple[ThreadCall, ...]:
    packed = attributes.get(spans.THREAD_CALLS, "")
    if not isinstance(packed, str):
        refuse(spans.THREAD_CALLS)
    try:
        each = iter(unpack_rows(packed, CALL_COLUMNS))
    except ValueError as damage:
        raise FileFormatError(str(damage), where=spans.THREAD_CALLS) from None
    found: list[ThreadCall] = []
    for row, *times in zip(*[each] * CALL_COLUMNS, strict=True):
        step = wait_of_row[row] if 0 <= row < len(wait_of_row) else -1
        if step < 0 or not all(0 <= time <= LONGEST_NS for time in times):
            refuse(spans.THREAD_CALLS)
        found.append(ThreadCall(step, *(time / 1e9 for time in times)))
    return tuple(found)


def _blocks(attributes: Attributes) -> tuple[Block, ...]:
    if spans.BLOCK_AT_NS not in attributes:
        return ()
    at = seconds(attributes, spans.BLOCK_AT_NS)
    wall = same(len(at), seconds(attributes, spans.BLOCK_WALL_NS))
    cpu = same(len(at), seconds(attributes, spans.BLOCK_CPU_NS))
    where = same(len(at), texts(attributes, spans.BLOCK_WHERE))
    called = same(len(at), texts(attributes, spans.BLOCK_CALLED))
    return tuple(map(Block, at, wall, cpu, where, called))


def _task_parents(attributes: Attributes) -> tuple[int, ...]:
    values = attributes.get(spans.TASK_PARENT)
    if values is None:
        return ()
    if not isinstance(values, list):
        refuse(spans.TASK_PARENT)
    parents = tuple(value if type(value) is int else -1 for value in values)
    # A task is created by an earlier one, whatever a damaged file says.
    if any(not -1 <= parent <= number for number, parent in enumerate(parents)):
        refuse(spans.TASK_PARENT)
    return _shared("parents", parents)


def _outcome(attributes: Attributes) -> Outcome:
    value = attributes.get(spans.OUTCOME, Outcome.COMPLETED.value)
    if value not in set(Outcome):
        raise FileFormatError("timeline with an unknown outcome", where=spans.OUTCOME)
    return Outcome(value)
