"""What is asked of a model, made complete: the rest is what was recorded, and all names exist."""

from collections.abc import Mapping

from fastsim.errors import InputError, UnknownNameError
from fastsim.load.course import Course, course_of
from fastsim.load.source import Source
from fastsim.model import ServiceModel
from fastsim.phases import Phase, check_phases
from fastsim.scenario import (
    Deployment,
    ResolvedDeployment,
    Spacing,
    TrafficPlan,
    check_bursts,
    check_source,
    check_users,
    resolve_deployment,
)
from fastsim.twin.plan import ArrivalReplay, Plan
from fastsim.twin.users import idle_cycle_s
from fastsim.twin.warmup import SHORTEST_S, filling_s
from fastsim.units import format_share

_FEW_BURSTS = 3.0
"""So many bursts have to be in a simulation at least."""
_BURSTS = 10.0
"""A service under bursts is as usual after so many times their memory."""


def make_plan(
    model: ServiceModel,
    traffic: TrafficPlan,
    deployment: Deployment,
    arrivals: ArrivalReplay | None = None,
    *,
    source: Source | None = None,
    doubtful: bool = False,
) -> Plan:
    """Fill in what was recorded and check that everything named exists.

    Parameters
    ----------
    source
        What the traffic names as its source, read.

    Raises
    ------
    InputError
        When no rate is given or recorded, or the mix adds up to more than 100 %.
    UnknownNameError
        When the mix or the deployment names what the model does not have.
    """
    check_source(traffic)
    if (source is None) != (traffic.source is None):
        raise InputError("the source of the traffic has to be read first")
    known = traffic
    if source is not None and source.rate_per_s is not None and traffic.rate is None:
        known = traffic.model_copy(update={"rate": source.rate_per_s})
    rate_per_s, course = _rate_and_course(model, known)
    duration_s = traffic.duration if course is None else course.duration_s
    if source is not None and source.length_s is not None:
        duration_s = source.length_s
    resolved, mix = checked_deployment(model, deployment), complete_mix(model, traffic.mix)
    spacing = _spacing(model, traffic)
    filling = filling_s(model, mix, resolved)
    if spacing == "bursty" and model.traffic is not None and model.traffic.burst is not None:
        filling = max(filling, _BURSTS * model.traffic.burst.memory)
    if traffic.bursts is not None:
        filling = max(filling, _FEW_BURSTS * traffic.bursts.every)
    return Plan(
        model=model,
        deployment=resolved,
        rate_per_s=rate_per_s,
        duration_s=duration_s,
        course=course,
        source=source,
        users=traffic.users,
        warmup_s=max(SHORTEST_S, filling) if traffic.warmup is None else traffic.warmup,
        filling_s=filling,
        arrivals=spacing,
        bursts=traffic.bursts,
        mix=mix,
        replay=arrivals,
        doubtful=doubtful,
    )


def _rate_and_course(model: ServiceModel, traffic: TrafficPlan) -> tuple[float, Course | None]:
    """Return the mean rate, requests per second, and the phases that the traffic has."""
    check_users(traffic)
    check_bursts(traffic)
    if traffic.users is not None:
        cycle_s = idle_cycle_s(model, traffic.users, complete_mix(model, traffic.mix))
        return traffic.users.count / max(cycle_s, 1e-6), None
    rate_per_s = traffic.rate
    if rate_per_s is None and model.traffic is not None:
        rate_per_s = model.traffic.rate
    if traffic.phases:
        check_phases(traffic.phases, traffic.rate)
        course, rate_per_s = course_of(
            [_with_whole_mix(model, each) for each in traffic.phases], rate_per_s
        )
        return rate_per_s, course
    if rate_per_s is None:
        raise InputError(
            "the model has no recorded rate", hint="say how much arrives: --rate 100/s"
        )
    return rate_per_s, None


def _with_whole_mix(model: ServiceModel, phase: Phase) -> Phase:
    """Give every endpoint its share of a phase that has shares of its own."""
    if not phase.mix:
        return phase
    return phase.model_copy(update={"mix": complete_mix(model, phase.mix)})


def _spacing(model: ServiceModel, traffic: TrafficPlan) -> Spacing:
    """Return how requests arrive: by chance unless something else is said."""
    bursts = model.traffic is not None and model.traffic.burst is not None
    if traffic.arrivals == "bursty" and not bursts:
        raise InputError(
            "the recording shows no bursts to repeat",
            hint="leave arrivals out, or write phases: --phases '60s x1, 10s x3'",
        )
    return traffic.arrivals


def checked_deployment(model: ServiceModel, deployment: Deployment) -> ResolvedDeployment:
    """Resolve a deployment; refuse resources that no endpoint can use.

    Raises
    ------
    UnknownNameError
        When the model has no resource of that name.
    """
    for name in deployment.resources:
        if name not in model.resources:
            raise UnknownNameError(
                "resource", name, model.resources, where=f"deployment.resources.{name}"
            )
    for name in deployment.limits:
        if name not in model.limits:
            where = f"deployment.limits.{name}"
            raise UnknownNameError("limit", name, model.limits, where=where)
    return resolve_deployment(model, deployment)


def complete_mix(model: ServiceModel, mix: Mapping[str, float]) -> dict[str, float]:
    """Give every endpoint its share.

    Endpoints that are not named divide what the named ones leave, in the recorded
    proportion. Empty means the recorded mix.

    Raises
    ------
    UnknownNameError
        When an endpoint is not in the model.
    InputError
        When the shares add up to more than 100 %, or to less with no endpoint left.
    """
    recorded = {endpoint.name: endpoint.share for endpoint in model.endpoints}
    for name in mix:
        if name not in recorded:
            raise UnknownNameError("endpoint", name, recorded, where="mix")
    rest = 1.0 - sum(mix.values())
    unnamed = sum(share for name, share in recorded.items() if name not in mix)
    if rest < -1e-6 or (mix and rest > 1e-6 and unnamed <= 0.0):
        raise InputError(
            f"the mix adds up to {format_share(1.0 - rest)}", hint="make it 100%", where="mix"
        )
    scale = max(rest, 0.0) / unnamed if unnamed > 0.0 else 0.0
    return {name: mix.get(name, share * scale) for name, share in recorded.items()}
