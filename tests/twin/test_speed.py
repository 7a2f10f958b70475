"""The machine's wandering speed, and models on faster or slower machines."""

from random import Random

import numpy as np
import pytest

from fastsim.model import Constant, LoopCosts, Pauses, ServiceModel, Wander
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin.code import CPU, THREAD
from fastsim.twin.engine import simulate
from fastsim.twin.sampling import sample
from fastsim.twin.speed import Speed
from fastsim.twin.whatif import with_cpu_scaled
from fastsim.yaml_source import parse_yaml
from tests.model_file import MODEL
from tests.twin.programs import FREE, cpu, deployment, workload


def factors(
    law: Wander, seed: int, windows: int = 20_000
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    speed = Speed(law, Random(seed))
    return np.array([speed.at((number + 0.5) * law.window) for number in range(windows)])


def test_the_speed_wanders_as_its_law_says() -> None:
    found = factors(Wander(sigma=0.15, correlation=0.6), 1)
    # 20,000 windows with correlation 0.6: the mean's own error is 0.2 %, others below 2 %.
    assert found.mean() == pytest.approx(1.0, abs=0.01)
    assert np.log(found).std() == pytest.approx(0.15, rel=0.05)
    assert np.corrcoef(found[:-1], found[1:])[0, 1] == pytest.approx(0.6, abs=0.05)


def test_same_seed_same_speed() -> None:
    law = Wander(sigma=0.2, correlation=0.3)
    assert factors(law, 2, 100).tobytes() == factors(law, 2, 100).tobytes()
    assert factors(law, 2, 100).tobytes() != factors(law, 3, 100).tobytes()


def test_a_wandering_machine_spreads_the_same_code() -> None:
    drawn = workload([0.2 * number for number in range(400)], [[cpu(0.010)]] * 400)
    steady = simulate(drawn, deployment(), FREE).running_s
    wandering = simulate(drawn, deployment(), LoopCosts(wander=Wander(sigma=0.2))).running_s
    assert steady.std() < 1e-12
    assert wandering.std() == pytest.approx(0.002, rel=0.2)
    assert wandering.mean() == pytest.approx(0.010, rel=0.05)


def test_a_slower_machine_takes_longer_for_code_but_not_for_waits() -> None:
    model = parse_yaml(MODEL, ServiceModel)
    slower = with_cpu_scaled(model, 1.5)
    before, after = (sample(m, rate_per_s=50.0, duration_s=20.0, seed=4) for m in (model, slower))
    code, faster = after.program.code, before.program.code
    assert len(code) == len(faster)
    seen = set()
    for place, node in enumerate(code.node):
        if node < 0:
            continue
        draws = [code_of.tables[node].one(0.3) for code_of in (faster, code)]
        factor = 1.5 if code.operation[place] in {CPU, THREAD} else 1.0
        assert draws[1] == pytest.approx(factor * draws[0])
        seen.add(factor)
    assert seen == {1.0, 1.5}


def test_pauses_fall_into_as_many_requests_as_the_model_says() -> None:
    model = parse_yaml(MODEL, ServiceModel)
    pauses = Pauses(per_request=0.02, time=Constant(value=0.1))
    stopped = model.model_copy(update={"loop": model.loop.model_copy(update={"pauses": pauses})})
    busy_s = []
    for each in (model, stopped):
        drawn = sample(each, rate_per_s=1.0, duration_s=10_000.0, seed=5)
        deployed = resolve_deployment(each, Deployment())
        busy_s.append(float(simulate(drawn, deployed, each.loop).loop_busy_s.sum()))
    hit = (busy_s[1] - busy_s[0]) / 0.1
    assert hit == pytest.approx(0.02 * len(drawn), rel=0.25)  # 200 expected: 3.5 deviations
