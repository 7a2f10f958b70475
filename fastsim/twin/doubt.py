"""What a comparison has to allow for: what the recording does not know about the processor.

A twin runs at the speed that was recorded. That is known to ``SpeedDoubt.error`` only, and the
machine of another run is faster or slower than in the mean by itself: by less, the longer it is
watched. What idleness adds to the cost of code is known to ``ColdCost.error``; a busier loop than
the recorded one has less of it. Each replication of a comparison takes one such processor, so that
the doubt is in the spread of the replications, as chance is, and grows with load as the latency
does.
"""

import math
from dataclasses import dataclass

from fastsim.model import LoopCosts, ServiceModel, Wander
from fastsim.streams import stream
from fastsim.twin.statistics import normal_quantile
from fastsim.twin.whatif import with_cpu_scaled, with_loop_cpu_scaled

SHORTEST_STRETCH = 1.0 / 16.0
"""Part of the recording; how shorter stretches differ has not been measured."""
LEAST_LESS, MOST_LESS = 1e-6, 0.95
"""What code may cost less that ran just now, where it costs less."""
LEAST_LEFT = 0.1
"""Of the loop's time, where others took the rest."""
MUCH_TAKEN = 0.10
"""Share of the loop's busy time taken by other processes that is worth a word."""
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


def in_surroundings(model: ServiceModel, taken: float | None) -> ServiceModel:
    """Return the model for a run in which other processes took another share of the loop's time.

    The twin goes on as it was recorded: what the run had beside it is in its doubt alone, which is
    the whole difference in place of what nobody knew.

    Parameters
    ----------
    taken
        Share of the loop's busy time, 0 to 1; None where nobody says.
    """
    doubt = model.loop.doubt
    if taken is None:
        return model
    known = max(0.0, doubt.error**2 - (doubt.taken / 2.0) ** 2)
    other = math.log(max(1.0 - doubt.taken, LEAST_LEFT) / max(1.0 - taken, LEAST_LEFT))
    error = min(math.sqrt(known + other**2), 1.0)
    loop = model.loop.model_copy(update={"doubt": doubt.model_copy(update={"error": error})})
    return model.model_copy(update={"loop": loop})


@dataclass(frozen=True, slots=True)
class Processor:
    """One processor that the recording may have run on."""

    cpu_log: float
    """Logarithm of how many times its recorded time code takes."""
    cold_extra: float
    """What code costs more after long idleness, relative."""
    less: float
    """What it costs less when it ran just now, relative."""


def draw_processor(costs: LoopCosts, duration_s: float, seed: int) -> Processor:
    """Draw the processor of one replication of a run of ``duration_s`` seconds."""
    deviation = speed_sd(costs, duration_s)
    log = deviation * float(stream(seed, "machine speed").standard_normal())
    cold = costs.cold
    extra = cold.extra + cold.error * float(stream(seed, "cold code").standard_normal())
    less = cold.less
    if less > 0.0:  # a little beside none would make idleness another law
        drawn = less + cold.less_error * float(stream(seed, "warm code").standard_normal())
        less = min(max(drawn, LEAST_LESS), MOST_LESS)
    return Processor(log, max(extra, 0.0), less)


def on_processor(model: ServiceModel, drawn: Processor) -> ServiceModel:
    """Return the model on the processor that was drawn.

    Another cost of idleness or warmth leaves the mean cost of code at the recorded load as it was:
    that is what the recording knows.
    """
    cold = model.loop.cold
    model = with_cpu_scaled(model, math.exp(drawn.cpu_log))
    if (drawn.cold_extra, drawn.less) == (cold.extra, cold.less):
        return model
    other = cold.model_copy(update={"extra": drawn.cold_extra, "less": drawn.less})
    model = with_loop_cpu_scaled(model, cold.in_the_mean / other.in_the_mean)
    return model.model_copy(update={"loop": model.loop.model_copy(update={"cold": other})})


def _wander_variance(law: Wander, length_s: float) -> float:
    """Return the variance of the mean of correlated windows over ``length_s`` seconds."""
    kept = law.correlation
    return law.sigma**2 * min(1.0, law.window / length_s * (1.0 + kept) / (1.0 - kept))


def busy_loop_sd(costs: LoopCosts) -> float:
    """Return how well the CPU of code on a busy loop is known beside that at the recorded load."""
    cold = costs.cold
    return math.hypot(cold.error * cold.seen, cold.less_error * cold.warm) / cold.in_the_mean


def processor_warnings(costs: LoopCosts, duration_s: float) -> list[str]:
    """Say how far the cost of the same code may differ from the recorded one, if by much."""
    speed = normal_quantile() * speed_sd(costs, duration_s)
    cold = normal_quantile() * busy_loop_sd(costs)
    found = []
    if speed >= MUCH:
        found.append(
            f"the machine's speed changed while recording: the same code may take {speed:.0%} more "
            "or less CPU in the live run, which every interval allows for"
        )
    if cold >= MUCH:
        found.append(
            f"the recording hardly tells how much cheaper code is on a busier loop: {cold:.0%} "
            "more or less at most, which every interval allows for; a longer one tells more"
        )
    return found
