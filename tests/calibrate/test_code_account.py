"""What code costs in the mean where it was recorded."""

from dataclasses import replace

import pytest

from fastsim.calibrate.code_account import recorded_cost, with_recorded_cost
from fastsim.calibrate.observed import Chunk, ObservedStep
from fastsim.calibrate.requests import collect_requests
from fastsim.calibrate.variants import ObservedEndpoint, ObservedVariant
from fastsim.means import endpoint_mean_s
from fastsim.model import ColdCost, LoopCosts, ServiceModel
from tests.calibrate.trace_formats import trace

LAW = ColdCost(extra=0.5, less=0.6, power=1.0)
REQUESTS = collect_requests(trace(40), skip_first_s=0.0)


def code(cpu_s: float, *, idle: float = 0.0, warm: float = 0.0) -> ObservedStep:
    return ObservedStep("cpu", 0.0, cpu_s, cpu_s, idle_share=idle, warm=warm)


def observed(*steps: ObservedStep) -> list[ObservedEndpoint]:
    variant = ObservedVariant(False, (steps,), (0,), 1.0)
    return [ObservedEndpoint("GET /", 1, (variant,))]


def service(law: ColdCost) -> ServiceModel:
    step = {"do": "cpu", "time": {"family": "constant", "value": 0.0002}}
    return ServiceModel.model_validate(
        {
            "endpoints": [
                {"name": name, "share": 1.0, "variants": [{"steps": [step]}]}
                for name in REQUESTS.endpoints
            ]
        }
    ).model_copy(update={"loop": LoopCosts(cold=law)})


def test_the_mean_cost_is_of_all_code_branches_and_chunks() -> None:
    cold, warm = code(0.00015, idle=1.0), code(0.00007, warm=0.5)
    chunk = Chunk(0.0, 0.0, 0.0, 0.0, loop_s=0.00004, cpu_s=0.00004, idle_share=0.0, warm=1.0)
    loop = ObservedStep("repeat", 0.0, branches=((warm,),))
    stream = ObservedStep("stream", 0.0, chunks=(chunk,))
    # 0.1 ms each on a busy loop, cold.
    assert recorded_cost(observed(cold, loop, stream), LAW) == pytest.approx(0.26 / 0.3)
    assert recorded_cost(observed(ObservedStep("wait", 0.0)), LAW) == 1.0


def test_code_is_scaled_to_what_it_cost_when_recorded() -> None:
    model = service(LAW)
    [before] = {endpoint_mean_s(endpoint) for endpoint in model.endpoints}
    # A twin that finds code nearly cold and the loop nearly idle, beside a recording of warm code.
    found = with_recorded_cost(model, REQUESTS, observed(code(0.0001, warm=0.5)))
    [after] = {endpoint_mean_s(endpoint) for endpoint in found.endpoints}
    assert after < 0.65 * before


def test_without_idleness_and_warmth_there_is_nothing_to_scale() -> None:
    model = service(ColdCost())
    assert with_recorded_cost(model, REQUESTS, observed(code(0.0001, warm=0.5))) == model


def test_a_sample_is_left_alone() -> None:
    sampled = replace(REQUESTS, served_per_recorded=10.0)
    model = service(LAW)
    assert with_recorded_cost(model, sampled, observed(code(0.0001, warm=0.5))) == model
