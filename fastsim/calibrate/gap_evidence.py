"""Which gaps between the calls of requests are code: nothing else happens while code runs.

An event loop runs one thing at a time. While code of one request holds it, no span of another
request of the same process begins or ends; while a request waits for something that has no span,
others go on as they do during its calls. So far fewer events of others inside the gaps of one place
than inside calls of the same length mean code. With ``workers`` loops whose spans cannot be told
apart, the others go on whatever one does::

    share of code = workers * (1 - events inside / events expected)

Sampling thins events inside and outside alike, and does no harm.

What happened while code ran happens right after it, so this share is too small where a gap is both
code and wait. There the code at its two ends is taken from how long it lasts until something else
happens, or since something did, compared with how long that is from where calls begin and end. Code
between its ends cannot be told from waits: at most it is what gaps last in which nothing happens.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.layouts import Layout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

ProgramKey = tuple[int, tuple[str, ...]]
"""An endpoint, and what its groups of calls wait for."""

LEAST_EVENTS = 12
"""Foreign events to be expected in gaps of one place, were they waits, to tell anything."""
SURE_EVENTS = 200
"""Events to be expected at a place of which much is known."""
MOSTLY = 0.5
"""A place with a greater share of code has code alone in every gap in which nothing happened."""
OFTEN_QUIET = 0.2
"""Where in so many gaps nothing else happens, they may be code but for short hops."""
_PER_WINDOW = 300
"""Calls, or requests without any, of which the rate of events is taken at a time."""
_OFTEN = 50
"""Requests with the same calls that are looked at by themselves."""


@dataclass(frozen=True, slots=True)
class GapEvidence:
    """What the gaps of all requests are; one entry per gap, request by request, in order."""

    request: IntArray
    """Whose it is: index into the layouts."""
    begin_ns: IntArray
    end_ns: IntArray
    first_ns: FloatArray
    """Code that it begins with; all of it where it is code alone."""
    last_ns: FloatArray
    """Code that it ends with, after a wait."""
    more_ns: FloatArray
    """What else of it may be code, between its ends."""
    told: BoolArray
    """Whether anything tells; else the others are 0."""
    purest: float
    """Share of code of the place that is most so, of those of which much is known; nan without."""

    @property
    def length_ns(self) -> FloatArray:
        """Return how long the gaps are."""
        return (self.end_ns - self.begin_ns).astype(np.float64)

    @property
    def code_ns(self) -> FloatArray:
        """Return how much code each holds."""
        return self.first_ns + self.last_ns

    def of_requests(self, requests: int) -> list[list[tuple[float, float]]]:
        """Return the code at both ends of each request's gaps, nanoseconds."""
        found: list[list[tuple[float, float]]] = [[] for _ in range(requests)]
        columns = (self.request.tolist(), self.first_ns.tolist(), self.last_ns.tolist())
        for request, first, last in zip(*columns, strict=True):
            found[request].append((first, last))
        return found


def weigh_gaps(
    layouts: Sequence[Layout],
    endpoints: Sequence[int],
    instances: Sequence[int],
    *,
    workers: int = 1,
) -> GapEvidence:
    """Tell code from waits in the gaps of all requests of a service.

    Parameters
    ----------
    layouts, endpoints, instances
        One entry per request: calls and gaps, which endpoint, which instance by its spans.
    workers
        Event loops that make the spans of one instance.
    """
    gaps = [(begin, end, n) for n, layout in enumerate(layouts) for begin, end in layout.gaps()]
    begin, end, request = np.array(gaps, np.int64).reshape(-1, 3).T
    place = _places(program_keys(layouts, endpoints))
    shown = np.array([at for layout in layouts for at in layout.next_ns()], np.int64)
    around = _Around((begin, end, shown), request, layouts, np.asarray(instances, np.int64))
    length = (end - begin).astype(np.float64)
    first, last, more = np.zeros((3, len(begin)))
    told = np.zeros(len(begin), np.bool_)
    # What ends where a slot was asked for is code, and when that was is not known exactly.
    cut = end < shown
    first[cut], told[cut] = length[cut], True
    expected = np.bincount(place, around.expected * ~cut)
    seen = np.bincount(place, around.inside * ~cut)
    share = workers * (1.0 - seen / np.maximum(expected, 1e-9))
    error = workers * np.sqrt(np.maximum(seen, 1.0)) / np.maximum(expected, 1e-9)
    for number in np.flatnonzero(expected >= LEAST_EVENTS).tolist():
        mine = (place == number) & ~cut
        quiet = mine & (around.inside == 0)
        told[mine] = True
        if share[number] + 2.0 * error[number] >= 1.0:
            first[mine] = length[mine]
        elif workers > 1 or not len(around.until):
            first[mine] = length[mine] * min(max(share[number], 0.0), 1.0)
        elif share[number] > MOSTLY:
            first[mine] = np.minimum(length[mine], length[quiet].mean() if quiet.any() else 0.0)
            first[quiet] = length[quiet]
        else:
            first[mine], last[mine] = around.code_at_ends(mine)
            if quiet.sum() >= OFTEN_QUIET * mine.sum():
                # Short hops between code look like this, short waits as well.
                code = np.minimum(length[mine], length[quiet].mean())
                more[mine] = np.maximum(code - first[mine] - last[mine], 0.0)
    sure = share[expected >= SURE_EVENTS]
    purest = float(sure.max()) if len(sure) else math.nan
    return GapEvidence(request, begin, end, first, last, more, told, purest)


def program_keys(layouts: Sequence[Layout], endpoints: Sequence[int]) -> list[ProgramKey]:
    """Return what requests have in common that make the same calls in the same order."""
    return [(endpoint, each.labels()) for endpoint, each in zip(endpoints, layouts, strict=True)]


def _places(programs: Sequence[ProgramKey]) -> IntArray:
    """Number the places in programs where gaps are; in rare programs by the calls around."""
    count = Counter(programs)
    numbers: dict[object, int] = {}
    places: list[int] = []
    for program in programs:
        endpoint, labels = program
        around = ("", *labels, "")
        for n in range(len(around) - 1):
            often = count[program] >= _OFTEN
            key = (program, n) if often else (endpoint, around[n], around[n + 1])
            places.append(numbers.setdefault(key, len(numbers)))
    return np.array(places, np.int64)


class _Around:
    """What others did during all gaps, and during the calls of the same requests."""

    def __init__(
        self,
        gaps: tuple[IntArray, IntArray, IntArray],
        request: IntArray,
        layouts: Sequence[Layout],
        instances: IntArray,
    ) -> None:
        # When each begins and ends, and when a span shows that it did: after waiting for a slot.
        begin, end, shown = gaps
        self.inside = np.zeros(len(begin))
        """Events of others during each gap."""
        self.expected = np.zeros(len(begin))
        """How many they would be, were it a wait."""
        self.until = np.zeros(0)
        """From the begin of each call to the next event of others, its end if there is none."""
        self.since = np.zeros(0)
        """From the last event of others to the end of each call, its begin if there is none."""
        self._length = end - begin
        self._call = np.zeros(0)
        self._gap_until, self._gap_since = np.zeros(len(begin)), np.zeros(len(begin))
        for instance in np.unique(instances):
            mine = np.flatnonzero(instances[request] == instance)
            own = [layouts[n] for n in np.flatnonzero(instances == instance).tolist()]
            events = np.sort(np.concatenate([begin[mine], shown[mine]]))
            self.inside[mine] = _between(events, begin[mine], end[mine])
            self.expected[mine] = self._length[mine] * _rate(own, events, begin[mine])
            self._gap_until[mine], self._gap_since[mine] = _nearest(events, begin[mine], end[mine])
            calls = [(first, over) for layout in own for first, over, _ in layout.groups]
            if calls:
                first, over = np.array(calls, np.int64).T
                until, since = _nearest(events, first, over)
                # Others may run in the very moment in which a call begins or is over.
                until[_shared(events, first)] = since[_shared(events, over)] = 0.0
                self.until = np.append(self.until, until)
                self.since = np.append(self.since, since)
                self._call = np.append(self._call, over - first)

    def code_at_ends(self, chosen: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return the mean code at the begin and the end of the chosen gaps, as far as it fits."""
        length = self._length[chosen]
        # Beyond half of what is usual for either, one may be over before the other.
        most = 0.5 * min(float(np.median(length)), float(np.median(self._call)))
        first, last = (
            max(float(np.minimum(gap[chosen], most).mean() - np.minimum(call, most).mean()), 0.0)
            for gap, call in ((self._gap_until, self.until), (self._gap_since, self.since))
        )
        fits = np.minimum(length / max(first + last, 1e-9), 1.0)
        return first * fits, last * fits


def _between(events: IntArray, begin: IntArray, end: IntArray) -> IntArray:
    """Count events after each begin and before its end; neither of the two itself."""
    after = np.searchsorted(events, begin, "right")
    found: IntArray = np.maximum(np.searchsorted(events, end, "left") - after, 0)
    return found


def _nearest(events: IntArray, begin: IntArray, end: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the time from each begin to the next event, and to its end from the last one."""
    after = np.minimum(np.searchsorted(events, begin, "right"), len(events) - 1)
    before = np.maximum(np.searchsorted(events, end, "left") - 1, 0)
    until = np.where(events[after] > begin, np.minimum(events[after], end), end) - begin
    since = end - np.where(events[before] < end, np.maximum(events[before], begin), begin)
    return until.astype(np.float64), since.astype(np.float64)


def _shared(events: IntArray, at: IntArray) -> BoolArray:
    """Tell which times are those of more than one event."""
    found: BoolArray = np.searchsorted(events, at, "right") - np.searchsorted(events, at) > 1
    return found


def _rate(layouts: Sequence[Layout], events: IntArray, at: IntArray) -> FloatArray:
    """Return the events per nanosecond while requests surely wait, inside calls, at some times."""
    spans = [(begin, over) for each in layouts for begin, over, _ in each.groups]
    surely = bool(spans)
    if not surely:
        # No calls: what happens per time, whoever waits.
        spans = [(layout.start_ns, layout.end_ns) for layout in layouts]
    begin, over = np.array(sorted(spans), np.int64).reshape(-1, 2).T
    edges = begin[::_PER_WINDOW]
    if surely:
        window = np.searchsorted(edges, begin, "right") - 1
        length = np.bincount(window, over - begin)
        count = np.bincount(window, _between(events, begin, over))
    else:
        until = np.append(edges[1:], max(int(over.max()), int(edges[-1]) + 1))
        length = (until - edges).astype(np.float64)
        count = np.searchsorted(events, until) - np.searchsorted(events, edges)
    where = np.clip(np.searchsorted(edges, at, "right") - 1, 0, len(edges) - 1)
    rate: FloatArray = (count / np.maximum(length, 1.0))[where]
    return rate
