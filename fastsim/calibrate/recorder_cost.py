"""Take what recording cost out of the loop's costs, so that forecasts are for the service alone.

The recorder counted what it took from the event loop, and the CPU of the thread that writes. How
the first divides into requests and steps it measured on code that does nothing
(``fastsim.collector.cost``), where it is cheaper: everything is in the caches. The fitted costs
contain both. What is taken out stays in the model, because a recording can only be replayed with
it: the self-check, and a comparison with another recording.
"""

from dataclasses import dataclass

import numpy as np

from fastsim import spans
from fastsim.calibrate.growth import loop_share, per_request_s, unsampled
from fastsim.calibrate.requests import RequestSet
from fastsim.model import LoopCosts, RecorderCost, ServiceModel

_LOOP = spans.Via.LOOP


@dataclass(frozen=True, slots=True)
class Recording:
    """What the recorder took, seconds."""

    per_request_s: float
    per_wait_s: float
    """With the suspensions between that wait for nothing."""
    writer_s: float
    """CPU of its own thread per request, as far as that ran while the loop was busy."""
    waits: float
    """Waits of a request in the mean."""
    passes: float
    """Turns of the loop per request."""
    per_pass_s: float
    """Of watching the loop."""


def without_recorder(model: ServiceModel, requests: RequestSet) -> ServiceModel:
    """Return the model with the recorder's share of the loop's costs set apart."""
    found = _recording(requests)
    if found is None:
        return model
    loop = take_out(model.loop, found)
    return model.model_copy(update={"loop": loop})


def take_out(loop: LoopCosts, found: Recording) -> LoopCosts:
    """Set apart what recording cost, as far as the fitted costs contain it.

    What a wait or a turn took comes out of the costs of waits or turns first. Counts that rise and
    fall together cannot be told apart by a fit, so the rest, with what a request took, comes out
    of the costs of requests and then of turns.
    """
    suspend = min(found.per_wait_s, loop.per_suspend)
    event = min(found.per_wait_s - suspend, loop.per_event)
    left = found.per_request_s + found.writer_s
    watched = min(found.per_pass_s, loop.per_pass)
    left += (found.per_pass_s - watched) * found.passes
    left += (found.per_wait_s - suspend - event) * found.waits
    accept = min(left, loop.accept)
    turn = watched
    if found.passes > 0.0:
        turn += min((left - accept) / found.passes, loop.per_pass - watched)
    parts = {"accept": accept, "per_suspend": suspend, "per_event": event, "per_pass": turn}
    rest = {name: getattr(loop, name) - part for name, part in parts.items()}
    return loop.model_copy(update={**rest, "recorder": RecorderCost(**parts)})


def _recording(requests: RequestSet) -> Recording | None:
    """Return what was measured; None for recordings that do not say."""
    facts = [instance.facts for instance in requests.instances]
    per_request, per_step = (
        [value for fact in facts if isinstance(value := fact.get(name), int)]
        for name in (spans.PROCESS_TIMER_REQUEST_NS, spans.PROCESS_TIMER_STEP_NS)
    )
    if not per_request or not per_step:
        return None
    lines = [line for _, line in requests.timelines()]
    steps = sum(len(line) for line in lines)
    if steps == 0:
        return None
    waits = sum(
        kind is not spans.StepKind.CPU and not (kind is spans.StepKind.SLEEP and via is _LOOP)
        for line in lines
        for kind, via in zip(line.kind, line.via, strict=True)
    )
    writer_s = per_request_s(requests, spans.RECORDER_CPU_NS) or 0.0
    writer_s *= loop_share(requests, spans.LOOP_BUSY_NS) or 0.0
    share = 1.0 / unsampled(requests)  # requests that were not recorded cost nothing
    request_s = float(np.mean(per_request)) / 1e9 * share
    steps_s = float(np.mean(per_step)) / 1e9 * share * steps / len(lines)
    dearer = dearer_in_place(request_s + steps_s, per_request_s(requests, spans.RECORDER_LOOP_NS))
    request_s, steps_s = request_s * dearer, steps_s * dearer
    per_pass = [fact.get(spans.PROCESS_TIMER_TURN_NS, 0) for fact in facts]
    per_pass_ns = float(np.mean([ns for ns in per_pass if isinstance(ns, int)] or [0]))
    return Recording(
        per_request_s=request_s if waits else request_s + steps_s,
        per_wait_s=steps_s * len(lines) / waits if waits else 0.0,
        writer_s=writer_s,
        waits=waits / len(lines),
        passes=(per_request_s(requests, spans.LOOP_PASSES) or 0.0) * 1e9,
        per_pass_s=per_pass_ns / 1e9 * dearer,
    )


def dearer_in_place(alone_s: float, loop_s: float | None) -> float:
    """Return how many times as much recording took in the service as on code that does nothing.

    Parameters
    ----------
    alone_s
        What a request of the service would have been charged, by the latter; seconds.
    loop_s
        Time that recording took on the loop per request, seconds; None where nobody counted.
    """
    return 1.0 if loop_s is None or alone_s <= 0.0 else loop_s / alone_s
