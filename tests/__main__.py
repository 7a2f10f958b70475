"""Run the tests in three parts: what computes and what serves side by side, what measures alone.

python -m tests [arguments of pytest]
"""

import os
import subprocess
import sys

ONE_THREAD_EACH = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Processes side by side that each use every core for small matrices wait for each other."""
NOTHING = 5
"""Exit code of pytest when no test was selected."""


def main() -> int:
    """Run all parts, whatever one says; return the first exit code that is a failure."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    many = ["-n", str(cores), "--dist", "loadfile"] if cores and cores > 1 else []
    parts = [
        ["-m", "not live and not timed", *many],
        # Servers mostly start, wait and end.
        ["-m", "live and not timed", "-n", str(1 + (cores or 1)), "--dist", "worksteal"],
        ["-m", "timed"],
    ]
    codes = [
        subprocess.run(
            [sys.executable, "-m", "pytest", *part, *sys.argv[1:]],
            env=os.environ | ONE_THREAD_EACH,
            check=False,
        ).returncode
        for part in parts
    ]
    wrong = [code for code in codes if code not in {0, NOTHING}]
    if wrong:
        return wrong[0]
    return NOTHING if set(codes) == {NOTHING} else 0


if __name__ == "__main__":
    sys.exit(main())
