"""The highest load at which a service meets its goals, and where it saturates.

Two searches by bisection: for the load from which requests pile up without end, and below it
for the load at which a goal is missed. Every load is tried with the same replications, so each
of them has a limit of its own, and their spread gives the interval; so do models that the recording
may as well have come from.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from fastsim.answers import Limit, LimitPoint
from fastsim.errors import InputError, NoSteadyStateError
from fastsim.result import Estimate
from fastsim.scenario import Slo
from fastsim.twin.capacity import EVENT_LOOP
from fastsim.twin.limit_doubt import BUSY, crossing_of, limit_doubt, saturation_doubt
from fastsim.twin.model_doubt import has_doubt
from fastsim.twin.plan import Plan
from fastsim.twin.processes import Jobs, Processes, shared
from fastsim.twin.statistics import replicated_estimate
from fastsim.twin.trial import Trial, judge_trial, replicate_trial
from fastsim.twin.trust import EXTRAPOLATION

FloatArray = npt.NDArray[np.float64]
OnTrial = Callable[[float, float], None]
"""Called with the load tried and how much of the search is done, 0 to 1."""

CURVE = (0.25, 0.5, 0.75)
"""Shares of the limit that are tried, too, for the curve of latency against load."""
NEAR = 0.15

CLOSE = 0.02
"""A search ends when its bracket is this narrow, as a share of the load."""

EXCESS = 1.5
"""Times the saturation load at which is looked what an overloaded service still gets done."""

COLLAPSED = 0.9
HALF = 0.5
"""Share of the replications in which requests pile up from which a load is too much."""
_FIRST_PER_S = 1.0
_HIGHEST_PER_S = 1e7
_IDLE = 1e-6
_LOWEST_SHARE = 0.005
_WELL_USED = 0.8
"""Use of what is full first from which it tells well at which load it will be."""
_TRIALS, _WITH_DOUBT = 18, 24
"""How many loads a search usually tries."""


def find_limit(
    plan: Plan,
    goals: Sequence[Slo],
    *,
    replications: int = 8,
    seed: int = 1,
    jobs: Jobs = 1,
    curve: bool = True,
    on_trial: OnTrial | None = None,
) -> Limit:
    """Search the highest load that meets every goal; without goals, only the saturation.

    Parameters
    ----------
    plan
        What is simulated; its rate is where the search starts. Of traffic with phases the rates
        are means; where it saturates is found under a constant load.
    jobs
        See ``fastsim.twin.processes``.
    curve
        Whether loads far below the limit are tried, too.

    Raises
    ------
    InputError
        When users are asked for, who have no rate.
    NoSteadyStateError
        When no load saturates the service: it has nothing that can be full.
    """
    if plan.users is not None:
        raise InputError(
            "a limit is a rate, and users decide themselves when they ask",
            hint="fastsim sweep ... --vary users=50..500:50 shows how many it holds",
        )
    search: _Search | None = None
    try:
        with shared(jobs) as processes:
            search = _Search(plan, goals, replications, seed, processes, on_trial or _silent)
            return _found(search, curve=curve)
    except KeyboardInterrupt:
        known = None if search is None else _so_far(search)
        if known is None:
            raise
        return known


def _so_far(search: "_Search") -> Limit | None:
    """Return what the loads tell that have been tried; None while no load is known to do."""
    tried = sorted(search.trials.values(), key=lambda trial: trial.rate_per_s)
    served = [trial for trial in tried if trial.overloaded < HALF]
    met = [trial for trial in served if trial.margin < 1.0]
    if not met:
        return None
    full = min((t.rate_per_s for t in tried if t.overloaded >= HALF), default=None)
    missed = min((t.rate_per_s for t in tried if t.margin >= 1.0), default=None)
    most = served[-1]
    guess = most.rate_per_s / max(most.utilisation, _IDLE)
    return Limit(
        title=search.plan.model.service,
        seed=search.seed,
        replications=search.replications,
        goals=[goal.text for goal in search.goals],
        rate=_between(met[-1].rate_per_s, missed) if search.goals else None,
        decided_by=_decided_by(tried, search.goals, most.busiest) if search.goals else "",
        saturation=_between(most.rate_per_s, full, guess),
        saturated=most.busiest,
        points=[_point(trial) for trial in tried],
        verdict="yes",
        stopped=True,
        warnings=[f"stopped after {len(tried)} loads: what is said lies between two of them"],
    )


def _between(low: float, high: float | None, guess: float = 0.0) -> Estimate:
    """Return a load above one that does and below one that does not, if any is known."""
    value = max(low, guess) if high is None else (low + high) / 2.0
    return Estimate(value=value, low=low, high=high, unit="/s")


def _found(search: "_Search", *, curve: bool) -> Limit:
    plan, goals = search.plan, search.goals
    steady = search.at_constant_rates()
    saturation = steady.saturation()
    found = search.limit(saturation.value) if goals else None
    full = steady.full
    said = _warnings(plan, found or saturation)
    rate = EXCESS * saturation.value
    served = float(steady.attempt(rate).served_per_s.mean())
    if served < COLLAPSED * saturation.value:
        said.append(
            f"overloaded it finishes less than before, {served:.3g}/s when {rate:.3g}/s arrive: "
            "the loop begins more requests than it ends (limit_concurrency sheds load)"
        )
    drawn = search if goals else steady
    if curve:
        drawn.fill_in((found or saturation).value)
    tried = drawn.trials.values()
    trials = sorted(tried, key=lambda trial: trial.rate_per_s)
    return Limit(
        title=plan.model.service,
        seed=search.seed,
        replications=search.replications,
        goals=[goal.text for goal in goals],
        rate=found,
        decided_by=_decided_by(trials, goals, full) if goals else "",
        saturation=saturation,
        saturated=full,
        points=[_point(trial) for trial in trials],
        peak=None if plan.course is None else plan.course.peak,
        unit=None if plan.course is None else plan.course.unit,
        verdict="yes" if not goals or found is not None else "no",
        warnings=said,
    )


def _silent(_rate: float, _done: float) -> None:
    """Report to nobody."""


@dataclass
class _Search:
    """Tries loads, each once."""

    plan: Plan
    goals: Sequence[Slo]
    replications: int
    seed: int
    processes: Processes
    report: OnTrial
    trials: dict[float, Trial] = field(default_factory=dict)
    others: dict[float, Trial] = field(default_factory=dict)
    """With other models, where the model says how well it is known."""
    full: str = ""

    @property
    def doubtful(self) -> bool:
        """Whether the model says how well it is known."""
        return has_doubt(self.plan)

    def at_constant_rates(self) -> "_Search":
        """Return the search for what is too much in the long run; this one without phases."""
        if not self.plan.has_a_course:
            return self
        plan = replace(self.plan, course=None, source=None)
        return replace(self, plan=plan, goals=(), trials={}, others={})

    def attempt(self, rate: float) -> Trial:
        """Try a load with the model."""
        return self._attempt(rate, self.trials, self.plan)

    def fill_in(self, limit: float) -> None:
        """Try loads below the limit from which none that was tried is near."""
        for share in CURVE:
            rate = share * limit
            if not any(abs(known - rate) < NEAR * limit for known in self.trials):
                self.attempt(rate)

    def other(self, rate: float) -> Trial:
        """Try a load with models that the recording may as well have come from."""
        return self._attempt(rate, self.others, replace(self.plan, doubtful=True))

    def _attempt(self, rate: float, known: dict[float, Trial], plan: Plan) -> Trial:
        if rate not in known:
            tried = len(self.trials) + len(self.others)
            self.report(rate, min(0.95, tried / (_WITH_DOUBT if self.doubtful else _TRIALS)))
            found = replicate_trial(
                plan,
                self.goals,
                rate_per_s=rate,
                replications=self.replications,
                seed=self.seed,
                jobs=self.processes,
            )
            known[rate] = judge_trial(found, self.goals)
        return known[rate]

    def saturation(self) -> Estimate:
        """Return the highest load at which requests do not pile up, requests per second."""
        low, high = self._bracket()
        guessing = True
        while high - low > CLOSE * high:
            rate, too_much = _full_at(self.trials[low], high)
            guessing = guessing and low < rate < high
            if not guessing:
                rate = (low + high) / 2.0
            is_too_much = self.attempt(rate).overloaded >= HALF
            if is_too_much:
                high = rate
            else:
                low = rate
            # A guess that failed is the last.
            guessing = guessing and is_too_much == too_much
        self.full = self.trials[high].busiest
        trials = self.trials.values()
        each = [
            (
                max((t.rate_per_s for t in trials if math.isfinite(t.margins[k])), default=low)
                + min(
                    (t.rate_per_s for t in trials if not math.isfinite(t.margins[k])), default=high
                )
            )
            / 2.0
            for k in range(self.replications)
        ]
        value = (low + high) / 2.0
        doubt = 0.0
        if self.doubtful:
            # Any load will do at which it is busy and serves all.
            below = min(self.trials, key=lambda rate: abs(rate - BUSY * value))
            if abs(below - BUSY * value) > NEAR * value:
                below = BUSY * value
            doubt = saturation_doubt(self.attempt(below), self.other(below))
        return replicated_estimate(value, np.array(each), unit="/s", doubt=doubt)

    def _bracket(self) -> tuple[float, float]:
        """Return a load that is served, and one that is too much."""
        rate = max(self.plan.rate_per_s, _FIRST_PER_S)
        low = 0.0
        while rate < _HIGHEST_PER_S:
            trial = self.attempt(rate)
            if trial.overloaded >= HALF:
                if low > 0.0:
                    return low, rate
                rate /= 4.0
                if rate < 1e-6:
                    break
                continue
            low = rate
            known = [t.rate_per_s for t in self.trials.values() if t.overloaded >= HALF]
            if known:
                return low, min(known)
            # Utilisation grows in proportion or less: a busy loop is a warm one.
            if trial.utilisation <= _IDLE:
                break
            rate *= max(1.1 / trial.utilisation, 1.15)
        raise NoSteadyStateError(
            "no load saturates this service: nothing in its model can be full",
            hint="does the model hold any code (do: cpu) or resource?",
        )

    def limit(self, saturation: float) -> Estimate | None:
        """Return the highest load that meets the goals; None when none does."""
        low, high = 0.0, saturation
        for trial in self.trials.values():
            if trial.margin < 1.0:
                low = max(low, trial.rate_per_s)
            else:
                high = min(high, trial.rate_per_s)
        while high - low > CLOSE * high and high > _LOWEST_SHARE * saturation:
            middle = (low + high) / 2.0
            if self.attempt(middle).margin < 1.0:
                low = middle
            else:
                high = middle
        if low <= 0.0:
            return None
        value, each = _crossing(list(self.trials.values()), saturation)
        doubt = limit_doubt(self.other, value, each) if self.doubtful else 0.0
        return replicated_estimate(value, each, unit="/s", doubt=doubt)


def _full_at(served: Trial, high: float) -> tuple[float, bool]:
    """Return a load worth trying and whether it should be too much, by how busy a lower one was.

    A little less than what would fill it, where that is far; else a bracket of ``CLOSE`` around
    that, first what is above it. Of an event loop, whose use grows as the load does; slots are
    held for longer under more of it, by nobody knows how much: then 0.
    """
    full = served.rate_per_s / max(served.utilisation, _IDLE)
    if served.utilisation < _WELL_USED:
        return 0.9 * full, False
    if served.busiest != EVENT_LOOP:
        return 0.0, False
    above, below = (1.0 + 0.4 * CLOSE) * full, (1.0 - 0.5 * CLOSE) * full
    return (above, True) if above < high else (below, False)


def _decided_by(trials: Sequence[Trial], goals: Sequence[Slo], full: str) -> str:
    """Name the goal that is missed first, or what is full when all hold until then."""
    missed = next((trial for trial in trials if trial.margin >= 1.0), None)
    if missed is None or not np.isfinite(missed.margins).all():
        return f"{full} is full"
    return goals[missed.deciding].text


def _crossing(trials: Sequence[Trial], highest: float) -> tuple[float, FloatArray]:
    """Return the load at which the margin is 1, together and of each replication."""
    ordered = sorted(trials, key=lambda trial: trial.rate_per_s)
    rates = np.array([trial.rate_per_s for trial in ordered])
    margins = np.array([trial.margins for trial in ordered])
    each = np.array([crossing_of(rates, column, highest) for column in margins.T])
    return crossing_of(rates, margins.mean(axis=1), highest), each


def _point(trial: Trial) -> LimitPoint:
    return LimitPoint(
        rate_per_s=trial.rate_per_s,
        margin=trial.margin if math.isfinite(trial.margin) else None,
        met=trial.margin < 1.0,
        utilisation=trial.utilisation,
        p95=trial.p95_s if math.isfinite(trial.p95_s) else None,
        errors=trial.errors,
    )


def _warnings(plan: Plan, found: Estimate) -> list[str]:
    recorded = plan.model.traffic
    if recorded is None or found.value <= EXTRAPOLATION * recorded.rate:
        return []
    return [
        (
            f"recorded at {recorded.rate:.3g}/s: {found.value:.3g}/s is an extrapolation "
            f"(×{found.value / recorded.rate:.2g})"
        )
    ]
