"""Ctrl-C that is heard wherever it falls.

Python raises ``KeyboardInterrupt`` where the program happens to be. If that is a finaliser, or the
callback of a weak reference, the exception is printed as ignored and the program goes on.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

_AGAIN_S = 0.05
"""Long enough for most finalisers to end; one that does not is interrupted once more."""


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Raise a ``KeyboardInterrupt`` again that Python could not pass on."""
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        again = threading.Timer(_AGAIN_S, _interrupt)
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    if os.name == "posix":  # a signal ends what the main thread waits for, too
        os.kill(os.getpid(), signal.SIGINT)
    else:
        _thread.interrupt_main()
