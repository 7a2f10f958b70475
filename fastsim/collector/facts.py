"""Facts about the recorded process, written once into the OTLP resource."""

import asyncio
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastsim import __version__, spans
from fastsim.spans import Attributes

_VERSIONS_OF = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "anyio", "gunicorn")
_THREAD_TOKENS = 40


def process_facts(
    *,
    service_name: str,
    loop: asyncio.AbstractEventLoop | None,
    mode: str,
    sample_ratio: float,
    start_ns: int,
    server: Attributes,
) -> Attributes:
    """Collect what the twin must know about this process.

    ``server`` holds the facts that only the server knew when it loaded the application.
    """
    facts: Attributes = {
        "service.name": service_name,
        "service.instance.id": f"{platform.node()}-{os.getpid()}-{start_ns}",
        "process.pid": os.getpid(),
        "process.runtime.name": platform.python_implementation().lower(),
        "process.runtime.version": platform.python_version(),
        "telemetry.sdk.language": "python",
        spans.PROCESS_WORKERS: 1,
        spans.PROCESS_CORES: usable_cores(),
        spans.PROCESS_MACHINE_CORES: os.cpu_count() or 1,
        spans.PROCESS_GIL: _gil_enabled(),
        spans.PROCESS_SAMPLE_RATIO: sample_ratio,
        spans.PROCESS_MODE: mode,
        spans.PROCESS_THREAD_TOKENS: _THREAD_TOKENS,
        spans.PROCESS_VERSIONS: versions(),
    }
    if loop is not None:
        uvloop = type(loop).__module__.startswith("uvloop")
        facts[spans.PROCESS_LOOP] = "uvloop" if uvloop else "asyncio"
    quota = cpu_quota()
    if quota is not None:
        facts[spans.PROCESS_CPU_QUOTA] = quota
    return facts | server


def uvicorn_facts(config: Any) -> Attributes:
    """Read the limits out of a ``uvicorn.Config``, under whatever started it."""
    facts: Attributes = {
        spans.PROCESS_WORKERS: _workers(config),
        spans.PROCESS_LIMIT_CONCURRENCY: getattr(config, "limit_concurrency", None),
        spans.PROCESS_LIMIT_MAX_REQUESTS: getattr(config, "limit_max_requests", None),
        spans.PROCESS_BACKLOG: getattr(config, "backlog", None),
        spans.PROCESS_KEEP_ALIVE_S: getattr(config, "timeout_keep_alive", None),
    }
    protocol = getattr(config, "http_protocol_class", None)
    if protocol is not None:
        module = str(getattr(protocol, "__module__", ""))
        facts[spans.PROCESS_HTTP] = "httptools" if "httptools" in module else "h11"
    return {name: value for name, value in facts.items() if value is not None}


def _workers(config: Any) -> int:
    # Under gunicorn uvicorn knows nothing of the other workers, but gunicorn's worker has
    # left a method of itself in the configuration.
    worker = getattr(getattr(config, "callback_notify", None), "__self__", None)
    number = getattr(getattr(worker, "cfg", None), "workers", None)
    if isinstance(number, int) and number > 0:
        return number
    return int(getattr(config, "workers", 1) or 1)


def versions() -> list[str]:
    """Return the versions of what the service is served with, as ``name==version``."""
    found = [f"fastsim=={__version__}"]
    for name in _VERSIONS_OF:
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return found


def usable_cores() -> int:
    """Return the number of cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # pragma: no cover  not on macOS
        return os.cpu_count() or 1


def _gil_enabled() -> bool:
    check = getattr(sys, "_is_gil_enabled", None)
    return bool(check()) if check is not None else True


def thread_tokens() -> int:
    """Return anyio's limit of threads; ask on the event loop, to which it belongs."""
    try:
        import anyio.to_thread

        return int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    except Exception:  # noqa: BLE001  outside a loop, or anyio is absent: its default
        return _THREAD_TOKENS


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the cores that control groups allow this process, None without a limit.

    The tightest limit on the way from the process's group to the top counts. Version 2
    has one file, version 1 two; a container may or may not see its own group's path.
    """
    limits: list[float] = []
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        groups = ["0::/"]
    for line in groups:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            limits += _along(root / "sys/fs/cgroup", path, _quota_v2)
        elif "cpu" in controllers.split(","):
            for mount in dict.fromkeys((controllers, "cpu", "cpu,cpuacct")):
                limits += _along(root / "sys/fs/cgroup" / mount, path, _quota_v1)
    return min(limits) if limits else None


def _along(mount: Path, path: str, read: Any) -> list[float]:
    parts = [part for part in path.split("/") if part and part != ".."]
    folders = [mount.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]
    return [limit for folder in folders if (limit := read(folder)) is not None]


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
