"""Every error FastSim raises on purpose.

::

    FastSimError
    ├── InputError (exit 2)          the user asked wrongly
    │   ├── FileFormatError          a file is missing, empty, torn or of another kind
    │   ├── ScenarioError            a model or scenario file has wrong keys or values
    │   └── UnknownNameError         a name that does not exist; suggests the nearest one
    ├── AnswerError (exit 3)         asked rightly, but no honest answer exists
    │   ├── NotEnoughDataError       too few requests or spans
    │   └── NoSteadyStateError       offered load exceeds capacity
    ├── StoreError (exit 2)          results could not be written or read back
    └── ServiceFailedError           the recorded service failed; exits with its own code

"The answer is no" (exit 1) is not an error: it is a verdict in the result.
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What an exit code says."""

    YES = 0
    """Done, and the answer is yes."""
    NO = 1
    """Done, and the answer is no."""
    BAD_INPUT = 2
    """Asked wrongly: a flag, a file, a value."""
    NO_ANSWER = 3
    """Asked rightly, but no honest answer exists."""
    BUG = 70
    """A mistake of FastSim's own."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """Nobody reads the output any more, as after ``| head``."""


class FastSimError(Exception):
    """Base of all errors meant for the user: what is wrong, where, and what to do.

    Parameters
    ----------
    message
        One sentence, lower case, naming the bad value.
    hint
        What to do about it.
    where
        File, file:line:column or flag the message is about.
    """

    exit_code: int = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def report(self) -> str:
        """Return what the command line prints on standard error."""
        lines = [f"error: {self.message}"]
        if self.where:
            lines.append(f"  --> {self.where}")
        if self.hint:
            lines.append(f"help: {self.hint}")
        return "\n".join(lines)


class InputError(FastSimError):
    """The user asked wrongly."""

    exit_code = ExitCode.BAD_INPUT


class FileFormatError(InputError):
    """A file is missing, empty, torn, or not of the kind expected."""


class ScenarioError(InputError):
    """A model or scenario file has unknown keys, wrong types or wrong units."""


class UnknownNameError(InputError):
    """A name that does not exist; the nearest existing name is suggested."""

    def __init__(
        self, what: str, name: str, known: Iterable[str], *, where: str | None = None
    ) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {what} {name!r}", hint=hint, where=where)


class AnswerError(FastSimError):
    """Asked rightly, but there is no honest answer."""

    exit_code = ExitCode.NO_ANSWER


class NotEnoughDataError(AnswerError):
    """Too few requests or spans to say anything."""


class NoSteadyStateError(AnswerError):
    """The offered load exceeds the capacity: no steady value exists."""


class StoreError(FastSimError):
    """A result could not be written or read back."""

    exit_code = ExitCode.BAD_INPUT


class ServiceFailedError(FastSimError):
    """The command that was recorded failed.

    Parameters
    ----------
    code
        Its exit code, negative for a signal; as a shell would, FastSim ends with it.
    """

    def __init__(self, code: int, what: str, *, hint: str | None = None) -> None:
        ended = f"exit code {code}" if code >= 0 else f"signal {-code}"
        super().__init__(f"the service ended with {ended}{what}", hint=hint)
        self.exit_code: int = 128 - code if code < 0 else code
