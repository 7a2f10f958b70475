"""What the demo says on a machine where other work comes and goes.

Run: python -m benchmarks.disturbed_demo [--kinds short bursts slow]

Runs the demo once beside each kind of work: on every core a process that is busy for a while and
rests for a while, both of random length. None of them may end in "no": what others took is not the
twin's doing (docs/decisions/0006). Each demo takes about two and a half minutes.
"""

import argparse
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time

KINDS = {"short": (0.3, 1.0), "bursts": (1.0, 2.0), "slow": (15.0, 15.0)}
"""Mean time busy and at rest, seconds."""
LONGEST_S = 400.0
VERDICTS = {0: "agrees", 1: "OFF", 3: "cannot tell"}


def disturb(core: int, busy_s: float, rest_s: float, until_s: float) -> None:
    """Be busy and rest in turns on one core."""
    os.sched_setaffinity(0, {core})
    lengths = random.Random(core)
    while time.monotonic() < until_s:
        end_s = min(time.monotonic() + lengths.expovariate(1.0 / busy_s), until_s)
        while time.monotonic() < end_s:
            sum(range(1000))
        time.sleep(lengths.expovariate(1.0 / rest_s))


def main() -> None:
    """Run the demos and print what each said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args()
    for kind in asked.kinds:
        until_s = time.monotonic() + LONGEST_S
        work = [
            multiprocessing.Process(target=disturb, args=(core, *KINDS[kind], until_s), daemon=True)
            for core in sorted(os.sched_getaffinity(0))
        ]
        for each in work:
            each.start()
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "fastsim", "demo", "--strict", "-o", f"{folder}/out"]
            found = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=False, timeout=LONGEST_S
            )
        for each in work:
            each.terminate()
        said = VERDICTS.get(found.returncode, f"exit code {found.returncode}")
        print(f"beside {kind} work: {said}\n{found.stdout}", flush=True)


if __name__ == "__main__":
    main()
