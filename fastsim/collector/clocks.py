"""The recorder's clocks, all read through this module, nanoseconds.

One place, so that the whole recorder can be run on other clocks: the tests replace these
functions and record a service in virtual time. Looking one up costs a tenth of calling it.
"""

import os
from time import perf_counter_ns, process_time_ns, thread_time_ns, time_ns

__all__ = [
    "core_times_ns",
    "core_wait_ns",
    "perf_counter_ns",
    "process_time_ns",
    "thread_time_ns",
    "time_ns",
]

_OF_THIS_THREAD = "/proc/thread-self/schedstat"


def core_times_ns(path: str) -> tuple[int, int] | None:
    """Return how long a thread has had a core, and been ready to run without; None where unknown.

    Parameters
    ----------
    path
        Where Linux says so of the thread: its ``schedstat``. Opened anew each time, which takes
        microseconds: a service may close what it did not open.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ran, waited, _ = os.read(file, 100).split()
        finally:
            os.close(file)
        # A kernel that keeps no such account says that nothing ever ran.
        return (int(ran), int(waited)) if int(ran) else None
    except (OSError, ValueError):
        return None


def core_wait_ns() -> int:
    """Return how long this thread has been ready to run without a core; -1 where nobody says."""
    found = core_times_ns(_OF_THIS_THREAD)
    return -1 if found is None else found[1]
