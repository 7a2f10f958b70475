"""Code that ran just now costs less: the law is found, and carried to other loads."""

import random

import numpy as np
import pytest

from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.closing import balance
from fastsim.model import ServiceModel
from fastsim.scenario import TrafficPlan
from fastsim.twin import ArrivalReplay, forecast_run
from tests.virtual.services import SERVICES, WARM_LESS
from tests.virtual.serving import Arrivals, poisson, serve

WARM = SERVICES["warm code"]


def arrivals_at(load: float, requests: int, seed: int) -> Arrivals:
    return poisson(WARM.mix, rate_per_s=load / WARM.code_s, requests=requests, seed=seed)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServiceModel:
    traces = tmp_path_factory.mktemp("traces")
    serve(WARM.make(random.Random(3)), arrivals_at(0.3, 2_000, 7), record=traces)
    requests = read_requests([traces], skip_first_s=0.0)
    found = build_model(requests)
    account = balance(found, requests)
    assert account is not None
    assert abs(account.missing) < 0.01  # at the recorded load all is as it was
    return found


def test_what_warmth_saves_is_found_and_is_not_idleness(model: ServiceModel) -> None:
    cold = model.loop.cold
    assert abs(cold.less - WARM_LESS) < 2.5 * cold.less_error
    assert cold.less_error < 0.12
    # What is told of either goes into its error; none is taken for the other.
    assert cold.extra <= 2.5 * cold.error


@pytest.mark.parametrize("load", [0.1, 0.8])
def test_another_load_has_warmer_or_colder_code(model: ServiceModel, load: float) -> None:
    arrivals = arrivals_at(load, 12_000, 11)
    served = serve(WARM.make(random.Random(5)), arrivals)
    names = [endpoint.name for endpoint in model.endpoints]
    code = np.array([names.index(f"GET {path}") for path in arrivals.paths])
    duration_s = float(arrivals.at_s[-1]) + 1e-6
    plan = TrafficPlan(rate=len(arrivals) / duration_s, duration=duration_s, warmup=0.0)
    replay = ArrivalReplay(arrivals.at_s, code[arrivals.path])

    def utilisation(of: ServiceModel) -> float:
        asked = forecast_run(of, traffic=plan, replications=1, arrivals=replay).run
        assert asked.loop is not None
        return asked.loop.utilisation.value

    assert utilisation(model) == pytest.approx(served.utilisation, rel=0.02)
    loop = model.loop.model_copy(
        update={"cold": model.loop.cold.model_copy(update={"less": 0.0, "extra": 0.0})}
    )
    constant = model.model_copy(update={"loop": loop})
    assert utilisation(constant) != pytest.approx(served.utilisation, rel=0.08)
