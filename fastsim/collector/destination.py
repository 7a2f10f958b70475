"""Where a recording goes and how large it may grow; passed to other processes by environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

MIB = 1 << 20
MAX_FILE_BYTES = 64 * MIB
MAX_TOTAL_BYTES = 1024 * MIB

Mode = Literal["auto", "light"]
"""Who makes the server spans that timelines ride on. ``auto``: the service's own OpenTelemetry
where it has one and samples the request, else the recorder itself, which costs a fraction of it.
``light``: always the recorder; the service's own spans are left alone."""
MODES: tuple[Mode, ...] = ("auto", "light")
DEFAULT_MODE: Mode = "auto"

ENV_OUTPUT = "FASTSIM_RECORD_OUTPUT"
_ENV_MAX_FILE = "FASTSIM_RECORD_MAX_FILE_BYTES"
_ENV_MAX_TOTAL = "FASTSIM_RECORD_MAX_TOTAL_BYTES"
_ENV_OTLP = "FASTSIM_RECORD_OTLP"
_ENV_ACCOUNTS = "FASTSIM_RECORD_ACCOUNTS"
NO_FILES = "none"


@dataclass(frozen=True, slots=True)
class Destination:
    """Files, an OTLP endpoint, or both.

    Parameters
    ----------
    directory
        For the trace files; none are written when absent.
    max_file_bytes
        A process begins a new file before one grows beyond this.
    max_total_bytes
        All trace files of the directory together never grow beyond this. What comes
        later is dropped and counted; nothing recorded is ever deleted.
    otlp
        Send everything to the endpoint that the OTEL_EXPORTER_OTLP_* variables name.
    """

    directory: Path | None
    max_file_bytes: int = MAX_FILE_BYTES
    max_total_bytes: int = MAX_TOTAL_BYTES
    otlp: bool = False
    accounts: Path | None = None
    """For the accounts of the processes, when they are wanted without trace files."""

    def to_environment(self) -> dict[str, str]:
        """Return the variables that ``from_environment`` reads."""
        return {
            ENV_OUTPUT: str(self.directory.resolve()) if self.directory else NO_FILES,
            _ENV_MAX_FILE: str(self.max_file_bytes),
            _ENV_MAX_TOTAL: str(self.max_total_bytes),
            _ENV_OTLP: "1" if self.otlp else "",
            _ENV_ACCOUNTS: str(self.accounts.resolve()) if self.accounts else "",
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read what ``fastsim record`` passed to this process."""
        output, accounts = environment[ENV_OUTPUT], environment.get(_ENV_ACCOUNTS)
        return cls(
            directory=None if output == NO_FILES else Path(output),
            max_file_bytes=int(environment.get(_ENV_MAX_FILE, MAX_FILE_BYTES)),
            max_total_bytes=int(environment.get(_ENV_MAX_TOTAL, MAX_TOTAL_BYTES)),
            otlp=bool(environment.get(_ENV_OTLP)),
            accounts=Path(accounts) if accounts else None,
        )


def as_mode(text: str) -> Mode:
    """Check the name of a mode.

    Raises
    ------
    ValueError
        When there is no such mode.
    """
    if text not in MODES:
        raise ValueError(f"there is no recording mode {text!r}: {', '.join(MODES)}")
    return text
