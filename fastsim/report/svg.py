"""Axes, lines, bands and bars as inline SVG: coordinates and ticks, no meaning.

Colours and strokes are classes of ``page.css``, so that one picture serves light, dark and
print. Functions skip points that are not finite.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fastsim.report.markup import Markup, join, number, tag

Point = tuple[float, float | None]
TickText = Callable[[float], str]

# Values beyond these mean a mistake upstream; a picture must neither fail nor scale to them.
_SMALLEST, _LARGEST = 1e-12, 1e15


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values in ``low..high`` to pixels ``start..end``, linearly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside are not clipped."""
        if self.log:
            part = math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values inside the range, at most ``most`` of them."""
        found = _log_ticks(self.low, self.high, most) if self.log else []
        return found if len(found) >= 3 else _linear_ticks(self.low, self.high, most)


def log_scale(values: Iterable[float | None], start: float, end: float) -> Scale:
    """Return a logarithmic scale around the positive values, never narrower than ×1.3."""
    kept = [v for v in values if v is not None and _SMALLEST < v < _LARGEST]
    low, high = (min(kept), max(kept)) if kept else (0.001, 1.0)
    margin = max(0.06 * math.log(high / low), math.log(1.3) / 2.0)
    return Scale(low * math.exp(-margin), high * math.exp(margin), start, end, log=True)


def linear_scale(values: Iterable[float | None], start: float, end: float) -> Scale:
    """Return a linear scale from 0 (or the smallest negative value) to just above the values."""
    kept = [v for v in values if v is not None and -_LARGEST < v < _LARGEST]
    low, high = min([0.0, *kept]), max([0.0, *kept])
    span = high - low if high - low > _SMALLEST else 1.0
    high = low + span
    return Scale(low - (0.05 * span if low < 0.0 else 0.0), high + 0.06 * span, start, end)


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


_MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # Over many decades only every second, third ... power of ten has room.
    stride = math.ceil(len(decades) / most)
    best = [10.0**decade for decade in decades[::stride] if low <= 10.0**decade <= high]
    for mantissas in _MANTISSAS if stride == 1 else ():
        values = [float(f"{m * 10.0**decade:.6g}") for decade in decades for m in mantissas]
        inside = [value for value in values if low <= value <= high]
        if len(best) < len(inside) <= most:
            best = inside
    return best


def line(points: Sequence[Point], x: Scale, y: Scale, class_: str) -> Markup:
    """Draw a line that breaks where a value is missing; a lone point becomes a dot."""
    pieces: list[list[str]] = [[]]
    for at, value in points:
        if value is None or not math.isfinite(value) or (y.log and value <= 0.0):
            pieces.append([])
        else:
            pieces[-1].append(f"{number(x(at))} {number(y(value))}")
    drawn = []
    for piece in filter(None, pieces):
        if len(piece) == 1:
            cx, cy = piece[0].split(" ")
            drawn.append(tag("circle", cx=cx, cy=cy, r=2.2, class_=f"dot {class_}"))
        else:
            drawn.append(tag("path", d="M" + "L".join(piece), class_=f"line {class_}"))
    return join(drawn)


def band(rows: Sequence[tuple[float, float, float]], x: Scale, y: Scale, class_: str) -> Markup:
    """Fill between low and high; ``rows`` holds (x, low, high). Nothing for under two rows."""
    kept = [row for row in rows if all(map(math.isfinite, row))]
    if y.log:
        kept = [(at, max(low, y.low), high) for at, low, high in kept if high > 0.0]
    if len(kept) < 2:
        return Markup("")
    path = [f"{number(x(at))} {number(y(high))}" for at, _, high in kept]
    path += [f"{number(x(at))} {number(y(low))}" for at, low, _ in reversed(kept)]
    return tag("path", d="M" + "L".join(path) + "Z", class_=f"band {class_}")


def whisker(x: float, low: float, high: float, class_: str) -> Markup:
    """Draw a vertical interval with caps at pixel ``x`` from pixel ``low`` to ``high``."""
    start, end, top, foot = number(x - 3), number(x + 3), number(high), number(low)
    path = f"M{number(x)} {foot}V{top}M{start} {top}H{end}M{start} {foot}H{end}"
    return tag("path", d=path, class_=f"line {class_}")


def text(x: float, y: float, content: str, *, anchor: str = "start", class_: str = "") -> Markup:
    """Write text at a pixel position."""
    where = None if anchor == "start" else anchor
    return tag("text", content, x=x, y=y, text_anchor=where, class_=class_ or None)


def rect(x: float, y: float, width: float, height: float, *, class_: str, hint: str = "") -> Markup:
    """Draw a rectangle; ``hint`` is its tooltip."""
    title = [tag("title", hint)] if hint else []
    return tag("rect", *title, x=x, y=y, width=max(0.0, width), height=height, class_=class_)


def y_axis(scale: Scale, left: float, right: float, name: str, tick_text: TickText) -> Markup:
    """Draw horizontal grid lines with values at their left end and the axis name on top."""
    parts = [text(0, min(scale.start, scale.end) - 8, name, class_="axis")]
    for value in scale.ticks(6):
        at = scale(value)
        parts.append(tag("path", d=f"M{number(left)} {number(at)}H{number(right)}", class_="grid"))
        parts.append(text(left - 6, at + 4, tick_text(value), anchor="end", class_="tick"))
    return join(parts)


def x_axis(
    scale: Scale, foot: float, name: str, ticks: Sequence[tuple[float, str]], top: float
) -> Markup:
    """Draw vertical grid lines with texts below; a text too close to the last is left out."""
    parts = []
    free_from = -math.inf
    for value, label in ticks:
        at = scale(value)
        parts.append(tag("path", d=f"M{number(at)} {number(top)}V{number(foot)}", class_="grid"))
        half = text_width(label) / 2.0
        if at - half >= free_from:
            parts.append(text(at, foot + 15, label, anchor="middle", class_="tick"))
            free_from = at + half + 6.0
    middle = (scale.start + scale.end) / 2.0
    parts.append(text(middle, foot + 31, name, anchor="middle", class_="axis"))
    return join(parts)


def text_width(content: str) -> float:
    """Estimate the width of 11 px text, pixels."""
    return 6.3 * len(content)


def picture(parts: Iterable[str], width: float, height: float, description: str) -> Markup:
    """Wrap parts into one accessible SVG element that scales with the page."""
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=description,
        style=f"min-width:{number(min(width, 600.0) * 0.8)}px;max-width:{number(width * 1.25)}px",
    )
