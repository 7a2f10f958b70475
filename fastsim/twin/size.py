"""The cheapest deployment that meets its goals.

Deployments are tried from the cheapest on. One that could not do the work if nobody waited for
anybody (``fastsim.twin.demand``), or that is smaller in every respect than one that missed, is not
simulated: more workers, cores or slots never hurt much. So where one misses for want of cores, say,
the largest of all with so few cores is tried next. All trials share their random numbers, and
those too close to call get more replications.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fastsim.answers import Candidate, Size
from fastsim.errors import InputError
from fastsim.scenario import MOST_PROCESSES, Slo
from fastsim.twin.capacity import EVENT_LOOP, overloaded
from fastsim.twin.demand import least_demand
from fastsim.twin.grid import Settings, by_cost, check_paths, is_smaller, with_settings
from fastsim.twin.metrics import PROCESSOR, THREAD_POOL
from fastsim.twin.model_doubt import has_doubt
from fastsim.twin.plan import Plan
from fastsim.twin.processes import Jobs, shared
from fastsim.twin.replicate import Replications
from fastsim.twin.trial import FloatArray, Trial, judge_trial, replicate_trial

OnTrial = Callable[[Settings, int, int], None]
"""Called with what is tried, how many were dealt with, and how many there are."""

SURE = 0.95
FIRST_REPLICATIONS = 4
GLANCE, CLEARLY = 0.25, 0.15
"""What is looked at first: so much of a simulation, in which so many of the requests pile up."""

FAR = 3.0
"""Times its goal that a value has to be in one simulation to miss for sure."""
MOST_REPLICATIONS = 24
_OVERLOADED = 4.0
_STOPPED = ("stopped when the cheapest was found: how sure it is was not looked at any further",)
_MODELS = 8
AFTER_BEST = 3
"""Deployments beyond the cheapest one that are still tried, for the table."""


@dataclass(frozen=True, slots=True)
class _Tried:
    settings: Settings
    cost: float
    trial: Trial
    found: Replications | None
    """What the trial rests on, if it may be the best."""

    @property
    def hopeless(self) -> bool:
        """Whether it misses for sure."""
        return self.trial.meets < 1.0 - SURE


def find_size(
    plan: Plan,
    goals: Sequence[Slo],
    vary: Mapping[str, Sequence[int]],
    *,
    prices: Mapping[str, float] | None = None,
    seed: int = 1,
    jobs: Jobs = 1,
    on_trial: OnTrial | None = None,
) -> Size:
    """Search the cheapest deployment.

    Parameters
    ----------
    vary
        Values to consider by path, such as ``deployment.workers``; all combinations are.
    prices
        Cost of one unit by path; what has no price costs nothing. Without any, fewer of the
        first field is cheaper, then of the second, and so on.
    jobs
        See ``fastsim.twin.processes``.

    Raises
    ------
    InputError
        Without goals or values.
    UnknownNameError
        When a path cannot be varied.
    """
    if not goals:
        raise InputError("there is no goal to meet", hint="say one: --slo 'p95 < 100ms'")
    if not vary or not all(vary.values()):
        raise InputError("nothing varies", hint="say what: --vary deployment.workers=1..8")
    check_paths(plan, [*vary, *(prices or {})])
    for path in ("deployment.workers", "deployment.cores"):
        if max(vary.get(path, (1,))) > MOST_PROCESSES:
            raise InputError(f"{path} can be {MOST_PROCESSES} at most", where=f"--vary {path}")
    ordered = by_cost(vary, prices or {})
    largest = {path: float(max(values)) for path, values in vary.items()}
    costs = {tuple(settings.values()): cost for settings, cost in ordered}
    tried: dict[tuple[float, ...], _Tried] = {}
    hopeful: set[tuple[float, ...]] = set()
    implied = 0
    best: _Tried | None = None
    beyond = 0

    needs = None if plan.users is not None else least_demand(plan)

    def too_small(settings: Settings) -> bool:
        """Tell whether it cannot do the work, or something larger has missed for sure."""
        if any(is_smaller(settings, each.settings) for each in tried.values() if each.hopeless):
            return True
        if needs is None:
            return False
        return needs.use_of(with_settings(plan, settings), plan.rate_per_s) > 1.0

    def attempt(settings: Settings, number: int) -> _Tried:
        key = tuple(settings.values())
        if key not in tried:
            if on_trial is not None:
                on_trial(settings, number, len(ordered))
            cost = costs[key]
            # Beyond the cheapest they stand in the table, and decide nothing.
            most = MOST_REPLICATIONS if best is None else FIRST_REPLICATIONS
            trial, simulated = _try(plan, goals, settings, seed, processes, most=most)
            kept = simulated if best is None and trial.margin < 1.0 else None
            tried[key] = _Tried(settings, cost, trial, kept)
        return tried[key]

    def look_at(settings: Settings, number: int) -> None:
        """Simulate for a moment, to know whether there is no hope for anything smaller."""
        key = tuple(settings.values())
        if key in tried or key in hopeful:
            return
        if on_trial is not None:
            on_trial(settings, number, len(ordered))
        trial, found = _glance(plan, goals, settings, seed, processes)
        if _is_clear(trial, found):
            tried[key] = _Tried(settings, costs[key], trial, None)
        else:
            hopeful.add(key)

    doubt, stopped = 0.0, False
    try:
        with shared(jobs) as processes:
            for number, (settings, _) in enumerate(ordered):
                if best is not None and beyond >= AFTER_BEST:
                    break
                if too_small(settings):
                    implied += tuple(settings.values()) not in tried
                    continue
                found = attempt(settings, number)
                if best is None and found.hopeless:
                    # What it has too little of: is there any hope with so much of that?
                    field = _field_of(found.trial.busiest, vary)
                    look_at({**largest, field: settings[field]}, number)
                if best is not None:
                    beyond += 1
                elif found.trial.margin < 1.0:
                    best = found
            doubt = 0.0 if best is None else _doubt(plan, goals, best, seed, processes)
    except KeyboardInterrupt:
        if best is None:
            raise
        stopped = True
    ordered_tried = sorted(tried.values(), key=lambda each: each.cost)
    candidates = [_candidate(each, doubt) for each in ordered_tried]
    return Size(
        title=plan.model.service,
        seed=seed,
        rate_per_s=plan.rate_per_s,
        goals=[goal.text for goal in goals],
        prices=dict(prices or {}),
        best=None if best is None else _candidate(best, doubt),
        confidence=_confidence(best, ordered_tried, doubt),
        considered=len(ordered),
        simulated=len(tried),
        candidates=candidates,
        pareto=_pareto(candidates),
        verdict="no" if best is None else "yes",
        stopped=stopped,
        warnings=[*_STOPPED[:stopped], *_warnings(plan, best, implied, doubt)],
    )


def _field_of(busiest: str, vary: Mapping[str, Sequence[int]]) -> str:
    """Return the field that there is too little of where something is full."""
    fields = {
        EVENT_LOOP: "deployment.workers",
        PROCESSOR: "deployment.cores",
        THREAD_POOL: "deployment.thread_tokens",
    }
    field = fields.get(busiest, f"deployment.resources.{busiest}.capacity")
    return field if field in vary else next(iter(vary))


def _try(
    plan: Plan, goals: Sequence[Slo], settings: Settings, seed: int, jobs: Jobs, *, most: int
) -> tuple[Trial, Replications]:
    """Simulate until it is clear whether goals are met, or it was done often enough."""
    deployment = with_settings(plan, settings)

    def simulated(replications: int, before: Replications | None = None) -> Replications:
        return replicate_trial(
            plan,
            goals,
            deployment=deployment,
            replications=replications,
            seed=seed,
            jobs=jobs,
            before=before,
        )

    trial, glance = _glance(plan, goals, settings, seed, jobs)
    if _is_clear(trial, glance):
        return trial, glance
    replications = FIRST_REPLICATIONS
    found = glance if plan.has_a_course else None
    if trial.margin > 1.0:
        found = simulated(1)
        trial = judge_trial(found, goals)
        if trial.margin > FAR:
            return trial, found
    while True:
        found = simulated(replications, found)
        trial = judge_trial(found, goals)
        clear = not 1.0 - SURE < trial.meets < SURE
        if clear or replications >= most or trial.needed(SURE) > most:
            return trial, found
        replications = min(2 * replications, most)


def _glance(
    plan: Plan, goals: Sequence[Slo], settings: Settings, seed: int, jobs: Jobs
) -> tuple[Trial, Replications]:
    """Simulate a deployment once, for a part of the time that a trial lasts."""
    found = replicate_trial(
        plan,
        goals,
        deployment=with_settings(plan, settings),
        replications=1,
        seed=seed,
        jobs=jobs,
        part=GLANCE,
    )
    return judge_trial(found, goals), found


def _is_clear(trial: Trial, glance: Replications) -> bool:
    """Tell whether one glance is enough: what is overloaded, or misses by far."""
    piled_up = glance.plan.open_and_steady and overloaded(glance.runs[0], CLEARLY)
    return piled_up or FAR < trial.margin < math.inf


def _doubt(plan: Plan, goals: Sequence[Slo], best: _Tried, seed: int, jobs: Jobs) -> float:
    """Return how far the model may move the margin of the best, a standard deviation of its log.

    By how far it moves it up: queues grow by more than they shrink. Deployments near the best
    differ little in that.
    """
    if not has_doubt(plan):
        return 0.0
    deployment = with_settings(plan, best.settings)

    def margins(asked: Plan, before: Replications | None) -> FloatArray:
        found = replicate_trial(
            asked,
            goals,
            deployment=deployment,
            replications=_MODELS,
            seed=seed,
            jobs=jobs,
            before=before,
        )
        return judge_trial(found, goals).margins

    usual = margins(replace(plan, doubtful=False), best.found)
    other = margins(replace(plan, doubtful=True), None)
    # Where another model cannot take the load at all, that is far.
    other = np.minimum(other, _OVERLOADED * usual)
    moves = np.log(np.maximum(other, 1e-9)) - np.log(np.maximum(usual, 1e-9))
    moves = moves[np.isfinite(moves)]
    if not len(moves):
        return 0.0
    return math.sqrt(2.0 * float((np.maximum(moves, 0.0) ** 2).mean()))


def _candidate(tried: _Tried, doubt: float) -> Candidate:
    trial, meets = tried.trial, tried.trial.meets_within(doubt)
    open_ = 1.0 - SURE < meets < SURE
    return Candidate(
        settings=tried.settings,
        cost=tried.cost,
        margin=trial.margin if math.isfinite(trial.margin) else None,
        meets=meets,
        verdict="open" if open_ else "meets" if trial.margin < 1.0 else "misses",
        utilisation=trial.utilisation,
    )


def _confidence(best: _Tried | None, tried: Sequence[_Tried], doubt: float) -> float | None:
    """Return the probability that the best meets and that no cheaper one does.

    The trials share random numbers; taking them as independent is on the safe side.
    """
    if best is None:
        return None
    cheaper = [1.0 - t.trial.meets_within(doubt) for t in tried if t.cost < best.cost]
    return best.trial.meets_within(doubt) * math.prod(cheaper)


def _pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that no other beats in both cost and margin, cheapest first."""
    kept: list[Candidate] = []
    nearest = math.inf
    for candidate in sorted(candidates, key=lambda item: (item.cost, item.margin or math.inf)):
        margin = math.inf if candidate.margin is None else candidate.margin
        if margin < nearest:
            kept.append(candidate)
            nearest = margin
    return kept


def _warnings(plan: Plan, best: _Tried | None, implied: int, doubt: float) -> list[str]:
    said = []
    meets = SURE if best is None else best.trial.meets_within(doubt)
    if best is not None and meets < SURE:
        why = " for want of a longer recording" if best.trial.meets >= SURE else ""
        said.append(
            f"the choice meets the goals with a probability of {meets:.0%} only{why}; "
            "the next larger one is safer"
        )
    if implied:
        said.append(
            f"{implied} deployments were not simulated: they cannot do so much work, or a larger "
            "one missed the goals already"
        )
    recorded = plan.model.traffic
    if recorded is not None and plan.rate_per_s > 1.1 * recorded.rate:
        said.append(
            f"recorded at {recorded.rate:.3g}/s: {plan.rate_per_s:.3g}/s is an extrapolation "
            f"(×{plan.rate_per_s / recorded.rate:.2g})"
        )
    return said
