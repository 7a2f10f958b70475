"""What happened in the processes of a recorded command, for when nothing was recorded.

One empty file for each process and event, in a directory that ``fastsim record`` makes and
deletes. Standard library only, like everything that runs in the service.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

ENV_NOTES = "FASTSIM_RECORD_NOTES"
"""The directory. ``launch/sitecustomize.py`` spells it out, too: it runs before any import."""

LOADED = "loaded"
ATTACHED = "attached"
FAILED = "failed"


def leave_note(kind: str) -> None:
    """Note for this process that the recorder was ``loaded`` or ``attached``."""
    directory = os.environ.get(ENV_NOTES)
    if directory:
        with contextlib.suppress(OSError):
            (Path(directory) / f"{os.getpid()}.{kind}").touch()


@dataclass(frozen=True, slots=True)
class Notes:
    """How far the recorder came."""

    loaded: int
    """Python processes it was loaded into."""
    attached: int
    """Processes in which it was attached to an application."""
    failures: tuple[str, ...]
    """Why it could not be loaded, each reason once."""


def read_notes(directory: Path) -> Notes:
    """Read what the processes of one recording left."""
    failures = {path.read_text(encoding="utf-8") for path in directory.glob(f"*.{FAILED}")}
    return Notes(
        loaded=len(list(directory.glob(f"*.{LOADED}"))),
        attached=len(list(directory.glob(f"*.{ATTACHED}"))),
        failures=tuple(sorted(failures)),
    )
