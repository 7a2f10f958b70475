"""What FastAPI and uvicorn cost a request that does nothing: the costs of a model by hand.

Run: python benchmarks/default_costs.py [--rounds 3]

Two endpoints on one core: one answers at once, one waits three times for a timer first. Printed is
the CPU of the service per request, where it is saturated and where it is hardly used, and what a
wait adds. ``fastsim.short_forms`` gives a model without a ``loop`` the costs at saturation, and
idleness what they were more at the low load.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from fastsim.demo.servers import free_port
from fastsim.load.capacity import measure_capacity
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import parse_mix

APP = """
import asyncio
from fastapi import FastAPI

app = FastAPI()


@app.get("/now")
async def now():
    return {"ok": True}


@app.get("/later")
async def later():
    for _ in range(3):
        await asyncio.sleep(0.004)
    return {"ok": True}
"""
WAITS = 3
LOW = 0.1
"""Part of the capacity at which the loop sleeps most of the time."""


def cpu_s(pid: int) -> float:
    """Return the CPU that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path) -> dict[str, float]:
    """Return CPU per request, seconds, by endpoint and load."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "error"],
        cwd=folder,
    )
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(server.pid, cores[-1:])
    os.sched_setaffinity(0, cores[:1])
    found = {}
    try:
        time.sleep(3.0)
        url = f"http://127.0.0.1:{port}"
        for path in ("/now", "/later"):
            mix = parse_mix(f"GET {path}=100%")
            capacity = measure_capacity(url, mix, duration_s=1.0, seed=1).per_s
            for name, rate in (("busy", 2.0 * capacity), ("hardly used", LOW * capacity)):
                schedule = draw_schedule(mix, rate_per_s=rate, duration_s=4000.0 / rate, seed=1)
                before = cpu_s(server.pid)
                result = run_load(url, schedule, timeout_s=120.0, connections=100)
                found[f"{path}, {name}"] = (cpu_s(server.pid) - before) / len(result.done_s)
    finally:
        server.terminate()
        server.wait(30)
        os.sched_setaffinity(0, cores)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "app.py").write_text(APP)
        runs = [measure(Path(name)) for _ in range(rounds)]
    print("Microseconds per request, each round, and the median")
    for run in runs:
        run["a wait, busy"] = (run["/later, busy"] - run["/now, busy"]) / WAITS
    for what in runs[0]:
        values = [run[what] * 1e6 for run in runs]
        cells = "".join(f"{value:9.3g}" for value in values)
        print(f"  {what:22}{cells}{median(values):10.3g}")


if __name__ == "__main__":
    main()
