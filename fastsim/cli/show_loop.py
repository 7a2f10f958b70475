"""What a recording says about the event loop itself: how late it ran and what held it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from fastsim.calibrate.blocking import BlockingLine
    from fastsim.calibrate.loop_series import LoopSeries
    from fastsim.calibrate.requests import RequestSet
    from fastsim.calibrate.taken import Taken

_SHOWN = 10


def loop_lines(series: "LoopSeries") -> Iterator[str]:
    """Say how busy and how late the loop was, in a line or two."""
    import math

    from fastsim.report.wording import duration, plural, share

    if not len(series):
        return
    busy = "" if math.isnan(series.busy_share) else f"busy {share(series.busy_share)} of the time, "
    longest = duration(float(series.lag_max_s.max()))
    yield f"event loop: {busy}lag {duration(series.lag_s)} on average, {longest} at worst"
    collections = series.collections_s
    if len(collections):
        number = plural(len(collections), "full garbage collection")
        yield f"  {number}, the longest {duration(float(collections.max()))}"
    yield from background_lines(series)


def taken_lines(requests: "RequestSet") -> Iterator[str]:
    """Say what other processes took of the loop's time, if they took any."""
    from fastsim.calibrate.taken import fit_taken
    from fastsim.report.wording import share

    taken = fit_taken(requests)
    if taken is not None and taken.share > 0.0:
        yield f"  other processes had its core for {share(taken.share)} of its busy time"


def background_lines(series: "LoopSeries") -> Iterator[str]:
    """Name what belonged to no request and took the loop most."""
    from fastsim.report.wording import clean, duration

    taken = sorted(series.background_s.items(), key=lambda item: -item[1])
    if taken:
        named = ", ".join(f"{clean(name)} {duration(spent)}" for name, spent in taken[:_SHOWN])
        yield f"  work of no request: {named}"


def blocking_table(lines: "list[BlockingLine]") -> "Table":
    """Return the worst lines: what ran, what it called, how long it held the loop."""
    from rich import box
    from rich.table import Table

    from fastsim.report.wording import clean, count, duration, share

    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title="code that held the event loop",
        title_justify="left",
    )  # fmt: skip
    table.add_column("line", overflow="fold")
    table.add_column("called", overflow="fold")
    for name in ("times", "longest", "in all", "CPU"):
        table.add_column(name, justify="right")
    for line in lines[:_SHOWN]:
        table.add_row(
            clean(line.where) or f"(not seen; {_named(line.endpoints)})",
            clean(line.called),
            count(line.count),
            duration(line.longest_s),
            duration(line.held_s),
            share(line.cpu_s / line.held_s if line.held_s > 0.0 else 0.0),
        )
    return table


def _named(endpoints: set[str]) -> str:
    from fastsim.report.wording import clean

    names = sorted(endpoints)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return clean(names[0]) + more


def loop_as_json(
    series: "LoopSeries", lines: "list[BlockingLine]", taken: "Taken | None"
) -> dict[str, object]:
    """Return the same for ``--json``."""
    import math

    known = len(series) > 0
    return {
        "windows": len(series),
        "busy_share": series.busy_share if known and not math.isnan(series.busy_share) else None,
        "taken_by_others": None if taken is None else taken.share,
        "lag_mean_s": series.lag_s if known else None,
        "lag_max_s": float(series.lag_max_s.max()) if known else None,
        "full_collections": len(series.collections_s),
        "background_s": dict(series.background_s),
        "blocking": [
            {
                "where": line.where,
                "called": line.called,
                "endpoints": sorted(line.endpoints),
                "count": line.count,
                "longest_s": line.longest_s,
                "held_s": line.held_s,
                "cpu_s": line.cpu_s,
            }
            for line in lines
        ],
    }
