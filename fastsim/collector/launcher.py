"""Start a command with the recorder attached in every Python process it starts.

Standard library only. ``fastsim record`` and ``fastsim demo`` are made of this.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from fastsim.collector.destination import DEFAULT_MODE, Destination
from fastsim.collector.hook import ENV_MODE, ENV_SAMPLE, ENV_SERVICE
from fastsim.collector.notes import ENV_NOTES

STOP_WITHIN_S = 15.0
# What ends a server, and what gunicorn takes orders by: reload, reopen logs, more or less workers.
_PASSED_ON = tuple(
    number
    for number in signal.Signals
    if number.name
    in {"SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"}
)
_FROM_THE_KEYBOARD = {signal.SIGINT, signal.SIGQUIT}
_LAUNCH = Path(__file__).resolve().parent / "launch"


def recording_environment(
    output: Path | Destination,
    *,
    sample_ratio: float = 1.0,
    mode: str = DEFAULT_MODE,
    service_name: str | None = None,
    environment: Mapping[str, str] | None = None,
    notes: Path | None = None,
) -> dict[str, str]:
    """Return the environment that attaches the recorder to Python processes.

    Parameters
    ----------
    output
        Directory for the trace files (made absolute), or where else they go.
    sample_ratio
        Share of requests to record, 0 to 1.
    environment
        To start from; this process's own by default.
    notes
        Directory for what happened in each process, see ``fastsim.collector.notes``.
    """
    variables = dict(os.environ if environment is None else environment)
    inherited = variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = os.pathsep.join([str(_LAUNCH), *([inherited] if inherited else [])])
    destination = output if isinstance(output, Destination) else Destination(output)
    variables |= destination.to_environment()
    variables[ENV_SAMPLE] = repr(sample_ratio)
    variables[ENV_MODE] = mode
    if service_name:
        variables[ENV_SERVICE] = service_name
    if notes is not None:
        variables[ENV_NOTES] = str(notes)
    return variables


def find_command(command: Sequence[str]) -> list[str]:
    """Resolve the program as the shell would, else among this interpreter's own scripts.

    Raises
    ------
    FileNotFoundError
        When there is no such program.
    """
    found = shutil.which(command[0])
    if found is None:
        beside = Path(sys.executable).parent / command[0]
        if os.sep in command[0] or not beside.is_file():
            raise FileNotFoundError(command[0])
        found = str(beside)
    return [found, *command[1:]]


def run_recorded(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    duration_s: float | None = None,
    keep_stdout: bool = False,
) -> int:
    """Run the command until it ends, is told to, or ``duration_s``; return its exit code.

    ``keep_stdout`` sends what the command prints to standard error, the rest is the caller's.

    Signals are passed on, and it waits for the command to finish in its own time, so that nothing
    is left running or unwritten.
    """
    with (
        subprocess.Popen(
            command, env=dict(environment), stdout=sys.stderr.fileno() if keep_stdout else None
        ) as process,
        _signals_passed_on(process),
    ):
        try:
            return process.wait(timeout=duration_s)
        except subprocess.TimeoutExpired:
            return stop(process)


@contextmanager
def _signals_passed_on(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    seen: set[int] = set()

    def pass_on(number: int, _frame: FrameType | None) -> None:
        # The terminal's Ctrl-C reached the command too. A second one would make uvicorn
        # drop what it is serving, so it is passed on only if the user insists.
        first = number not in seen
        seen.add(number)
        if number in _FROM_THE_KEYBOARD and first and _in_foreground():
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Tell whether a terminal sends its signals to this process and its children."""
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False


def stop(process: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> int:
    """End a process politely, then firmly with its children; return its exit code."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            # A supervisor that is killed leaves its workers behind, still listening.
            workers = children_of(process.pid)
            process.kill()
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
    return process.wait()


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started, where /proc tells."""
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, path.read_text(encoding="ascii").split())
    return children


def wait_for_port(
    host: str, port: int, process: "subprocess.Popen[bytes]", within_s: float
) -> bool:
    """Wait until somebody listens; False when the process ended or time ran out."""
    import socket

    end = time.monotonic() + within_s
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection((host, port), timeout=0.2):
            return True
        time.sleep(0.05)
    return False
