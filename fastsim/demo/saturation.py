"""The rate at which the shop saturates, foretold and measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fastsim.load.capacity import IN_FLIGHT
from fastsim.model import ServiceModel
from fastsim.result import CompareRow
from fastsim.scenario import Deployment, TrafficPlan, Users
from fastsim.twin import judge, replicate
from fastsim.twin.counterpart import FromReplications
from fastsim.twin.planning import make_plan
from fastsim.twin.processes import Jobs
from fastsim.twin.statistics import student_quantile

RATE_TOLERANCE = 0.10
FILLS_S = 0.5
"""Time that the twin is asked before it counts: the slots begin one after the other."""


def compare_saturation(
    model: ServiceModel,
    measured: Sequence[float],
    *,
    mix: Mapping[str, float],
    length_s: float,
    replications: int,
    seed: int,
    jobs: Jobs,
) -> CompareRow:
    """Ask the twin as the shop was asked, by as many who never pause, and set both side by side.

    Parameters
    ----------
    measured
        Requests per second in each burst.
    length_s
        Of all bursts together.
    """
    asked = TrafficPlan(
        users=Users(count=IN_FLIGHT, think=0.0), duration=length_s, warmup=FILLS_S, mix=dict(mix)
    )
    plan = make_plan(model.with_recorder(), asked, Deployment(), doubtful=True)
    found = replicate(plan, replications=replications, seed=seed, jobs=jobs)
    logs = np.log(measured)
    live = float(np.exp(logs.mean()))
    side = FromReplications(found, "client").compared(None, "throughput", live, 0, RATE_TOLERANCE)
    if side is None:
        raise ValueError("the shop served nothing")
    compared, twin = side
    # Bursts that differ more than those of the twin are known no better than by their own spread.
    own = student_quantile(len(logs) - 1) * float(logs.std(ddof=1)) / np.sqrt(len(logs))
    [judged] = judge([replace(compared, least_half=float(own))])
    return CompareRow(
        endpoint="saturation",
        metric="rate",
        unit="/s",
        requests=0,
        live=live,
        twin=twin.value,
        error=float(np.expm1(judged.error)),
        error_low=float(np.expm1(judged.error - judged.half)),
        error_high=float(np.expm1(judged.error + judged.half)),
        counts=True,
        verdict=judged.finding,
    )
