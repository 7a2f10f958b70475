"""Run a real uvicorn on a free loopback port for a test, recorded, and send it traffic."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fastsim.collector.launcher import recording_environment, wait_for_port
from fastsim.demo.servers import free_port
from fastsim.load.driver import LoadResult
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import parse_mix

HERE = Path(__file__).parent
STOP_WITHIN_S = 20.0


@contextmanager
def recorded_service(
    app: str,
    output: Path,
    *,
    arguments: Sequence[str] = (),
    how: signal.Signals = signal.SIGTERM,
    loop: str = "asyncio",
) -> Iterator[str]:
    """Yield the base URL; the service is stopped with ``how`` at the end."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), app),
        *("--host", "127.0.0.1", "--port", str(port), "--loop", loop),
        *("--log-level", "warning", "--no-access-log", *arguments),
    ]
    environment = recording_environment(output, environment=dict(os.environ))
    process = subprocess.Popen(command, env=environment)
    try:
        assert wait_for_port("127.0.0.1", port, process, 30.0), "the service did not start"
        time.sleep(0.3 if not arguments else 2.0)  # every worker of several must be up
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(how)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def send(url: str, mix: str, *, rate: float, duration_s: float, seed: int = 1) -> LoadResult:
    schedule = draw_schedule(parse_mix(mix), rate_per_s=rate, duration_s=duration_s, seed=seed)
    return run_load(url, schedule)
