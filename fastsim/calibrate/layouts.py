"""The calls of a request, and the gaps around them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from fastsim.calibrate.inner_spans import Wait
from fastsim.spans import StepKind

Group = tuple[int, int, tuple[Wait, ...]]
"""Begin and end of calls that overlap, nanoseconds, and the calls."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One request: its calls, those that overlap put together, and the gaps around them."""

    start_ns: int
    respond_ns: int
    """When the request's own span ended: it was answered."""
    end_ns: int
    """When the last span inside it ended, if it did more after its answer."""
    groups: tuple[Group, ...]
    """In order, without overlap, from start to end."""
    asked_ns: tuple[int, ...] = ()
    """When each group was asked for, where its calls had to wait for slots first; else empty."""
    checkouts: tuple[Wait, ...] = ()
    """Spans of waits for slots, which lie in the gaps."""

    def gaps(self) -> list[tuple[int, int]]:
        """Return (begin, end) of the time before, between and after calls and waits for slots."""
        begins = self.asked_ns or [begin for begin, _, _ in self.groups]
        edges = [self.start_ns]
        for asked, (_, over, _) in zip(begins, self.groups, strict=True):
            edges += (asked, over)
        edges.append(max(self.end_ns, edges[-1]))
        return list(zip(edges[::2], edges[1::2], strict=True))

    def next_ns(self) -> list[int]:
        """Return what shows that each gap is over: the begin of a call, or the end of it all."""
        begins = [begin for begin, _, _ in self.groups]
        last = self.groups[-1][1] if self.groups else self.start_ns
        return [*begins, max(self.end_ns, last)]

    def labels(self) -> tuple[str, ...]:
        """Return what each group waits for."""
        return tuple(
            "+".join(sorted(f"{call.kind.value} {call.label}" for call in calls))
            for _, _, calls in self.groups
        )

    def gap_s(self) -> float:
        """Return the time outside calls, seconds."""
        return sum(end - begin for begin, end in self.gaps()) / 1e9


def layout_of(
    start_ns: int,
    respond_ns: int,
    waits: Sequence[Wait],
    last_end_ns: int = 0,
    *,
    pools: Collection[str] = (),
) -> Layout:
    """Join calls that overlap, and cut off what lies before the request.

    Parameters
    ----------
    last_end_ns
        When the last span inside the request ended.
    pools
        Of what a span of taking a slot is a wait for one; of all else it is a call.
    """
    end_ns = max(respond_ns, last_end_ns)
    groups: list[Group] = []
    checkouts = []
    for each in waits:
        wait = each
        if each.kind is StepKind.POOL:
            if each.label in pools:
                checkouts.append(each)
                continue
            wait = replace(each, kind=StepKind.DB)
        # A call that is nobody's business once the answer is out is cut off there.
        until_ns = respond_ns if wait.start_ns < respond_ns else end_ns
        begin, over = max(wait.start_ns, start_ns), min(wait.end_ns, until_ns)
        if over <= begin:
            continue
        if groups and begin < groups[-1][1]:
            first, last, calls = groups[-1]
            groups[-1] = (first, max(last, over), (*calls, wait))
        else:
            groups.append((begin, over, (wait,)))
    return Layout(start_ns, respond_ns, end_ns, tuple(groups), checkouts=tuple(checkouts))
