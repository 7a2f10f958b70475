"""What every answer has, whatever it answers: a sentence, checks, tables, remarks.

The formats for machines and for pull requests (``fastsim.report.formats``) are written from this,
so that each of them knows every kind of answer (``fastsim.report.views``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from fastsim.report.wording import clean, quantity
from fastsim.result import Latency, RunProvenance

Outcome = Literal["yes", "no", "cannot tell"]
Cell = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    """As in JSON: ends in its unit."""
    title: str
    unit: str = ""
    """``s``, ``ratio``, ``/s``; empty for text and plain numbers."""

    def text(self, value: Cell) -> str:
        """Write a value for people."""
        if isinstance(value, bool):
            return "✓" if value else "✗"
        if value is None or isinstance(value, str):
            return clean(value) if value else ("–" if self.unit else "")
        if self.unit:
            return quantity(float(value), self.unit)
        return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.6g}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values in SI units."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Check:
    """Something asked for, and whether it is so."""

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class View:
    """An answer without its kind."""

    title: str
    outcome: Outcome | None
    """None where nothing was asked for."""
    sentence: str
    checks: Sequence[Check] = ()
    tables: Sequence[Table] = ()
    """The first one holds what the answer is made of."""
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    provenance: RunProvenance = field(default_factory=RunProvenance)

    @property
    def remarks(self) -> list[str]:
        """Notes, and how the twin did against what was measured live."""
        against = self.provenance.against
        return [*self.notes, *([f"Held against {against}"] if against else [])]


LATENCY = tuple(
    Column(f"{metric}{end}_s", f"{metric}{title}", "s")
    for metric in ("p50", "p95", "p99")
    for end, title in (("", ""), ("_low", " low"), ("_high", " high"))
)


def latency_cells(latency: Latency | None) -> list[Cell]:
    """Return the values of these columns; nothing under overload."""
    if latency is None:
        return [None] * len(LATENCY)
    return [
        value
        for found in (latency.p50, latency.p95, latency.p99)
        for value in (found.value, found.low, found.high)
    ]
