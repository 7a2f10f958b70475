"""Work that requests hand to the thread pool: when it was queued, when it ran, its CPU.

Starlette runs ``def`` endpoints through ``anyio.to_thread.run_sync``, which it looks
up in the module each time, so replacing the attribute is enough.
"""

import functools
from collections.abc import Callable
from time import perf_counter_ns, thread_time_ns
from typing import Any

from fastsim.collector.faults import note_fault
from fastsim.collector.timeline import RequestRecord, active_record
from fastsim.spans import StepKind

_THREAD = StepKind.THREAD.value


class _Call:
    """One function on its way through the pool."""

    __slots__ = ("begin", "cpu", "end", "submitted")

    def __init__(self) -> None:
        self.submitted = perf_counter_ns()
        self.begin = self.submitted
        self.end = self.submitted
        self.cpu = 0

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        self.begin = perf_counter_ns()
        cpu = thread_time_ns()
        try:
            return function(*args)
        finally:
            self.cpu = thread_time_ns() - cpu
            self.end = perf_counter_ns()


def hook_anyio_threads() -> None:
    """Time every ``anyio.to_thread.run_sync`` made for a recorded request."""
    try:
        import anyio.to_thread
    except ImportError:
        return
    inner = anyio.to_thread.run_sync
    if hasattr(inner, "_fastsim"):
        return

    @functools.wraps(inner)
    async def run_sync(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        record = active_record()
        if record is None:
            return await inner(func, *args, **kwargs)
        call = _Call()
        try:
            return await inner(call.run, func, *args, **kwargs)
        finally:
            _store(record, call)

    run_sync._fastsim = True  # type: ignore[attr-defined]
    anyio.to_thread.run_sync = run_sync  # type: ignore[assignment]


def _store(record: RequestRecord, call: _Call) -> None:
    # Runs in the segment right after the wait, whose row is the last of its kind.
    try:
        for index in range(len(record.steps) - 1, -1, -1):
            if record.steps[index][0] == _THREAD:
                record.thread_calls.append(
                    (index, call.begin - call.submitted, call.end - call.begin, call.cpu)
                )
                return
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)
