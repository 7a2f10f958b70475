"""Write a small timeline by hand and tell the program it becomes."""

from typing import Any

from fastsim import spans
from fastsim.calibrate.timeline import ObservedStep, Timeline, decode_timeline, normalise
from fastsim.spans import Attributes
from fastsim.step_columns import pack_rows
from tests.packing import pack_steps

MS = 1_000_000
Row = tuple[Any, ...]


def attributes(
    *rows: Row,
    end: float = 0.0,
    response: float | None = None,
    events: list[tuple[str, str, float]] | None = None,
    threads: list[tuple[int, float, float, float]] | None = None,
    blocks: list[tuple[float, float, float, str, str]] | None = None,
) -> Attributes:
    """Build span attributes.

    Rows are (kind, start, wall, then by name: cpu, bound, late, via, label, task, idle), times
    in milliseconds, idle as a share.
    """
    full: list[dict[str, Any]] = []
    for kind, start, wall, *more in rows:
        extra = more[0] if more else {}
        via = {"cpu": "loop", "sleep": "timer", "thread": "thread", "pool": "loop"}.get(
            kind, "socket"
        )
        usual = {"bound": 0, "late": 0, "idle": 0.0, "label": "", "where": "", "task": 0}
        own = {"kind": kind, "start": start, "wall": wall, "via": via}
        full.append({**usual, **own, "cpu": wall if kind == "cpu" else 0, **extra})

    last = max((row["start"] + row["wall"] for row in full), default=0.0)
    found: Attributes = {
        spans.FORMAT: spans.FORMAT_VERSION,
        spans.END_NS: round((end or last) * MS),
        spans.RESPONSE_NS: -1 if response is None else round(response * MS),
    }
    numbers = ("start", "wall", "cpu", "bound", "late")
    packed, names = pack_steps(
        (
            row["kind"],
            row["via"],
            *(round(row[name] * MS) for name in numbers),
            round(row["idle"] * 1e6),
            row["label"],
            row["where"],
            row["task"],
        )
        for row in full
    )
    found |= {spans.STEPS: packed, spans.STEP_NAMES: names}
    if events:
        found[spans.RESOURCE_EVENTS] = "\n".join(
            f"{event}\t{name}\t{round(at * MS)}\t5" for name, event, at in events
        )
    if threads:
        found[spans.THREAD_CALLS] = pack_rows(
            [
                number
                for step, *times in threads
                for number in (step, *(round(time * MS) for time in times))
            ]
        )
    if blocks:
        found |= {
            spans.BLOCK_AT_NS: [round(at * MS) for at, *_ in blocks],
            spans.BLOCK_WALL_NS: [round(wall * MS) for _, wall, *_ in blocks],
            spans.BLOCK_CPU_NS: [round(cpu * MS) for _, _, cpu, *_ in blocks],
            spans.BLOCK_WHERE: [where for *_, where, _ in blocks],
            spans.BLOCK_CALLED: [called for *_, called in blocks],
        }
    return found


def timeline(*rows: Row, **more: Any) -> Timeline:
    decoded = decode_timeline(attributes(*rows, **more))
    assert decoded is not None
    return decoded


def told(steps: tuple[ObservedStep, ...]) -> list[tuple[str, float]]:
    """Say what each step does and how many milliseconds it takes, resources by name."""
    return [(f"{step.do} {step.resource}".strip(), round(step.wall_s * 1e3, 6)) for step in steps]


def story(*rows: Row, **more: Any) -> list[tuple[str, float]]:
    return told(normalise(timeline(*rows, **more)))
