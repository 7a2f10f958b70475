"""How much the machine's speed wandered while recording.

On shared machines the same code takes 15 % more or less time from one fifth of a second to
the next, for all requests alike. That makes queues which no single step explains. Every
step's CPU over its own typical value, averaged in short windows, shows it; what is left
within windows is the step's own law.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.loop_costs import cold_factor
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.variants import ObservedEndpoint, ObservedVariant
from fastsim.model import ColdCost, Wander

FloatArray = npt.NDArray[np.float64]

WINDOW_S = 0.2
LEAST_WINDOWS = 25
_WILD_RATIO = 4.0
_LEAST_CPU_S = 20e-6
_MOST_SIGMA = 0.6


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """The speed of the machine by window, and the law it follows."""

    law: Wander
    _origin_ns: int
    _factor: FloatArray

    @classmethod
    def steady(cls) -> "MachineSpeed":
        """Return a speed that does not change."""
        return cls(Wander(), 0, np.ones(1))

    def factors(
        self, requests: RequestSet, rows: tuple[int, ...], start_s: FloatArray
    ) -> FloatArray:
        """Return how many times its typical CPU code took at those moments.

        Parameters
        ----------
        rows
            Requests, by row.
        start_s
            Offset of the code from the start of each request, seconds.
        """
        at = (requests.start_ns[list(rows)] - self._origin_ns) / 1e9 + start_s
        window = np.clip((at / self.law.window).astype(np.int64), 0, len(self._factor) - 1)
        return self._factor[window]


def fit_wander(
    requests: RequestSet, endpoints: list[ObservedEndpoint], cold: ColdCost
) -> MachineSpeed:
    """Measure the machine's speed over the recording; constant where it cannot be told."""
    origin = int(requests.start_ns.min())
    at, ratio, weight = _samples(requests, endpoints, cold, origin)
    flat = MachineSpeed(Wander(), origin, np.ones(1))
    if len(at) == 0:
        return flat
    window = np.maximum(at / WINDOW_S, 0.0).astype(np.int64)
    total = np.bincount(window, weight)
    mean = np.bincount(window, weight * ratio) / np.maximum(total, 1e-12)
    # Spread of a window's mean if all samples were independent: what is no wandering.
    own = float(np.average((ratio - np.average(ratio, weights=weight)) ** 2, weights=weight))
    noise = own * np.bincount(window, weight**2) / np.maximum(total, 1e-12) ** 2
    used = total > 0.1 * total.mean()
    if int(used.sum()) < LEAST_WINDOWS:
        return flat
    center = float(np.average(mean[used], weights=total[used]))
    variance = float(np.average((mean[used] / center - 1.0) ** 2, weights=total[used]))
    true = max(variance - float(np.average(noise[used], weights=total[used])), 0.0)
    if true <= 0.0:
        return flat
    # Windows with few samples are drawn towards no change, as far as their noise asks.
    factor = np.where(used, 1.0 + (mean / center - 1.0) * true / (true + noise), 1.0)
    law = Wander(
        sigma=min(float(np.sqrt(true)), _MOST_SIGMA),
        window=WINDOW_S,
        correlation=_correlation(mean[used] / center - 1.0, true),
    )
    return MachineSpeed(law, origin, np.maximum(factor, 0.2))


def _samples(
    requests: RequestSet, endpoints: list[ObservedEndpoint], cold: ColdCost, origin: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return moment, CPU over the step's typical CPU, and that typical CPU as the weight."""
    at: list[FloatArray] = []
    ratio: list[FloatArray] = []
    weight: list[FloatArray] = []
    for variant in (variant for endpoint in endpoints for variant in endpoint.variants):
        for cpu, start, rows, typical in _code(variant, cold):
            begun = (requests.start_ns[list(rows)] - origin) / 1e9
            # A stop of the whole loop is no change of speed.
            tame = cpu < _WILD_RATIO * typical
            at.append((begun + start)[tame])
            ratio.append(cpu[tame] / typical)
            weight.append(np.full(int(tame.sum()), typical))
    if not at:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    return np.concatenate(at), np.concatenate(ratio), np.concatenate(weight)


def _code(
    variant: ObservedVariant, cold: ColdCost
) -> list[tuple[FloatArray, FloatArray, tuple[int, ...], float]]:
    found = []
    for steps, rows in variant.columns():
        if steps[0].do != "cpu":
            continue
        idle = np.array([step.idle_share for step in steps])
        cpu = np.array([step.cpu_s for step in steps]) / cold_factor(cold, idle)
        typical = float(np.median(cpu))
        if typical >= _LEAST_CPU_S:
            found.append((cpu, np.array([step.start_s for step in steps]), rows, typical))
    return found


def _correlation(change: FloatArray, true: float) -> float:
    lagged = float(np.mean(change[1:] * change[:-1])) / true
    return float(np.clip(lagged, 0.0, 0.95))
