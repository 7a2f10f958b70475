"""How much less code costs that ran a moment ago, and what that says about other loads.

Run: python -m benchmarks.recent_code [--rounds 14] [--keep FOLDER]

The example shop on one core, in turns at 15, 40 and 75 % of its capacity, and with 16 requests in
flight (full). Two things predict what a run of a step costs: how long the loop slept of the last 20
ms, and how warm the code still is from when it ran before (``loop.cold``, docs/decisions/0026).

1. CPU of the steps over their means at 40 %, by warmth and load, and by warmth and idleness.
2. What calibration finds in the slices of each load alone, with warmth and by idleness alone, and
   what code takes at the other loads of what it takes there: measured, and foretold by both.
"""

import argparse
import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.build import read_requests
from fastsim.calibrate.code_runs import CodeRuns, code_runs
from fastsim.calibrate.cold import cost_of, fit_cold
from fastsim.calibrate.variants import group_variants
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.capacity import measure_capacity
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import read_traffic_file
from fastsim.model import ColdCost

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LOADS = {"15 %": 0.15, "40 %": 0.4, "75 %": 0.75}
FULL = "full"
SLICE_S, BURST_S = 3.5, 1.5
SETTLE_S = 0.3
"""At the begin of a slice, which does not count."""
WARM = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 1.01)
IDLE = (0.0, 0.15, 0.5, 0.7, 0.85, 1.01)
FEWEST = 40

Times = dict[str, list[tuple[float, float]]]
"""Begin and end of the slices of each load, seconds since the epoch."""


def record(folder: Path, rounds: int) -> Times:
    """Record the shop under the loads in turns."""
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    cores = Cores()
    slices: Times = {name: [] for name in (*LOADS, FULL)}
    with Services(folder, cores) as services:
        url = services.start_shop(folder / "traces", {})
        with cores.use(cores.others):
            capacity = measure_capacity(url, mix, duration_s=3.0, seed=1).per_s
            print(f"the shop saturates at {capacity:.0f}/s with the recorder")

            def send(rate_per_s: float, seed: int) -> None:
                plan = draw_schedule(mix, rate_per_s=rate_per_s, duration_s=SLICE_S, seed=seed)
                run_load(url, plan)

            for number in range(rounds):
                for name, load in LOADS.items():
                    begun = time.time()
                    send(load * capacity, 100 + number)
                    slices[name].append((begun, time.time()))
                begun = time.time()
                measure_capacity(url, mix, duration_s=BURST_S, seed=200 + number)
                slices[FULL].append((begun, time.time()))
        services.stop_shops()
    return slices


def chosen(runs: CodeRuns, which: Flags) -> CodeRuns:
    """Return some of the runs."""
    return CodeRuns(*(getattr(runs, name)[which] for name in CodeRuns.__slots__))


def within(runs: CodeRuns, slices: list[tuple[float, float]], begin_s: float) -> CodeRuns:
    """Return the runs in some slices."""
    found = np.zeros(len(runs), np.bool_)
    for start_s, end_s in slices:
        found |= (runs.at_s >= start_s - begin_s + SETTLE_S) & (runs.at_s < end_s - begin_s)
    return chosen(runs, found)


def means(runs: CodeRuns, steps: int) -> Floats:
    """Return the mean ratio of each step; NaN for those that ran too seldom."""
    count = np.bincount(runs.step, minlength=steps)
    total = np.bincount(runs.step, runs.ratio, minlength=steps)
    return np.where(count >= FEWEST, total / np.maximum(count, 1), np.nan)


def cell(ratio: Floats, which: Flags) -> str:
    """Return a mean and how many it is of; nothing for few."""
    if which.sum() < FEWEST:
        return f"{'-':^13}"
    return f"{ratio[which].mean():.2f} ({which.sum():6d})"


def say_warmth(loads: dict[str, CodeRuns], steps: int) -> None:
    """Print CPU of steps within reach over their means at 40 %, by warmth and load or idleness."""
    known = means(loads["40 %"], steps)
    print("\nCPU over the step's mean at 40 %\n  warm        " + "        ".join(loads))
    ratios = {name: runs.ratio / known[runs.step] for name, runs in loads.items()}
    usable = {
        name: np.isfinite(ratios[name]) & (runs.reached == 1.0) for name, runs in loads.items()
    }
    for low, high in itertools.pairwise(WARM):
        cells = [
            cell(ratios[name], usable[name] & (runs.warm >= low) & (runs.warm < high))
            for name, runs in loads.items()
        ]
        print(f"  {low:.2f}..{min(high, 1.0):.2f}  " + " ".join(cells))
    for name in ("15 %", "75 %"):
        runs = loads[name]
        print(f"at {name}, by idleness: " + ", ".join(f"{a:g}.." for a in IDLE[:-1]))
        for low, high in itertools.pairwise(WARM):
            warm = usable[name] & (runs.warm >= low) & (runs.warm < high)
            cells = [
                cell(ratios[name], warm & (runs.idle >= a) & (runs.idle < b))
                for a, b in itertools.pairwise(IDLE)
            ]
            print(f"  {low:.2f}..{min(high, 1.0):.2f}  " + " ".join(cells))


def change(here: CodeRuns, there: CodeRuns, cpu_s: Floats, law: ColdCost | None) -> float:
    """Return CPU there over CPU here, as measured or by a law, steps weighted by their CPU."""
    steps = len(cpu_s)
    if law is None:
        before, after = means(here, steps), means(there, steps)
    else:
        before, after = (
            means(replace(runs, ratio=cost_of(runs, law)), steps) for runs in (here, there)
        )
    known = np.isfinite(before) & np.isfinite(after)
    weight = (cpu_s * np.bincount(here.step, minlength=steps))[known]
    return float(weight @ (after / np.where(before > 0.0, before, 1.0))[known] / weight.sum())


def say_forecast(loads: dict[str, CodeRuns], cpu_s: Floats) -> None:
    """Print what is found at each load alone, and what that says of the others."""
    for name in LOADS:
        here = loads[name]
        both = fit_cold(here)
        alone = fit_cold(replace(here, warm=np.zeros(len(here))))
        print(
            f"\nfitted at {name}: idleness adds {both.extra:.2f} ({both.error:.2f}), power "
            f"{both.power:.1f}, warmth takes off {both.less:.2f} ({both.less_error:.2f}); by "
            f"idleness alone {alone.extra:.2f} ({alone.error:.2f})"
        )
        for other, there in loads.items():
            if other != name:
                found = [change(here, there, cpu_s, law) for law in (None, both, alone)]
                print(
                    f"  at {other:<5} of that: measured {found[0]:.3f}, foretold {found[1]:.3f}, "
                    f"by idleness alone {found[2]:.3f}"
                )


def step_means_s(runs: CodeRuns) -> Floats:
    """Return the mean CPU of each step: a run's weight times the variance of its step."""
    count = np.bincount(runs.step)
    square = np.bincount(runs.step, (runs.ratio - 1.0) ** 2) / count
    return np.bincount(runs.step, runs.weight) / count * np.maximum(square, 1e-4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--keep", type=Path, help="folder to record into, empty or absent")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if asked.keep is None else asked.keep
        folder.mkdir(parents=True, exist_ok=True)
        slices = record(folder, asked.rounds)
        requests = read_requests([folder / "traces"], skip_first_s=0.0)
    observed = group_variants(requests)
    runs = code_runs(requests, observed)
    begin_s = float(requests.start_ns.min()) / 1e9
    loads = {name: within(runs, times, begin_s) for name, times in slices.items()}
    say_warmth(loads, int(runs.step.max()) + 1)
    say_forecast(loads, step_means_s(runs))


if __name__ == "__main__":
    main()
