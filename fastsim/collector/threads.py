"""Work that requests hand to threads: when it was queued, when it ran, its CPU.

Starlette runs ``def`` endpoints through ``anyio.to_thread.run_sync``, which it looks
up in the module each time, so replacing the attribute is enough. ``asyncio.to_thread`` and
the service's own executors go through ``loop.run_in_executor``.
"""

import asyncio
import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any

from fastsim.collector.faults import note_fault
from fastsim.collector.imports import when_imported
from fastsim.collector.resume import running_for
from fastsim.collector.timeline import RequestRecord, ThreadCall, active_record
from fastsim.collector.waits import REACH_THREAD

_hooked: set[str] = set()


def hook_anyio_threads() -> None:
    """Time every ``anyio.to_thread.run_sync`` made for a recorded request."""
    if "anyio.to_thread" not in _hooked:
        _hooked.add("anyio.to_thread")
        when_imported("anyio.to_thread", _hook_run_sync)


def _hook_run_sync(module: Any) -> None:
    inner = module.run_sync
    if hasattr(inner, "_fastsim"):
        return

    @functools.wraps(inner)
    async def run_sync(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        record = active_record()
        if record is None:
            return await inner(func, *args, **kwargs)
        call = ThreadCall()
        try:
            return await inner(call.run, func, *args, **kwargs)
        finally:
            _store(record, call)

    run_sync._fastsim = True  # type: ignore[attr-defined]
    module.run_sync = run_sync


def _store(record: RequestRecord, call: ThreadCall) -> None:
    # Runs in the code right after the wait for the thread.
    try:
        timed = running_for(record)
        if timed is not None and timed.reach == REACH_THREAD:
            timed.note_call(call)
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def hook_executors(loop: asyncio.AbstractEventLoop) -> None:
    """Time every function that a recorded request gives to a thread-pool executor."""
    inner: Any = loop.run_in_executor
    if hasattr(inner, "_fastsim"):
        return

    @functools.wraps(inner)
    def run_in_executor(executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        record = active_record()
        threaded = executor is None or isinstance(executor, concurrent.futures.ThreadPoolExecutor)
        if record is None or not threaded:
            # Other executors may pickle the function: ours would not arrive whole.
            return inner(executor, func, *args)
        call = ThreadCall()
        future = inner(executor, call.run, func, *args)
        record.calls[id(future)] = (future, call)
        return future

    run_in_executor._fastsim = True  # type: ignore[attr-defined]
    patched: Any = loop
    patched.run_in_executor = run_in_executor
