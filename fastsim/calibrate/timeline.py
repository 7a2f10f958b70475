"""From a recorded timeline to a sequential program of observed steps.

A request may run several tasks at once. On one event loop only one of them has the loop
at any moment, so the request is a sequence: code, and between code the gaps in which none of
its tasks ran. A gap is named after the wait that ended it. ``recorded`` decodes what is
normalised here, ``observed`` defines what comes out.
"""

from dataclasses import dataclass, replace

from fastsim.calibrate.observed import (
    Chunk,
    ObservedStep,
    Signature,
    fold_streams,
    signature,
)
from fastsim.calibrate.parallel import ON_LOOP, split_parallel
from fastsim.calibrate.recorded import ResourceEvent, ThreadCall, Timeline, decode_timeline
from fastsim.spans import StepKind, Via

__all__ = [
    "Chunk",
    "ObservedStep",
    "ResourceEvent",
    "Signature",
    "ThreadCall",
    "Timeline",
    "decode_timeline",
    "normalise",
    "signature",
]

HOP_S = 0.002
"""A wake-up by code on the loop that takes longer than this beyond the queueing it can
contain (counted twice: a join takes up to four passes where the recorder bounds two) was no
mere hop through the ready queue: something outside the request was awaited."""

ACQUIRE_S = 0.005
"""A slot granted within this time after a wait for a pool is what the wait was for. It takes
microseconds, unless the processor is taken away in between."""

_TOUCH_S = 0.5e-9  # half the clock's resolution: closer than this is the same moment


@dataclass(frozen=True, slots=True)
class _Segment:
    """Code on the loop; placed so that no two overlap."""

    step: int
    wait: int | None
    """The suspension of the same task that it ended."""
    start_s: float
    end_s: float
    nested: bool
    """An eager task: started inside the code before it, without passing the loop."""


def normalise(timeline: Timeline, *, fold: bool = True) -> tuple[ObservedStep, ...]:
    """Return the request as a sequence of steps that tile its time from 0 to its end.

    - Tasks that run side by side and are awaited together become one ``parallel`` step with
      a sequence for each.
    - Gaps woken by code on the loop, and first steps of child tasks, are ``yield``.
    - A wait for a pool that ended with a slot becomes the ``acquire`` itself; other slots
      granted or given back, and the response, split the code they fell into.
    - Long runs of equal waits become one ``stream``, if ``fold``.

    Code that ran after ``end_s`` (in detached tasks) is kept: the whole is then longer.
    """
    left, parallel = split_parallel(timeline)
    branches = {
        row: tuple(_moved(normalise(part, fold=fold), part.offset_s) for part in parts)
        for row, parts in parallel.items()
    }
    steps = _Sequence(left, branches).build()
    return fold_streams(steps) if fold else tuple(steps)


class _Sequence:
    """Builds the steps of one request, in time order."""

    def __init__(
        self, timeline: Timeline, branches: dict[int, tuple[tuple[ObservedStep, ...], ...]]
    ) -> None:
        self._timeline = timeline
        self._branches = branches
        self._steps: list[ObservedStep] = []
        self._responded = False
        self._calls: dict[int, list[ThreadCall]] = {}
        for call in timeline.threads:
            self._calls.setdefault(call.step, []).append(call)
        self._marks: list[tuple[float, ResourceEvent | None]] = [
            (event.at_s, event) for event in timeline.events
        ]
        self._tokens = {
            call.step: call.output_tokens
            for call in timeline.llm_calls
            if not call.streamed and call.step is not None and call.output_tokens is not None
        }
        if timeline.response_s is not None:
            self._marks.append((timeline.response_s, None))
            self._marks.sort(key=lambda mark: mark[0])

    def build(self) -> list[ObservedStep]:
        timeline = self._timeline
        cursor = 0.0
        for segment in _segments(timeline):
            gap = segment.start_s - cursor
            self._trailing_marks(cursor, gap, segment.wait)
            if self._steps or gap > 0.0:
                self._gap(cursor, gap, segment)
            self._code(segment)
            cursor = segment.end_s
        if timeline.end_s - cursor > _TOUCH_S:
            self._add(self._unowned_wait(cursor, timeline.end_s))
        for _, event in self._marks:
            self._mark(max(cursor, timeline.end_s), event)
        return self._steps

    # --- gaps -----------------------------------------------------------------------------

    def _trailing_marks(self, cursor: float, gap: float, wait: int | None) -> None:
        """Put marks that fell into a gap at its nearer end; here, those at its beginning."""
        if not self._steps:
            return
        pooled = wait is not None and self._timeline.kind[wait] is StepKind.POOL
        while self._marks:
            at_s, event = self._marks[0]
            granted = event is not None and event.event == "acquire"
            nearer = at_s - cursor <= (0.0 if pooled and granted else gap / 2.0)
            # The response always leaves from code: what came before the gap sent it.
            if not (nearer or (event is None and at_s < cursor + gap - _TOUCH_S)):
                return
            self._marks.pop(0)
            self._mark(cursor, event)

    def _gap(self, cursor: float, gap: float, segment: _Segment) -> None:
        timeline = self._timeline
        wait = segment.wait
        if wait is None:
            if segment.nested:
                return
            idle_s = timeline.bound_s[segment.step]
            if gap > HOP_S and idle_s > HOP_S:
                # The loop slept meanwhile: somebody else started this task, a thread perhaps.
                self._add(self._unowned_wait(cursor, segment.start_s))
            else:
                self._add(_hop(cursor, gap, gap, 0.0))
            return
        # Recorded waits end a moment before their task's code is on the clock.
        after = max(gap - timeline.wall_s[wait], 0.0)
        bound = min(timeline.bound_s[wait] + after, gap)
        late = min(timeline.late_s[wait] + after, bound)
        kind, via = timeline.kind[wait], timeline.via[wait]
        if wait in self._branches:
            self._add(_parallel(cursor, gap, self._branches[wait]))
        elif kind is StepKind.POOL:
            self._pool(cursor, gap, bound, late, segment)
        elif via is Via.LOOP and gap <= HOP_S + 2.0 * bound:
            self._add(_hop(cursor, gap, bound, late))
        elif wait in self._calls:
            self._add(self._thread(wait, cursor, gap, bound, late))
        else:
            self._add(self._wait(wait, cursor, gap, bound, late))

    def _wait(
        self, wait: int, cursor: float, gap: float, bound: float, late: float
    ) -> ObservedStep:
        timeline = self._timeline
        return ObservedStep(
            do="wait",
            start_s=cursor,
            wall_s=gap,
            bound_s=bound,
            late_s=late,
            kind=timeline.kind[wait],
            via=timeline.via[wait],
            label=timeline.label[wait],
            where=timeline.where[wait],
            tokens=self._tokens.get(wait, -1),
        )

    def _unowned_wait(self, begin: float, end: float) -> ObservedStep:
        """Name a gap that no wait of the next code's own task explains, if another's does."""
        timeline = self._timeline
        around = [
            (timeline.via[step] is Via.THREAD, timeline.start_s[step], step)
            for step in range(len(timeline))
            if timeline.kind[step] not in ON_LOOP
            and timeline.start_s[step] <= begin + HOP_S
            and timeline.start_s[step] + timeline.wall_s[step] >= end - HOP_S
        ]
        gap = end - begin
        if around:
            return self._wait(max(around)[2], begin, gap, 0.0, 0.0)
        return ObservedStep(do="wait", start_s=begin, wall_s=gap, kind=StepKind.IO, via=Via.SOCKET)

    def _pool(
        self, cursor: float, gap: float, bound: float, late: float, segment: _Segment
    ) -> None:
        wait = segment.wait or 0
        step = self._wait(wait, cursor, gap, bound, late)
        if self._marks:
            at_s, event = self._marks[0]
            in_time = at_s <= min(segment.start_s + ACQUIRE_S, segment.end_s)
            if event is not None and event.event == "acquire" and in_time:
                self._marks.pop(0)
                step = replace(step, do="acquire", resource=event.name)
        self._add(step)

    def _thread(
        self, wait: int, cursor: float, gap: float, bound: float, late: float
    ) -> ObservedStep:
        """Describe a thread call; one covered in part by other code counts for its rest."""
        timeline = self._timeline
        calls = self._calls[wait]
        whole = timeline.wall_s[wait]
        share = 1.0 if gap >= whole - _TOUCH_S else gap / whole
        # Several calls behind one wait ran side by side: CPU adds up (one GIL), time does not.
        cpu = sum(call.cpu_s for call in calls)
        inside = max(call.wall_s for call in calls)
        return ObservedStep(
            do="thread",
            start_s=cursor,
            wall_s=gap,
            cpu_s=cpu * share,
            bound_s=bound,
            late_s=late,
            kind=timeline.kind[wait],
            via=timeline.via[wait],
            label=timeline.label[wait],
            where=timeline.where[wait],
            off_gil_s=max(inside - cpu, 0.0) * share,
            queue_s=min(call.queue_s for call in calls) * share,
        )

    # --- code -----------------------------------------------------------------------------

    def _code(self, segment: _Segment) -> None:
        """Add a stretch of code, split where it took or gave a slot or sent the response."""
        while self._steps and self._marks and self._marks[0][0] <= segment.start_s:
            self._mark(segment.start_s, self._marks.pop(0)[1])
        begin, first = segment.start_s, True
        while self._marks and self._marks[0][0] <= segment.end_s:
            at_s, event = self._marks.pop(0)
            cut = max(at_s, begin)
            self._piece(segment, begin, cut, first=first, last=False)
            self._mark(cut, event)
            begin, first = cut, False
        self._piece(segment, begin, segment.end_s, first=first, last=True)

    def _piece(
        self, segment: _Segment, begin: float, end: float, *, first: bool, last: bool
    ) -> None:
        timeline = self._timeline
        step = segment.step
        length = segment.end_s - segment.start_s
        # Pieces without length are kept, so that equal requests have equal signatures.
        share = (end - begin) / length if length > 0.0 else float(last)
        self._add(
            ObservedStep(
                do="cpu",
                start_s=begin,
                wall_s=end - begin,
                cpu_s=timeline.cpu_s[step] * share,
                bound_s=timeline.bound_s[step] if first else 0.0,
                idle_share=timeline.idle_share[step] if timeline.idle_share else 0.0,
                kind=timeline.kind[step],
                label=timeline.label[step],
                where=timeline.where[step],
            )
        )

    def _mark(self, at_s: float, event: ResourceEvent | None) -> None:
        if event is None:
            self._add(ObservedStep(do="respond", start_s=at_s))
            self._responded = True
        else:
            self._add(
                ObservedStep(do=event.event, start_s=at_s, kind=StepKind.POOL, resource=event.name)
            )

    def _add(self, step: ObservedStep) -> None:
        if self._responded:
            step = replace(step, after_response=True)
        self._steps.append(step)


def _segments(timeline: Timeline) -> list[_Segment]:
    """Put the code of all tasks in time order, without overlap.

    What the recorder spent at both ends of the request, outside its own stamps, counts as
    code: the request holds the loop then.
    """
    found: list[_Segment] = []
    waits: dict[int, int] = {}
    cursor = 0.0
    for step in sorted(range(len(timeline)), key=timeline.start_s.__getitem__):
        task = timeline.task[step]
        if timeline.kind[step] not in ON_LOOP:
            waits[task] = step
            continue
        wait = waits.pop(task, None)
        at_s = timeline.start_s[step]
        begin = max(at_s, cursor)
        cursor = begin + timeline.wall_s[step]
        nested = wait is None and bool(found) and at_s < begin - _TOUCH_S
        if not found and wait is None and begin <= HOP_S:
            begin = 0.0
        found.append(_Segment(step, wait, begin, cursor, nested))
    waiting = any(
        timeline.start_s[step] + timeline.wall_s[step] > cursor + _TOUCH_S
        for step in waits.values()
    )
    if found and not waiting and cursor < timeline.end_s <= cursor + HOP_S:
        found[-1] = replace(found[-1], end_s=timeline.end_s)
    return found


def _moved(steps: tuple[ObservedStep, ...], offset_s: float) -> tuple[ObservedStep, ...]:
    """Count the starts from the start of the request; branches inside do so already."""
    return tuple(replace(step, start_s=step.start_s + offset_s) for step in steps)


def _parallel(
    start_s: float, wall_s: float, branches: tuple[tuple[ObservedStep, ...], ...]
) -> ObservedStep:
    return ObservedStep(
        do="parallel",
        start_s=start_s,
        wall_s=wall_s,
        kind=StepKind.IO,
        label="parallel",
        branches=branches,
    )


def _hop(start_s: float, wall_s: float, bound_s: float, late_s: float) -> ObservedStep:
    """Describe a wake-up by code on the loop: all of it is queueing, whatever it was called."""
    return ObservedStep(
        do="yield",
        start_s=start_s,
        wall_s=wall_s,
        bound_s=bound_s,
        late_s=late_s,
        kind=StepKind.SLEEP,
        via=Via.LOOP,
    )
