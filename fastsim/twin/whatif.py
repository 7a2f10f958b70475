"""Changes to a model that are not deployment: code that costs more or less."""

from fastsim.distributions import scaled
from fastsim.model import (
    CpuStep,
    ParallelStep,
    Pauses,
    ServiceModel,
    Step,
    StreamStep,
    ThreadStep,
    Variant,
    WaitStep,
)


def with_cpu_scaled(model: ServiceModel, factor: float) -> ServiceModel:
    """Return the model on a processor that takes ``factor`` times as long for the same code.

    Waits keep their length; the event loop's own costs scale, too.
    """
    loop = model.loop
    costs = loop.model_copy(
        update={
            "accept": loop.accept * factor,
            "per_suspend": loop.per_suspend * factor,
            "per_event": loop.per_event * factor,
            "per_pass": loop.per_pass * factor,
            "handover": None if loop.handover is None else loop.handover * factor,
            "pauses": Pauses(
                per_request=loop.pauses.per_request,
                time=None if loop.pauses.time is None else scaled(loop.pauses.time, factor),
            ),
        }
    )
    endpoints = [
        endpoint.model_copy(
            update={"variants": [_variant(variant, factor) for variant in endpoint.variants]}
        )
        for endpoint in model.endpoints
    ]
    return model.model_copy(update={"loop": costs, "endpoints": endpoints})


def _variant(variant: Variant, factor: float) -> Variant:
    return variant.model_copy(update={"steps": [_step(step, factor) for step in variant.steps]})


def _step(step: Step, factor: float) -> Step:
    match step:
        case CpuStep():
            return step.model_copy(update={"time": scaled(step.time, factor)})
        case ThreadStep() | StreamStep():
            return step.model_copy(update={"cpu": scaled(step.cpu, factor)})
        case ParallelStep():
            branches = [
                branch.model_copy(
                    update={"steps": [_step(inner, factor) for inner in branch.steps]}
                )
                for branch in step.branches
            ]
            return step.model_copy(update={"branches": branches})
        case WaitStep():
            return step.model_copy(update={"thread_cpu": step.thread_cpu * factor})
        case _:
            return step
