"""Waits are shortened by what the twin adds to them again."""

import numpy as np
import pytest

from fastsim.calibrate.loop_queueing import without_queueing
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.selfcheck import replayed_means
from fastsim.means import step_mean_s
from fastsim.model import (
    Constant,
    Counts,
    CpuStep,
    Endpoint,
    Expon,
    LoopCosts,
    Process,
    RepeatStep,
    ServiceModel,
    Variant,
    WaitStep,
)
from fastsim.spans import Attributes, Span, SpanKind, StepKind, Via

START = 1_760_000_000_000_000_000


def model(wait_s: float) -> ServiceModel:
    steps = [
        CpuStep(time=Expon(mean=0.003)),
        WaitStep(kind=StepKind.IO, via=Via.SOCKET, time=Expon(mean=wait_s)),
        CpuStep(time=Expon(mean=0.003)),
    ]
    return ServiceModel(
        service="shop", process=Process(), loop=LoopCosts(),
        endpoints=[Endpoint(name="GET /a", share=1.0, variants=[Variant(steps=steps)])],
    )  # fmt: skip


def served_in(recorded_s: float, every_s: float = 0.010) -> RequestSet:
    """Requests that took so long each."""
    http: Attributes = {"http.request.method": "GET", "http.route": "/a"}
    at = np.cumsum(np.random.default_rng(1).exponential(every_s, 2_000))
    return collect_requests(
        [
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", START + round(when * 1e9),
                 START + round((when + recorded_s) * 1e9), service="shop", attributes=http)
            for n, when in enumerate(at.tolist())
        ],
        skip_first_s=0.0,
    )  # fmt: skip


def test_waits_of_rounds_count_as_often_as_they_run() -> None:
    """Ten rounds of 5 ms that are mostly code and queueing: without them 30 ms of waits remain."""
    rounds = RepeatStep(
        count=Counts(values=[10.0], weights=[1.0]),
        steps=[
            WaitStep(kind=StepKind.DB, via=Via.SOCKET, time=Constant(value=0.004)),
            CpuStep(time=Constant(value=0.001)),
        ],
    )
    endpoint = Endpoint(name="GET /a", share=1.0, variants=[Variant(steps=[rounds])])
    looping = model(0.030).model_copy(update={"endpoints": [endpoint]})
    requests = served_in(0.048, every_s=0.020)
    twin_s = replayed_means(looping, requests, seed=3)["GET /a"][1]
    assert twin_s > 0.052
    found = without_queueing(looping, requests)
    assert replayed_means(found, requests, seed=9)["GET /a"][1] == pytest.approx(0.048, rel=0.02)


@pytest.mark.parametrize("recorded_s", [0.030, 0.060])
def test_the_recorded_mean_is_met(recorded_s: float) -> None:
    requests = served_in(recorded_s)
    long = model(0.030)
    live_s, twin_s = replayed_means(long, requests, seed=1)["GET /a"]
    assert live_s == pytest.approx(recorded_s)
    found = without_queueing(long, requests)
    met_s = replayed_means(found, requests, seed=9)["GET /a"][1]
    if recorded_s < 0.035:
        assert twin_s > 1.1 * recorded_s
        assert met_s == pytest.approx(recorded_s, rel=0.06)
        [wait] = [s for s in found.endpoints[0].variants[0].steps if isinstance(s, WaitStep)]
        assert step_mean_s(wait) < 0.028
    else:  # nothing is made longer
        assert found == long
