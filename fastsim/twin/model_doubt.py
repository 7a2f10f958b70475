"""How much of a forecast hangs on what the recording does not know.

The same replications are simulated again, each with a model that the recording may as well have
come from (``fastsim.twin.law_doubt``) on a machine that it may have run on
(``fastsim.twin.doubt``). With the same arrivals and the same draws, a replication and its second
differ by the model and hardly by chance, so a few of them tell how far the answer moves. An
interval joins that with what chance does to the mean of the replications: both are independent,
their squares add up.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastsim.twin.doubt import speed_sd
from fastsim.twin.law_doubt import is_doubtful
from fastsim.twin.metrics import Measures, View
from fastsim.twin.plan import Plan
from fastsim.twin.processes import Jobs, OnProgress
from fastsim.twin.replicate import Replications, replicate
from fastsim.twin.statistics import METRICS, student_quantile

Floats = NDArray[np.float64]


class ModelDoubt:
    """Replications, and the same with other models; without the second, no doubt."""

    def __init__(self, found: Replications, drawn: Replications | None = None) -> None:
        self._found = found
        self._drawn = drawn

    def within(self, start_s: float, end_s: float) -> "ModelDoubt":
        """Return the doubt about the requests alone that arrived in a part of the time."""
        drawn = None if self._drawn is None else self._drawn.within(start_s, end_s)
        return ModelDoubt(self._found.within(start_s, end_s), drawn)

    def latency(self, endpoint: str | None, view: View) -> Floats:
        """Return how far each statistic may be moved, as logarithms; shape (len(METRICS),)."""
        if self._drawn is None:
            return np.zeros(len(METRICS))
        with np.errstate(divide="ignore", invalid="ignore"):
            moves = np.log(self._drawn.statistics(endpoint, view)) - np.log(
                self._found.statistics(endpoint, view)[: len(self._drawn)]
            )
        return np.array([half_of(column) for column in moves.T])

    def of(self, value: Callable[[Measures], float]) -> float:
        """Return how far a number may be moved: its logarithm if it is above 0 in all runs."""
        if self._drawn is None:
            return 0.0
        own, other = self._found.each(value), self._drawn.each(value)
        if np.nanmin(own, initial=math.inf) > 0.0:
            own, other = np.log(own), np.log(np.maximum(other, np.finfo(float).tiny))
        return half_of(other - own[: len(other)])


def half_of(moves: Floats) -> float:
    """Return half the width of the 95 % interval of what is moved; from 0, where it was fitted."""
    present = moves[np.isfinite(moves)]
    if len(present) < 2:
        return 0.0
    return student_quantile(len(present)) * math.sqrt(float((present**2).mean()))


def has_doubt(plan: Plan) -> bool:
    """Tell whether the model says how well it is known."""
    costs = plan.model.loop
    if speed_sd(costs, plan.duration_s) > 0.0 or max(costs.cold.error, costs.cold.less_error) > 0.0:
        return True
    return is_doubtful(plan.model)


def doubt_of(
    found: Replications,
    *,
    jobs: Jobs = 1,
    on_progress: OnProgress | None = None,
    keep: bool = False,
) -> tuple[Replications, ModelDoubt]:
    """Simulate each replication once more, with a model of its own.

    Returns the replications, too: Ctrl-C stops them, where ``keep`` says so.
    """
    plan = replace(found.plan, doubtful=True)
    if found.plan.doubtful or not has_doubt(plan):
        return found, ModelDoubt(found)
    try:
        drawn = replicate(
            plan,
            replications=len(found),
            seed=found.seed,
            jobs=jobs,
            on_progress=on_progress,
            keep=keep,
        )
    except KeyboardInterrupt:
        if not keep:
            raise
        return replace(found, stopped=True), ModelDoubt(found)
    return replace(found, stopped=drawn.stopped), ModelDoubt(found, drawn)
