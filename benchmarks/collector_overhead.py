"""What recording costs the service: CPU per request against bare FastAPI and OpenTelemetry.

Run: python benchmarks/collector_overhead.py [--rounds 9] [--loops asyncio,uvloop]

All variants serve at the same time and take turns, because the machine's speed wanders; each
figure is the median over the rounds of the process's CPU divided by requests, everything
written to disk included. "trivial" takes a path and a query parameter; "yields" goes through the
loop fifty times more, which tells the cost of a resume; "database" asks SQLite twelve times (24
waits). "timer only" writes nothing. "recording" is what ``fastsim record`` does for a service
without OpenTelemetry; "on OpenTelemetry" for one that has it. What recording adds to a request and
to a resume, ``recording_in_process.py`` tells better: turns of servers are seconds apart.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from fastsim.collector.launcher import stop, wait_for_port
from fastsim.demo.servers import free_port

HERE = Path(__file__).parent
VARIANTS = (
    "bare",
    "timer only",
    "recording",
    "OpenTelemetry",
    "OpenTelemetry, file",
    "OpenTelemetry, no messages",
    "recording on OpenTelemetry",
)
MANY_ROUTES = 200
CONNECTIONS = 16
REQUESTS = {"trivial": 1600, "yields": 400, "database": 160}
MOST_OF_P50 = 0.10


class Turn(NamedTuple):
    """What one variant took for one kind of request in one round."""

    process_us: float
    loop_us: float
    p50_s: float


Table = dict[tuple[str, str], list[Turn]]


def start(
    variant: str, loop: str, output: Path, routes: int
) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "overhead_app:app"),
        *("--port", str(port), "--loop", loop, "--log-level", "warning", "--no-access-log"),
    ]
    environment = {
        **os.environ,
        "OVERHEAD_VARIANT": variant,
        "OVERHEAD_OUTPUT": str(output),
        "OVERHEAD_ROUTES": str(routes),
    }
    process = subprocess.Popen(command, env=environment)
    if not wait_for_port("127.0.0.1", port, process, 30.0):
        sys.exit(f"{variant} did not start")
    return process, port


async def send(port: int, path: str, requests: int, connections: int = CONNECTIONS) -> list[float]:
    """Send so many requests over a few connections, one after the other on each."""
    took: list[float] = []
    request = f"GET /{path}/7?q=abc HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // connections):
            begin = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                sys.exit(f"the service answered {head[:40]!r}")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - begin)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return took


async def read_cpu(port: int) -> dict[str, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /cpu HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    found: dict[str, int] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def one_turn(port: int, path: str) -> Turn:
    requests = REQUESTS[path]
    before = asyncio.run(read_cpu(port))
    asyncio.run(send(port, path, requests))
    after = asyncio.run(read_cpu(port))
    alone = asyncio.run(send(port, path, 60, connections=1))
    count = requests // CONNECTIONS * CONNECTIONS * 1e3
    return Turn(
        (after["process_ns"] - before["process_ns"]) / count,
        (after["loop_ns"] - before["loop_ns"]) / count,
        median(alone),
    )


def measure(loop: str, rounds: int, output: Path) -> Table:
    found: Table = defaultdict(list)
    with ExitStack() as stack:
        ports = {}
        for variant in VARIANTS:
            process, ports[variant] = start(variant, loop, output, 0)
            stack.callback(stop, process)
        for variant in ("bare", "recording"):
            name = f"{variant}, {MANY_ROUTES} routes"
            process, ports[name] = start(variant, loop, output, MANY_ROUTES)
            stack.callback(stop, process)
        turns = [(name, path) for name in ports for path in REQUESTS]
        turns = [turn for turn in turns if "routes" not in turn[0] or turn[1] == "trivial"]
        for name, path in turns:
            one_turn(ports[name], path)  # warm
        for number in range(rounds):
            for name, path in turns if number % 2 == 0 else reversed(turns):
                found[name, path].append(one_turn(ports[name], path))
    return found


def added(found: Table, name: str, path: str, *, to: str = "bare") -> float:
    """Return the median over rounds of what a variant adds, as a share of the bare trivial one."""
    rows = zip(found[name, path], found[to, path], found["bare", "trivial"], strict=True)
    return median(
        (mine.process_us - plain.process_us) / unit.process_us for mine, plain, unit in rows
    )


def report(found: Table, loop: str, rounds: int) -> None:
    print(f"\n{loop}, medians of {rounds} rounds: CPU us per request")
    print(f"{'':30}" + "".join(f"{path:>12}{'added':>9}" for path in REQUESTS))
    unit = median(turn.process_us for turn in found["bare", "trivial"])
    for name in dict.fromkeys(name for name, _ in found):
        line = f"{name:30}"
        for path in REQUESTS:
            turns = found.get((name, path))
            if turns:
                to = f"bare, {MANY_ROUTES} routes" if "routes" in name else "bare"
                line += f"{median(turn.process_us for turn in turns):12.1f}"
                line += f"{added(found, name, path, to=to) * unit:+9.1f}"
        print(line)
    many = f"{MANY_ROUTES} routes"
    trivial = added(found, "recording", "trivial")
    route = (
        added(found, f"recording, {many}", "trivial", to=f"bare, {many}") - trivial
    ) / MANY_ROUTES
    pairs = zip(found["recording", "database"], found["bare", "database"], strict=True)
    p50 = median(mine.p50_s / plain.p50_s - 1.0 for mine, plain in pairs)
    print("recording, as shares of a bare trivial request")
    for what, value, most in (
        ("route", route, 0.001),
        ("p50 of the database endpoint", p50, MOST_OF_P50),
    ):
        print(
            f"  {what:30}{value:8.2%}   at most {most:.2%}: {'met' if value <= most else 'NOT MET'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--loops", default="asyncio,uvloop")
    options = parser.parse_args()
    for loop in options.loops.split(","):
        with tempfile.TemporaryDirectory() as folder:
            report(measure(loop, options.rounds, Path(folder)), loop, options.rounds)


if __name__ == "__main__":
    main()
