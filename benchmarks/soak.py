"""Record a service under mixed load for long: memory stays flat, no request goes missing.

Run: python benchmarks/soak.py [--minutes 10] [--rate 100] [--loop asyncio]

Every request the client sent must be one the recorder saw and wrote; clients that leave in the
middle of an answer, errors and unknown paths included. Memory is the resident set of the
service's process; the first half counts as warm-up, and the last quarter is compared with the
one before. ``--bare`` runs the same without the recorder, to see what the service itself does.
A machine too busy to keep up lets queues grow: those are bounded, but count as memory here.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fastsim.collector.launcher import children_of, wait_for_port
from fastsim.demo.servers import free_port

HERE = Path(__file__).parent
LEAVE_AFTER_BYTES = 400
SAMPLE_EVERY_S = 2.0
GROWTH_LIMIT_KIB = 1024.0
"""Of the medians of the last two quarters: 70 bytes a request in ten minutes at 100/s. Memory
grows in steps of the allocator's, so a line fitted to it says little."""
UPLOAD = b"x" * 100_000
PATHS = {
    "/items/7": 30,
    "/items/seven": 2,
    "/sync/7": 12,
    "/gather": 8,
    "/loose": 6,
    "/background": 6,
    "/stream": 6,
    "/stream-sync": 4,
    "/upload": 6,
    "/refused": 4,
    "/crash": 4,
    "/timeout": 4,
    "/inner/deep/x": 4,
    "/no/such/page": 2,
    "/endless": 2,
}


def start(options: argparse.Namespace, output: Path) -> tuple["subprocess.Popen[str]", int]:
    port = free_port()
    serve = [
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "soak_app:app"),
        *("--port", str(port), "--loop", options.loop),
        *("--log-level", "critical", "--no-access-log"),
    ]
    if not options.bare:
        record = (sys.executable, "-m", "fastsim", "record", "--json")
        serve = [*record, "-o", str(output), "--", *serve]
    process = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
    if not wait_for_port("127.0.0.1", port, process, 30.0):  # type: ignore[arg-type]
        sys.exit("the service did not start")
    return process, port


async def ask(port: int, path: str, answers: Counter[str]) -> None:
    """Send one request on a connection of its own; leave early where the answer never ends."""
    body = UPLOAD if path == "/upload" else b""
    head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if path == "/endless":
            answer = await reader.readexactly(LEAVE_AFTER_BYTES)
        else:
            answer = await reader.read(-1)
        answers[answer[9:12].decode()] += 1
    finally:
        writer.close()


async def drive(port: int, pid: int, options: argparse.Namespace) -> tuple[int, list[float]]:
    """Return the number of requests sent and the memory over time, KiB."""
    rng = random.Random(1)
    paths, weights = list(PATHS), list(PATHS.values())
    answers: Counter[str] = Counter()
    running: set[asyncio.Task[None]] = set()
    memory: list[float] = []
    sent = 0
    begin = time.monotonic()
    at, sample_at = 0.0, 0.0
    while at < options.minutes * 60.0:
        await asyncio.sleep(max(begin + at - time.monotonic(), 0.0))
        [path] = rng.choices(paths, weights)
        task = asyncio.create_task(ask(port, path, answers))
        running.add(task)
        task.add_done_callback(running.discard)
        sent += 1
        at += rng.expovariate(options.rate)
        if at >= sample_at:
            memory.append(resident_kib(pid))
            sample_at += SAMPLE_EVERY_S
    await asyncio.gather(*running)
    print(f"answers: {dict(sorted(answers.items()))}")
    if answers.total() != sent:
        sys.exit(f"sent {sent} requests but got {answers.total()} answers")
    return sent, memory


def resident_kib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise RuntimeError("no VmRSS")


def judge_memory(memory: list[float]) -> bool:
    quarter = len(memory) // 4
    third, last = (statistics.median(memory[first * quarter :][:quarter]) for first in (2, 3))
    print(
        f"memory: {memory[0] / 1024:.1f} MiB at first, {third / 1024:.1f} in the third quarter, "
        f"{last / 1024:.1f} in the last, at most {max(memory) / 1024:.1f}"
    )
    return last - third <= GROWTH_LIMIT_KIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--loop", default="asyncio")
    parser.add_argument("--bare", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, port = start(options, Path(folder) / "traces")
        pid = process.pid if options.bare else children_of(process.pid)[0]
        try:
            sent, memory = asyncio.run(drive(port, pid, options))
            time.sleep(1.0)  # loose tasks of the last requests
        finally:
            os.kill(process.pid, signal.SIGTERM)
            answer, _ = process.communicate(timeout=60)
        flat = judge_memory(memory)
        whole = options.bare or judge_account(json.loads(answer), sent)
    sys.exit(0 if flat and whole else 1)


def judge_account(account: dict[str, int], sent: int) -> bool:
    names = ("seen", "recorded", "requests", "dropped", "lost", "recorder_faults", "size_bytes")
    print(f"sent {sent}; " + ", ".join(f"{name} {account[name]}" for name in names))
    whole = sent == account["seen"] == account["recorded"]
    whole = whole and account["requests"] + account["dropped"] == sent
    print("every request is accounted for" if whole else "REQUESTS ARE UNACCOUNTED FOR")
    return bool(whole and not account["recorder_faults"])


if __name__ == "__main__":
    main()
