"""How much this machine's speed wanders: the CPU of the same work, over and over.

Run: python benchmarks/machine_speed.py [--seconds 40]

Nothing of FastSim runs here. The standard deviation of means over longer and longer windows says
how well a recording of that length can know the speed (docs/decisions/0006-machine.md).
"""

import argparse
import time

import numpy as np

WINDOWS_S = (0.2, 1.0, 4.0, 10.0)
ROUNDS = 5_000
"""About half a millisecond of interpreter."""


def work() -> int:
    """Do the same every time."""
    total = 0
    for number in range(ROUNDS):
        total += number * number
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40.0)
    seconds = parser.parse_args().seconds
    cpu: list[float] = []
    at: list[float] = []
    begun = time.perf_counter()
    while (now := time.perf_counter() - begun) < seconds:
        before = time.thread_time()
        work()
        cpu.append(time.thread_time() - before)
        at.append(now)
    ratio = np.array(cpu) / np.mean(cpu)
    low, high = np.percentile(ratio, [5, 95])
    print(f"work of {np.mean(cpu) * 1e3:.2f} ms: {low:.2f} to {high:.2f} of its mean (5 to 95 %)")
    for window_s in WINDOWS_S:
        if seconds < 3.0 * window_s:
            continue
        window = (np.array(at) / window_s).astype(np.int64)
        means = np.bincount(window, ratio) / np.bincount(window)
        print(f"means of {window_s:g} s: standard deviation {means[:-1].std():.0%}")


if __name__ == "__main__":
    main()
