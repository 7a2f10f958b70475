"""How much less code costs that ran a moment ago, and what that says about other loads.

Run: python benchmarks/recent_code.py [--rounds 5]

The example shop on one core, in turns at 40 % of its capacity, at 75 %, and with 16 requests in
flight (full). Two things predict what a run of a step costs: how long the loop slept of the last 20
ms (``loop.cold``, in every model), and how long ago the same step ran (``age``, in no model;
docs/decisions/0022).

1. CPU of the steps over their means, by age and by the idle share, at both loads.
2. The law ``1 - less * exp(-age / memory)``, fitted to the slices at 40 % alone, within windows of
   0.2 s, beside that of the idle share.
3. What code takes at 75 % and when full, of what it takes at 40 %: measured, foretold by idleness
   alone, and foretold with age.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.build import read_requests
from fastsim.calibrate.code_runs import code_runs as runs_for_cold
from fastsim.calibrate.cold import fit_cold
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import group_variants
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.capacity import measure_capacity
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import read_traffic_file

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LOADS = {"at 40 %": 0.4, "at 75 %": 0.75}
FULL = "full"
SLICE_S, BURST_S = 3.5, 1.5
LENGTHS_US = (20, 300, 1000, 100_000)
AGES_MS = (0, 1, 3, 10, 30, 100, 300, 1e6)
IDLE = (0.0, 0.1, 0.3, 0.6, 1.01)
MEMORIES_MS = (0.7, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0)
WINDOW_S = 0.2
FEWEST = 40

Times = dict[str, list[tuple[float, float]]]
"""Begin and end of the slices of each load, seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of code, one entry each."""

    at_s: Floats
    step: Floats
    cpu_s: Floats
    mean_s: Floats
    """Of the step."""
    idle: Floats
    age_s: Floats

    def of(self, chosen: Flags) -> "Runs":
        """Return some of them."""
        return Runs(*(getattr(self, name)[chosen] for name in self.__slots__))

    def within(self, slices: list[tuple[float, float]]) -> "Runs":
        """Return those in some slices."""
        found = np.zeros(len(self.at_s), np.bool_)
        for begin_s, end_s in slices:
            found |= (self.at_s >= begin_s) & (self.at_s < end_s)
        return self.of(found)


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


def code_runs(requests: RequestSet) -> Runs:
    """Return the runs of all steps that ran often enough, without wild ones."""
    columns: list[Floats] = []
    for variant in (v for each in group_variants(requests) for v in each.variants if not v.pooled):
        for steps, rows in variant.columns():
            if steps[0].do != "cpu" or len(steps) < FEWEST:
                continue
            cpu, idle, start = (
                np.array([getattr(step, what) for step in steps])
                for what in ("cpu_s", "idle_share", "start_s")
            )
            at_s = requests.start_ns[list(rows)] / 1e9 + start
            order = np.argsort(at_s)
            at_s, cpu, idle = at_s[order], cpu[order], idle[order]
            age_s = np.diff(at_s, prepend=-np.inf)
            tame = cpu < 3.0 * np.median(cpu)
            mean = np.full(len(cpu), cpu[tame].mean())
            number = np.full(len(cpu), float(len(columns)))
            columns.append(np.stack([at_s, number, cpu, mean, idle, age_s])[:, tame])
    return Runs(*np.concatenate(columns, axis=1))


def say_ages(runs: Runs, slices: Times) -> None:
    """Print CPU over the mean of the step by age and idle share."""
    for low, high in itertools.pairwise(LENGTHS_US):
        long = runs.of((runs.mean_s * 1e6 >= low) & (runs.mean_s * 1e6 < high))
        print(f"\nsteps of {low} to {high} us: CPU over the step's mean at that load")
        print(
            "  last ran        "
            + "".join(f"idle {a:.1f}-{min(b, 1):.1f}  " for a, b in itertools.pairwise(IDLE))
        )
        for name in LOADS:
            part = long.within(slices[name])
            ratio = part.cpu_s / means_of(part)
            for begin, end in itertools.pairwise(AGES_MS):
                aged = (part.age_s * 1e3 >= begin) & (part.age_s * 1e3 < end)
                cells = [
                    cell(ratio, part.mean_s, aged & (part.idle >= a) & (part.idle < b))
                    for a, b in itertools.pairwise(IDLE)
                ]
                text = f"< {end:g} ms" if end < 1e6 else "longer ago"
                print(f"  {text:<11}{name}  {'   '.join(cells)}")


def cell(ratio: Floats, weight: Floats, chosen: Flags) -> str:
    """Return a weighted mean and how many it is of; nothing for few."""
    if chosen.sum() < FEWEST:
        return f"{'-':^11}"
    return f"{np.average(ratio[chosen], weights=weight[chosen]):.2f} ({chosen.sum():4d})"


def means_of(runs: Runs) -> Floats:
    """Return the mean CPU of each run's step among these runs."""
    _, step = np.unique(runs.step, return_inverse=True)
    return np.asarray((np.bincount(step, runs.cpu_s) / np.bincount(step))[step])


def fit(runs: Runs, reached: Floats) -> tuple[float, float, float]:
    """Return what idleness adds, what having run just now takes off, and its memory, seconds."""
    ratio = runs.cpu_s / means_of(runs)
    groups = [
        np.unique(each, return_inverse=True)[1]
        for each in (runs.step, np.floor(runs.at_s / WINDOW_S))
    ]
    weight = runs.mean_s

    def within(values: Floats) -> Floats:
        for _ in range(4):
            for group in groups:
                total = np.bincount(group, weight)
                values = values - (np.bincount(group, weight * values) / total)[group]
        return values

    left, idle = within(ratio), within(runs.idle**3 * reached)
    best = (np.inf, 0.0, 0.0, 0.0)
    for memory_ms in MEMORIES_MS:
        recent = within(np.exp(-runs.age_s * 1e3 / memory_ms))
        design = np.stack([idle, -recent], axis=1)
        root = np.sqrt(weight)
        found, *_ = np.linalg.lstsq(design * root[:, None], left * root, rcond=None)
        squares = float(weight @ (left - design @ found) ** 2)
        best = min(best, (squares, float(found[0]), float(found[1]), memory_ms / 1e3))
    return best[1:]


def say_forecast(requests: RequestSet, runs: Runs, slices: Times) -> None:
    """Print the laws fitted to the lowest load and what they say of the others."""
    low = runs.within(slices["at 40 %"])
    reach_s = 0.0005
    extra, less, memory_s = fit(low, np.minimum(reach_s / low.mean_s, 1.0))
    print(
        f"\nat 40 % alone: idleness adds {extra:.2f}; code that just ran costs {less:.2f} less, "
        f"forgotten within {memory_s * 1e3:g} ms"
    )
    begin_s = float(requests.start_ns.min()) / 1e9
    all_runs = runs_for_cold(requests, group_variants(requests))
    quiet = Runs(*[all_runs.at_s + begin_s] * 6).within(slices["at 40 %"])
    chosen = np.isin(all_runs.at_s + begin_s, quiet.at_s)
    names = type(all_runs).__slots__
    cold = fit_cold(type(all_runs)(*(getattr(all_runs, name)[chosen] for name in names)))
    print(f"(a model has {cold.extra:.2f} for idleness, power {cold.power:g})")

    def alone(part: Runs) -> Floats:
        reached = np.minimum(cold.reach / part.mean_s, 1.0)
        return 1.0 + cold.extra * part.idle**cold.power * reached

    def both(part: Runs) -> Floats:
        reached = np.minimum(reach_s / part.mean_s, 1.0)
        recent = np.exp(-part.age_s / memory_s)
        return np.asarray((1.0 + extra * part.idle**3 * reached) * (1.0 - less * recent))

    print("\ncode takes, of what it takes at 40 %:   measured   by idleness   with age")
    for low_us, high_us in itertools.pairwise(LENGTHS_US):
        of_length = (runs.mean_s * 1e6 >= low_us) & (runs.mean_s * 1e6 < high_us)
        for name in ("at 75 %", FULL):
            there, here = runs.of(of_length).within(slices[name]), low
            both_known = set(there.step.tolist()) & set(here.step.tolist())
            print(
                f"  steps of {low_us:4} to {high_us:6} us, {name:<8}      "
                f"{change(here, there, both_known, None):.2f}        "
                f"{change(here, there, both_known, alone):.2f}          "
                f"{change(here, there, both_known, both):.2f}"
            )


def change(
    here: Runs, there: Runs, steps: set[float], law: Callable[[Runs], Floats] | None
) -> float:
    """Return CPU there over CPU here, as measured or by a law, steps weighted by their CPU."""
    before = after = 0.0
    for step in steps:
        first, second = here.of(here.step == step), there.of(there.step == step)
        mean_s = float(first.cpu_s.mean())
        before += mean_s
        if law is None:
            after += float(second.cpu_s.mean())
        else:
            after += mean_s * float(law(second).mean() / law(first).mean())
    return after / before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        slices = record(Path(folder), asked.rounds)
        requests = read_requests([Path(folder) / "traces"], skip_first_s=0.0)
    runs = code_runs(requests)
    say_ages(runs, slices)
    say_forecast(requests, runs, slices)


if __name__ == "__main__":
    main()
