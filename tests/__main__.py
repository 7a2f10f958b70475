"""Run the tests in two parts: side by side what computes, then alone what measures or serves.

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
    """Run both parts, whatever the first says; return the first exit code that is a failure."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    beside = ["-n", str(cores), "--dist", "loadfile"] if cores and cores > 1 else []
    parts = [["-m", "not alone", *beside], ["-m", "alone"]]
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
