"""Changes to a model that are not deployment: code or waits that take longer, or less long."""

from collections.abc import Mapping

from fastsim.distributions import scaled
from fastsim.errors import UnknownNameError
from fastsim.model import (
    CpuStep,
    Pauses,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    WaitStep,
)
from fastsim.program import all_steps


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


CPU, THREADS = "cpu", "thread"


def parts_of(model: ServiceModel) -> list[str]:
    """Return what can be slowed: ``cpu``, kinds of waits, what they wait for, and ``thread``."""
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
    return [CPU, *kinds, *labels, *threads]


def slowed(model: ServiceModel, part: str, factor: float) -> ServiceModel:
    """Return the model with something that takes ``factor`` times as long.

    Parameters
    ----------
    part
        One of ``parts_of``. ``cpu`` is all code, the event loop's own and that of threads
        included; ``thread`` what threads wait for.

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
            case WaitStep() if part in {step.kind.value, step.label}:
                return step.model_copy(update={"time": scaled(step.time, factor)})
            case StreamStep() if part in {step.kind.value, step.label}:
                return step.model_copy(update={"gap": scaled(step.gap, factor)})
            case ThreadStep() if part == THREADS and step.off_gil is not None:
                return step.model_copy(update={"off_gil": scaled(step.off_gil, factor)})
            case _:
                return step

    endpoints = [endpoint.with_steps(change) for endpoint in model.endpoints]
    return model.model_copy(update={"endpoints": endpoints})
