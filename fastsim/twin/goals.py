"""Goals (SLOs): check that they can be asked, and whether a forecast meets them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastsim.errors import NotEnoughDataError, UnknownNameError
from fastsim.result import Estimate, SloResult, Summary
from fastsim.scenario import Slo, parse_slo

MOSTLY = 0.8
"""Part of the interval from which doubt about the model decides: 0.6 is left without it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Evaluated goals and what must be said about them."""

    results: list[SloResult]
    warnings: list[str]


def parse_goals(texts: Iterable[str], endpoints: Sequence[str]) -> list[Slo]:
    """Read goals and refuse one on an endpoint that does not exist.

    A goal nobody can miss would pass silently for ever.

    Raises
    ------
    InputError
        When a text is not a goal.
    UnknownNameError
        When a goal names an unknown endpoint.
    """
    goals = [parse_slo(text) for text in texts]
    for goal in goals:
        if goal.endpoint is not None and goal.endpoint not in endpoints:
            raise UnknownNameError("endpoint", goal.endpoint, endpoints, where=goal.text)
    return goals


def judge(
    goals: Iterable[Slo],
    summaries: dict[str | None, Summary],
    errors: dict[str | None, Estimate],
    *,
    overloaded: bool,
) -> Judged:
    """Evaluate goals against a forecast.

    A goal is met when the estimate is below the limit; when the 95 % interval of the
    estimate holds the limit, a warning says that it could go either way. Under overload no
    latency goal is met: latency grows for as long as the load lasts.

    Parameters
    ----------
    summaries, errors
        By endpoint, None for all together: the forecast, and the share of failed requests.

    Raises
    ------
    NotEnoughDataError
        When no request of a goal's endpoint got an answer.
    """
    results, warnings = [], []
    for goal in goals:
        estimate = _estimate(goal, summaries[goal.endpoint], errors[goal.endpoint])
        low, high = estimate.low, estimate.high
        hopeless = overloaded and goal.metric != "errors"
        if not hopeless and low is not None and high is not None and low < goal.limit < high:
            warnings.append(
                f"{goal.text!r} is too close to call: the limit lies inside the interval; "
                f"{_what_narrows(estimate)}"
            )
        results.append(
            SloResult(
                text=goal.text,
                metric=goal.metric,
                endpoint=goal.endpoint,
                limit=goal.limit,
                value=estimate.value,
                low=low,
                high=high,
                met=estimate.value < goal.limit and not hopeless,
            )
        )
    return Judged(results, warnings)


def _estimate(goal: Slo, summary: Summary, errors: Estimate) -> Estimate:
    if goal.metric == "errors" and summary.completed + summary.failed:
        return errors
    if goal.metric == "errors" or summary.latency is None:
        what = "no request" if goal.endpoint is None else f"no request of {goal.endpoint}"
        raise NotEnoughDataError(
            f"{what} {'finished' if goal.metric == 'errors' else 'succeeded'} in the simulation",
            hint="give the endpoint a share of the mix, or simulate for longer",
            where=goal.text,
        )
    found: Estimate = getattr(summary.latency, goal.metric)
    return found


def _what_narrows(estimate: Estimate) -> str:
    """Say what would make an interval shorter."""
    low, high, doubt = estimate.low, estimate.high, estimate.doubt or 0.0
    if estimate.unit == "ratio" and low == 0.0 == estimate.value:
        return "the recording holds too few requests to tell, record more"
    if low and high and 2.0 * doubt > MOSTLY * math.log(high / low):
        return "most of it is doubt about the fitted model, which a longer recording lessens"
    return "more replications or a longer duration narrow it"
