"""Changes to a model that are not deployment: code or waits that take longer, or less long."""

import math
from collections.abc import Mapping

import numpy as np
from scipy import special

from fastsim.distributions import FloatArray, percentiles, scaled
from fastsim.errors import UnknownNameError
from fastsim.laws import Counts, Empirical
from fastsim.model import (
    CpuStep,
    Pauses,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    WaitStep,
)
from fastsim.program import Tokens, all_steps
from fastsim.spans import StepKind


def with_cpu_scaled(model: ServiceModel, factor: float) -> ServiceModel:
    """Return the model on a processor that takes ``factor`` times as long for the same code.

    Waits keep their length; the event loop's own costs scale, too.
    """
    loop = model.loop
    costs = {
        "handover": None if loop.handover is None else loop.handover * factor,
        "background": [
            work.model_copy(update={"time": scaled(work.time, factor)}) for work in loop.background
        ],
        "pauses": Pauses(
            per_request=loop.pauses.per_request,
            time=None if loop.pauses.time is None else scaled(loop.pauses.time, factor),
        ),
    }
    return _scaled(model, factor, costs, threads=factor)


def with_loop_cpu_scaled(model: ServiceModel, factor: float) -> ServiceModel:
    """Return the model with code on the loop, and what the loop spends on it, taking ``factor``.

    What threads do and stops of the whole process stay as they are.
    """
    return _scaled(model, factor, {}, threads=1.0)


def _scaled(
    model: ServiceModel, factor: float, costs: Mapping[str, object], *, threads: float
) -> ServiceModel:
    loop = model.loop
    own = {
        name: getattr(loop, name) * factor
        for name in ("accept", "per_suspend", "per_event", "per_pass")
    }

    def change_in_threads(step: Step) -> Step:
        if isinstance(step, CpuStep):
            return step.model_copy(update={"time": scaled(step.time, threads)})
        return step

    def change(step: Step) -> Step:
        match step:
            case CpuStep():
                return step.model_copy(update={"time": scaled(step.time, factor)})
            case StreamStep():
                return step.model_copy(update={"cpu": scaled(step.cpu, factor)})
            case ThreadStep():
                return step.model_copy(update={"cpu": scaled(step.cpu, threads)})
            case WaitStep():
                return step.model_copy(update={"thread_cpu": step.thread_cpu * threads})
            case _:
                return step

    endpoints = [endpoint.with_steps(change, change_in_threads) for endpoint in model.endpoints]
    return model.model_copy(
        update={"loop": loop.model_copy(update={**own, **costs}), "endpoints": endpoints}
    )


CPU, THREADS, TOKENS = "cpu", "thread", "tokens"
_POINTS = 400
"""Values of a law that is computed."""


def parts_of(model: ServiceModel) -> list[str]:
    """Return what can be slowed: ``cpu``, kinds of waits, what they wait for, and two more.

    ``thread`` is what threads wait for, ``tokens`` how many a language model writes: of streams
    there are more chunks, other answers take longer.
    """
    steps = [
        step
        for endpoint in model.endpoints
        for variant in endpoint.variants
        for step in all_steps(variant.steps)
    ]
    waits = [step for step in steps if isinstance(step, (WaitStep, StreamStep))]
    kinds = sorted({step.kind.value for step in waits})
    labels = sorted({step.label for step in waits if step.label} - set(kinds))
    threads = (
        [THREADS] if any(isinstance(step, ThreadStep) and step.off_gil for step in steps) else []
    )
    writes = any(
        (isinstance(step, WaitStep) and step.tokens is not None) or _streams_tokens(step)
        for step in steps
    )
    return [CPU, *kinds, *labels, *threads, *([TOKENS] if writes else [])]


def _streams_tokens(step: Step) -> bool:
    return isinstance(step, StreamStep) and step.kind is StepKind.LLM


def slowed(model: ServiceModel, part: str, factor: float) -> ServiceModel:
    """Return the model with something that takes ``factor`` times as long.

    Parameters
    ----------
    part
        One of ``parts_of``. ``cpu`` is all code, the event loop's own and that of threads
        included; ``thread`` what threads wait for; ``tokens`` how many a language model writes.

    Raises
    ------
    UnknownNameError
        When the model has no such part.
    """
    known = parts_of(model)
    if part not in known:
        raise UnknownNameError("part", part, known)
    if part == CPU:
        return with_cpu_scaled(model, factor)

    def change(step: Step) -> Step:
        match step:
            case WaitStep() if part == TOKENS:
                return _with_tokens(step, factor)
            case StreamStep() if part == TOKENS and _streams_tokens(step):
                return step.model_copy(update={"chunks": _times(step.chunks, factor)})
            case WaitStep() if part in {step.kind.value, step.label}:
                return _slower(step, factor)
            case StreamStep() if part in {step.kind.value, step.label}:
                return step.model_copy(update={"gap": scaled(step.gap, factor)})
            case ThreadStep() if part == THREADS and step.off_gil is not None:
                return step.model_copy(update={"off_gil": scaled(step.off_gil, factor)})
            case _:
                return step

    endpoints = [endpoint.with_steps(change) for endpoint in model.endpoints]
    return model.model_copy(update={"endpoints": endpoints})


def _slower(step: WaitStep, factor: float) -> WaitStep:
    tokens = step.tokens
    if tokens is not None:
        longer = {"each": tokens.each * factor, "first": tokens.first * factor}
        tokens = tokens.model_copy(update=longer)
    return step.model_copy(update={"time": scaled(step.time, factor), "tokens": tokens})


def _with_tokens(step: WaitStep, factor: float) -> WaitStep:
    """Return a wait for a model that writes so many times as much.

    Each quantile of its law becomes longer as that of the law that its pieces give.
    """
    tokens = step.tokens
    if tokens is None:
        return step
    output = _times(tokens.output, factor)
    before, after = (_quantiles(tokens, counts) for counts in (tokens.output, output))
    longer = np.interp(_AT, _MIDDLES, after / np.maximum(before, 1e-12))
    values = np.maximum.accumulate(percentiles(step.time, _AT) * longer)
    fit = step.time.fit
    if fit is not None:  # as well known, but nobody has seen it
        unseen = dict.fromkeys(("median", "p95", "p99", "distance"))
        fit = fit.model_copy(update={**unseen, "quantiles": []})
    law = Empirical(probabilities=_AT.tolist(), values=values.tolist(), fit=fit)
    changed = tokens.model_copy(update={"output": output})
    return step.model_copy(update={"time": law, "tokens": changed})


_MIDDLES = (np.arange(_POINTS) + 0.5) / _POINTS
_AT = np.concatenate(
    [np.linspace(0.0, 0.99, _POINTS)[:-1], 1.0 - np.geomspace(0.01, 1e-6, 80), [1.0]]
)
"""Where the law of a changed wait is kept: finely where values are rare."""


def _quantiles(tokens: Tokens, output: Counts) -> FloatArray:
    """Return the quantiles of what so many tokens take, more or less."""
    around = np.exp(tokens.spread * special.ndtri(_MIDDLES))
    number, weight = np.array(output.values, np.float64), np.array(output.weights)
    times = (around[:, None] * (tokens.first + tokens.each * number)[None, :]).ravel()
    weights = np.broadcast_to(weight, (_POINTS, len(weight))).ravel()
    order = np.argsort(times, kind="stable")
    below = np.cumsum(weights[order])
    below = (below - weights[order] / 2.0) / below[-1]
    return np.asarray(np.interp(_MIDDLES, below, times[order]), np.float64)


def _times(counts: Counts, factor: float) -> Counts:
    """Return so many times the number, whole ones around it so that the mean is right."""
    found: dict[int, float] = {}
    for value, weight in zip(counts.values, counts.weights, strict=True):
        number = value * factor
        low = math.floor(number)
        for whole, part in ((low, low + 1 - number), (low + 1, number - low)):
            if part * weight > 0.0:
                found[whole] = found.get(whole, 0.0) + part * weight
    values = sorted(found)
    return Counts(values=values, weights=[found[value] for value in values])
