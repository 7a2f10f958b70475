"""An asyncio event loop whose timers are good to some tens of microseconds.

``epoll`` waits whole milliseconds, rounded up. That would put about 0.6 ms of our own on
every latency. Here the wait is done by ``select`` on the epoll descriptor, which takes
microseconds, and ends a little early: the loop then polls until the timer is due, because
the kernel wakes a sleeper late.
"""

import asyncio
import select
import selectors
import sys

# Timer slack of the kernel (50 us) plus a wake-up. Also the most that is spent polling.
_EARLY_S = 150e-6


def precise_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop with the most precise timers this system has.

    Outside Linux it is the default loop; ``kqueue`` takes precise times by itself.
    """
    if sys.platform != "linux":
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(_MicrosecondSelector())


if sys.platform == "linux":

    class _MicrosecondSelector(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is None or timeout <= 0.0:
                return super().select(timeout)
            # An epoll descriptor is itself readable when one of its files is ready.
            select.select([self.fileno()], [], [], max(0.0, timeout - _EARLY_S))
            return super().select(0.0)
