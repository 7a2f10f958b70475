"""Start services under ``fastsim record`` the way people start them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fastsim.collector.launcher import children_of, wait_for_port
from fastsim.demo.servers import free_port

HERE = Path(__file__).parent
START_WITHIN_S = 30.0
STOP_WITHIN_S = 25.0
STARTERS = {
    "uvicorn": "uvicorn --app-dir {here} work_app:app --host 127.0.0.1 --port {port}",
    "python -m uvicorn --workers 2": (
        "{python} -m uvicorn --app-dir {here} work_app:app"
        " --host 127.0.0.1 --port {port} --workers 2"
    ),
    "gunicorn": (
        "gunicorn --chdir {here} work_app:app -b 127.0.0.1:{port}"
        " -k uvicorn_worker.UvicornWorker -w 2"
    ),
    "gunicorn --preload": (
        "gunicorn --chdir {here} work_app:app -b 127.0.0.1:{port}"
        " -k uvicorn_worker.UvicornWorker -w 2 --preload"
    ),
    "fastapi run": "fastapi run {here}/work_app.py --host 127.0.0.1 --port {port}",
    "fastapi run --workers 2": (
        "fastapi run {here}/work_app.py --host 127.0.0.1 --port {port} --workers 2"
    ),
}
SPECIAL = {
    "opentelemetry-instrument": (
        "opentelemetry-instrument --traces_exporter console --metrics_exporter none"
        " --logs_exporter none"
        " {python} -m uvicorn --app-dir {here} work_app:app --host 127.0.0.1 --port {port}"
    ),
    "starlette": (
        "{python} -m uvicorn --app-dir {here} starlette_app:app --host 127.0.0.1 --port {port}"
    ),
}


@dataclass
class RecordedCommand:
    """A ``fastsim record`` that is running: of a starter above, or of another command."""

    output: Path
    command: str = "uvicorn"
    options: Sequence[str] = ()
    extra: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    """Where it is started; here when absent."""
    port: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        known = STARTERS | SPECIAL
        started = known.get(self.command, self.command).format(
            here=HERE, port=self.port, python=sys.executable
        )
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fastsim", "record", "-o", str(self.output), "--json"),
                *(*self.options, "--", *started.split(), *self.extra),
            ],
            env={**os.environ, **self.environment},
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert wait_for_port("127.0.0.1", self.port, self._process, START_WITHIN_S)  # type: ignore[arg-type]
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self.end()

    def end(self, how: signal.Signals | None = signal.SIGTERM, *, code: int = 0) -> dict[str, Any]:
        """Signal the recorder alone, as a container does; return its JSON answer.

        Without a signal wait for the service to end by itself.
        """
        if how is not None:
            self._process.send_signal(how)
        try:
            answer, self.said = self._process.communicate(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            for child in children_of(self._process.pid):
                os.kill(child, signal.SIGKILL)
            self._process.kill()
            raise
        assert self._process.returncode == code, self.said
        parsed: dict[str, Any] = json.loads(answer or "{}")
        return parsed

    @property
    def pid(self) -> int:
        """The recorder's process."""
        return self._process.pid

    def get(self, path: str) -> int:
        url = f"http://127.0.0.1:{self.port}/{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def read(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.port}/{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def get_many(self, path: str, count: int, *, at_once: int = 8) -> list[int]:
        with ThreadPoolExecutor(at_once) as clients:
            return list(clients.map(self.get, [path] * count))

    def workers(self, count: int) -> list[int]:
        """Return the ids of the worker processes, waiting until there are so many."""
        end = time.monotonic() + START_WITHIN_S
        while time.monotonic() < end:
            [server] = children_of(self._process.pid)
            found = [child for child in children_of(server) if _serves(child)]
            if len(found) == count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"there are not {count} workers")


def _serves(pid: int) -> bool:
    """Whether a child still is a worker: not gone since it was listed, nor killed and unburied."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return command != b"" and b"resource_tracker" not in command
