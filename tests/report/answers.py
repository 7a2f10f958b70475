"""Hand-made answers of the searches, for the report tests."""

from fastsim.answers import (
    Candidate,
    Limit,
    LimitPoint,
    LoadOutlook,
    Outlook,
    OutlookCost,
    OutlookHour,
    Size,
    Sweep,
    SweepPoint,
)
from fastsim.result import Block, Estimate
from tests.report import results


def limit() -> Limit:
    return Limit(
        title="shop",
        seed=1,
        replications=6,
        goals=["p95 < 100ms"],
        rate=Estimate(value=240.0, low=230.0, high=250.0, unit="/s"),
        decided_by="p95 < 100ms",
        saturation=Estimate(value=300.0, low=295.0, high=305.0, unit="/s"),
        saturated="event loop",
        points=[
            LimitPoint(rate_per_s=200.0, margin=0.6, met=True, utilisation=0.67, p95=0.06),
            LimitPoint(rate_per_s=320.0, margin=None, met=False, utilisation=1.0),
        ],
        verdict="yes",
    )


def size() -> Size:
    best = Candidate(
        settings={"deployment.workers": 2.0},
        cost=50.0,
        margin=0.7,
        meets=0.99,
        verdict="meets",
        utilisation=0.5,
    )
    return Size(
        title="shop",
        seed=1,
        rate_per_s=300.0,
        goals=["p95 < 100ms"],
        prices={"deployment.workers": 25.0},
        best=best,
        confidence=0.99,
        considered=8,
        simulated=3,
        candidates=[best],
        pareto=[best],
        verdict="yes",
    )


def sweep() -> Sweep:
    points = [
        SweepPoint(
            settings={"rate": rate},
            rate_per_s=float(rate[:-2]),
            latency=latency,
            errors=Estimate(value=0.0, unit="ratio"),
            throughput=Estimate(value=100.0, unit="/s"),
            busiest="event loop",
            utilisation=0.5,
            overloaded=latency is None,
            met=latency is not None,
        )
        for rate, latency in (("100/s", results.latency(0.01)), ("900/s", None))
    ]
    return Sweep(
        title="shop",
        seed=1,
        replications=4,
        vary={"rate": ["100/s", "900/s"]},
        goals=["p95 < 100ms"],
        points=points,
        sentence="1 of 2 settings meet p95 < 100ms; 1 is overloaded",
        verdict="yes",
    )


def outlook() -> Outlook:
    hours = [
        OutlookHour(
            start=f"2026-11-27T{hour:02}:00Z",
            rate_per_s=200.0 + hour,
            low_per_s=150.0,
            high_per_s=250.0,
            utilisation=0.6,
            margin=0.8,
            missed=0.7 if hour == 5 else 0.01,
            p95=0.08,
            errors=0.001,
            needed=2 if hour < 3 else 3,
            cost=0.1 * (2 if hour < 3 else 3),
        )
        for hour in range(6)
    ]
    return Outlook(
        title="shop",
        seed=1,
        goals=["p95 < 100ms"],
        limit=limit(),
        holds_up_to=limit().rate,
        load=LoadOutlook(
            history_hours=500,
            ends="2026-11-27T00:00Z",
            peak_now_per_s=180.0,
            peak_then_per_s=205.0,
            growth_per_month=0.05,
            growth_asked=True,
            within_hour=1.1,
        ),
        breaks="2026-11-27T05:00Z",
        breaks_earliest="2026-11-27T05:00Z",
        hours=hours,
        cost=OutlookCost(
            prices={"deployment.workers": 0.1},
            units={"deployment.workers": 2},
            per_hour=0.2,
            total=1.2,
            following=1.5,
            fewest=2,
            most=3,
            enough=True,
        ),
        verdict="no",
    )


def every() -> list[Block]:
    run = results.run()
    run.phases = results.phases()
    return [run, results.run("live"), results.comparison(), limit(), size(), sweep(), outlook()]
