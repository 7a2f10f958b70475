"""Whether the same code cost the same in two recordings of one service.

A machine that other work disturbs runs the same code faster or slower from one minute to
the next. A prediction cannot know that; a comparison must say so.
"""

from dataclasses import dataclass

import numpy as np

from fastsim.calibrate.cold import on_a_busy_loop
from fastsim.calibrate.loop_costs import utilisation
from fastsim.calibrate.observed import Signature, signature
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import group_variants
from fastsim.model import ColdCost

LEAST_SAMPLES = 20

StepKey = tuple[str, Signature, int]


@dataclass(frozen=True, slots=True)
class CodeSpeed:
    """Typical CPU of every step of a recording, as on a busy loop."""

    cpu_s: dict[StepKey, float]
    utilisation: float | None

    def ratio_to(self, other: "CodeSpeed") -> float | None:
        """Return how many times the CPU of ``other`` the common steps took, weighted by CPU.

        None when the recordings have no step in common.
        """
        common = self.cpu_s.keys() & other.cpu_s.keys()
        before = sum(other.cpu_s[key] for key in common)
        return sum(self.cpu_s[key] for key in common) / before if before > 0.0 else None


def code_speed(requests: RequestSet, cold: ColdCost) -> CodeSpeed:
    """Measure the steps of a recording; ``cold`` takes the effect of idleness out."""
    found: dict[StepKey, float] = {}
    for endpoint in group_variants(requests):
        for variant in endpoint.variants:
            path = signature(variant.requests[0])
            for position, steps in enumerate(zip(*variant.requests, strict=True)):
                if steps[0].do != "cpu" or len(steps) < LEAST_SAMPLES:
                    continue
                cpu = np.array([step.cpu_s for step in steps])
                idle = np.array([step.idle_share for step in steps])
                warm = np.array([step.warm for step in steps])
                alike = float(np.median(on_a_busy_loop(cold, cpu, idle, warm)))
                found[endpoint.name, path, position] = alike
    return CodeSpeed(found, utilisation(requests))
