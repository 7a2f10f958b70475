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
from typing import Literal, NoReturn, TypeVar, cast

from fastsim import spans
from fastsim.errors import FileFormatError
from fastsim.spans import Attributes, StepKind, Via

_E = TypeVar("_E", bound=StrEnum)
_C = TypeVar("_C", bound=Sequence[object])
_T = TypeVar("_T")

_LONGEST_NS = 10 * 24 * 3600 * 10**9  # ten days: what is longer is damage, not a request


@dataclass(frozen=True, slots=True)
class ResourceEvent:
    """A slot granted to the request or given back, ``at_s`` after its start."""

    name: str
    event: Literal["acquire", "release"]
    at_s: float
    capacity: int
    """Slots of this resource in the process; 0 when unknown."""


@dataclass(frozen=True, slots=True)
class ThreadCall:
    """A function run in the thread pool, as seen from inside the thread."""

    step: int
    """Index of the wait it caused."""
    queue_s: float
    wall_s: float
    cpu_s: float


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
    kind = _names(attributes, spans.STEP_KIND, StepKind)
    steps = len(kind)
    if steps == 0:
        raise FileFormatError("timeline without steps")
    response_ns = _number(attributes, spans.RESPONSE_NS, lowest=-1)
    late = spans.STEP_LATE_NS in attributes  # absent from the first recordings
    return Timeline(
        kind=_shared("kind", kind),
        via=_shared("via", _same(steps, _names(attributes, spans.STEP_VIA, Via))),
        start_s=_same(steps, _seconds(attributes, spans.STEP_START_NS)),
        wall_s=_same(steps, _seconds(attributes, spans.STEP_WALL_NS)),
        cpu_s=_same(steps, _seconds(attributes, spans.STEP_CPU_NS)),
        bound_s=_same(steps, _seconds(attributes, spans.STEP_BOUND_NS)),
        late_s=_same(steps, _seconds(attributes, spans.STEP_LATE_NS))
        if late
        else array("d", bytes(8 * steps)),
        label=_shared("label", _same(steps, _texts(attributes, spans.STEP_LABEL))),
        where=_shared("where", _same(steps, _texts(attributes, spans.STEP_WHERE))),
        task=_shared("task", _same(steps, _whole(attributes, spans.STEP_TASK))),
        end_s=_number(attributes, spans.END_NS, lowest=0) / 1e9,
        response_s=None if response_ns < 0 else response_ns / 1e9,
        events=_events(attributes),
        threads=_threads(attributes, steps),
        idle_share=_idle_share(attributes, steps),
    )


def _idle_share(attributes: Attributes, steps: int) -> Sequence[float]:
    if spans.STEP_IDLE_PPM not in attributes:
        return ()
    column = _same(steps, _whole(attributes, spans.STEP_IDLE_PPM, longest=1_000_000))
    return array("d", [value / 1e6 for value in column])


def _same(length: int, column: _C) -> _C:
    if len(column) != length:
        raise FileFormatError("timeline with columns of unequal length")
    return column


@lru_cache(maxsize=4096)
def _one_copy(_name: str, column: tuple[object, ...]) -> tuple[object, ...]:
    return column


def _shared(name: str, column: tuple[_T, ...]) -> tuple[_T, ...]:
    """Return one object for all equal columns: requests of a variant differ in times only."""
    # By name, because a column of kinds equals a column of the same words as labels.
    return cast("tuple[_T, ...]", _one_copy(name, column))


def _column(attributes: Attributes, name: str) -> Sequence[object]:
    values = attributes.get(name)
    if values is None:
        raise FileFormatError("timeline with a missing column", where=name)
    if not isinstance(values, list):
        raise FileFormatError("timeline with a column that is no list", where=name)
    return values


def _texts(attributes: Attributes, name: str) -> tuple[str, ...]:
    # The same few labels occur in every request: interning keeps one copy of each.
    return tuple(
        sys.intern(value) if isinstance(value, str) else _refuse(name)
        for value in _column(attributes, name)
    )


def _names(attributes: Attributes, name: str, names: type[_E]) -> tuple[_E, ...]:
    try:
        return tuple(map(names, _texts(attributes, name)))
    except ValueError:
        raise FileFormatError("timeline with an unknown kind of step", where=name) from None


def _whole(attributes: Attributes, name: str, longest: int = _LONGEST_NS) -> tuple[int, ...]:
    return tuple(
        value if type(value) is int and 0 <= value <= longest else _refuse(name)
        for value in _column(attributes, name)
    )


def _seconds(attributes: Attributes, name: str) -> Sequence[float]:
    # A third of the memory of a tuple of floats; a recording holds millions.
    return array("d", [value / 1e9 for value in _whole(attributes, name)])


def _number(attributes: Attributes, name: str, lowest: int) -> int:
    value = attributes.get(name)
    if type(value) is int and lowest <= value <= _LONGEST_NS:
        return value
    raise FileFormatError("timeline with impossible times", where=name)


def _refuse(name: str) -> NoReturn:
    raise FileFormatError("timeline with impossible values", where=name)


def _events(attributes: Attributes) -> tuple[ResourceEvent, ...]:
    if spans.RESOURCE_NAME not in attributes:
        return ()
    names = _texts(attributes, spans.RESOURCE_NAME)
    events = _same(len(names), _texts(attributes, spans.RESOURCE_EVENT))
    at_s = _same(len(names), _seconds(attributes, spans.RESOURCE_AT_NS))
    capacities = _same(len(names), _whole(attributes, spans.RESOURCE_CAPACITY))
    found: list[ResourceEvent] = []
    for name, event, at, capacity in zip(names, events, at_s, capacities, strict=True):
        if event == "acquire":
            found.append(ResourceEvent(name, "acquire", at, capacity))
        elif event == "release":
            found.append(ResourceEvent(name, "release", at, capacity))
        else:
            _refuse(spans.RESOURCE_EVENT)
    return tuple(sorted(found, key=lambda event: event.at_s))


def _threads(attributes: Attributes, steps: int) -> tuple[ThreadCall, ...]:
    if spans.THREAD_STEP not in attributes:
        return ()
    step = _whole(attributes, spans.THREAD_STEP, longest=steps - 1)
    queue = _same(len(step), _seconds(attributes, spans.THREAD_QUEUE_NS))
    wall = _same(len(step), _seconds(attributes, spans.THREAD_WALL_NS))
    cpu = _same(len(step), _seconds(attributes, spans.THREAD_CPU_NS))
    return tuple(map(ThreadCall, step, queue, wall, cpu))
