"""Requests that wait for slots of a pool, given away in turn; no event loop."""

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np

from fastsim.calibrate.inner_spans import Wait
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.spans import Attributes, Span, SpanKind, StepKind

MS = 1_000_000
RATE = 0.2
"""Requests per millisecond."""


def requests(
    slots: float,
    *,
    calls: Sequence[float] = (20.0,),
    holding: str = "call",
    count: int = 2_000,
    seed: int = 1,
    after: float = 0.5,
    label: str = "postgresql",
) -> list[Layout]:
    """Requests of 1 ms of code before each call, all slots given away in turn.

    Parameters
    ----------
    calls
        Mean of each call, milliseconds, gamma.
    after
        Code after the last call, milliseconds.
    """
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1.0 / RATE, count))
    events: list[tuple[float, int, int, int]] = []
    for number, at in enumerate(arrivals.tolist()):
        heappush(events, (at + rng.gamma(9.0, 1.0 / 9.0), 0, number, 0))
    line: list[tuple[int, int]] = []
    spans: list[list[Wait]] = [[] for _ in range(count)]
    ends = [0.0] * count
    free = slots

    def begin(now: float, number: int, which: int) -> None:
        length = float(rng.gamma(4.0, calls[which] / 4.0))
        wait = Wait(StepKind.DB, label, round(now * MS), round((now + length) * MS))
        spans[number].append(wait)
        heappush(events, (now + length, 1, number, which))

    def give_back(now: float) -> None:
        nonlocal free
        if line:
            begin(now, *line.pop(0))
        else:
            free += 1

    while events:
        now, what, number, which = heappop(events)
        if what == 2:
            ends[number] = now
            if holding == "request":
                give_back(now)
        elif what == 1:
            last = which == len(calls) - 1
            later = after if last else float(rng.gamma(9.0, 1.0 / 9.0))
            heappush(events, (now + later, 2 if last else 0, number, which + 1))
            if holding == "call" or (holding == "calls" and last):
                give_back(now)
        elif holding != "call" and which:
            begin(now, number, which)
        elif free > 0:
            free -= 1
            begin(now, number, which)
        else:
            line.append((number, which))
    return [
        layout_of(round(at * MS), round(end * MS), own)
        for at, end, own in zip(arrivals.tolist(), ends, spans, strict=True)
    ]


def spans_of(layouts: Sequence[Layout], *, connect_ms: float | None = None) -> list[Span]:
    """Return the spans of requests with one call each.

    Parameters
    ----------
    connect_ms
        How long it takes to get a connection; a span shows it, with what is waited for one. The
        code before is what is left of 1 ms.
    """
    spans = []
    http: Attributes = {"http.request.method": "GET", "http.route": "/a"}
    for n, layout in enumerate(layouts):
        [(begin, over, [call])] = layout.groups
        spans += [
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", layout.start_ns, layout.end_ns,
                 service="shop", attributes=http),
            Span(f"{n}", "q", "r", SpanKind.CLIENT, "select", begin, over,
                 attributes={"db.system": call.label}, service="shop"),
        ]  # fmt: skip
        if connect_ms is not None:
            since = max(begin - round(connect_ms * MS), layout.start_ns)
            since = min(since, layout.start_ns + MS - round(connect_ms * MS))
            spans.append(
                Span(f"{n}", "c", "r", SpanKind.CLIENT, "connect", max(since, layout.start_ns),
                     begin, attributes={"db.system": call.label}, service="shop")
            )  # fmt: skip
    return spans
