"""What happened in each phase of traffic whose rate changes: goals hold in every one of them.

A request belongs to the phase in which it arrived, whenever it is answered: one that comes in the
last second of a spike waits behind all that came in it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fastsim.errors import NotEnoughDataError
from fastsim.load.course import Stretch
from fastsim.result import PhaseResult, SloResult
from fastsim.scenario import Slo
from fastsim.twin.goals import Judged, judge
from fastsim.twin.metrics import Measures
from fastsim.twin.model_doubt import ModelDoubt
from fastsim.twin.replicate import Replications
from fastsim.twin.summaries import errors, summary
from fastsim.units import format_rate

_FULL = 0.9
"""Utilisation of a short phase from which its loops count as full."""
_PILES_UP = 0.05
"""Share of a phase's requests that are more in flight at its end than at its begin."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The replications in one phase of the traffic."""

    stretch: Stretch
    whole: Replications
    found: Replications
    """With the requests alone that arrived in it."""
    doubt: ModelDoubt


def phases_of(whole: Replications, doubt: ModelDoubt) -> list[Phase]:
    """Return the phases that are told apart; none without a course."""
    course = whole.plan.course
    return [
        Phase(each, whole, whole.within(*each.span_s), doubt.within(*each.span_s))
        for each in (course.told_apart if course is not None else ())
    ]


def parts_of(found: Replications) -> list[Replications]:
    """Return what is judged by itself: the replications of each phase, or the whole."""
    course = found.plan.course
    if course is None or not course.told_apart:
        return [found]
    return [found.within(*stretch.span_s) for stretch in course.told_apart]


def phase_results(phases: Sequence[Phase]) -> list[PhaseResult]:
    """Return what each phase was like."""
    return [
        phase.stretch.result(
            phase.whole.plan.rate_per_s,
            summary(phase.found, phase.doubt, None),
            utilisation=_mean(phase, lambda run, its: _use(run, *its.span_s)),
            waiting=_mean(phase, lambda run, its: _present(run, its.end_s)),
        )
        for phase in phases
    ]


def _mean(phase: Phase, value: Callable[[Measures, Stretch], float]) -> float:
    return float(phase.whole.each(lambda run: value(run, phase.stretch)).mean())


def _use(run: Measures, start_s: float, end_s: float) -> float:
    """Return the mean utilisation of the event loops between two moments."""
    windows = run.windows
    total_s = np.concatenate([[0.0], np.cumsum(windows.utilisation)]) * windows.window_s
    edges_s = np.arange(len(total_s)) * windows.window_s
    begin, end = np.interp([start_s, end_s], edges_s, total_s)
    covered = min(end_s, edges_s[-1]) - min(start_s, edges_s[-1])
    return float(end - begin) / covered if covered > 0.0 else math.nan


def _present(run: Measures, at_s: float) -> int:
    """Return how many requests are in flight at a moment."""
    done_s = run.at_s + run.client_s
    return int((run.at_s < at_s).sum() - (done_s < at_s).sum())


def judge_phases(goals: Sequence[Slo], phases: Sequence[Phase]) -> Judged:
    """Evaluate goals in every phase; what is said of each goal is its worst phase.

    Raises
    ------
    NotEnoughDataError
        When no request of a goal's endpoint got an answer in any phase.
    """
    judged = [_worst(goal, phases) for goal in goals]
    return Judged([one for one, _ in judged], [text for _, texts in judged for text in texts])


def _worst(goal: Slo, phases: Sequence[Phase]) -> tuple[SloResult, list[str]]:
    """Return how far a goal is from being met in its worst phase, and what to say of that."""
    each: list[tuple[SloResult, list[str]]] = []
    unknown: NotEnoughDataError | None = None
    endpoint = goal.endpoint
    for phase in phases:
        summaries = {endpoint: summary(phase.found, phase.doubt, endpoint)}
        failures = {endpoint: errors(phase.found, phase.doubt, endpoint)}
        try:
            one = judge([goal], summaries, failures, overloaded=False)
        except NotEnoughDataError as error:
            unknown = error
            continue
        name = phase.stretch.name
        said = [f"{name}: {text}" for text in one.warnings]
        each.append((one.results[0].model_copy(update={"phase": name}), said))
    if not each and unknown is not None:
        raise unknown
    return max(each, key=lambda pair: pair[0].value)


def overload_sentences(results: Sequence[PhaseResult]) -> list[str]:
    """Name the phases in which requests pile up because a loop is full."""
    said, before = [], 0.0
    for phase in results:
        arrived = (phase.begin_per_s + phase.end_per_s) / 2.0 * phase.length_s
        full = (phase.utilisation or 0.0) >= _FULL
        if full and phase.waiting - before > _PILES_UP * arrived:
            rate = format_rate(max(phase.begin_per_s, phase.end_per_s), 3)
            said.append(
                f"{phase.name}: more arrives than leaves at {rate}; {phase.waiting:,.0f} requests "
                "are in flight at its end"
            )
        before = phase.waiting
    return said
