"""Facts about the recorded process, written once into the OTLP resource."""

import asyncio
import os
import platform
import sys
from pathlib import Path

from fastsim import spans
from fastsim.spans import Attributes


def process_facts(
    *,
    service_name: str,
    loop: asyncio.AbstractEventLoop | None,
    workers: int,
    limit_concurrency: int | None,
    sample_ratio: float,
    start_ns: int,
) -> Attributes:
    """Collect what the twin must know about this process."""
    facts: Attributes = {
        "service.name": service_name,
        "service.instance.id": f"{platform.node()}-{os.getpid()}-{start_ns}",
        "process.pid": os.getpid(),
        "process.runtime.name": platform.python_implementation().lower(),
        "process.runtime.version": platform.python_version(),
        "telemetry.sdk.language": "python",
        spans.PROCESS_WORKERS: workers,
        spans.PROCESS_CORES: _usable_cores(),
        spans.PROCESS_GIL: _gil_enabled(),
        spans.PROCESS_SAMPLE_RATIO: sample_ratio,
        spans.PROCESS_THREAD_TOKENS: _thread_tokens(),
    }
    if loop is not None:
        uvloop = type(loop).__module__.startswith("uvloop")
        facts[spans.PROCESS_LOOP] = "uvloop" if uvloop else "asyncio"
    if limit_concurrency is not None:
        facts[spans.PROCESS_LIMIT_CONCURRENCY] = limit_concurrency
    quota = _cpu_quota()
    if quota is not None:
        facts[spans.PROCESS_CPU_QUOTA] = quota
    return facts


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _gil_enabled() -> bool:
    check = getattr(sys, "_is_gil_enabled", None)
    return bool(check()) if check is not None else True


def _thread_tokens() -> int:
    try:
        import anyio.to_thread

        return int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    except Exception:  # noqa: BLE001  outside a loop, or anyio is absent: its default
        return 40


def _cpu_quota() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None
