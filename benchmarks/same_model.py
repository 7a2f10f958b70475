"""Is it the same service, whatever part of it is recorded, on how many processes and which loop?

Run: python -m benchmarks.same_model [--service semaphore] [--rounds 4] [--share 0.4]

One service, started several times on one core and recorded in turns of a few seconds at the same
rate: all requests and one in ten, one process and four, asyncio and uvloop. Models of the same
service should agree: in how often it was asked, in the code and the waits of a request, and in what
the loop adds. Printed beside them is how many of their steps differ from the first model for sure
(``fastsim calibrate --diff``; false alarms in 5 % for all steps together).
"""

import argparse
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fidelity.__main__ import send
from benchmarks.fidelity.services import SERVICES
from benchmarks.fidelity.serving import serving
from fastsim import spans
from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.growth import per_request_s
from fastsim.calibrate.model_diff import diff_models
from fastsim.calibrate.requests import RequestSet
from fastsim.collector.launcher import recording_environment
from fastsim.demo.servers import Cores
from fastsim.distributions import mean
from fastsim.load.capacity import measure_capacity
from fastsim.load.traffic_file import parse_mix
from fastsim.means import times_run
from fastsim.model import CpuStep, ServiceModel, WaitStep

SLICE_S, WARM_UP_S = 5.0, 3.0


@dataclass(frozen=True)
class Way:
    """One way to run and record the service."""

    name: str
    sample: float = 1.0
    workers: int = 1
    loop: str = "asyncio"


WAYS = (
    Way("all, 1 process, asyncio"),
    Way("the same once more"),
    Way("1 in 10", sample=0.1),
    Way("4 processes", workers=4),
    Way("uvloop", loop="uvloop"),
    Way("uvloop, 1 in 10", sample=0.1, loop="uvloop"),
)


def record(name: str, folder: Path, rounds: int, share: float) -> float:
    """Record the service in every way, in turns; return the rate at which it was asked."""
    cores, mix = Cores(), parse_mix(SERVICES[name][1])
    with ExitStack() as stack, cores.use(cores.others):
        plain = dict(os.environ)
        plain["FIDELITY_UPSTREAM"] = serving(
            "benchmarks.fidelity.services:app",
            cores.others,
            {**plain, "FIDELITY_SERVICE": "upstream"},
            stack,
        )
        plain["FIDELITY_SERVICE"] = name
        urls = {
            way: serving(
                "benchmarks.fidelity.services:app",
                cores.shop,
                plain | recording_environment(folder / way.name, sample_ratio=way.sample),
                stack,
                *("--loop", way.loop, "--workers", str(way.workers)),
            )
            for way in WAYS
        }
        send(urls[WAYS[0]], mix, 20.0, 1.0, 1)
        capacity = measure_capacity(urls[WAYS[0]], mix, duration_s=3.0, seed=1).per_s
        rate = share * capacity
        for way in WAYS:
            send(urls[way], mix, rate, WARM_UP_S, 2)
        for number in range(rounds):
            for way in WAYS if number % 2 else reversed(WAYS):
                send(urls[way], mix, rate, SLICE_S, 100 + number)
    return rate


def code_and_waits_s(model: ServiceModel) -> tuple[float, float]:
    """Return the code on the loop and the waits of a request, in the mean, seconds."""
    code_s = waits_s = 0.0
    for endpoint in model.endpoints:
        for variant in endpoint.variants:
            for times, step in times_run(variant.steps, endpoint.share * variant.share):
                if isinstance(step, CpuStep):
                    code_s += times * mean(step.time)
                elif isinstance(step, WaitStep):
                    waits_s += times * mean(step.time)
    return code_s, waits_s


def say(way: Way, requests: RequestSet, model: ServiceModel, first: ServiceModel) -> None:
    """Print what one way gave."""
    code_s, waits_s = code_and_waits_s(model)
    cpu_s = per_request_s(requests, spans.PROCESS_CPU_NS) or 0.0
    loop, found = model.loop, diff_models(first, model)
    rate = 0.0 if model.traffic is None else model.traffic.rate
    adds_us = 1e6 * (loop.accept + loop.per_pass + loop.per_event)
    print(
        f"{way.name:<24} {len(requests):6} {rate:7.1f} {model.process.workers:3}  "
        f"{code_s * 1e3:6.3f} {cpu_s * 1e3:7.3f} {waits_s * 1e3:7.2f} {adds_us:6.0f}  "
        f"{loop.cold.extra:5.2f} ({loop.cold.error:.2f})  {len(found.drifts)} of {found.compared}"
    )
    for drift in found.drifts[:4]:
        error = 0.0 if drift.error is None else drift.error
        print(f"    {drift.step} {drift.what}: {drift.ratio - 1.0:+.1%} (±{error:.1%})")


def main() -> None:
    """Record in every way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", choices=sorted(SERVICES), default="semaphore")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.4, help="of the capacity")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rate = record(asked.service, Path(folder), asked.rounds, asked.share)
        recorded = {
            way: read_requests([Path(folder) / way.name], skip_first_s=WARM_UP_S) for way in WAYS
        }
    models = {way: build_model(requests) for way, requests in recorded.items()}
    print(f"{asked.service}, asked {rate:.1f} times a second; per request, ms (loop adds: us)\n")
    print(
        f"{'':24} {'spans':>6} {'rate':>7} {'p':>3}  {'code':>6} {'all CPU':>7} {'waits':>7} "
        f"{'adds':>6}  cold         differ"
    )
    for way, requests in recorded.items():
        say(way, requests, models[way], models[WAYS[0]])


if __name__ == "__main__":
    main()
