"""Seeded service times for the dependencies that run on this machine."""

import random


class Lognormal:
    """Draws of a lognormal time in seconds, given by its median."""

    def __init__(self, median_s: float, sigma: float, seed: int) -> None:
        self._median_s = median_s
        self._sigma = sigma
        self._rng = random.Random(seed)

    def draw_s(self) -> float:
        return self._median_s * self._rng.lognormvariate(0.0, self._sigma)
