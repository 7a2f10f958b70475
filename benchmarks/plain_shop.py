"""How far spans of OpenTelemetry alone carry: the example shop at a load that was not recorded.

    python -m benchmarks.plain_shop               # about three minutes

Two processes of the shop on one core take turns with 40 and 60 % of the measured capacity. The
spans of the first, made by the instrumentations of FastAPI, httpx and SQLAlchemy, are calibrated;
the second is the truth, whose arrivals the twin repeats.
"""

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.fidelity.__main__ import send
from benchmarks.fidelity.serving import serving
from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.client_path import fit_client_overhead
from fastsim.calibrate.selfcheck import replay_recording
from fastsim.demo.servers import EXAMPLES, Cores
from fastsim.load.capacity import measure_capacity
from fastsim.load.driver import LoadResult
from fastsim.load.outcome import to_run
from fastsim.load.slices import join
from fastsim.load.traffic_file import read_traffic_file
from fastsim.model import ClientPath, ServiceModel
from fastsim.result import Comparison
from fastsim.twin import compare
from fastsim.twin.live import LiveSample, simulate_live

RECORDED_S, ASKED_S, WARM_UP_S = 6.0, 6.0, 3.0
TOLERANCE = {"p50": 0.15, "p95": 0.25}


def cpu_s(pid: Path) -> float:
    """Return the CPU that a process has used, seconds: what metrics of a container say."""
    fields = Path(f"/proc/{pid.read_text()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Record, measure, fit, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recorded", type=float, default=0.4, help="share of the capacity")
    parser.add_argument("--asked", type=float, default=0.6, help="share of the capacity")
    parser.add_argument("--keep", type=Path, help="copy of the spans of the first process")
    asked = parser.parse_args()
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    cores = Cores()
    watched: list[LoadResult] = []
    measured: list[LoadResult] = []
    with tempfile.TemporaryDirectory() as folder:
        with ExitStack() as stack, cores.use(cores.others):
            plain = dict(os.environ) | {"PYTHONPATH": str(EXAMPLES)}
            catalog = serving("catalog.app:app", cores.others, plain, stack)
            llm = serving("llm.app:app", cores.others, plain, stack)
            plain |= {
                "SHOP_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/shop.sqlite3",
                "SHOP_CATALOG_URL": catalog,
                "SHOP_LLM_URL": f"{llm}/v1",
            }
            urls = [
                serving(
                    "benchmarks.plain_app:app",
                    cores.shop,
                    plain | {"PLAIN_TRACES": f"{folder}/{which}.jsonl"},
                    stack,
                )
                for which in ("recorded", "truth")
            ]
            send(urls[1], mix, 20.0, 1.0, asked.seed)
            capacity = measure_capacity(urls[1], mix, duration_s=4.0, seed=asked.seed).per_s
            send(urls[0], mix, asked.recorded * capacity, WARM_UP_S, asked.seed)
            spent_s = 0.0
            for number in range(asked.rounds):
                at = asked.seed * 1000 + 10 * number
                begun_s = cpu_s(Path(folder) / "recorded.pid")
                watched.append(send(urls[0], mix, asked.recorded * capacity, RECORDED_S, at))
                spent_s += cpu_s(Path(folder) / "recorded.pid") - begun_s
                measured.append(send(urls[1], mix, asked.asked * capacity, ASKED_S, at))
        traces = Path(folder) / "recorded.jsonl"
        if asked.keep is not None:
            asked.keep.write_bytes(traces.read_bytes())
        requests = read_requests([traces], skip_first_s=WARM_UP_S)
    # As a share of the time with requests: slices of other loads lie between.
    busy = spent_s / (asked.rounds * RECORDED_S)
    print(f"capacity {capacity:.0f}/s, CPU {busy:.0%} when recorded")
    live = LiveSample.of_run(to_run(join(measured)))
    for said, known in (("spans alone", None), ("spans and the CPU of the process", busy)):
        model = build_model(requests, busy=known)
        checked = replay_recording(model, requests)
        overhead = fit_client_overhead(
            to_run(join(watched)), requests, checked.before_application_s
        )
        model = model.model_copy(update={"client": ClientPath(overhead=overhead)})
        twin = simulate_live(model, live, mode="arrival replay", seed=asked.seed, jobs=None)
        say(said, model, compare(twin, live, mode="arrival replay", tolerance=TOLERANCE))


def say(what: str, model: ServiceModel, found: Comparison) -> None:
    """Print what a model rests on, and how it compares."""
    print(f"\n{what}: {found.verdict}")
    for warning in model.warnings:
        print(f"  {warning}")
    for row in found.rows:
        if row.metric in TOLERANCE and row.error_low is not None and row.error_high is not None:
            print(
                f"  {row.endpoint:<28} {row.metric:<4} live {row.live * 1e3:8.2f} ms  "
                f"twin {row.error:+7.1%} ({row.error_low:+.1%} to {row.error_high:+.1%})  "
                f"{row.verdict}"
            )


if __name__ == "__main__":
    main()
