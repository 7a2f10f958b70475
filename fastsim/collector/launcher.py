"""Start a command with the recorder attached in every Python process it starts.

Standard library only. ``fastsim record`` and ``fastsim demo`` are made of this.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastsim.collector.hook import ENV_OUTPUT, ENV_SAMPLE, ENV_SERVICE

STOP_WITHIN_S = 15.0
_LAUNCH = Path(__file__).resolve().parent / "launch"
_REQUEST_MARK = '"fastsim.format"'


def recording_environment(
    output: Path,
    *,
    sample_ratio: float = 1.0,
    service_name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment that attaches the recorder to Python processes.

    Parameters
    ----------
    output
        Directory for the trace files; made absolute.
    sample_ratio
        Share of requests to record, 0 to 1.
    environment
        To start from; this process's own by default.
    """
    variables = dict(os.environ if environment is None else environment)
    inherited = variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = os.pathsep.join([str(_LAUNCH), *([inherited] if inherited else [])])
    variables[ENV_OUTPUT] = str(output.resolve())
    variables[ENV_SAMPLE] = repr(sample_ratio)
    if service_name:
        variables[ENV_SERVICE] = service_name
    return variables


def find_command(command: Sequence[str]) -> list[str]:
    """Resolve the program as the shell would, preferring this interpreter's own scripts.

    Raises
    ------
    FileNotFoundError
        When there is no such program.
    """
    beside = Path(sys.executable).parent / command[0]
    if os.sep not in command[0] and beside.is_file():
        return [str(beside), *command[1:]]
    found = shutil.which(command[0])
    if found is None:
        raise FileNotFoundError(command[0])
    return [found, *command[1:]]


def run_recorded(
    command: Sequence[str], environment: Mapping[str, str], *, duration_s: float | None = None
) -> int:
    """Run the command until it ends, Ctrl-C, or ``duration_s``; return its exit code.

    The command gets the terminal's Ctrl-C itself; this process waits for it to finish.
    """
    with subprocess.Popen(command, env=dict(environment)) as process:
        try:
            return process.wait(timeout=duration_s)
        except subprocess.TimeoutExpired:
            return stop(process)
        except KeyboardInterrupt:
            with suppress(KeyboardInterrupt):
                return stop(process, signal.SIGINT)
            process.kill()
            return 130


def stop(process: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> int:
    """End a process politely, then firmly; return its exit code."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is in the trace files of one recording."""

    files: int
    requests: int
    seen: int
    """Requests that the service served while recording, recorded or not."""
    dropped: int
    recorder_cpu_s: float
    size_bytes: int


def count_recorded(directory: Path) -> Recorded:
    """Count what was written, from the files alone."""
    files = sorted(directory.glob("traces-*.jsonl"))
    requests = seen = dropped = size = 0
    recorder_cpu_s = 0.0
    for path in files:
        size += path.stat().st_size
        last = ""
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                requests += line.count(_REQUEST_MARK)
                last = line if _REQUEST_MARK in line else last
        counters = _last_counters(last)
        seen += counters.get("fastsim.requests_seen", 0)
        dropped += counters.get("fastsim.spans_dropped", 0)
        recorder_cpu_s += counters.get("fastsim.recorder_cpu_ns", 0) / 1e9
    return Recorded(len(files), requests, seen, dropped, recorder_cpu_s, size)


def _last_counters(line: str) -> dict[str, int]:
    """Return the largest value of each counter in one line of spans."""
    counters: dict[str, int] = {}
    with suppress(ValueError, KeyError, TypeError):
        for group in json.loads(line)["resourceSpans"]:
            for scope in group["scopeSpans"]:
                for span in scope["spans"]:
                    for attribute in span["attributes"]:
                        number = attribute["value"].get("intValue")
                        if number is not None:
                            key = attribute["key"]
                            counters[key] = max(counters.get(key, 0), int(number))
    return counters


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
