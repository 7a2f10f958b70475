"""The speed of the machine as it wanders by itself, window by window."""

import math
from random import Random

from fastsim.model import Wander


class Speed:
    """A log-normal factor of mean 1 per window, correlated from window to window."""

    def __init__(self, law: Wander, rng: Random) -> None:
        self._law = law
        self._gauss = rng.gauss
        self._state = rng.gauss(0.0, 1.0)
        self._factors: list[float] = []

    def at(self, now: float) -> float:
        """Return how many times its usual time code takes at ``now``, seconds."""
        window = int(now / self._law.window)
        while window >= len(self._factors):
            sigma, kept = self._law.sigma, self._law.correlation
            self._factors.append(math.exp(sigma * self._state - sigma * sigma / 2.0))
            fresh = self._gauss(0.0, 1.0)
            self._state = kept * self._state + math.sqrt(1.0 - kept * kept) * fresh
        return self._factors[window]
