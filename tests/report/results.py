"""Hand-made results for the report tests: round numbers that are easy to read back."""

from typing import Literal

import numpy as np

from fastsim.distributions import percentiles
from fastsim.laws import SEEN_AT
from fastsim.model import (
    AcquireStep,
    Constant,
    CpuStep,
    Endpoint,
    Fit,
    Gamma,
    ReleaseStep,
    Resource,
    RespondStep,
    ServiceModel,
    Traffic,
    Variant,
    WaitStep,
)
from fastsim.result import (
    CompareRow,
    Comparison,
    Estimate,
    Finding,
    Latency,
    LoopUse,
    PhaseResult,
    RequestTable,
    ResourceUse,
    Run,
    RunProvenance,
    Series,
    SloResult,
    Summary,
)
from fastsim.spans import StepKind


def latency(scale_s: float) -> Latency:
    """Percentiles at 1, 2, 3, 4 and 5 times the scale, with intervals of 10 % each side."""
    found = [
        Estimate(value=n * scale_s, low=0.9 * n * scale_s, high=1.1 * n * scale_s)
        for n in (1, 1, 2, 3, 4, 5)
    ]
    mean, p50, p90, p95, p99, p999 = found
    return Latency(mean=mean, p50=p50, p90=p90, p95=p95, p99=p99, p999=p999)


def summary(scale_s: float, requests: int, failed: int = 0) -> Summary:
    """One endpoint with a third of its time in each of three causes."""
    return Summary(
        requests=requests,
        completed=requests - failed,
        failed=failed,
        errors={"timeout": failed} if failed else {},
        throughput=Estimate(value=requests / 60.0, unit="1/s"),
        latency=latency(scale_s),
        breakdown={"db": scale_s * 0.6, "pool_wait": scale_s * 0.3, "cpu": scale_s * 0.1},
    )


def run(source: Literal["twin", "live"] = "twin", name: str = "GET /items/{id}") -> Run:
    """A run of two endpoints with one goal met and one missed."""
    return Run(
        source=source,
        title="shop",
        seed=7 if source == "twin" else None,
        rate_per_s=300.0,
        duration_s=60.0,
        replications=8 if source == "twin" else 1,
        total=summary(0.02, 18000, 9),
        endpoints={name: summary(0.01, 12000), "POST /chat": summary(1.2, 6000, 9)},
        loop=LoopUse(
            utilisation=Estimate(value=0.72, low=0.7, high=0.74, unit="ratio"),
            lag_mean_s=0.0021,
            lag_p99_s=0.017,
            ready_queue_mean=1.8,
            ready_queue_max=31,
        ),
        resources={
            "db pool": ResourceUse(
                capacity=5,
                utilisation=Estimate(value=0.93, unit="ratio"),
                mean_wait_s=0.038,
                max_queue=22,
            )
        },
        series=Series(
            window_s=1.0,
            start_s=[0.0, 1.0, 2.0],
            arrivals=[300, 310, 290],
            completions=[299, 310, 291],
            p50_s=[0.02, None, 0.021],
            p95_s=[0.06, None, 0.063],
        ),
        slo=[
            SloResult(
                text="p95 < 100ms", metric="p95", endpoint=None, limit=0.1, value=0.06, met=True
            ),
            SloResult(
                text="POST /chat: errors < 0.1%",
                metric="errors",
                endpoint="POST /chat",
                limit=0.001,
                value=0.0015,
                low=0.001,
                high=0.002,
                met=False,
            ),
        ],
        verdict="no",
        warnings=["p99.9 of POST /chat rests on 6 requests"],
        provenance=RunProvenance(
            command="fastsim run model.yaml --rate 300/s --seed 7",
            fastsim_version="0.1.0",
            inputs={"model.yaml": "ab" * 32},
        ),
        table=RequestTable(
            endpoints=[name, "POST /chat"],
            endpoint=[0, 1] * 50,
            scheduled_s=[0.1 * i for i in range(100)],
            latency_s=[0.01 + 0.001 * i for i in range(100)],
            ok=[i % 10 != 3 for i in range(100)],
        ),
    )


def phases() -> list[PhaseResult]:
    """A minute at 100/s and a spike that leaves requests behind."""
    usual, spike = summary(0.02, 6000), summary(0.5, 3000, 30)
    return [
        PhaseResult(
            name="before",
            start_s=0.0,
            length_s=60.0,
            begin_per_s=100.0,
            end_per_s=100.0,
            total=usual,
            utilisation=0.3,
            waiting=2.0,
        ),
        PhaseResult(
            name="spike",
            start_s=60.0,
            length_s=10.0,
            begin_per_s=100.0,
            end_per_s=500.0,
            total=spike,
            utilisation=None,
            waiting=1234.0,
        ),
    ]


def comparison(name: str = "GET /items/{id}") -> Comparison:
    """Four rows: two agree, one is off, one cannot be told and does not count."""
    return Comparison(
        mode="free",
        title="shop",
        rows=[
            row(name, "p50", 0.010, 0.0101, half=0.02, verdict="agrees"),
            row(name, "p95", 0.030, 0.0279, half=0.03, verdict="agrees"),
            row("POST /chat", "p50", 1.2, 1.5, half=0.05, verdict="off"),
            row("POST /chat", "p99", 4.8, 6.0, half=0.6, verdict="cannot tell", counts=False),
        ],
        tolerance={"p50": 0.1, "p95": 0.1, "p99": 0.2},
        verdict="off",
        provenance=RunProvenance(command="fastsim compare twin.json live.json"),
    )


def row(
    endpoint: str,
    metric: str,
    live: float,
    twin: float,
    *,
    half: float,
    verdict: Finding,
    counts: bool = True,
) -> CompareRow:
    """One compared metric with intervals of 5 % on the live side."""
    return CompareRow(
        endpoint=endpoint,
        metric=metric,
        requests=1234,
        live=live,
        live_low=live * 0.95,
        live_high=live * 1.05,
        twin=twin,
        error=twin / live - 1.0,
        error_low=twin / live - 1.0 - half,
        error_high=twin / live - 1.0 + half,
        counts=counts,
        verdict=verdict,
    )


def service_model(name: str = "GET /items/{id}") -> ServiceModel:
    """One endpoint: 1 ms of CPU, then 9 ms of database behind a pool."""
    wait = Gamma(mean=0.009, shape=2.0)
    inner = percentiles(wait, np.array(SEEN_AT[1:-1])).tolist()
    fit = Fit(n=3000, censored=0.41, distance=0.018, quantiles=[0.0001, *inner, 0.06])
    wait = wait.model_copy(update={"fit": fit})
    steps = [
        CpuStep(do="cpu", time=Constant(value=0.001), where="shop.py:item"),
        AcquireStep(do="acquire", resource="db pool"),
        WaitStep(do="wait", kind=StepKind.DB, label="asyncpg", time=wait),
        ReleaseStep(do="release", resource="db pool"),
        RespondStep(do="respond"),
    ]
    endpoint = Endpoint(name=name, share=1.0, requests=3000, variants=[Variant(steps=steps)])
    return ServiceModel(
        service="shop",
        traffic=Traffic(rate=150.0, duration=20.0),
        resources={"db pool": Resource(capacity=5)},
        endpoints=[endpoint],
    )
