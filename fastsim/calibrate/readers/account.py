"""What was read from trace files and what was not, and why: nothing is lost silently.

Counting only; the readers decide what to skip and ``requests`` keeps its own account of
what became of the spans afterwards.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Skip(StrEnum):
    """Why a line, a span or an attribute of a trace file was not used."""

    TORN = "line torn off"
    NOT_JSON = "line without JSON"
    OTHER_SIGNAL = "line of logs or metrics"
    NOT_A_TRACE = "object without spans"
    DUPLICATE = "span met before"
    NO_IDS = "span without ids"
    BAD_TIMES = "span with impossible times"
    MALFORMED = "span of the wrong shape"
    ATTRIBUTE = "attribute without a readable value"


SPAN_SKIPS = (Skip.DUPLICATE, Skip.NO_IDS, Skip.BAD_TIMES, Skip.MALFORMED)
"""Reasons that concern a whole span; the others concern lines, documents or attributes."""


@dataclass(slots=True)
class FileAccount:
    """One input file: ``spans_read == spans_kept + spans_skipped`` at any time."""

    name: str
    format: str = ""
    lines: int = 0
    """Lines with content; a document spread over many lines counts all of them."""
    spans_kept: int = 0
    skipped: Counter[Skip] = field(default_factory=Counter)
    refused: str | None = None
    """Why nothing of this file was used, if so."""

    def skip(self, reason: Skip) -> None:
        """Note that something was left out."""
        self.skipped[reason] += 1

    def correct(self, noted: Skip, reason: Skip) -> None:
        """Give another reason for something noted before."""
        self.skipped -= Counter({noted: 1})
        self.skipped[reason] += 1

    @property
    def problem(self) -> str | None:
        """What of this file was not used, in a sentence; None if everything was."""
        if self.refused is not None:
            return f"left out: {self.refused}"
        if not self.skipped:
            return None
        parts = [_count(count, reason.value) for reason, count in sorted(self.skipped.items())]
        kept = f"{self.spans_kept:,} of {_count(self.spans_read, 'span')} used"
        return f"{self.name}: {kept}; skipped {', '.join(parts)}"

    @property
    def spans_skipped(self) -> int:
        """Spans left out, for whatever reason."""
        return sum(self.skipped[reason] for reason in SPAN_SKIPS)

    @property
    def spans_read(self) -> int:
        """Spans met, used or not."""
        return self.spans_kept + self.spans_skipped


@dataclass(slots=True)
class Account:
    """All input files of one calibration."""

    files: list[FileAccount] = field(default_factory=list)

    def open_file(self, name: str) -> FileAccount:
        """Start the account of one more file."""
        account = FileAccount(name)
        self.files.append(account)
        return account

    @property
    def spans_read(self) -> int:
        """Spans met in all files."""
        return sum(file.spans_read for file in self.files)

    @property
    def spans_kept(self) -> int:
        """Spans used of all files."""
        return sum(file.spans_kept for file in self.files)

    @property
    def skipped(self) -> Counter[Skip]:
        """What was left out of all files."""
        total: Counter[Skip] = Counter()
        for file in self.files:
            total.update(file.skipped)
        return total

    def problems(self) -> list[str]:
        """Return a sentence for each file of which something was not used."""
        return [file.problem for file in self.files if file.problem is not None]

    def summary(self) -> str:
        """Say in a few lines what was read, skipped and refused."""
        used = [file for file in self.files if file.refused is None]
        lines = [f"{_count(self.spans_kept, 'span')} from {_count(len(used), 'file')}"]
        lines += [
            f"  skipped {_count(count, reason.value)}"
            for reason, count in sorted(self.skipped.items())
        ]
        lines += [f"  left out: {file.refused}" for file in self.files if file.refused]
        return "\n".join(lines)


def _count(count: int, what: str) -> str:
    """Put a number before a phrase that begins with its noun, in the plural if need be."""
    noun, _, rest = what.partition(" ")
    return f"{count:,} {noun if count == 1 else noun + 's'} {rest}".rstrip()
