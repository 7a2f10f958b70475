"""Stacked horizontal bars: where a request's time goes, and the steps of a model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fastsim.means import endpoint_mean_s, step_mean_s
from fastsim.model import Endpoint, RespondStep, Step, UseStep
from fastsim.report.figures import figure
from fastsim.report.findings import shares_of_time
from fastsim.report.markup import Markup, join, tag
from fastsim.report.svg import Scale, linear_scale, picture, rect, text, text_width, x_axis
from fastsim.report.tables import step_name, steps_table, table
from fastsim.report.wording import cause_name, clean, duration, kind_of, ordered_names, share
from fastsim.result import Run

# Hatched: queueing inside the service (``loop``, ``pool``), which more workers or a larger pool
# could remove, and two kinds that share the colour of their neighbour. ``html`` has the pattern.
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
_WIDTH, _LEFT, _RIGHT, _BAR = 880.0, 190.0, 800.0, 22.0


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of a bar, in seconds."""

    name: str
    kind: str
    seconds: float


def breakdown_figure(run: Run) -> Markup | None:
    """Show mean time per request by cause for each endpoint; None when it is not known."""
    bars: list[tuple[str, list[Piece]]] = []
    for name, summary in run.endpoints.items():
        parts = [Piece(cause_name(c), kind_of(c), s) for c, s, _ in shares_of_time(summary)]
        if parts:
            parts.sort(key=lambda piece: (_KIND_ORDER.index(piece.kind), piece.name))
            bars.append((clean(name), parts))
    if not bars:
        return None
    finding = "; ".join(_largest(name, pieces) for name, pieces in bars) + "."
    finding = f"Largest part of the {run.source} time per request. {finding}"
    causes = ordered_names([piece.name for _, pieces in bars for piece in pieces])
    rows = []
    for name, pieces in bars:
        seconds = {piece.name: piece.seconds for piece in pieces}
        cells = [duration(seconds[cause]) if cause in seconds else "–" for cause in causes]
        rows.append([name, duration(sum(seconds.values())), *cells])
    data = table(["endpoint", "mean", *causes], rows)
    return figure(_shares_drawing(bars, finding), finding, data)


def _largest(name: str, pieces: Sequence[Piece]) -> str:
    top = max(pieces, key=lambda piece: piece.seconds)
    total = sum(piece.seconds for piece in pieces)
    return f"{name}: {top.name} {share(round(top.seconds / total, 3))} of {duration(total)}"


def _shares_drawing(bars: list[tuple[str, list[Piece]]], description: str) -> Markup:
    legend, top = _legend([piece for _, pieces in bars for piece in pieces])
    top += 10.0
    foot = top + len(bars) * (_BAR + 10.0)
    x = Scale(0.0, 1.0, _LEFT, _RIGHT)
    ticks = [(v, share(v)) for v in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    parts = [legend, x_axis(x, foot, "share of the mean time per request", ticks, top)]
    for index, (name, pieces) in enumerate(bars):
        y = top + 6.0 + index * (_BAR + 10.0)
        total = sum(piece.seconds for piece in pieces)
        parts.append(text(_LEFT - 8, y + 15, _short(name, 28), anchor="end", class_="tick"))
        at = 0.0
        for piece in pieces:
            ratio = piece.seconds / total
            hint = f"{name}: {piece.name} {duration(piece.seconds)}, {share(ratio)}"
            label = f"{100 * ratio:.0f} %"
            parts.append(_piece((x(at), x(at + ratio)), y, piece, [label], hint))
            at += ratio
        parts.append(text(_RIGHT + 8, y + 15, duration(total), class_="tick"))
    return picture(parts, _WIDTH, foot + 38.0, description)


def model_figure(endpoint: Endpoint) -> Markup:
    """Show the steps of each variant in order with their mean times, free of queueing."""
    bars = []
    for variant in endpoint.variants:
        pieces = list(_pieces(variant.steps))
        bars.append((f"{clean(variant.name)} {share(variant.share)}", pieces))
    finding = _model_finding(endpoint, bars)
    drawing = _timeline_drawing(bars, finding)
    return figure(drawing, finding, steps_table(endpoint))


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


def _timeline_drawing(bars: list[tuple[str, list[Piece]]], description: str) -> Markup:
    timed = [piece for _, pieces in bars for piece in pieces if piece.seconds > 0.0]
    if not timed:
        return Markup("")
    legend, top = _legend([Piece(p.kind, p.kind, p.seconds) for p in timed])
    mark = tag("path", d=f"M{_LEFT - 84:.2f} 0v16", class_="respond")
    legend = join([legend, mark, text(_LEFT - 78, 12, "response", class_="tick")])
    top += 10.0
    foot = top + len(bars) * (_BAR + 10.0)
    totals = [sum(piece.seconds for piece in pieces) for _, pieces in bars]
    x = linear_scale(totals, _LEFT, _RIGHT)
    ticks = [(v, duration(v)) for v in x.ticks(8)]
    parts = [legend, x_axis(x, foot, "mean time from the start, no queueing", ticks, top)]
    for index, (name, pieces) in enumerate(bars):
        y = top + 6.0 + index * (_BAR + 10.0)
        parts.append(text(_LEFT - 8, y + 15, _short(name, 28), anchor="end", class_="tick"))
        at = 0.0
        for piece in pieces:
            if piece.kind == "respond":
                place = f"M{x(at):.2f} {y - 4:.2f}v{_BAR + 8:.2f}"
                sent = tag("title", f"response sent after {duration(at)}")
                parts.append(tag("path", sent, d=place, class_="respond"))
                continue
            hint = f"{piece.name} {duration(piece.seconds)}"
            labels = [hint, piece.name, piece.kind]
            parts.append(_piece((x(at), x(at + piece.seconds)), y, piece, labels, hint))
            at += piece.seconds
    return picture(parts, _WIDTH, foot + 38.0, description)


def _piece(
    span: tuple[float, float], y: float, piece: Piece, labels: Sequence[str], hint: str
) -> Markup:
    """Draw one stretch with the longest of the labels that fits into it."""
    start, end = span
    width = end - start
    parts = [rect(start, y, width, _BAR, class_=f"k-{piece.kind}", hint=hint)]
    if piece.kind in HATCHED:
        parts.append(rect(start, y, width, _BAR, class_="hatch"))
    fitting = [label for label in labels if text_width(label) + 6.0 <= width]
    if fitting:
        middle = (start + end) / 2.0
        parts.append(text(middle, y + 15, fitting[0], anchor="middle", class_="in-bar"))
    return join(parts)


def _legend(pieces: Sequence[Piece]) -> tuple[Markup, float]:
    """Return the key of the names used, in order of kind, and its height."""
    named = {piece.name: piece.kind for piece in pieces}
    order = sorted(named, key=lambda name: (_KIND_ORDER.index(named[name]), name))
    parts, x, y = [], _LEFT, 2.0
    for name in order:
        needed = 40.0 + text_width(name)
        if x + needed > _WIDTH and x > _LEFT:
            x, y = _LEFT, y + 18.0
        parts.append(rect(x, y, 18, 12, class_=f"k-{named[name]}"))
        if named[name] in HATCHED:
            parts.append(rect(x, y, 18, 12, class_="hatch"))
        parts.append(text(x + 24, y + 10, name, class_="tick"))
        x += needed
    return join(parts), y + 16.0


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
