"""A model from metrics alone: coarse, and right about what metrics tell."""

import dataclasses

import numpy as np
import pytest

from fastsim.calibrate.from_metrics import CODE_DOUBT, model_from_metrics
from fastsim.errors import InputError, NotEnoughDataError
from fastsim.load.tools.prometheus import Histogram, Metrics
from fastsim.means import endpoint_mean_s, step_mean_s
from fastsim.model import (
    CpuStep,
    Endpoint,
    Expon,
    Gamma,
    LoopCosts,
    Process,
    ServiceModel,
    Variant,
    WaitStep,
)
from fastsim.scenario import TrafficPlan
from fastsim.spans import StepKind, Via
from fastsim.twin import forecast_run

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, np.inf)
CODE_S, WAIT_S, RATE = 0.004, 0.030, 120.0


def service() -> ServiceModel:
    def endpoint(name: str, share: float, wait_s: float) -> Endpoint:
        steps = [
            CpuStep(time=Gamma(mean=CODE_S, shape=4.0)),
            WaitStep(kind=StepKind.DB, via=Via.SOCKET, time=Expon(mean=wait_s)),
        ]
        return Endpoint(name=name, share=share, variants=[Variant(steps=steps)])

    return ServiceModel(
        service="shop", process=Process(), loop=LoopCosts(),
        endpoints=[endpoint("GET /a", 0.5, WAIT_S), endpoint("GET /b", 0.5, 3.0 * WAIT_S)],
    )  # fmt: skip


def latencies(model: ServiceModel, rate: float, *, seed: int) -> dict[str, np.ndarray]:
    traffic = TrafficPlan(rate=rate, duration=20_000 / rate)
    [run] = forecast_run(model, traffic=traffic, replications=1, seed=seed)[1].runs
    return {endpoint.name: run.latency_s(endpoint.name, "server") for endpoint in model.endpoints}


def histogram(latency_s: np.ndarray) -> Histogram:
    counts = np.diff([(latency_s <= bound).sum() for bound in BOUNDS], prepend=0)
    return Histogram(list(BOUNDS), counts.astype(float).tolist(), float(latency_s.sum()))


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    """What Prometheus would have of the service at 48 % of its loop."""
    found = {name: histogram(each) for name, each in latencies(service(), RATE, seed=7).items()}
    requests = sum(each.requests for each in found.values())
    total = Histogram(
        list(BOUNDS),
        [sum(pair) for pair in zip(*(each.counts for each in found.values()), strict=True)],
        sum(each.sum_s for each in found.values()),
    )
    return Metrics(found, total, requests / RATE, CODE_S * requests)


def test_code_and_waits_are_told_by_cpu_and_histograms(metrics: Metrics) -> None:
    found = model_from_metrics(metrics, service="shop")
    assert found.traffic is not None
    assert found.traffic.rate == pytest.approx(RATE)
    assert found.traffic.utilisation == pytest.approx(CODE_S * RATE)
    assert found.loop.doubt.error == CODE_DOUBT
    for endpoint, wait_s in zip(found.endpoints, (WAIT_S, 3.0 * WAIT_S), strict=True):
        code, wait = endpoint.variants[0].steps
        assert step_mean_s(code) == pytest.approx(CODE_S)
        # Without the queueing, which adds about 2.3 ms at this load.
        assert step_mean_s(wait) == pytest.approx(wait_s, rel=0.05)
    assert "from metrics alone" in found.warnings[0]


def test_another_load_is_foretold_roughly(metrics: Metrics) -> None:
    found = model_from_metrics(metrics, service="shop")
    rate = 0.75 / CODE_S
    truth, twin = latencies(service(), rate, seed=3), latencies(found, rate, seed=4)
    for name, latency_s in truth.items():
        for q in (0.5, 0.95):
            assert np.quantile(twin[name], q) == pytest.approx(np.quantile(latency_s, q), rel=0.12)


def test_failures_are_a_path_of_their_own(metrics: Metrics) -> None:
    failing = {
        name: dataclasses.replace(each, failed=0.1 * each.requests)
        for name, each in metrics.endpoints.items()
    }
    found = model_from_metrics(dataclasses.replace(metrics, endpoints=failing), service="shop")
    main, failed = found.endpoints[0].variants
    assert (main.failed, failed.failed) == (False, True)
    assert failed.share == pytest.approx(0.1)


def test_busy_and_loops_say_the_cpu_where_metrics_do_not(metrics: Metrics) -> None:
    silent = dataclasses.replace(metrics, cpu_s=None)
    with pytest.raises(InputError) as raised:
        model_from_metrics(silent, service="shop")
    assert raised.value.where == "--busy"
    found = model_from_metrics(silent, service="shop", busy=0.24, loops=2)
    assert step_mean_s(found.endpoints[0].variants[0].steps[0]) == pytest.approx(CODE_S)
    assert found.process.workers == 2


def test_more_cpu_than_latency_is_not_taken_for_code(metrics: Metrics) -> None:
    found = model_from_metrics(dataclasses.replace(metrics, cpu_s=1e4), service="shop")
    short = found.endpoints[0]
    assert step_mean_s(short.variants[0].steps[0]) < endpoint_mean_s(short)


def test_without_sums_the_middles_of_buckets_give_the_mean(metrics: Metrics) -> None:
    unsummed = {
        name: dataclasses.replace(each, sum_s=float("nan"))
        for name, each in metrics.endpoints.items()
    }
    found = model_from_metrics(dataclasses.replace(metrics, endpoints=unsummed), service="shop")
    wait = found.endpoints[1].variants[0].steps[1]
    assert step_mean_s(wait) == pytest.approx(3.0 * WAIT_S, rel=0.3)


def test_too_few_requests_are_no_answer() -> None:
    few = histogram(np.full(50, 0.02))
    with pytest.raises(NotEnoughDataError, match="count 50 requests"):
        model_from_metrics(Metrics({"GET /a": few}, few, 10.0, 0.1), service="shop")
