"""Run the driver from ordinary code: its own event loop, Ctrl-C, and a first knock."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

from fastsim.errors import InputError
from fastsim.load.address import Address
from fastsim.load.driver import LoadResult, Progress, drive
from fastsim.load.precise_loop import precise_loop
from fastsim.load.schedule import Schedule

_KNOCK_TIMEOUT_S = 5.0


def check_reachable(address: Address) -> None:
    """Open and close one connection, so that a wrong address fails before the run.

    Raises
    ------
    InputError
        When nothing accepts connections there.
    """
    try:
        socket.create_connection((address.host, address.port), timeout=_KNOCK_TIMEOUT_S).close()
    except TimeoutError:
        reason = "no connection within 5 s"
    except ConnectionRefusedError:
        reason = "connection refused"
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    else:
        return
    raise InputError(
        f"nothing answers at {address.origin}: {reason}",
        hint="start the service first, or check host and port",
        where="URL",
    )


def run_load(
    base_url: str,
    schedule: Schedule,
    *,
    timeout_s: float = 30.0,
    connections: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> LoadResult:
    """Send a schedule from an event loop with precise timers; blocks until done.

    The first Ctrl-C ends the run early and returns what finished (``stopped`` is set).
    """
    _allow_many_sockets()
    gc.collect()
    # What exists now is not looked at again by collections during the run.
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            stop = asyncio.Event()
            with _ctrl_c_sets(runner.get_loop(), stop):
                return runner.run(
                    drive(
                        base_url,
                        schedule,
                        timeout_s=timeout_s,
                        connections=connections,
                        on_progress=on_progress,
                        stop=stop,
                    )
                )
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _ctrl_c_sets(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def on_ctrl_c(*_: object) -> None:
        signal.signal(signal.SIGINT, before)  # a second Ctrl-C ends the hard way
        loop.call_soon_threadsafe(stop.set)

    signal.signal(signal.SIGINT, on_ctrl_c)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _allow_many_sockets() -> None:
    # An overloaded service means thousands of open connections; many systems start at 1024.
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
