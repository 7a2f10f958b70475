"""What changed between two models is found, what did not is not."""

import itertools
import math

import numpy as np
import pytest

from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.model_diff import diff_models
from fastsim.laws import Constant, Counts, Distribution, Fit, Lognorm
from fastsim.model import (
    ColdCost,
    CpuStep,
    Endpoint,
    LoopCosts,
    RepeatStep,
    Resource,
    ServiceModel,
    SpeedDoubt,
    StreamStep,
    ThreadStep,
    UseStep,
    Variant,
    WaitStep,
)
from fastsim.program import Step
from fastsim.spans import StepKind


def known(median: float, error: float = 0.01) -> Lognorm:
    """A law whose median and 95th percentile are known to the same error."""
    spread = 1.6449 * error
    p95 = median * math.exp(0.5 * 1.6449)
    bounds = {
        "median": (median * math.exp(-spread), median * math.exp(spread)),
        "p95": (p95 * math.exp(-spread), p95 * math.exp(spread)),
    }
    return Lognorm(median=median, sigma=0.5, fit=Fit(n=1000, level_error=error, **bounds))


def query(law: Distribution, label: str = "asyncpg") -> WaitStep:
    return WaitStep(kind=StepKind.DB, time=law, label=label)


def service(*steps: Step, speed: float = 0.0, name: str = "GET /") -> ServiceModel:
    variant = Variant(steps=list(steps), requests=1000)
    loop = LoopCosts(doubt=SpeedDoubt(error=speed))
    endpoint = Endpoint(name=name, share=1.0, variants=[variant])
    return ServiceModel(loop=loop, resources={"db": Resource(capacity=5)}, endpoints=[endpoint])


def test_a_model_is_what_it_is() -> None:
    model = service(CpuStep(time=known(0.001)), query(known(0.01)))
    found = diff_models(model, model)
    assert found.drifts == ()
    assert found.compared == 4


def test_a_slower_query_is_found_and_nothing_else() -> None:
    old = service(CpuStep(time=known(0.001)), query(known(0.01)), query(known(0.02), "redis"))
    new = service(CpuStep(time=known(0.00101)), query(known(0.015)), query(known(0.02), "redis"))
    found = diff_models(old, new)
    assert {(drift.step, drift.what) for drift in found.drifts} == {
        ("db asyncpg", "median"),
        ("db asyncpg", "p95"),
    }
    assert found.drifts[0].ratio == pytest.approx(1.5)
    # Two errors of 1 % each, six tests: 2.64 standard errors.
    assert found.drifts[0].error == pytest.approx(2.638 * 0.01 * math.sqrt(2.0), abs=1e-3)


def test_code_is_no_change_where_nobody_knows_what_it_takes_on_a_busy_loop() -> None:
    """A quiet recording knows code on an idle loop: a third of that may be idleness, or nothing."""
    unsure = LoopCosts(cold=ColdCost(extra=0.5, error=0.4, seen=0.6))
    old, new = service(CpuStep(time=known(0.001))), service(CpuStep(time=known(0.0014)))
    assert len(diff_models(old, new).drifts) == 2
    for one, other in ((unsure, old.loop), (old.loop, unsure)):
        found = diff_models(
            old.model_copy(update={"loop": one}), new.model_copy(update={"loop": other})
        )
        assert found.drifts == ()
    # What threads run is not on the loop.
    old, new = (service(ThreadStep(cpu=known(cpu))) for cpu in (0.001, 0.0014))
    quiet = {"loop": unsure}
    assert len(diff_models(old.model_copy(update=quiet), new).drifts) == 2


def test_what_is_not_known_well_enough_is_not_called_a_change() -> None:
    old, new = service(query(known(0.01, 0.2))), service(query(known(0.015, 0.2)))
    assert diff_models(old, new).drifts == ()
    unfitted = Lognorm(median=0.1, sigma=0.5)
    assert diff_models(service(query(unfitted)), service(query(known(0.01)))).compared == 0


def test_code_is_allowed_another_speed_of_the_machine_and_waits_are_not() -> None:
    def at(speed: float, slower: float) -> ServiceModel:
        steps = (CpuStep(time=known(0.001 * slower)), query(known(0.01 * slower)))
        return service(*steps, speed=speed)

    found = diff_models(at(0.05, 1.0), at(0.05, 1.15))
    assert {drift.step for drift in found.drifts} == {"db asyncpg"}
    assert {d.step for d in diff_models(at(0.0, 1.0), at(0.0, 1.15)).drifts} == {
        "cpu",
        "db asyncpg",
    }


def test_steps_paths_and_endpoints_come_and_go() -> None:
    old = service(query(known(0.01)), CpuStep(time=known(0.001)))
    new = service(query(known(0.01)), query(known(0.002), "redis"), CpuStep(time=known(0.001)))
    [came] = diff_models(old, new).drifts
    assert (came.step, came.what) == ("db redis", "new")
    [went] = diff_models(new, old).drifts
    assert (went.step, went.what) == ("db redis", "gone")
    moved = {(d.place, d.what) for d in diff_models(old, service(name="GET /b")).drifts}
    assert moved == {("GET /", "gone"), ("GET /b", "new")}


def test_steps_within_steps_are_compared_too() -> None:
    def deep(median: float) -> ServiceModel:
        law = known(median)
        return service(
            UseStep(resource="db", steps=[query(law)]),
            RepeatStep(count=Counts(values=[3], weights=[1.0]), steps=[CpuStep(time=law)]),
            ThreadStep(cpu=law, off_gil=law),
            StreamStep(
                kind=StepKind.LLM, chunks=Counts(values=[3], weights=[1.0]), gap=law, cpu=law
            ),
        )

    found = diff_models(deep(0.01), deep(0.02))
    assert {drift.step for drift in found.drifts} == {
        "db asyncpg",
        "cpu",
        "thread",
        "thread waiting",
        "llm, wait of a chunk",
        "llm, code of a chunk",
    }
    assert found.compared == 12


def test_more_misses_are_a_change_of_shares() -> None:
    def cache(misses: float, requests: int) -> ServiceModel:
        shares = {"main": 1.0 - misses, "variant 2": misses}
        variants = [
            Variant(name=n, share=s, requests=round(s * requests), steps=[query(known(0.01))])
            for n, s in shares.items()
        ]
        return ServiceModel(endpoints=[Endpoint(name="GET /", share=1.0, variants=variants)])

    found = diff_models(cache(0.05, 2000), cache(0.12, 2000))
    assert [(d.place, d.what) for d in found.drifts if d.ratio > 1.0] == [
        ("GET /, variant 2", "share")
    ]
    assert diff_models(cache(0.05, 100), cache(0.08, 100)).drifts == ()


def test_two_recordings_of_one_service_differ_by_chance_only() -> None:
    """Fits of 300 requests, five steps: of 40 pairs at most 6 with a change (999 in 1000)."""

    def recorded(seed: int) -> ServiceModel:
        rng = np.random.default_rng(seed)
        none = np.zeros(300)
        laws = [
            fit_distribution(rng.lognormal(math.log(0.01), 0.5, 300), none),
            fit_distribution(rng.gamma(3.0, 0.004, 300), none),
            fit_distribution(rng.exponential(0.02, 300), none),
        ]
        return service(*(query(law, str(number)) for number, law in enumerate(laws)))

    models = [recorded(seed) for seed in range(41)]
    pairs = itertools.pairwise(models)
    assert sum(bool(diff_models(*pair).drifts) for pair in pairs) <= 6


def test_a_constant_that_changes_is_no_chance() -> None:
    fit = Fit(n=100)
    old = service(query(Constant(value=0.01, fit=fit)))
    new = service(query(Constant(value=0.02, fit=fit)))
    assert {drift.what for drift in diff_models(old, new).drifts} == {"median", "p95"}
