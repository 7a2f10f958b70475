"""Start a service for a study: one uvicorn on its own cores, until the study is over."""

import os
import subprocess
import sys
from contextlib import ExitStack

from fastsim.collector.launcher import stop, wait_for_port
from fastsim.demo.servers import HOST, free_port


def serving(
    app: str, cores: set[int], environment: dict[str, str], stack: ExitStack, *more: str
) -> str:
    """Serve an application on some cores until the stack is left; return its address.

    Parameters
    ----------
    more
        Further options of uvicorn.
    """
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", app, "--host", HOST),
        *("--port", str(port), "--loop", "asyncio", "--log-level", "error", "--no-access-log"),
        *more,
    ]
    process = subprocess.Popen(command, env=environment)
    stack.callback(stop, process)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, cores)
    if not wait_for_port(HOST, port, process, 30.0):
        raise SystemExit(f"{app} did not start")
    return f"http://{HOST}:{port}"
