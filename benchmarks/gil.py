"""The GIL between an event loop and its threads: CPython as it runs here against the twin.

    python -m benchmarks.gil                 # about four minutes; the machine should be quiet

One process, no network: a pipe brings requests at Poisson moments to an event loop, which serves
them in FastAPI's way (``anyio.to_thread``), on one core and on two. Loads are shares of what a
request costs. The twin is given the laws that were drawn from, with the CPU that the code took;
printed is twin over live - 1 of mean, median and p95, medians of the rounds, which take turns.
"""

import argparse
import asyncio
import json
import math
import os
import random
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

import anyio.to_thread
import numpy as np

from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin import forecast_run
from fastsim.yaml_source import parse_yaml

TURNS_PER_MS = 9_000
LENGTH_S = 8.0
SIGMA = 0.3
MOMENT = struct.Struct("d")

CASES = {
    "def, code": {"def": 1.0, "wait_ms": 0.0, "code_ms": 2.0},
    "def, waits": {"def": 1.0, "wait_ms": 15.0, "code_ms": 0.3},
    "def beside async": {"def": 0.5, "wait_ms": 5.0, "code_ms": 1.0},
}
THREADED = 1.9
"""How much more than an async one a request in a thread costs beside its own code."""
ASYNC_WAIT_MS, ASYNC_CODE_MS = 10.0, 0.7


# --- live: runs in a process of its own ---------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What one run gave; times in seconds, means."""

    rate: float
    latency_s: dict[str, list[float]]
    """By kind of request."""
    thread_s: float
    loop_s: float
    """CPU of the requests' own code, in threads and on the loop."""
    other_s: float
    """CPU of a request beside its own code."""


class Spent:
    """CPU that the requests' own code took."""

    def __init__(self) -> None:
        self.thread_s: list[float] = []
        self.loop_s: list[float] = []


def work(ms: float, into: list[float]) -> None:
    """Run code of a lognormal length and note its CPU."""
    began = time.thread_time()
    total = 0.0
    for turn in range(int(random.lognormvariate(-(SIGMA**2) / 2.0, SIGMA) * ms * TURNS_PER_MS)):
        total += turn * 0.5
    into.append(time.thread_time() - began)


def a_while(ms: float) -> float:
    """Draw a time to wait, seconds."""
    return random.gammavariate(4.0, ms / 4e3) if ms else 0.0


async def live(case: dict[str, float]) -> dict[str, object]:
    """Serve the requests that standard input brings and return what became of them."""
    loop, spent = asyncio.get_running_loop(), Spent()
    latency_s: dict[str, list[float]] = {"def": [], "async": []}

    def in_a_thread() -> None:
        if case["wait_ms"]:
            time.sleep(a_while(case["wait_ms"]))
        work(case["code_ms"], spent.thread_s)

    async def request(kind: str, due: float) -> None:
        if kind == "def":
            await anyio.to_thread.run_sync(in_a_thread)
        else:
            await asyncio.sleep(a_while(ASYNC_WAIT_MS))
            work(ASYNC_CODE_MS, spent.loop_s)
        latency_s[kind].append(loop.time() - due)

    tasks: set[asyncio.Task[None]] = set()

    over = asyncio.Event()

    def arrive() -> None:
        moments = os.read(sys.stdin.fileno(), MOMENT.size)
        if not moments:
            loop.remove_reader(sys.stdin)
            over.set()
            return
        kind = "def" if random.random() < case["def"] else "async"
        task = loop.create_task(request(kind, *MOMENT.unpack(moments)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_reader(sys.stdin, arrive)
    began = time.process_time()
    await over.wait()
    while tasks:
        await asyncio.wait(tasks)
    busy_s = time.process_time() - began
    requests = sum(map(len, latency_s.values()))
    own_s = sum(spent.thread_s) + sum(spent.loop_s)
    return {
        "latency_s": latency_s,
        "thread_s": float(np.mean(spent.thread_s)) if spent.thread_s else 0.0,
        "loop_s": float(np.mean(spent.loop_s)) if spent.loop_s else 0.0,
        "other_s": max(busy_s - own_s, 0.0) / requests,
    }


def measure(name: str, rate: float, cores: set[int]) -> Measured:
    """Run one case in a process of its own on some cores."""
    command = [sys.executable, "-m", "benchmarks.gil", "--live", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        os.sched_setaffinity(process.pid, cores)
        time.sleep(1.5)  # it imports
        sent, due = 0, time.monotonic()
        end = due + LENGTH_S
        while due < end:
            time.sleep(max(due - time.monotonic(), 0.0))
            os.write(process.stdin.fileno(), MOMENT.pack(time.monotonic()))
            sent += 1
            due += random.expovariate(rate)
        process.stdin.close()
        return Measured(rate=sent / LENGTH_S, **json.loads(process.stdout.read()))


# --- the twin -----------------------------------------------------------------------------------


def model(name: str, measured: Measured, cores: int) -> ServiceModel:
    """Return the same service for the twin; what else a request costs is code on the loop."""
    case = CASES[name]
    each_s = measured.other_s / (case["def"] * THREADED + 1.0 - case["def"])
    other_s = {"def": THREADED * each_s, "async": each_s}

    def code(mean_s: float) -> str:
        median = mean_s * math.exp(-(SIGMA**2) / 2.0)
        return f"{{lognorm: {{median: {median * 1e3:.6f}ms, sigma: {SIGMA}}}}}"

    def other(kind: str) -> str:
        return f"cpu: {other_s[kind] * 1e6:.3f}us"

    waits = f"sleep: {{gamma: {{mean: {case['wait_ms']}ms, shape: 4}}}}, "
    inside = (waits if case["wait_ms"] else "") + f"cpu: {code(measured.thread_s)}"
    text = f"""\
version: 1
loop: {{}}
process: {{cores: {cores}}}
endpoints:
  GET /def: {{share: {case["def"]:.0%}, steps: [{other("def")}, thread: [{inside}]]}}
"""
    if case["def"] < 1.0:
        own = f"sleep: {{gamma: {{mean: {ASYNC_WAIT_MS}ms, shape: 4}}}}, cpu: "
        text += f"  GET /async: [{other('async')}, {own}{code(measured.loop_s)}]\n"
    return parse_yaml(text, ServiceModel)


def errors(name: str, measured: Measured, cores: int) -> dict[str, list[float]]:
    """Return twin over live - 1 by kind of request: mean, median, p95."""
    run, _ = forecast_run(
        model(name, measured, cores),
        traffic=TrafficPlan(rate=measured.rate, duration=30.0, warmup=1.0),
        deployment=Deployment(),
        replications=2,
    )
    found = {}
    for kind, values in measured.latency_s.items():
        if values:
            seen = run.endpoints[f"GET /{kind}"].latency
            assert seen is not None  # noqa: S101
            twin = [seen.mean.value, seen.p50.value, seen.p95.value]
            truth = [np.mean(values), *np.quantile(values, (0.5, 0.95))]
            found[kind] = [a / float(b) - 1.0 for a, b in zip(twin, truth, strict=True)]
    return found


def main() -> None:
    """Measure and compare all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--live", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.live:
        print(json.dumps(asyncio.run(live(CASES[asked.live]))))
        return
    available = sorted(os.sched_getaffinity(0))
    for name in CASES:
        trial = measure(name, 100.0, set(available[:1]))
        part = CASES[name]["def"]
        cost_s = trial.other_s + part * trial.thread_s + (1.0 - part) * trial.loop_s
        table: dict[tuple[int, float, str], list[list[float]]] = {}
        for _ in range(asked.rounds):
            for load in (0.4, 0.7):
                for count in (1, 2)[: len(available)]:
                    measured = measure(name, load / cost_s, set(available[:count]))
                    for kind, values in errors(name, measured, count).items():
                        table.setdefault((count, load, kind), []).append(values)
        print(f"\n{name}: {1e3 * cost_s:.2f} ms of CPU a request")
        for (count, load, kind), rows in sorted(table.items()):
            mean, p50, p95 = np.median(rows, axis=0)
            spread = np.ptp([row[0] for row in rows])
            print(
                f"  {count} core{'s' * (count > 1):<2} {load:.0%} {kind:<6} "
                f"mean {mean:+6.1%}  p50 {p50:+6.1%}  p95 {p95:+6.1%}   (mean differs by "
                f"{spread:.0%} between rounds)"
            )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
