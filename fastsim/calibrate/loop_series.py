"""Read how loaded each event loop was over time, from the recorder's spans of the loop."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastsim import spans
from fastsim.spans import Attributes, Span, SpanKind

FloatArray = npt.NDArray[np.float64]


class JobWindow(NamedTuple):
    """What one kind of work of no request did to an event loop in about a second."""

    second: int
    """Which of ``LoopSeries.seconds_s``."""
    wall_ns: int
    runs: int
    square_us2: float
    """Sum of the squares of the runs, square microseconds; 0 when it was not recorded."""


@dataclass(frozen=True, slots=True)
class LoopSeries:
    """Windows of all recorded loops, in the order read; arrays have one entry per window."""

    at_s: FloatArray
    """Start on the process's monotonic clock, seconds."""
    length_s: FloatArray
    busy_s: FloatArray
    """Time not asleep in ``select``, seconds; nan where it could not be seen (uvloop)."""
    lag_mean_s: FloatArray
    """Mean wait of an event from ready to noticed, seconds."""
    lag_max_s: FloatArray
    in_flight: FloatArray
    collections_s: FloatArray
    """Shape (k,): lengths of the full garbage collections, seconds."""
    background_s: Mapping[str, float] = field(default_factory=dict)
    """Time on the loops of work that belongs to no request, by its name, seconds."""
    jobs: Mapping[str, Sequence[JobWindow]] = field(default_factory=dict)
    """What each kind of work of no request did, about once a second in which it ran."""
    seconds_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    """How long each of those seconds is."""
    timer_wakes: int = 0
    """How often a timer ended a loop's sleep."""
    timer_late_s: float = 0.0
    """How late each of them did so in the mean, beyond whole milliseconds."""

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def busy_share(self) -> float:
        """Share of the time that the loops were busy, 0 to 1; nan if unknown."""
        seen = ~np.isnan(self.busy_s)
        total = float(self.length_s[seen].sum())
        return float(self.busy_s[seen].sum()) / total if total > 0.0 else float("nan")

    @property
    def lag_s(self) -> float:
        """Mean lag over the whole time, seconds; 0 without windows."""
        total = float(self.length_s.sum())
        return float(self.lag_mean_s @ self.length_s) / total if total > 0.0 else 0.0


def is_loop_span(span: Span) -> bool:
    """Return whether the recorder wrote this span about the loop, not about a request."""
    return span.kind is SpanKind.INTERNAL and spans.LOOP_AT_NS in span.attributes


def read_loop_series(found: Iterable[Attributes]) -> LoopSeries:
    """Join the windows of many loop spans; damaged spans are left out."""
    rows: list[npt.NDArray[np.float64]] = []
    collections: list[float] = []
    background: Counter[str] = Counter()
    jobs: dict[str, list[JobWindow]] = {}
    seconds: list[float] = []
    wakes, late_ns = 0, 0
    for attributes in found:
        woken, late = (attributes.get(name) for name in (spans.TIMER_WAKES, spans.TIMER_LATE_NS))
        if isinstance(woken, int) and isinstance(late, int):
            wakes, late_ns = wakes + woken, late_ns + late
        ran = _background(attributes, len(seconds))
        seconds.append(float(_column(attributes, spans.LOOP_WINDOW_NS).sum()) / 1e9)
        for name, window in ran.items():
            background[name] += window.wall_ns
            jobs.setdefault(name, []).append(window)
        columns = [_column(attributes, name) for name in _COLUMNS]
        busy = _column(attributes, spans.LOOP_WINDOW_BUSY_NS)
        size = len(columns[0])
        if len(busy) != size:
            busy = np.full(size, np.nan)
        if size and all(len(column) == size for column in columns):
            rows.append(np.stack([*columns, busy]))
            collections += (_column(attributes, spans.GC_NS) / 1e9).tolist()
    table = np.concatenate(rows, axis=1) if rows else np.zeros((6, 0))
    at, length, mean, longest, in_flight, busy = table
    return LoopSeries(
        at_s=at / 1e9,
        length_s=length / 1e9,
        busy_s=busy / 1e9,
        lag_mean_s=mean / 1e9,
        lag_max_s=longest / 1e9,
        in_flight=in_flight,
        collections_s=np.array(collections),
        background_s={name: spent_ns / 1e9 for name, spent_ns in background.most_common()},
        jobs=jobs,
        seconds_s=np.array(seconds),
        timer_wakes=wakes,
        timer_late_s=max(late_ns, 0) / 1e9 / wakes if wakes > 0 else 0.0,
    )


def _background(attributes: Attributes, second: int) -> dict[str, JobWindow]:
    names = attributes.get(spans.BACKGROUND_NAME)
    walls = _column(attributes, spans.BACKGROUND_LOOP_NS)
    if not isinstance(names, list) or len(names) != len(walls):
        return {}
    runs = _column(attributes, spans.BACKGROUND_RUNS)
    squares = _column(attributes, spans.BACKGROUND_SQUARE_US2)
    if len(runs) != len(walls):
        runs = np.zeros(len(walls))
    if len(squares) != len(walls):
        squares = np.zeros(len(walls))
    rows = zip(names, walls, runs, squares, strict=True)
    return {
        str(name): JobWindow(second, int(wall), int(ran), float(square))
        for name, wall, ran, square in rows
    }


_COLUMNS = (
    spans.LOOP_AT_NS,
    spans.LOOP_WINDOW_NS,
    spans.LOOP_LAG_MEAN_NS,
    spans.LOOP_LAG_MAX_NS,
    spans.LOOP_IN_FLIGHT,
)


def _column(attributes: Attributes, name: str) -> FloatArray:
    values = attributes.get(name)
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        return np.zeros(0)
    return np.array(values, np.float64)
