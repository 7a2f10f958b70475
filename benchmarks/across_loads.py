"""What a recording at one load says about another, quantity by quantity.

Run: python benchmarks/across_loads.py [--rounds 6] [--low 0.4] [--high 0.75]

Two processes of the example shop on one core, each recorded at 40 and at 75 % of the capacity in
turns of 4 s. Slices of one load are taken for a recording of their own; the other load is the truth
(docs/decisions/0011 to 0013, 0020 and 0023). Process B gets the same load at 20, 40 and 60 %
in turns of 0.35 s.

1. What idleness costs (``loop.cold.extra``), as the same code shows over both loads, as the fit
   finds it at 40 %, and as arrivals of the last 20 to 300 ms tell it; and what each says of 75 %.
2. What idleness adds to steps by their length.
3. What the loop's costs and losses are at each load, and what windows of 0.25 s would find.
4. What all code takes at the higher load, of what it takes at the lower: truth and forecast.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt

from fastsim import spans
from fastsim.calibrate import code_runs as code_runs_module
from fastsim.calibrate import loop_windows as loop_windows_module
from fastsim.calibrate.build import read_requests
from fastsim.calibrate.code_runs import CodeRuns, code_runs
from fastsim.calibrate.cold import (
    WINDOW_S,
    Told,
    cold_factor,
    fit_cold,
    groups_of,
    on_a_busy_loop,
)
from fastsim.calibrate.growth import per_request_s
from fastsim.calibrate.loop_costs import fit_overhead
from fastsim.calibrate.loop_windows import LoopWindows, loop_windows, stolen_per_request_s
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import group_variants
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.capacity import measure_capacity
from fastsim.load.course import Course, course_of
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import read_traffic_file
from fastsim.model import ColdCost
from fastsim.phases import Level, Phase

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

LOADS = (0.4, 0.75)
PROCESSES = "AB"
VARIED = {"B": (0.5, 1.0, 1.5)}
"""Processes whose lower load goes up and down, and how many times the mean it is."""
VARIED_S = 0.35
SLICE_S = 4.0
WARM_UP_S = 3.0
MEMORIES_S = (0.02, 0.05, 0.1, 0.2, 0.3)
LENGTHS_US = (0, 20, 50, 100, 200, 400, 600, 1000, 10_000)
POWER = ColdCost().power

Slices = dict[tuple[str, float], list[tuple[float, float]]]
"""By process and load: begin and end, seconds since the epoch."""


def record(folder: Path, rounds: int) -> Slices:
    """Record both processes at both loads."""
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    cores = Cores()
    slices: Slices = {(name, load): [] for name in PROCESSES for load in LOADS}
    with Services(folder, cores) as services:
        urls = {name: services.start_shop(folder / name, {}) for name in PROCESSES}
        with cores.use(cores.others):
            capacity = measure_capacity(urls["A"], mix, duration_s=4.0, seed=1).per_s
            print(f"the shop saturates at {capacity:.0f}/s with the recorder")

            def send(name: str, load: float, length_s: float, seed: int) -> tuple[float, float]:
                rate = load * capacity
                varied = VARIED.get(name) if load == LOADS[0] else None
                course = None if varied is None else going_up_and_down(varied, length_s)
                plan = draw_schedule(
                    mix, rate_per_s=rate, duration_s=length_s, seed=seed, course=course
                )
                begun = time.time()
                run_load(urls[name], plan)
                return begun, time.time()

            for name in PROCESSES:
                send(name, LOADS[0], WARM_UP_S, 2)
            for number in range(rounds):
                for name, load in slices if number % 2 else reversed(slices):
                    slices[name, load].append(send(name, load, SLICE_S, 100 + number))
        services.stop_shops()
    return slices


def going_up_and_down(levels: Sequence[float], length_s: float) -> Course:
    """Return levels of the rate that take turns, about ``VARIED_S`` each."""
    rounds = max(1, round(length_s / VARIED_S / len(levels)))
    each_s = length_s / rounds / len(levels)
    phases = [Phase(length=each_s, rate=Level(x, x, relative=True)) for x in levels] * rounds
    course, _ = course_of(phases, 1.0)
    return course


def within(at_s: npt.NDArray[np.float64], slices: list[tuple[float, float]]) -> Mask:
    """Tell which moments lie in the slices."""
    found: Mask = np.zeros(len(at_s), np.bool_)
    for begin_s, end_s in slices:
        found |= (at_s >= begin_s) & (at_s < end_s)
    return found


def only(requests: RequestSet, chosen: Mask) -> RequestSet:
    """Return some of the requests, as if no others had been recorded."""
    rows = np.flatnonzero(chosen).tolist()
    changed: dict[str, object] = {
        "counters": {name: values[chosen] for name, values in requests.counters.items()}
    }
    for field in fields(RequestSet):
        values = getattr(requests, field.name)
        if isinstance(values, np.ndarray):
            changed[field.name] = values[chosen]
    for name in ("trace_ids", "_timelines"):
        changed[name] = tuple(getattr(requests, name)[row] for row in rows)
    return replace(requests, **changed)  # type: ignore[arg-type]


def chosen_runs(runs: CodeRuns, chosen: Mask) -> CodeRuns:
    """Return some of the runs of code."""
    return CodeRuns(*(getattr(runs, field.name)[chosen] for field in fields(CodeRuns)))


def say_idleness(name: str, requests: RequestSet, slices: Slices) -> None:
    """Print what idleness costs, by several ways, and what each says of the other load."""
    runs = code_runs(requests, group_variants(requests))
    at_s = runs.at_s + float(requests.start_ns.min()) / 1e9
    parts = [chosen_runs(runs, within(at_s, slices[name, load])) for load in LOADS]
    low = recorded_at(requests, slices[name, LOADS[0]])
    observed = group_variants(low)
    fitted = fit_cold(code_runs(low, observed))

    quiet, busy = (
        float(np.average(part.idle**fitted.power * part.reached, weights=part.weight))
        for part in parts
    )

    def say(how: str, extra: float, error: float) -> None:
        takes = (1.0 + extra * busy) / (1.0 + extra * quiet)
        print(f"  {how:<34}{extra:5.2f} ({error:.2f}), power {fitted.power:.2g}: {takes:.3f}")

    each = [
        [
            float(np.log(np.average(part.ratio, weights=part.weight)))
            for part in (chosen_runs(runs, within(at_s, [one])) for one in slices[name, load])
        ]
        for load in LOADS
    ]
    logs = np.array(each[0]) - np.array(each[1])
    dearer = float(np.exp(logs.mean()))
    error = float(logs.std(ddof=1)) / len(logs) ** 0.5
    truth = (dearer - 1.0) / (quiet - dearer * busy)
    print(
        f"\nprocess {name}, extra cost of code after long idleness, and what code takes at "
        f"{LOADS[1]:.0%} of what it takes at {LOADS[0]:.0%}"
    )
    say("over both loads", truth, error * (1.0 + truth * quiet) / (quiet - busy))
    print(f"  {'':<34}(the last known to {error:.3f})")
    say("as fitted to the lower", fitted.extra, fitted.error)
    for memory_s in MEMORIES_S:
        with mock.patch.object(code_runs_module, "LASTING_S", memory_s):
            told = code_runs(low, observed)
        found = Told.of(told, told.lasting, WINDOW_S, groups_of(told)).slope(fitted.power)
        if found is not None:
            slope, variance = found
            kept = 1.0 - slope * fitted.seen
            how = f"by arrivals of the last {memory_s * 1e3:.0f} ms"
            say(how, slope / kept, variance**0.5 / kept**2)


def code_at_both(
    name: str, requests: RequestSet, slices: Slices, *, least: int
) -> Iterator[tuple[Floats, Floats, Mask, Mask]]:
    """Yield CPU and idle share of each step's runs, and which were at the lower and higher load."""
    for variant in (v for each in group_variants(requests) for v in each.variants if not v.pooled):
        for steps, rows in variant.columns():
            if steps[0].do != "cpu":
                continue
            cpu, idle, start = (
                np.array([getattr(step, what) for step in steps])
                for what in ("cpu_s", "idle_share", "start_s")
            )
            at_s = requests.start_ns[list(rows)] / 1e9 + start
            tame = cpu < 3.0 * np.median(cpu)
            low, high = (within(at_s, slices[name, load]) & tame for load in LOADS)
            if min(low.sum(), high.sum()) >= least:
                yield cpu, idle, low, high


def say_lengths(name: str, requests: RequestSet, slices: Slices) -> None:
    """Print what idleness adds to steps by their length."""
    found: dict[int, list[tuple[float, float, float]]] = {}
    for cpu, idle, cold, warm in code_at_both(name, requests, slices, least=150):
        apart = float(np.mean(idle[cold] ** POWER) - np.mean(idle[warm] ** POWER))
        added = float(cpu[cold].mean() - cpu[warm].mean()) / apart
        error = np.sqrt(cpu[cold].var() / cold.sum() + cpu[warm].var() / warm.sum()) / apart
        at = int(np.searchsorted(LENGTHS_US, cpu[warm].mean() * 1e6, side="right")) - 1
        found.setdefault(at, []).append((float(cpu[warm].mean()), added, float(error)))
    for at, each in sorted(found.items()):
        length_s, added_s, error_s = map(np.array, zip(*each, strict=True))
        weight = 1.0 / error_s**2
        mean_s = float(np.average(added_s, weights=weight))
        print(
            f"  {len(each):2} steps of {LENGTHS_US[at]:4} to {LENGTHS_US[at + 1]:5} us: "
            f"idleness adds {mean_s * 1e6:4.0f} us ({1e6 / np.sqrt(weight.sum()):.0f}), "
            f"{mean_s / length_s.mean():.2f} of themselves"
        )


def say_forecast(name: str, requests: RequestSet, slices: Slices) -> None:
    """Print what code takes at the higher load, of what it takes at the lower."""
    low = recorded_at(requests, slices[name, LOADS[0]])
    runs = code_runs(low, group_variants(low))
    chosen = fit_cold(runs)
    colds = {f"{power:g}": fit_cold(runs, (power,)) for power in (3.0, 4.0, 6.0, 8.0)}
    colds[f"the best, {chosen.power:g}"] = chosen
    took, takes = 0.0, 0.0
    foretold = dict.fromkeys(colds, 0.0)
    for cpu, idle, quiet, busy in code_at_both(name, requests, slices, least=40):
        count = int(quiet.sum())
        took += count * float(cpu[quiet].mean())
        takes += count * float(cpu[busy].mean())
        for power, cold in colds.items():
            warm_s = float(on_a_busy_loop(cold, cpu[quiet], idle[quiet]).mean())
            dearer = float(cold_factor(cold, idle[busy]).mean()) - 1.0
            foretold[power] += count * (warm_s + min(warm_s, cold.reach) * dearer)
    if took > 0.0:
        print(
            f"  code at {LOADS[1]:.0%} takes {takes / took:.2f} of what it takes at {LOADS[0]:.0%};"
        )
        by_power = (f"{value / took:.2f} with {power}" for power, value in foretold.items())
        print(f"  foretold by the power of the idle share: {', '.join(by_power)}")


def recorded_at(requests: RequestSet, slices: list[tuple[float, float]]) -> RequestSet:
    """Return what was recorded in the slices."""
    return only(requests, within(requests.start_ns / 1e9, slices))


def say_loop(load: float, requests: RequestSet) -> None:
    """Print the loop's costs and losses at one load."""
    observed = group_variants(requests)
    cold = fit_cold(code_runs(requests, observed))

    def windows_of(length_s: float) -> LoopWindows:
        # Requests of the other load were recorded, too, in between.
        with mock.patch.multiple(loop_windows_module, WINDOW_S=length_s, ALL_RECORDED=np.inf):
            return loop_windows(requests, observed)

    windows = windows_of(loop_windows_module.WINDOW_S)
    wake_s = 20e-6  # about what it takes from the end of a wait to the code after it
    short, long = (
        [value * 1e6 for value in fit_overhead(each.counts(cold), each.overhead_s, wake_s)]
        for each in (windows, windows_of(0.25))
    )
    sleeps = per_request_s(requests, spans.IDLE_WAKEUPS) or np.nan  # in thousand millions
    asleep = per_request_s(requests, spans.SLEEP_CPU_NS) or 0.0
    passes = per_request_s(requests, spans.LOOP_PASSES) or 0.0
    print(
        f"  at {load:.0%}: {passes * 1e9:.1f} passes and {sleeps * 1e9:.1f} sleeps a request; "
        f"a sleep takes {asleep / sleeps / 1e3:.1f} us,\n"
        f"          others {stolen_per_request_s(windows) * 1e6:.0f} us a request; a request, "
        "a wait and a pass take {:.0f}, {:.0f} and {:.1f} us\n".format(*short)
        + "          (in windows of 0.25 s {:.0f}, {:.0f} and {:.1f})".format(*long)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--low", type=float, default=LOADS[0])
    parser.add_argument("--high", type=float, default=LOADS[1])
    asked = parser.parse_args()
    rounds = asked.rounds
    globals()["LOADS"] = (asked.low, asked.high)
    with tempfile.TemporaryDirectory() as folder:
        slices = record(Path(folder), rounds)
        recordings = {
            name: read_requests([Path(folder) / name], skip_first_s=0.0) for name in PROCESSES
        }
    for name, requests in recordings.items():
        say_idleness(name, requests, slices)
        say_lengths(name, requests, slices)
        say_forecast(name, requests, slices)
        for load in LOADS:
            say_loop(load, recorded_at(requests, slices[name, load]))


if __name__ == "__main__":
    main()
