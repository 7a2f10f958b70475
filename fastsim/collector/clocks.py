"""The recorder's clocks, all read through this module, nanoseconds.

One place, so that the whole recorder can be run on other clocks: the tests replace these
functions and record a service in virtual time. Looking one up costs a tenth of calling it.
"""

import os
from time import perf_counter_ns, process_time_ns, thread_time_ns, time_ns

__all__ = ["core_wait_ns", "perf_counter_ns", "process_time_ns", "thread_time_ns", "time_ns"]

_SCHEDULER = "/proc/thread-self/schedstat"
"""Of the thread that reads it: time on a core, time ready without one, and how many turns."""


def core_wait_ns() -> int:
    """Return how long this thread has been ready to run without a core; -1 where nobody says.

    Linux says so. Opened anew each time, which takes microseconds: a service may close what it
    did not open.
    """
    try:
        file = os.open(_SCHEDULER, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ran, waited, _ = os.read(file, 100).split()
        finally:
            os.close(file)
        # A kernel that keeps no such account says that nothing ever ran.
        return int(waited) if int(ran) else -1
    except (OSError, ValueError):
        return -1
