"""How often the intervals that ``run`` prints hold the truth: M/M/1, whose truth is known.

The engine is Lindley's recursion there, request by request (tests/twin/test_theory.py), so that
recursion stands in for it: 300 seeds of 8 replications take seconds instead of hours.

    python -m benchmarks.coverage
"""

import argparse
import math

import numpy as np

from fastsim.twin.statistics import latency_statistics, replicated_latency, stretches

SERVICE_S = 0.010
WARMUP_S = 5.0
REPLICATIONS = 8
ASKED = ("mean", "p50", "p95", "p99")

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def sojourns(rng: np.random.Generator, load: float, duration_s: float) -> Floats:
    """Return the times in the system of who arrives in the measured time, seconds."""
    rate = load / SERVICE_S
    n = int(rate * (WARMUP_S + duration_s) * 1.2) + 200
    gaps, service = rng.exponential(1.0 / rate, n), rng.exponential(SERVICE_S, n)
    arrival_s = np.cumsum(gaps)
    drift = np.concatenate([[0.0], np.cumsum(service[:-1] - gaps[1:])])
    found = drift - np.minimum.accumulate(drift) + service
    chosen: Floats = found[(arrival_s >= WARMUP_S) & (arrival_s < WARMUP_S + duration_s)]
    return chosen


def truth(metric: str, load: float) -> float:
    """Return a statistic of the time in the system, which is exponential, seconds."""
    mean_s = SERVICE_S / (1.0 - load)
    if metric == "mean":
        return mean_s
    return -math.log(1.0 - float(metric[1:]) / 100.0) * mean_s


def coverage(load: float, duration_s: float, seeds: int) -> dict[str, tuple[int, int]]:
    """Return for each metric how many intervals were given, and how many held the truth."""
    counted = dict.fromkeys(ASKED, (0, 0))
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(1000 * load), int(duration_s)])
        runs = [sojourns(rng, load, duration_s) for _ in range(REPLICATIONS)]
        pooled = latency_statistics(np.concatenate(runs))
        beyond = np.sum([stretches(run, pooled) for run in runs], axis=0)
        table = np.array([latency_statistics(run) for run in runs])
        found = replicated_latency(pooled, table, beyond)
        for metric in ASKED:
            estimate = getattr(found, metric)
            if estimate.low is not None:
                given, held = counted[metric]
                right = estimate.low <= truth(metric, load) <= estimate.high
                counted[metric] = given + 1, held + right
    return counted


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    seeds = parser.parse_args().seeds
    print("load  length    " + "".join(f"{metric:>17}" for metric in ASKED))
    for load in (0.5, 0.8, 0.9):
        for duration_s in (10.0, 60.0):
            cells = []
            for given, held in coverage(load, duration_s, seeds).values():
                share = f"{held / given:.1%}" if given else "-"
                cells.append(f"{share:>7} of {given / seeds:>5.0%}")
            print(f"{load:.1f}   {duration_s:3.0f} s    " + "".join(f"{c:>17}" for c in cells))


if __name__ == "__main__":
    main()
