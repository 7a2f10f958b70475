"""``size``: the choice is that of trying everything."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fastsim.answers import Size
from fastsim.errors import InputError, UnknownNameError
from fastsim.model import (
    AcquireStep,
    CpuStep,
    Endpoint,
    Expon,
    Fit,
    Gamma,
    ReleaseStep,
    Resource,
    ServiceModel,
    Variant,
    WaitStep,
)
from fastsim.scenario import Deployment, TrafficPlan, parse_slo
from fastsim.spans import StepKind
from fastsim.twin.grid import with_settings
from fastsim.twin.metrics import Measures
from fastsim.twin.plan import Plan
from fastsim.twin.planning import make_plan
from fastsim.twin.simulation import simulate_once
from fastsim.twin.size import (
    FIRST_REPLICATIONS,
    GLANCE,
    MOST_REPLICATIONS,
    find_size,
)
from fastsim.twin.trial import Trial, judge_trial, replicate_trial, trial_duration_s
from tests.trials import short_trials

WORKERS, SLOTS = "deployment.workers", "deployment.resources.db.capacity"


def plan(rate: float = 400.0) -> Plan:
    steps = [
        CpuStep(time=Gamma(mean=0.002, shape=4.0)),
        AcquireStep(resource="db"),
        WaitStep(kind=StepKind.DB, time=Expon(mean=0.020)),
        CpuStep(time=Gamma(mean=0.001, shape=4.0)),
        ReleaseStep(resource="db"),
    ]
    model = ServiceModel(
        service="s",
        resources={"db": Resource(capacity=5)},
        endpoints=[Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])],
    )
    return make_plan(model, TrafficPlan(rate=rate), Deployment(cores=8))


GOAL = [parse_slo("p95 < 100ms")]
GRID = {WORKERS: [1, 2, 3], SLOTS: [4, 6, 12]}


@pytest.fixture(scope="module")
def meeting() -> list[dict[str, float]]:
    """Try everything, with other random numbers; return what meets the goal."""
    found = []
    for workers, slots in itertools.product(*GRID.values()):
        settings = {WORKERS: float(workers), SLOTS: float(slots)}
        deployment = with_settings(plan(), settings)
        ran = replicate_trial(plan(), GOAL, deployment=deployment, replications=2, seed=99)
        trial = judge_trial(ran, GOAL)
        if trial.margin < 1.0:
            found.append(settings)
    return found


@pytest.mark.parametrize("prices", [None, {WORKERS: 10.0, SLOTS: 1.0}, {WORKERS: 1.0, SLOTS: 4.0}])
def test_the_choice_is_that_of_trying_everything(
    prices: dict[str, float] | None, meeting: list[dict[str, float]]
) -> None:
    found = find_size(plan(), GOAL, GRID, prices=prices, seed=2)

    def cost(settings: dict[str, float]) -> tuple[float, list[float]]:
        units = settings.items()
        return sum((prices or {}).get(path, 0.0) * n for path, n in units), list(settings.values())

    assert found.best is not None
    assert found.best.settings == min(meeting, key=cost)
    assert found.simulated < found.considered == 9
    assert found.verdict == "yes"


def test_costs_are_prices_times_units() -> None:
    found = find_size(plan(), GOAL, GRID, prices={WORKERS: 10.0, SLOTS: 1.0}, seed=2)
    for candidate in found.candidates:
        units = candidate.settings
        assert candidate.cost == 10.0 * units[WORKERS] + units[SLOTS]
    costs = [candidate.cost for candidate in found.pareto]
    margins = [candidate.margin for candidate in found.pareto if candidate.margin is not None]
    assert costs == sorted(costs)
    assert margins == sorted(margins, reverse=True)


def test_nothing_that_works() -> None:
    found = find_size(plan(), [parse_slo("p50 < 10ms")], {WORKERS: [1, 2]})
    assert found.best is None
    assert found.confidence is None
    assert found.verdict == "no"


def test_smaller_than_a_miss_is_not_simulated() -> None:
    hopeless: Size = find_size(plan(rate=2000.0), GOAL, GRID)
    assert hopeless.best is None
    assert hopeless.simulated == 0  # 6 s of code a second are more than 3 workers can do
    assert "9 deployments were not simulated" in hopeless.warnings[0]
    # Goals that queueing makes unreachable have to be tried, the largest ones first.
    strict: Size = find_size(plan(rate=900.0), [parse_slo("p50 < 24ms")], GRID)
    assert strict.best is None
    assert 0 < strict.simulated < 6


def test_what_cannot_vary() -> None:
    with pytest.raises(UnknownNameError, match="wrokers"):
        find_size(plan(), GOAL, {"deployment.wrokers": [1]})
    with pytest.raises(UnknownNameError, match="cash"):
        find_size(plan(), GOAL, {"deployment.resources.cash.capacity": [1]})
    with pytest.raises(InputError, match="no goal"):
        find_size(plan(), [], GRID)
    with pytest.raises(InputError, match="nothing varies"):
        find_size(plan(), GOAL, {})


def test_the_same_seed_gives_the_same_answer() -> None:
    vary = {WORKERS: [3]}
    assert find_size(plan(), GOAL, vary, seed=3) == find_size(plan(), GOAL, vary, seed=3)


def test_more_workers_than_can_be_simulated_are_refused() -> None:
    with pytest.raises(InputError, match="4096 at most"):
        find_size(plan(), GOAL, {WORKERS: [1, 10**26]})


def test_what_does_not_vary_stays_as_the_scenario_says() -> None:
    """Also what a resource has beside its slots."""
    asked = Deployment(
        cores=8,
        replicas=2,
        balancer="power of two",
        resources={"db": Resource(capacity=5, timeout=0.5, scope="service")},
    )
    fixed = make_plan(plan().model, TrafficPlan(rate=100.0), asked)
    changed = with_settings(fixed, {SLOTS: 7.0, "deployment.replicas": 3.0})
    update = {"replicas": 3, "resources": {"db": 7}}
    assert changed == fixed.deployment.model_copy(update=update)
    assert (changed.timeouts, changed.scopes) == ({"db": 0.5}, {"db": "service"})


def test_a_choice_on_a_short_recording_is_less_sure() -> None:
    """What is chosen stays; how sure it is, is what the recording lets it be."""
    known = Fit(n=30, level_error=0.3, spread_error=0.0)
    first = plan().model.endpoints[0].variants[0].steps
    steps = [
        step.model_copy(update={"time": step.time.model_copy(update={"fit": known})})
        if isinstance(step, CpuStep)
        else step
        for step in first
    ]
    endpoint = Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])
    model = plan().model.model_copy(update={"endpoints": [endpoint]})
    usual, vary = plan(rate=880.0), {WORKERS: [2, 3, 4], SLOTS: [12]}
    unsure = find_size(replace(usual, model=model), GOAL, vary, seed=3)
    sure = find_size(usual, GOAL, vary, seed=3)
    assert unsure.best is not None
    assert sure.best is not None
    assert unsure.best.settings == sure.best.settings
    assert (unsure.best.meets or 0.0) < 0.95 < (sure.best.meets or 0.0)
    assert any("for want of a longer recording" in said for said in unsure.warnings)
    assert not sure.warnings or "longer recording" not in sure.warnings[0]


def test_a_short_look_is_enough_where_the_goal_is_missed_by_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths: list[float] = []

    def once(asked: Plan, seed: int) -> Measures:
        lengths.append(asked.duration_s)
        return simulate_once(asked, seed)

    monkeypatch.setattr("fastsim.twin.processes.simulate_once", once)
    by_far = find_size(plan(rate=200.0), [parse_slo("p50 < 5ms")], {SLOTS: [10, 20]})
    assert by_far.verdict == "no"
    short = trial_duration_s(200.0, [parse_slo("p50 < 5ms")]) * GLANCE
    assert by_far.simulated == 2
    assert lengths == [pytest.approx(short)] * by_far.simulated
    lengths.clear()
    close = find_size(plan(rate=200.0), [parse_slo("p50 < 18ms")], {SLOTS: [10, 20]})
    assert close.verdict == "no"
    assert max(lengths) == pytest.approx(4 * short)


def test_what_is_dearer_than_the_choice_is_simulated_a_few_times_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulated: Counter[int] = Counter()
    whole_s: list[float] = []

    def once(asked: Plan, seed: int) -> Measures:
        simulated[asked.deployment.workers] += asked.duration_s == pytest.approx(whole_s[0])
        return simulate_once(asked, seed)

    monkeypatch.setattr("fastsim.twin.processes.simulate_once", once)
    # Nothing is ever clear: the choice is simulated as often as anything is.
    monkeypatch.setattr("fastsim.twin.size.SURE", 1.1)
    with short_trials():
        whole_s.append(trial_duration_s(400.0, GOAL))
        found = find_size(plan(), GOAL, {WORKERS: [2, 3, 4], SLOTS: [12]})
    assert found.best is not None
    assert found.best.settings[WORKERS] == 2
    assert simulated == {2: MOST_REPLICATIONS, 3: FIRST_REPLICATIONS, 4: FIRST_REPLICATIONS}


def test_a_moment_tells_whether_there_is_any_hope(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest with so few workers can do it: that is all there is to know of it."""
    simulated: Counter[tuple[int, int]] = Counter()

    def once(asked: Plan, seed: int) -> Measures:
        deployment = asked.deployment
        simulated[deployment.workers, deployment.resources["db"]] += 1
        return simulate_once(asked, seed)

    monkeypatch.setattr("fastsim.twin.processes.simulate_once", once)
    vary = {WORKERS: [2, 3, 4, 5, 6], SLOTS: [4, 6, 9, 12, 80]}
    found = find_size(plan(rate=340.0), GOAL, vary, prices={WORKERS: 10.0, SLOTS: 1.0})
    assert found.best is not None
    assert found.best.settings == {WORKERS: 2.0, SLOTS: 6.0}
    assert simulated[6, 4] == 1
    assert all(each.settings != {WORKERS: 6.0, SLOTS: 4.0} for each in found.candidates)


def of_margins(*margins: float) -> Trial:
    return Trial(
        rate_per_s=100.0,
        margins=np.array(margins),
        deciding=0,
        uses=np.full(len(margins), 0.9),
        busiest="event loop",
        served_per_s=np.full(len(margins), 100.0),
        p95_s=0.1,
        errors=0.0,
    )


def test_how_many_more_would_tell_is_known_from_how_they_differ() -> None:
    apart = of_margins(*np.exp([0.1, 0.3] * 4))
    # The mean of the logarithms is 0.2, their standard deviation 0.107: (1.645 * 0.107 / 0.2)^2.
    assert apart.needed(0.95) == pytest.approx(0.773, abs=0.001)
    assert of_margins(*np.exp([-0.1, 0.14] * 4)).needed(0.95) > MOST_REPLICATIONS
    assert of_margins(*np.exp([-0.1, 0.1] * 4)).needed(0.95) > 1e6
    assert of_margins(0.9, 1.1).needed(0.95) == 2
    assert of_margins(*[math.inf] * 8).needed(0.95) == 8


def test_one_simulation_that_misses_by_far_is_no_coin_toss() -> None:
    """Its doubt is known from eight models, not from itself: Student's t of one would say 6 %."""
    assert of_margins(3.4).meets_within(0.25) < 0.001
    assert of_margins(3.4).meets_within(0.0) == 0.0
    # Where simulations decide, it is the t of their number.
    few = of_margins(*np.exp([-0.2, 0.1, -0.3]))
    assert few.meets_within(1e-9) == pytest.approx(few.meets)
