"""Record at one load, ask for another, and compare with what it is like.

    python -m benchmarks.fidelity                     # every service, about twenty minutes
    python -m benchmarks.fidelity mixed def_cpu --rounds 8

Two processes of a service on one core take turns with 40 and 75 % of the measured capacity: one is
recorded, the other is the truth, whose arrivals the twin repeats. Everything else runs on other
cores. Printed is twin over live - 1, with what it could be (95 % for all rows together) and what
``fastsim compare`` says at 5 % for mean and p50 and 10 % for p95.
"""

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fidelity.services import SERVICES
from benchmarks.fidelity.serving import serving
from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.client_path import fit_client_overhead
from fastsim.calibrate.selfcheck import replay_recording
from fastsim.collector.launcher import recording_environment
from fastsim.demo.servers import Cores
from fastsim.load.capacity import measure_capacity
from fastsim.load.driver import LoadResult
from fastsim.load.outcome import to_run
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.slices import join
from fastsim.load.traffic_file import Mix, parse_mix
from fastsim.model import ClientPath
from fastsim.result import Comparison
from fastsim.twin import compare
from fastsim.twin.live import LiveSample, simulate_live

RECORDED, ASKED = 0.40, 0.75
RECORDED_S, ASKED_S = 4.0, 6.0
WARM_UP_S = 3.0
TOLERANCE = {"mean": 0.05, "p50": 0.05, "p95": 0.10}
DISTURBED_S = 0.004
COUNTED = {("total", metric) for metric in TOLERANCE}


@dataclass(frozen=True)
class Found:
    """What one service gave."""

    capacity_per_s: float
    comparison: Comparison


def start(name: str, cores: set[int], environment: dict[str, str], stack: ExitStack) -> str:
    """Serve one of the services until the stack is left; return its address."""
    chosen = {**environment, "FIDELITY_SERVICE": name}
    return serving("benchmarks.fidelity.services:app", cores, chosen, stack)


def send(url: str, mix: Mix, rate: float, length_s: float, seed: int) -> LoadResult:
    """Send open-loop traffic; again if the machine had too little time for who sends it."""
    for attempt in range(3):
        plan = draw_schedule(mix, rate_per_s=rate, duration_s=length_s, seed=seed + attempt)
        result = run_load(url, plan)
        late_s = result.sent_s - result.schedule.at_s
        if np.nanquantile(late_s, 0.99) < DISTURBED_S:
            break
    return result


def study(name: str, cores: Cores, *, rounds: int, seed: int, load: float) -> Found:
    """Record, measure, fit, predict."""
    mix = parse_mix(SERVICES[name][1])
    watched: list[LoadResult] = []
    asked: list[LoadResult] = []
    with tempfile.TemporaryDirectory() as folder:
        recordings = [Path(folder) / which for which in ("recorded", "truth")]
        with ExitStack() as stack, cores.use(cores.others):
            plain = dict(os.environ)
            plain["FIDELITY_UPSTREAM"] = start("upstream", cores.others, plain, stack)
            urls = [
                start(name, cores.shop, plain | recording_environment(path), stack)
                for path in recordings
            ]
            send(urls[1], mix, 20.0, 1.0, seed)
            capacity = measure_capacity(urls[1], mix, duration_s=3.0, seed=seed).per_s
            send(urls[0], mix, RECORDED * capacity, WARM_UP_S, seed)
            for number in range(rounds):
                at = seed * 1000 + 10 * number
                watched.append(send(urls[0], mix, RECORDED * capacity, RECORDED_S, at))
                asked.append(send(urls[1], mix, load * capacity, ASKED_S, at))
        requests = read_requests([recordings[0]], skip_first_s=WARM_UP_S)
    model = build_model(requests)
    checked = replay_recording(model, requests)
    recorded = to_run(join(watched))
    overhead = fit_client_overhead(recorded, requests, checked.before_application_s)
    model = model.model_copy(update={"client": ClientPath(overhead=overhead)})
    live = LiveSample.of_run(to_run(join(asked)))
    twin = simulate_live(model.with_recorder(), live, mode="arrival replay", seed=seed, jobs=None)
    found = compare(twin, live, mode="arrival replay", tolerance=TOLERANCE, counting=COUNTED)
    return Found(capacity, found)


def say(name: str, found: Found) -> None:
    """Print what one service gave."""
    print(f"\n{name}: {SERVICES[name][0].__doc__} Capacity {found.capacity_per_s:.0f}/s.")
    for row in found.comparison.rows:
        if row.metric in TOLERANCE and row.error_low is not None and row.error_high is not None:
            print(
                f"  {row.endpoint:<14} {row.metric:<5} live {row.live * 1e3:8.2f} ms  "
                f"twin {row.error:+7.1%} ({row.error_low:+.1%} to {row.error_high:+.1%})  "
                f"{row.verdict}"
            )


def main() -> None:
    """Study some services and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="*", help=f"of {', '.join(SERVICES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load", type=float, default=ASKED, help="share of the capacity")
    asked = parser.parse_args()
    cores = Cores()
    for name in asked.services or SERVICES:
        how = {"rounds": asked.rounds, "seed": asked.seed, "load": asked.load}
        say(name, study(name, cores, **how))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
