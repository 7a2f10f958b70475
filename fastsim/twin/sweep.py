"""Every combination of some settings, simulated with the same random numbers.

Points differ by what was set and hardly by chance: arrivals and what requests draw are those of
the same seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastsim.answers import Sweep, SweepPoint
from fastsim.load.source import Source
from fastsim.model import ServiceModel
from fastsim.result import Estimate, Run
from fastsim.scenario import Deployment, TrafficPlan, setting_name
from fastsim.twin.forecast import forecast_run
from fastsim.twin.processes import Jobs, shared
from fastsim.twin.trust import find_overload

OnPoint = Callable[[Mapping[str, str], float], None]
"""Called with the settings that are tried, and how much is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class SweepCase:
    """One combination, and what it stands for."""

    settings: Mapping[str, str]
    model: ServiceModel
    traffic: TrafficPlan
    deployment: Deployment
    source: Source | None = None


def sweep(
    cases: Sequence[SweepCase],
    vary: Mapping[str, Sequence[str]],
    goals: Sequence[str],
    *,
    title: str,
    replications: int,
    seed: int,
    jobs: Jobs = 1,
    on_point: OnPoint = lambda _settings, _done: None,
) -> Sweep:
    """Simulate all cases; Ctrl-C ends it with those that are done, if any are.

    Parameters
    ----------
    goals
        As people write them; a case meets all of them or not.
    jobs
        See ``fastsim.twin.processes``.

    Raises
    ------
    InputError
        When a case cannot be simulated.
    """
    points: list[SweepPoint] = []
    said: list[str] = []
    try:
        with shared(jobs) as processes:
            for number, case in enumerate(cases):
                on_point(case.settings, number / len(cases))
                run, found = forecast_run(
                    case.model,
                    traffic=case.traffic,
                    deployment=case.deployment,
                    source=case.source,
                    slo=goals,
                    replications=replications,
                    seed=seed,
                    jobs=processes,
                    with_doubt=True,
                )
                overload = find_overload(found) is not None
                points.append(_point(case.settings, run, overloaded=overload))
                if not overload:
                    said += [text for text in run.warnings if text not in said and _of_all(text)]
    except KeyboardInterrupt:
        if not points:
            raise
        said.insert(0, f"stopped after {len(points)} of {len(cases)} settings")
    met = [point for point in points if point.met]
    return Sweep(
        title=title,
        seed=seed,
        replications=replications,
        vary={name: list(values) for name, values in vary.items()},
        goals=list(goals),
        points=points,
        sentence=_sentence(points, goals),
        verdict=("yes" if met else "no") if goals else "none",
        warnings=said,
    )


_OF_A_POINT = ("too close to call", "extrapolation", "stretches of queueing")


def _of_all(text: str) -> bool:
    """Tell whether a warning is about the model, and not about one point."""
    return not any(words in text for words in _OF_A_POINT)


def _point(settings: Mapping[str, str], run: Run, *, overloaded: bool) -> SweepPoint:
    uses = {name: use.utilisation.value for name, use in run.resources.items()}
    if run.loop is not None:
        uses = {"event loop": run.loop.utilisation.value, **uses}
    busiest = max(uses, key=uses.__getitem__, default="")
    failed = run.total.failed / run.total.requests if run.total.requests else 0.0
    return SweepPoint(
        settings=dict(settings),
        rate_per_s=run.rate_per_s,
        latency=None if overloaded else run.total.latency,
        errors=Estimate(value=failed, unit="ratio"),
        throughput=run.total.throughput,
        busiest=busiest,
        utilisation=uses.get(busiest, 0.0),
        overloaded=overloaded,
        met=run.verdict == "yes" if run.slo else None,
    )


def settings_text(settings: Mapping[str, str]) -> str:
    """Say settings: ``workers 3, rate 300/s``."""
    return ", ".join(f"{setting_name(name)} {value}" for name, value in settings.items())


def _sentence(points: Sequence[SweepPoint], goals: Sequence[str]) -> str:
    """Say how many meet the goals, or which p95 is the lowest and which the highest."""
    full = sum(point.overloaded for point in points)
    overloaded = f"; {full} {'is' if full == 1 else 'are'} overloaded" if full else ""
    if goals:
        met = [point for point in points if point.met]
        asked = ", ".join(goals)
        if not met:
            return f"none of {len(points)} settings meets {asked}{overloaded}"
        if len(met) == len(points):
            return f"all {len(points)} settings meet {asked}"
        return f"{len(met)} of {len(points)} settings meet {asked}{overloaded}"
    known = [(point.latency.p95.value, point) for point in points if point.latency is not None]
    if not known:
        return "every setting is overloaded"
    least, most = min(known, key=lambda k: k[0]), max(known, key=lambda k: k[0])
    return (
        f"p95 from {least[0] * 1e3:.3g} ms ({settings_text(least[1].settings)}) to "
        f"{most[0] * 1e3:.3g} ms ({settings_text(most[1].settings)}){overloaded}"
    )
