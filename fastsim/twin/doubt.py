"""What a comparison has to allow for: the machine ran at another speed than while recording.

A twin runs at the speed that was recorded. That is known to ``SpeedDoubt.error`` only, and the
machine of another run is faster or slower than in the mean by itself: by less, the longer it is
watched. Each replication of a comparison takes one such speed, so that the doubt is in the spread
of the replications, as chance is, and grows with load as the latency does.
"""

import math

from fastsim.model import LoopCosts, Wander
from fastsim.twin.statistics import normal_quantile
from fastsim.twin.streams import stream

SHORTEST_STRETCH = 1.0 / 16.0
"""Part of the recording; how shorter stretches differ has not been measured."""
MUCH = 0.02
"""Doubt of the CPU, at 95 %, that is worth a word."""


def speed_sd(costs: LoopCosts, duration_s: float) -> float:
    """Return the standard deviation of the logarithm of the speed in a run, against the model's.

    Both the recording and the run of ``duration_s`` seconds are stretches of the machine's drift,
    whose variance falls with their length. What ``wander`` makes of it is simulated anyway.
    """
    doubt = costs.doubt
    if doubt.over <= 0.0:
        return doubt.error
    length_s = max(duration_s, SHORTEST_STRETCH * doubt.over)
    drift = doubt.drift**2 * doubt.over / length_s
    own = max(0.0, drift - _wander_variance(costs.wander, length_s))
    return math.sqrt(doubt.error**2 + own)


def cpu_log(costs: LoopCosts, duration_s: float, seed: int) -> float:
    """Draw the logarithm of how many times its recorded time code takes in one replication."""
    deviation = speed_sd(costs, duration_s)
    return deviation * float(stream(seed, "machine speed").standard_normal())


def _wander_variance(law: Wander, length_s: float) -> float:
    """Return the variance of the mean of correlated windows over ``length_s`` seconds."""
    kept = law.correlation
    return law.sigma**2 * min(1.0, law.window / length_s * (1.0 + kept) / (1.0 - kept))


def speed_warning(costs: LoopCosts, duration_s: float) -> list[str]:
    """Say how far the machine's speed may differ from the recorded one, if by much."""
    doubt = normal_quantile() * speed_sd(costs, duration_s)
    if doubt < MUCH:
        return []
    return [
        (
            f"the machine's speed changed while recording: the same code may take {doubt:.0%} more "
            "or less CPU in the live run, which every interval allows for"
        )
    ]
