"""What the page's script draws: axes, series and marks, as ``web/src/spec.ts`` reads them.

Coordinates are SI values; the script writes them in human units. Twin is dashed and live solid in
every chart, so that colour is never needed to tell them apart.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from fastsim.report.markup import Markup, tag

Spec = dict[str, Any]
Value = float | str | None
Look = Literal["twin", "live", "thin twin", "thin live", "good", "bad", "muted"]
Draw = Literal["line", "points", "band", "interval"]

MOST_POINTS = 2000


def axis(
    title: str,
    unit: str,
    scale: Literal["linear", "log", "category", "quantile"] = "linear",
    *,
    names: Sequence[str] | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Spec:
    """Return an axis.

    Parameters
    ----------
    unit
        ``s``, ``ratio``, ``/s``, ``count`` or ``time`` (milliseconds since 1970).
    scale
        ``quantile`` has -log10(1 - p) of a percentile p.
    """
    found: Spec = {"title": title, "unit": unit, "scale": scale}
    if names is not None:
        found["names"] = list(names)
    if least is not None:
        found["min"] = least
    if most is not None:
        found["max"] = most
    return found


def series(
    name: str,
    look: Look,
    draw: Draw,
    data: Iterable[Sequence[Value]],
    *,
    hints: Sequence[str] | None = None,
) -> Spec:
    """Return points, or what goes through or between them.

    Parameters
    ----------
    data
        (x, y), or (x, low, high) of a band or an interval.
    hints
        What the pointer shows of each point.
    """
    points = [list(point) for point in data]
    every = max(1, math.ceil(len(points) / MOST_POINTS))
    found: Spec = {"name": name, "look": look, "draw": draw, "data": points[::every]}
    if hints is not None:
        found["hints"] = list(hints)[::every]
    return found


def mark(
    side: Literal["x", "y"], at: Value, text: str, look: Look, *, to: float | None = None
) -> Spec:
    """Return a line across the chart, or an area when it goes ``to`` another value."""
    found: Spec = {"axis": side, "at": at, "text": text, "look": look}
    if to is not None:
        found["to"] = to
    return found


def plot(
    x: Spec,
    y: Spec,
    drawn: Sequence[Spec],
    *,
    marks: Sequence[Spec] = (),
    height: int | None = None,
) -> Spec:
    """Return a chart of series on two axes."""
    found: Spec = {"kind": "plot", "x": x, "y": y, "series": list(drawn), "marks": list(marks)}
    if height is not None:
        found["height"] = height
    return found


def bars(
    x: Spec,
    names: Sequence[str],
    totals: Sequence[str],
    parts: Sequence[Mapping[str, object]],
    *,
    moments: Mapping[str, object] | None = None,
) -> Spec:
    """Return stacked bars, one a line.

    Parameters
    ----------
    totals
        What stands at the end of each.
    parts
        ``name``, ``color``, ``hatched`` and one of ``values`` for each bar.
    """
    found: Spec = {
        "kind": "bars",
        "x": x,
        "names": list(names),
        "totals": list(totals),
        "parts": [dict(part) for part in parts],
    }
    if moments is not None:
        found["moments"] = dict(moments)
    return found


def chart(spec: Spec) -> Markup:
    """Return the place of a chart with what is to be drawn there."""
    text = json.dumps(_finite(spec), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Nothing in it may end the script.
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return tag("div", tag("script", Markup(text), type="application/json"), class_="chart")


def _finite(value: object) -> object:
    if isinstance(value, float):
        # A picture must neither fail nor scale to what means a mistake upstream.
        return value if math.isfinite(value) and abs(value) < 1e15 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
