"""How well a recording predicts the service without the recorder.

Run: python benchmarks/unrecorded.py [--rounds 4]

Two shops on one core take turns: one is recorded at 40 % of its capacity, the other runs without
the recorder at the same load and at 70 %. The twin repeats the arrivals of the bare shop, once with
what recording cost taken out (as forecasts are), once with it; printed is twin over live - 1 of the
latency of all requests, and how much slower the recorded shop itself was.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.client_path import fit_client_overhead
from fastsim.calibrate.selfcheck import replay_recording
from fastsim.collector.destination import ENV_OUTPUT
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.capacity import measure_capacity
from fastsim.load.driver import LoadResult
from fastsim.load.outcome import to_run
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.slices import join
from fastsim.load.traffic_file import Mix, read_traffic_file
from fastsim.model import ClientPath
from fastsim.twin.live import LiveSample, simulate_live

SLICE_S = 4.0
WARM_UP_S = 3.0


def send(url: str, mix: Mix, rate: float, length_s: float, seed: int) -> LoadResult:
    return run_load(url, draw_schedule(mix, rate_per_s=rate, duration_s=length_s, seed=seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    cores = Cores()
    with tempfile.TemporaryDirectory() as folder:
        directory, recording = Path(folder), Path(folder) / "recording"
        slices: dict[str, list[LoadResult]] = {"recorded": [], "bare, 40 %": [], "bare, 70 %": []}
        with Services(directory, cores) as services:
            watched = services.start_shop(recording, {})
            bare = services.start_shop(recording, {ENV_OUTPUT: ""})
            with cores.use(cores.others):
                capacity = measure_capacity(bare, mix, duration_s=3.0, seed=1).per_s
                send(watched, mix, 0.4 * capacity, WARM_UP_S, 2)
                for number in range(rounds):
                    for name, url, load in (
                        ("recorded", watched, 0.4),
                        ("bare, 40 %", bare, 0.4),
                        ("bare, 70 %", bare, 0.7),
                    ):
                        found = send(url, mix, load * capacity, SLICE_S, 100 + number)
                        slices[name].append(found)
            services.stop_shops()
        runs = {name: to_run(join(results)) for name, results in slices.items()}
        requests = read_requests([recording], skip_first_s=WARM_UP_S)
        model = build_model(requests)
        check = replay_recording(model, requests)
        overhead = fit_client_overhead(runs["recorded"], requests, check.before_application_s)
        model = model.model_copy(update={"client": ClientPath(overhead=overhead)})
    recorder = model.loop.recorder
    print(f"{len(requests)} requests recorded; the shop saturates at {capacity:.0f}/s without it")
    print(f"recording cost {recorder.accept * 1e6:.0f} us a request and", end=" ")
    print(f"{(recorder.per_suspend + recorder.per_event) * 1e6:.0f} us a wait")
    print(
        f"\n{'':14}{'live p50':>10}{'without':>10}{'with':>8}"
        f"{'live p95':>12}{'without':>10}{'with':>8}"
    )
    for name, run in runs.items():
        live = replace(LiveSample.of_run(run), recorded=False)
        latency = live.latency_s[live.measured]
        line = f"{name:14}"
        for share in (0.5, 0.95):
            value = float(np.quantile(latency, share))
            line += f"{value * 1e3:8.1f}ms"
            for each in (model, model.with_recorder()):
                twin = simulate_live(each, live, mode="arrival replay", replications=20)
                error = float(np.quantile(twin.pooled_s(None), share)) / value - 1.0
                line += f"{error:+9.0%}"
        print(line)


if __name__ == "__main__":
    main()
