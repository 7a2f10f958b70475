"""What a deployment costs over the hours to come, as it is and with as much as each hour needs.

How much a number of units holds is simulated for the one that is deployed and for what the busiest
hour asks for; the numbers between are in proportion. An hour needs the fewest units that are more
likely to meet the goals in its busiest time than not, as the verdict counts it.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from fastsim.answers import OutlookCost
from fastsim.scenario import ResolvedDeployment
from fastsim.twin.grid import check_paths, with_settings
from fastsim.twin.plan import Plan

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Holds = Callable[[ResolvedDeployment], float]
"""Up to which rate a deployment meets the goals, requests per second; 0 if at no rate."""

MOST_UNITS = 1024
"""Of anything; more is not looked at."""
_ROUNDS = 3


def cost_ahead(
    plan: Plan, prices: Mapping[str, float], asked_per_s: FloatArray, holds: Holds
) -> tuple[OutlookCost, IntArray, FloatArray]:
    """Return what it costs; and for each hour the units that it needs, and its cost with these.

    Parameters
    ----------
    prices
        Cost of one unit for an hour, by path such as ``deployment.replicas``. The number of the
        first one follows the load; the others stay.
    asked_per_s
        Rate in the busiest time of each hour.

    Raises
    ------
    UnknownNameError
        When a path has no number of units.
    """
    check_paths(plan, list(prices))
    units = {path: _units(plan, path) for path in prices}
    path = next(iter(prices))
    known = {units[path]: holds(plan.deployment)}
    peak_per_s = float(asked_per_s.max())
    for _ in range(_ROUNDS):
        most = max(known)
        if known[most] >= peak_per_s or most >= MOST_UNITS:
            break
        # In proportion, and one more where that has been tried and was too few.
        each = max(known[most] / most, 1e-9)
        more = min(max(math.ceil(peak_per_s / each), most + 1), MOST_UNITS)
        known[more] = holds(with_settings(plan, {path: float(more)}))
    numbers = np.arange(1, max(known) + 1)
    at = np.array([0, *sorted(known)], np.float64)
    rates = np.array([0.0, *(known[number] for number in sorted(known))])
    able_per_s = np.maximum.accumulate(np.interp(numbers, at, rates))
    needed = np.minimum(np.searchsorted(able_per_s, asked_per_s, side="left") + 1, numbers[-1])
    fixed = sum(price * units[name] for name, price in prices.items() if name != path)
    per_hour = fixed + prices[path] * units[path]
    following = fixed + prices[path] * needed
    return (
        OutlookCost(
            prices=dict(prices),
            units=units,
            per_hour=per_hour,
            total=len(asked_per_s) * per_hour,
            following=float(following.sum()),
            fewest=int(needed.min()),
            most=int(needed.max()),
            enough=bool(able_per_s[-1] >= peak_per_s),
        ),
        needed.astype(np.int64),
        following,
    )


def _units(plan: Plan, path: str) -> int:
    """Return how many units of something are deployed."""
    keys = path.split(".")
    deployed = plan.deployment
    if keys[1] == "resources":
        return int(deployed.resources[".".join(keys[2:-1])])
    return int(getattr(deployed, keys[1]) or 1)
