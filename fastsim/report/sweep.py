"""The answer of ``sweep`` as plain text: what is found, then every combination with its p95."""

import math
from collections.abc import Sequence

from fastsim.answers import Sweep, SweepPoint
from fastsim.report.layout import (
    WIDTH,
    aligned,
    finish,
    labelled,
    trust_lines,
    warnings_text,
    wrapped,
)
from fastsim.report.wording import UNKNOWN, clean, count, duration, interval, share
from fastsim.scenario import setting_name

_BAR = 14
_LEAST_BAR = 5
_WIDEST = 3.0
"""Times the least p95 that a whole bar is at least: small differences stay small."""
_SHORT = {"event loop": "loop", "thread pool": "threads"}


def render_sweep(found: Sweep) -> str:
    """Write the combinations one a line, each with a bar that grows with the log of its p95."""
    lines = wrapped(f"{clean(found.title)} · sweep · twin · seed {found.seed}")
    lines += labelled("Found", clean(found.sentence))
    goals, failed = bool(found.goals), any(point.errors.value for point in found.points)
    head = [clean(setting_name(name)) for name in found.vary]
    head += ["p50", "p95", "", "p99", *["errors"] * failed, "busiest", *["met"] * goals]
    rows = [_row(point, goals=goals, failed=failed) for point in found.points]
    alignment = "<" * len(found.vary) + ">><>" + ">" * failed + ">" + "<" * goals
    table = aligned([head, *rows], alignment, indent=2)
    room = min(_BAR, WIDTH - 3 - max(map(len, table)))
    if room >= _LEAST_BAR:
        known = [p.latency.p95.value for p in found.points if p.latency]
        bars = ["p95", *(_bar(point, known, room) for point in found.points)]
        widest = max(map(len, table))
        table = [f"{line.ljust(widest)}  {bar}" for line, bar in zip(table, bars, strict=True)]
    lines += ["", *table]
    lines += warnings_text(found.warnings)
    lines += trust_lines(
        f"{count(found.replications)} replications of each, same seeds", found.provenance
    )
    return finish(lines)


def _row(point: SweepPoint, *, goals: bool, failed: bool) -> list[str]:
    cells = [clean(value) for value in point.settings.values()]
    if point.latency is None:
        cells += [UNKNOWN, "overload" if point.overloaded else UNKNOWN, "", UNKNOWN]
    else:
        p95 = point.latency.p95
        cells += [duration(point.latency.p50.value), duration(p95.value)]
        cells += [interval(p95.value, p95.low, p95.high, "s"), duration(point.latency.p99.value)]
    cells += [share(point.errors.value)] * failed
    cells.append(f"{_SHORT.get(point.busiest, clean(point.busiest))} {share(point.utilisation)}")
    return [*cells, "✓" if point.met else "✗"] if goals else cells


def _bar(point: SweepPoint, known: Sequence[float], room: int) -> str:
    """Draw the p95 on a logarithmic scale between the least and the largest."""
    if point.latency is None:
        return "█" * room + "▶" if point.overloaded else ""
    least, most = max(min(known), 1e-9), max(known)
    place = math.log(max(point.latency.p95.value, least) / least)
    full = max(math.log(most / least), math.log(_WIDEST))
    return "█" * (1 + round((room - 1) * place / full))
