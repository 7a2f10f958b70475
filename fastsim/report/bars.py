"""Stacked horizontal bars: where a request's time goes, and the steps of a model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fastsim.means import endpoint_mean_s, step_mean_s
from fastsim.model import Endpoint, RespondStep, Step, UseStep
from fastsim.report.charts import Spec, axis, bars
from fastsim.report.figures import figure
from fastsim.report.findings import shares_of_time
from fastsim.report.markup import Markup
from fastsim.report.tables import step_name, steps_table, table
from fastsim.report.wording import cause_name, clean, duration, kind_of, ordered_names, share
from fastsim.result import Run

# Hatched: queueing inside the service (``loop``, ``pool``), which more workers or a larger pool
# could remove, and two kinds that share the colour of their neighbour.
HATCHED = frozenset({"loop", "pool", "blocking", "io"})
_KIND_ORDER = (
    "cpu",
    "blocking",
    "loop",
    "pool",
    "thread",
    "db",
    "cache",
    "http",
    "llm",
    "io",
    "sleep",
    "network",
    "other",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of a bar, in seconds."""

    name: str
    kind: str
    seconds: float


def breakdown_figure(run: Run) -> Markup | None:
    """Show mean time per request by cause for each endpoint; None when it is not known."""
    bars_: list[tuple[str, list[Piece]]] = []
    for name, summary in run.endpoints.items():
        parts = [Piece(cause_name(c), kind_of(c), s) for c, s, _ in shares_of_time(summary)]
        if parts:
            parts.sort(key=lambda piece: (_KIND_ORDER.index(piece.kind), piece.name))
            bars_.append((clean(name), parts))
    if not bars_:
        return None
    finding = "; ".join(_largest(name, pieces) for name, pieces in bars_) + "."
    finding = f"Largest part of the {run.source} time per request. {finding}"
    causes = ordered_names([piece.name for _, pieces in bars_ for piece in pieces])
    rows = []
    for name, pieces in bars_:
        seconds = {piece.name: piece.seconds for piece in pieces}
        cells = [duration(seconds[cause]) if cause in seconds else "–" for cause in causes]
        rows.append([name, duration(sum(seconds.values())), *cells])
    data = table(["endpoint", "mean", *causes], rows)
    return figure(_shares_drawing(bars_), finding, data)


def _largest(name: str, pieces: Sequence[Piece]) -> str:
    top = max(pieces, key=lambda piece: piece.seconds)
    total = sum(piece.seconds for piece in pieces)
    return f"{name}: {top.name} {share(round(top.seconds / total, 3))} of {duration(total)}"


def _shares_drawing(bars_: list[tuple[str, list[Piece]]]) -> Spec:
    totals = [sum(piece.seconds for piece in pieces) for _, pieces in bars_]
    return bars(
        axis("share of the mean time per request", "ratio", least=0.0, most=1.0),
        [name for name, _ in bars_],
        [duration(total) for total in totals],
        _stacked([pieces for _, pieces in bars_], totals),
    )


def _stacked(rows: Sequence[Sequence[Piece]], totals: Sequence[float]) -> list[dict[str, object]]:
    """Return the parts of bars: what is first in one is first in all, by kind and name."""
    named = {piece.name: piece.kind for pieces in rows for piece in pieces}
    parts = []
    for name in sorted(named, key=lambda name: (_KIND_ORDER.index(named[name]), name)):
        values = [
            sum(piece.seconds for piece in pieces if piece.name == name) / total if total else 0.0
            for pieces, total in zip(rows, totals, strict=True)
        ]
        kind = named[name]
        parts.append(
            {"name": name, "color": f"k-{kind}", "hatched": kind in HATCHED, "values": values}
        )
    return parts


def model_figure(endpoint: Endpoint) -> Markup:
    """Show the steps of each variant in order with their mean times, free of queueing."""
    rows = []
    for variant in endpoint.variants:
        pieces = list(_pieces(variant.steps))
        rows.append((f"{clean(variant.name)} {share(variant.share)}", pieces))
    finding = _model_finding(endpoint, rows)
    return figure(_timeline_drawing(rows), finding, steps_table(endpoint))


def _pieces(steps: Iterable[Step]) -> Iterator[Piece]:
    for step in steps:
        if isinstance(step, RespondStep):
            yield Piece("response sent", "respond", 0.0)
        elif isinstance(step, UseStep):
            yield from _pieces(step.steps)
        elif (seconds := step_mean_s(step)) > 0.0:
            kind = str(getattr(step, "kind", step.do))
            kind = kind if kind in _KIND_ORDER else "other"
            yield Piece(clean(step_name(step)), kind, seconds)


def _model_finding(endpoint: Endpoint, bars: list[tuple[str, list[Piece]]]) -> str:
    main = max(range(len(bars)), key=lambda index: endpoint.variants[index].share)
    pieces = [piece for piece in bars[main][1] if piece.seconds > 0.0]
    text_ = f"{clean(endpoint.name)}: {duration(endpoint_mean_s(endpoint))} without any queueing"
    if not pieces:
        return f"{text_}, no timed step."
    top = max(pieces, key=lambda piece: piece.seconds)
    part = share(round(top.seconds / sum(piece.seconds for piece in pieces), 3))
    steps = f"{len(pieces)} timed step{'' if len(pieces) == 1 else 's'}"
    whose = f" of variant {bars[main][0].rsplit(' ', 2)[0]}" if len(bars) > 1 else ""
    longest = f"the longest is {top.name} with {duration(top.seconds)}, {part}"
    return f"{text_}; {steps}{whose}, {longest}."


def _timeline_drawing(rows: list[tuple[str, list[Piece]]]) -> Spec | None:
    """Draw the time of each variant by step, longest kinds together; None without any time."""
    timed = [[piece for piece in pieces if piece.kind != "respond"] for _, pieces in rows]
    if not any(timed):
        return None
    return bars(
        axis("mean time, no queueing", "s", least=0.0),
        [name for name, _ in rows],
        [duration(sum(piece.seconds for piece in pieces)) for pieces in timed],
        _stacked(timed, [1.0] * len(timed)),
        moments={"name": "response", "at": [_responds(pieces) for _, pieces in rows]},
    )


def _responds(pieces: Sequence[Piece]) -> float | None:
    """Return the time before the response; None when all of it is."""
    before = 0.0
    for number, piece in enumerate(pieces):
        if piece.kind == "respond":
            return before if any(later.seconds for later in pieces[number:]) else None
        before += piece.seconds
    return None
