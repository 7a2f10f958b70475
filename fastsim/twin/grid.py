"""Which deployments can be asked for: paths that vary, their values, and what they cost."""

import itertools
from collections.abc import Mapping, Sequence

from fastsim.errors import UnknownNameError
from fastsim.scenario import ResolvedDeployment, handover_on, require_few_processes
from fastsim.twin.plan import Plan

Settings = dict[str, float]

FIELDS = ("replicas", "workers", "cores", "thread_tokens", "limit_concurrency")
"""Fields of the deployment that can vary, beside ``resources.NAME.capacity``."""


def check_paths(plan: Plan, paths: Sequence[str]) -> None:
    """Refuse what cannot be varied or priced.

    Raises
    ------
    UnknownNameError
        Naming what can be.
    """
    known = [f"deployment.{name}" for name in FIELDS]
    known += [f"deployment.resources.{name}.capacity" for name in plan.model.resources]
    for path in paths:
        if path not in known:
            raise UnknownNameError("field to vary", path, known)


def with_settings(plan: Plan, settings: Settings) -> ResolvedDeployment:
    """Return the plan's deployment with other values."""
    fixed = plan.deployment
    resources, update = dict(fixed.resources), {}
    for path, value in settings.items():
        keys = path.split(".")
        if keys[1] == "resources":
            resources[".".join(keys[2:-1])] = int(value)
        else:
            update[keys[1]] = int(value)
    changed = fixed.model_copy(update={**update, "resources": resources})
    require_few_processes(changed.replicas, changed.workers)
    handover = handover_on(plan.model, changed.workers, changed.cores)
    return changed.model_copy(update={"handover": handover})


def by_cost(
    vary: Mapping[str, Sequence[int]], prices: Mapping[str, float]
) -> list[tuple[Settings, float]]:
    """Return all combinations of values with their costs, the cheapest first."""
    grid = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    if prices:
        costed = [({k: float(v) for k, v in s.items()}, _cost(s, prices)) for s in grid]
        return sorted(costed, key=lambda item: (item[1], list(item[0].values())))
    # Without prices: fewer of what was named first, then of the next.
    in_order = sorted(grid, key=lambda settings: list(settings.values()))
    return [
        ({k: float(v) for k, v in settings.items()}, float(place))
        for place, settings in enumerate(in_order)
    ]


def _cost(settings: Mapping[str, float], prices: Mapping[str, float]) -> float:
    return sum(prices.get(path, 0.0) * value for path, value in settings.items())


def is_smaller(settings: Settings, other: Settings) -> bool:
    """Tell whether a deployment is as small as another in every respect."""
    return all(settings[path] <= other[path] for path in settings)
