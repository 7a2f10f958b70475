"""Lines and columns of plain text: labels at the left, tables, wrapping, nothing too wide."""

import textwrap
from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from fastsim.report.wording import clean
from fastsim.result import RunProvenance

WIDTH = 80
LABEL = 9
_Row = list[str]


def warnings_text(warnings: Sequence[str]) -> list[str]:
    """Write each warning beside its label."""
    lines: list[str] = []
    for warning in warnings:
        lines += labelled("Warning", clean(warning))
    return lines


def labelled(label: str, text: str) -> list[str]:
    """Put a label in the left column and wrap the text beside it; nothing for no text."""
    if not text:
        return []
    first = f"  {label}".ljust(LABEL + 2) + "  "
    lines = wrap(text, WIDTH - LABEL - 4)
    return [first + lines[0], *(" " * (LABEL + 4) + line for line in lines[1:])]


def trust_lines(text: str, provenance: RunProvenance) -> list[str]:
    """Say what an answer rests on, and how the twin did against what was measured."""
    return labelled("Trust", text) + labelled("Against", provenance.against)


def answer_lines(word: str, sentence: str) -> list[str]:
    """Put the answer in one word, and beside it what it rests on."""
    first = word.ljust(6) + "  " if len(word) <= 6 else f"{word}  "
    lines = wrap(sentence, WIDTH - len(first))
    return [first + lines[0], *(" " * len(first) + line for line in lines[1:])]


def wrapped(text: str) -> list[str]:
    """Wrap a text to the full width."""
    return wrap(text, WIDTH)


def wrap(text: str, width: int) -> list[str]:
    """Wrap a text to so many columns; at least one line."""
    # Double spaces separate items ("llm 71 %  cpu 9 %"), so white space is kept as it is.
    return textwrap.wrap(text, width, drop_whitespace=True, break_on_hyphens=False) or [""]


def aligned(
    rows: list[_Row], alignment: str, *, indent: int = 2, first_wide: bool = False
) -> list[str]:
    """Align cells in columns; an interval (a ``<`` after a ``>``) stands close to its value.

    With ``first_wide`` the first column gives way when the table would be too wide.
    """
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    gaps = [_gap(alignment, index) for index in range(len(widths))]
    if first_wide:
        rest = indent + sum(gaps) + sum(widths[1:])
        widths[0] = max(8, min(widths[0], WIDTH - rest))
    lines = []
    for row in rows:
        line = " " * indent
        for cell, width, gap, side in zip(row, widths, gaps, alignment, strict=True):
            short = cut(cell, width)
            pad = " " * (width - width_of(short))
            line += " " * gap + (short + pad if side == "<" else pad + short)
        lines.append(line.rstrip())
    return lines


def width_of(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """Shorten a text that is too wide, with an ellipsis at its end."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[:-1]
    return text + "…"


def finish(lines: list[str]) -> str:
    """Join lines: no blank ones at the end or twice in a row; the text ends in a newline."""
    tidy: list[str] = []
    for line in lines:
        if line.strip() or (tidy and tidy[-1]):
            tidy.append(line.rstrip())
    while tidy and not tidy[-1]:
        tidy.pop()
    return "\n".join(tidy) + "\n"


def _gap(alignment: str, index: int) -> int:
    if index == 0:
        return 0
    return 1 if alignment[index - 1 : index + 1] == "><" and index < len(alignment) - 1 else 2


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table: the first column to the left, the others to the right."""
    table = [list(head), *map(list, rows)]
    return aligned(table, "<" + ">" * (len(head) - 1), first_wide=True)
