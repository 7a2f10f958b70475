"""How late a sleeping event loop wakes for a timer, beyond the whole milliseconds of ``epoll``.

python -m benchmarks.timers
"""

import asyncio
import math
import time

import numpy as np

SLEEPS = 400


async def late_s() -> list[float]:
    """Sleep for a few milliseconds, many times; return by how much longer it took."""
    found = []
    for number in range(SLEEPS):
        asked_s = 0.003 + 1e-5 * (number % 97)
        begun_s = time.perf_counter()
        await asyncio.sleep(asked_s)
        took_s = time.perf_counter() - begun_s
        found.append(took_s - math.ceil(asked_s * 1000.0) / 1000.0)
    return found


def main() -> None:
    """Print quantiles."""
    found = 1e6 * np.quantile(asyncio.run(late_s()), (0.05, 0.5, 0.95))
    print("a sleeping loop wakes late by {:.0f}, {:.0f}, {:.0f} us (p5, p50, p95)".format(*found))


if __name__ == "__main__":
    main()
