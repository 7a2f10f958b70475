"""Models that the recording may as well have come from."""

import math

import numpy as np
import pytest

from fastsim.distributions import mean, percentile
from fastsim.laws import (
    Constant,
    Distribution,
    Expon,
    Fit,
    Gamma,
    Lognorm,
)
from fastsim.means import mean_count
from fastsim.model import (
    Branch,
    Counts,
    CpuStep,
    Endpoint,
    ParallelStep,
    RepeatStep,
    ServiceModel,
    Step,
    StreamStep,
    Variant,
    WaitStep,
)
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.spans import StepKind
from fastsim.twin.law_doubt import Errors, draw_model, errors_of, idle_s, is_doubtful
from fastsim.twin.planning import make_plan
from fastsim.twin.replicate import replicate, replication_seeds

KNOWN = Fit(n=100, level_error=0.1, spread_error=0.2, level_spread_correlation=0.5)


def test_what_was_not_fitted_is_known_exactly() -> None:
    assert errors_of(Constant(value=1.0)) == Errors(0.0, 0.0)
    assert errors_of(Expon(mean=1.0, fit=KNOWN)) == Errors(0.1, 0.2, 0.5)


def test_a_handful_of_values_is_known_by_its_range() -> None:
    few = Fit(n=4, quantiles=[0.01, 0.02])
    found = errors_of(Constant(value=0.01, fit=few))
    # Standard deviation of the logarithm from the range of four, and of a median of four.
    assert found.level == pytest.approx(1.2533 * math.log(2.0) / 2.059 / 2.0, rel=1e-3)
    assert errors_of(Constant(value=0.01, fit=Fit(n=1, quantiles=[0.01, 0.01]))).level == 0.0
    wild = Fit(n=2, quantiles=[1e-6, 1.0])
    assert errors_of(Constant(value=0.01, fit=wild)).level == 1.0


def service(*laws: Distribution, counts: tuple[int, ...] = (0,)) -> ServiceModel:
    steps = [WaitStep(kind=StepKind.DB, time=law) for law in laws]
    variants = [
        Variant(name=f"path {number}", share=1.0 / len(counts), requests=count, steps=steps)
        for number, count in enumerate(counts)
    ]
    return ServiceModel(endpoints=[Endpoint(name="GET /", share=1.0, variants=variants)])


def waits(model: ServiceModel) -> list[Distribution]:
    return [
        step.time
        for variant in model.endpoints[0].variants
        for step in variant.steps
        if isinstance(step, WaitStep)
    ]


def test_draws_have_the_errors_of_the_fit() -> None:
    model = service(Lognorm(median=0.01, sigma=0.5, fit=KNOWN))
    drawn = [waits(draw_model(model, seed))[0] for seed in range(800)]
    levels = np.array([math.log(law.median / 0.01) for law in drawn if isinstance(law, Lognorm)])
    spreads = np.array([math.log(law.sigma / 0.5) for law in drawn if isinstance(law, Lognorm)])
    # Of 800 values a standard deviation is known to 2.5 %, a correlation of 0.5 to 0.027.
    assert levels.std() == pytest.approx(0.1, rel=0.1)
    assert spreads.std() == pytest.approx(0.2, rel=0.1)
    assert np.corrcoef(levels, spreads)[0, 1] == pytest.approx(0.5, abs=0.1)
    assert abs(levels.mean()) < 4.0 * 0.1 / math.sqrt(800)


def test_no_law_is_moved_far_beyond_what_was_seen() -> None:
    """An endless error of a law of which only upper bounds are known: nothing was so long."""
    blind = Fit(n=300, level_error=5.0, spread_error=5.0, quantiles=[0.001, 0.02])
    model = service(Lognorm(median=0.005, sigma=0.8, fit=blind))
    usual = percentile(waits(model)[0], 0.99)
    far = [percentile(waits(draw_model(model, seed))[0], 0.99) for seed in range(200)]
    assert max(far) <= 2.0 * max(usual, 0.02) * 1.01
    assert min(far) < 0.5 * usual


def test_a_tail_that_nobody_saw_does_not_make_the_mean() -> None:
    """Only upper bounds, and a tail of any weight behind them: the mean stays within reason."""
    blind = Fit(n=300, level_error=80.0, spread_error=46.0, quantiles=[0.0, 0.001], censored=1.0)
    for law in (Expon(mean=2e-5, fit=blind), Gamma(mean=2e-5, shape=0.03, fit=blind)):
        drawn = [mean(waits(draw_model(service(law), seed))[0]) for seed in range(300)]
        assert max(drawn) <= 8.0 * 2e-5 * 1.001
    known = Lognorm(median=0.01, sigma=0.5, fit=KNOWN)
    means = [mean(waits(draw_model(service(known), seed))[0]) for seed in range(300)]
    assert np.std(np.log(means)) > 0.08


def test_the_same_law_moves_together_and_another_by_itself() -> None:
    law = Lognorm(median=0.01, sigma=0.5, fit=KNOWN)
    other = law.model_copy(update={"median": 0.011})
    first, second, third = waits(draw_model(service(law, law, other), 3))
    assert first == second
    assert isinstance(third, Lognorm)
    assert isinstance(first, Lognorm)
    assert third.median / 0.011 != pytest.approx(first.median / 0.01)
    assert draw_model(service(law), 3) == draw_model(service(law), 3)


def test_steps_that_share_a_size_err_together_as_far_as_they_do() -> None:
    fit = Fit(n=100, level_error=0.1, spread_error=0.2)
    model = service(*(Lognorm(median=median, sigma=0.5, fit=fit) for median in (0.01, 0.02)))
    [variant] = model.endpoints[0].variants
    variant.steps = [step.model_copy(update={"size": 0.8}) for step in variant.steps]
    drawn = [waits(draw_model(model, seed)) for seed in range(800)]
    levels = np.log([[law.median for law in laws if isinstance(law, Lognorm)] for laws in drawn])
    spreads = np.log([[law.sigma for law in laws if isinstance(law, Lognorm)] for laws in drawn])
    # Correlations of 800 values are known to 0.03: values by 0.8^2, their squares by its square.
    assert np.corrcoef(levels.T)[0, 1] == pytest.approx(0.64, abs=0.09)
    assert np.corrcoef(spreads.T)[0, 1] == pytest.approx(0.41, abs=0.12)
    assert spreads.std(axis=0) == pytest.approx([0.2, 0.2], rel=0.1)


def test_shares_of_paths_are_those_of_a_sample() -> None:
    model = service(Constant(value=0.01), counts=(17, 983))
    model.endpoints[0].variants[0].share = 0.017
    model.endpoints[0].variants[1].share = 0.983
    shares = [[v.share for v in draw_model(model, s).endpoints[0].variants] for s in range(400)]
    first = np.array(shares)[:, 0]
    assert np.array(shares).sum(axis=1) == pytest.approx(1.0)
    assert first.mean() == pytest.approx(0.017, rel=0.05)
    assert first.std() == pytest.approx(math.sqrt(0.017 * 0.983 / 1000), rel=0.15)


def test_only_what_was_recorded_is_doubted() -> None:
    assert not is_doubtful(service(Constant(value=0.01), Lognorm(median=0.1, sigma=0.3)))
    assert is_doubtful(service(Lognorm(median=0.1, sigma=0.3, fit=KNOWN)))
    assert is_doubtful(service(Constant(value=0.01), counts=(10, 20)))
    assert not is_doubtful(service(Constant(value=0.01), counts=(10, 0)))
    plain = service(Constant(value=0.01), counts=(10, 0))
    assert draw_model(plain, 1) == plain


def test_counts_are_those_of_a_sample() -> None:
    """Of 200 requests that went round 2 or 10 times, half each: the mean is 6, known to 0.28."""
    counts = Counts(values=[2, 10], weights=[1.0, 1.0])
    code = CpuStep(time=Constant(value=0.001))
    stream = StreamStep(
        kind=StepKind.HTTP, chunks=counts, gap=Constant(value=0.1), cpu=Constant(value=0.0)
    )
    loop = RepeatStep(
        count=counts, steps=[ParallelStep(branches=[Branch(count=counts, steps=[code])])]
    )
    steps: list[Step] = [loop, stream]
    variant = Variant(requests=200, steps=steps)
    model = ServiceModel(endpoints=[Endpoint(name="GET /", share=1.0, variants=[variant])])
    means: dict[str, list[float]] = {"repeat": [], "stream": [], "branches": []}
    for seed in range(300):
        first, second = draw_model(model, seed).endpoints[0].variants[0].steps
        assert isinstance(first, RepeatStep)
        assert isinstance(second, StreamStep)
        [inner] = first.steps
        assert isinstance(inner, ParallelStep)
        means["repeat"].append(mean_count(first.count))
        means["stream"].append(mean_count(second.chunks))
        means["branches"].append(mean_count(inner.branches[0].count))
    for name, each in means.items():
        assert np.mean(each) == pytest.approx(6.0, abs=0.08), name
        assert np.std(each) == pytest.approx(4.0 / math.sqrt(200), rel=0.15), name
    assert abs(np.corrcoef(means["repeat"], means["stream"])[0, 1]) < 0.2
    by_hand = ServiceModel(
        endpoints=[Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])]
    )
    assert draw_model(by_hand, 1) == by_hand


@pytest.mark.parametrize("jobs", [1, 2])
def test_replications_say_how_long_a_request_takes_in_the_model_each_drew(jobs: int) -> None:
    model = service(Lognorm(median=0.01, sigma=0.5, fit=KNOWN))
    plan = make_plan(model, TrafficPlan(rate=20.0, duration=1.0), Deployment(), doubtful=True)
    found = replicate(plan, replications=3, seed=5, jobs=jobs).idle_logs()
    [usual] = idle_s(model)
    expected = [
        math.log(idle_s(draw_model(model, seed))[0] / usual) for seed in replication_seeds(5, 3)
    ]
    assert found["GET /"] == pytest.approx(expected)
    assert found[None] == pytest.approx(expected)
    assert np.abs(expected).min() > 1e-3


def test_without_doubt_there_is_nothing_to_say() -> None:
    model = service(Lognorm(median=0.01, sigma=0.5))
    plan = make_plan(model, TrafficPlan(rate=20.0, duration=1.0), Deployment())
    assert replicate(plan, replications=2, seed=5).idle_logs() == {}
