"""What happened in each phase of traffic whose rate changes: goals hold in every one of them.

A request belongs to the phase in which it arrived, whenever it is answered: one that comes in the
last second of a spike waits behind all that came in it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastsim.errors import NotEnoughDataError
from fastsim.load.course import Stretch
from fastsim.result import PhaseResult, SloResult
from fastsim.scenario import Slo
from fastsim.twin.goals import Judged, judge
from fastsim.twin.metrics import OK, Measures
from fastsim.twin.model_doubt import ModelDoubt
from fastsim.twin.replicate import Replications
from fastsim.twin.summaries import errors, summary
from fastsim.units import format_rate

_FULL = 0.9
"""Utilisation of a short phase from which its loops count as full."""
_PILES_UP = 0.05
"""Share of a phase's requests that are more in flight at its end than at its begin."""


def parts_of(found: Replications) -> list[Replications]:
    """Return what is judged by itself: the replications of each phase, or the whole."""
    course = found.plan.course
    if course is None or not course.told_apart:
        return [found]
    return [within(found, stretch) for stretch in course.told_apart]


def within(found: Replications, stretch: Stretch) -> Replications:
    """Return the replications with the requests alone that arrived in a phase."""
    return Replications(found.plan, found.seed, tuple(_cut(run, stretch) for run in found.runs))


def _cut(run: Measures, stretch: Stretch) -> Measures:
    rows = slice(*np.searchsorted(run.at_s, [stretch.start_s, stretch.end_s]).tolist())
    done_s = run.at_s + run.client_s
    ended = (run.state == OK) & (done_s >= stretch.start_s) & (done_s < stretch.end_s)
    return replace(
        run,
        duration_s=stretch.length_s,
        at_s=run.at_s[rows],
        endpoint=run.endpoint[rows],
        state=run.state[rows],
        client_s=run.client_s[rows],
        server_s=run.server_s[rows],
        completions=np.bincount(run.endpoint[ended], minlength=len(run.endpoints)),
        # Where the time went is summed over the whole run.
        parts=(),
        part_sum_s=np.zeros((len(run.endpoints), 0)),
    )


def phase_results(found: Replications, doubt: ModelDoubt) -> list[PhaseResult]:
    """Return what each phase was like; none without phases."""
    course = found.plan.course
    if course is None:
        return []
    return [_phase_result(found, doubt, stretch) for stretch in course.told_apart]


def _phase_result(found: Replications, doubt: ModelDoubt, stretch: Stretch) -> PhaseResult:
    return stretch.result(
        found.plan.rate_per_s,
        summary(within(found, stretch), doubt.of_part(stretch, within), None),
        utilisation=float(found.each(lambda run: _use(run, stretch)).mean()),
        waiting=float(found.each(lambda run: _present(run, stretch.end_s)).mean()),
    )


def _use(run: Measures, stretch: Stretch) -> float:
    """Return the mean utilisation of the event loops in a phase."""
    windows = run.windows
    total_s = np.concatenate([[0.0], np.cumsum(windows.utilisation)]) * windows.window_s
    edges_s = np.arange(len(total_s)) * windows.window_s
    begin, end = np.interp([stretch.start_s, stretch.end_s], edges_s, total_s)
    covered = min(stretch.end_s, edges_s[-1]) - min(stretch.start_s, edges_s[-1])
    return float(end - begin) / covered if covered > 0.0 else math.nan


def _present(run: Measures, at_s: float) -> int:
    """Return how many requests are in flight at a moment."""
    done_s = run.at_s + run.client_s
    return int((run.at_s < at_s).sum() - (done_s < at_s).sum())


def judge_phases(goals: Sequence[Slo], found: Replications, doubt: ModelDoubt) -> Judged:
    """Evaluate goals in every phase; what is said of each goal is its worst phase.

    Raises
    ------
    NotEnoughDataError
        When no request of a goal's endpoint got an answer in any phase.
    """
    course = found.plan.course
    judged: list[tuple[SloResult, list[str]]] = []
    for goal in goals:
        each: list[tuple[SloResult, list[str]]] = []
        failed: NotEnoughDataError | None = None
        for stretch in course.told_apart if course is not None else ():
            part, doubted = within(found, stretch), doubt.of_part(stretch, within)
            name = goal.endpoint
            try:
                one = judge(
                    [goal],
                    {name: summary(part, doubted, name)},
                    {name: errors(part, doubted, name)},
                    overloaded=False,
                )
            except NotEnoughDataError as error:
                failed = error
                continue
            said = [f"{stretch.name}: {text}" for text in one.warnings]
            each.append((one.results[0].model_copy(update={"phase": stretch.name}), said))
        if not each and failed is not None:
            raise failed
        judged.append(max(each, key=lambda pair: pair[0].value))
    return Judged([one for one, _ in judged], [text for _, texts in judged for text in texts])


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
