"""Start and stop the example services of the demo on free loopback ports.

The shop runs alone on one core and everything else on the others, as a container with
one CPU would; without that the driver and the shop would disturb each other.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

import fastsim
from fastsim.collector.launcher import recording_environment, stop, wait_for_port
from fastsim.errors import InputError

HOST = "127.0.0.1"
START_WITHIN_S = 30.0

EXAMPLES = Path(fastsim.__file__).resolve().parent.parent / "examples"


def require_examples() -> None:
    """Make sure the example services and what they import are installed.

    Raises
    ------
    InputError
        When FastSim was not installed from source with its example requirements.
    """
    import importlib.util

    if not (EXAMPLES / "shop" / "app.py").is_file():
        raise InputError(
            "the demo needs the examples of a source checkout",
            hint="clone FastSim, then: make demo",
        )
    needed = ("fastapi", "uvicorn", "sqlalchemy", "aiosqlite", "openai", "httpx")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"the demo's example services need {', '.join(missing)}",
            hint="install the extra: pip install 'fastsim-twin[example]'",
        )


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Cores:
    """Which cores the shops have, and which are left for everything else."""

    def __init__(self) -> None:
        self.all = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        ordered = sorted(self.all)
        self.separate = len(ordered) >= 2
        self.shop = set(ordered[:1]) if self.separate else self.all
        self.others = set(ordered[1:]) if self.separate else self.all

    @contextmanager
    def use(self, cores: set[int]) -> Iterator[None]:
        """Run this process, and those it starts meanwhile, on some cores only."""
        if not self.separate:
            yield
            return
        os.sched_setaffinity(0, cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.all)


class Services:
    """The shop and what it depends on. Use as a context manager: leaving it ends them all."""

    def __init__(self, directory: Path, cores: Cores) -> None:
        self.directory = directory
        self.cores = cores
        self._ports = {"catalog": free_port(), "llm": free_port()}
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: list[IO[bytes]] = []
        self._shops: list[subprocess.Popen[bytes]] = []
        self._beginning: list[tuple[str, int, subprocess.Popen[bytes]]] = []
        self.pids: dict[str, int] = {}
        """Of the shops, by their address."""

    def __enter__(self) -> Self:
        try:
            with self.cores.use(self.cores.others):
                for name, port in self._ports.items():
                    self._begin(name, port, dict(os.environ))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            with suppress(OSError):
                stop(process)
        for log in self._logs:
            log.close()
        self._running.clear()

    def start_shop(self, recording: Path, settings: Mapping[str, str]) -> str:
        """Start a shop with the recorder attached, on the shops' core; return its address.

        Several may run; those that nobody asks anything need no CPU.
        """
        port = free_port()
        environment = recording_environment(recording, service_name="shop")
        database = self.directory / "shop.sqlite3"
        environment |= {
            "SHOP_DATABASE_URL": f"sqlite+aiosqlite:///{database}",
            "SHOP_CATALOG_URL": f"http://{HOST}:{self._ports['catalog']}",
            "SHOP_LLM_URL": f"http://{HOST}:{self._ports['llm']}/v1",
        }
        environment |= settings
        with self.cores.use(self.cores.shop):
            self._shops.append(self._begin("shop", port, environment))
        self._wait()
        url = f"http://{HOST}:{port}"
        self.pids[url] = self._shops[-1].pid
        return url

    def stop_shops(self) -> None:
        """End the shops and wait until their recordings are complete."""
        for shop in self._shops:
            stop(shop)
            self._running.remove(shop)
        self._shops.clear()

    def _begin(
        self, name: str, port: int, environment: dict[str, str]
    ) -> "subprocess.Popen[bytes]":
        """Begin to start a service, beside the others that are starting."""
        log = (self.directory / f"{name}.log").open("ab")
        self._logs.append(log)
        command = [
            *(sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), f"{name}.app:app"),
            *("--host", HOST, "--port", str(port), "--loop", "asyncio"),
            *("--log-level", "warning", "--no-access-log"),
        ]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._running.append(process)
        self._beginning.append((name, port, process))
        return process

    def _wait(self) -> None:
        """Wait until all that begin to start answer."""
        while self._beginning:
            name, port, process = self._beginning.pop()
            if not wait_for_port(HOST, port, process, START_WITHIN_S):
                raise InputError(
                    f"the example service {name} did not start",
                    hint=f"its messages are in {self.directory / f'{name}.log'}",
                )
