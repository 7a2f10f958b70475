"""What recording costs the service: CPU per request against bare FastAPI and OpenTelemetry.

Run: python benchmarks/collector_overhead.py [--rounds 7] [--requests 2000] [--loops asyncio,uvloop]

All variants serve at the same time and take turns, because the machine's speed wanders; each
figure is the median over the rounds of the process's CPU divided by requests, everything
written to disk included. The route takes a path and a query parameter and yields to the loop
five times. FastSim records every step of a request, OpenTelemetry three spans.

"timer only" writes nothing. "recording" is what ``fastsim record`` does for a service without
OpenTelemetry; "with OTel spans" is ``--mode full``, which has OpenTelemetry make the spans.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from fastsim.collector.launcher import stop, wait_for_port
from fastsim.demo.servers import free_port

HERE = Path(__file__).parent
VARIANTS = (
    "bare",
    "timer only",
    "recording, file",
    "recording with OTel spans, file",
    "stock OpenTelemetry",
    "stock OpenTelemetry, file",
)
CONNECTIONS = 16
REQUEST = b"GET /items/7?q=abc HTTP/1.1\r\nHost: localhost\r\n\r\n"


def start(variant: str, loop: str, output: Path) -> tuple["subprocess.Popen[bytes]", int]:
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "overhead_app:app"),
        *("--port", str(port), "--loop", loop, "--log-level", "warning", "--no-access-log"),
    ]
    environment = {**os.environ, "OVERHEAD_VARIANT": variant, "OVERHEAD_OUTPUT": str(output)}
    process = subprocess.Popen(command, env=environment)
    if not wait_for_port("127.0.0.1", port, process, 30.0):
        sys.exit(f"{variant} did not start")
    return process, port


async def send(port: int, requests: int) -> None:
    """Send so many requests over a few connections, one after the other on each."""

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // CONNECTIONS):
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                sys.exit(f"the service answered {head[:40]!r}")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


async def read_cpu(port: int) -> dict[str, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /cpu HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    found: dict[str, int] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def one_turn(port: int, requests: int) -> tuple[float, float]:
    """Return process and loop-thread CPU per request, us."""
    before = asyncio.run(read_cpu(port))
    asyncio.run(send(port, requests))
    after = asyncio.run(read_cpu(port))
    count = requests // CONNECTIONS * CONNECTIONS * 1e3
    return (
        (after["process_ns"] - before["process_ns"]) / count,
        (after["loop_ns"] - before["loop_ns"]) / count,
    )


def measure(loop: str, rounds: int, requests: int) -> None:
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ports = {}
        for variant in VARIANTS:
            process, ports[variant] = start(variant, loop, Path(folder))
            stack.callback(stop, process)
        for port in ports.values():
            one_turn(port, requests)  # warm
        for number in range(rounds):
            for variant in VARIANTS if number % 2 == 0 else reversed(VARIANTS):
                found[variant].append(one_turn(ports[variant], requests))
    print(f"\n{loop}, {rounds} rounds of {requests} requests: CPU us per request")
    print(f"{'':33}{'process':>9}{'added':>9}{'on the loop':>13}")
    for variant, turns in found.items():
        whole, on_loop = (median(column) for column in zip(*turns, strict=True))
        # Added is the median of the differences within each round, not of the medians.
        pairs = zip(turns, found["bare"], strict=True)
        added = median(mine[0] - plain[0] for mine, plain in pairs)
        print(f"{variant:33}{whole:9.1f}{added:+9.1f}{on_loop:13.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--loops", default="asyncio,uvloop")
    options = parser.parse_args()
    for loop in options.loops.split(","):
        measure(loop, options.rounds, options.requests)


if __name__ == "__main__":
    main()
