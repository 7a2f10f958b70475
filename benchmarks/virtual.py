"""The whole method without machine noise: record, calibrate and predict in virtual time.

    python -m benchmarks.virtual                           # every service, about ten minutes
    python -m benchmarks.virtual sockets "cache, 10 % misses" --loads 0.9

Each service is recorded at shares of its capacity, its model predicts other loads, and the
errors against a virtual live run of many requests are printed: twin over live, minus 1. With
``--plain`` services are recorded without FastSim, by OpenTelemetry's instrumentation alone, with
``--jointly`` at all loads one after the other, for one model. With
``--intervals`` also whether the 95 % intervals that ``fastsim run`` prints hold the live values
(``+`` above, ``-`` below, ``=`` held, ``.`` none given), and how many of all did.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastsim.calibrate.build import build_model, read_requests
from fastsim.model import ServiceModel
from fastsim.scenario import TrafficPlan
from fastsim.twin import ArrivalReplay, forecast_run
from tests.virtual.plain import recorded_plainly
from tests.virtual.services import SERVICES, Service
from tests.virtual.serving import Arrivals, Served, poisson, serve

ASKED_REQUESTS = 8_000
"""Of each replication of a forecast."""
BETWEEN_S = 3600.0
"""From the beginning of one recording to that of the next."""
WARM = 0.1
"""Share of the live requests that fill the service and are not compared."""


def record(
    service: Service,
    loads: Sequence[float],
    requests: int,
    *,
    plain: bool,
    sample_ratio: float,
    seed: int,
) -> ServiceModel:
    """Record a service at shares of its capacity, one after the other, and fit one model to all.

    Parameters
    ----------
    requests
        Recorded ones of all loads together.
    plain
        Whether OpenTelemetry alone records.
    """
    count = round(requests / sample_ratio / len(loads))
    with tempfile.TemporaryDirectory() as directory:
        traces = Path(directory)
        for number, load in enumerate(loads):
            arrivals = poisson(
                service.mix,
                rate_per_s=load / service.code_s,
                requests=count,
                seed=100 + seed + 1000 * number,
            )
            app = service.make(random.Random(1000 + seed + number))
            begin_s = number * BETWEEN_S
            if not plain:
                serve(
                    app,
                    arrivals,
                    record=traces,
                    sample_ratio=sample_ratio,
                    beside=service.beside,
                    begin_s=begin_s,
                )
                continue
            name = traces / f"traces-{number}.jsonl"
            with recorded_plainly(app, name, sample_ratio=sample_ratio, instance=1 + number):
                serve(app, arrivals, beside=service.beside, begin_s=begin_s)
        told = sample_ratio if plain and sample_ratio < 1.0 else None
        return build_model(read_requests([traces], sampled=told))


def live(service: Service, load: float, requests: int, seed: int) -> Served:
    """Serve a service as it is, unrecorded."""
    arrivals = poisson(service.mix, rate_per_s=load / service.code_s, requests=requests, seed=seed)
    return serve(service.make(random.Random(seed)), arrivals, beside=service.beside)


def predict(model: ServiceModel, arrivals: Arrivals, seed: int) -> np.ndarray:
    """Return the twin's latencies at the arrivals of a live run, without the warm-up."""
    first = int(WARM * len(arrivals))
    begin_s = arrivals.at_s[first] - 1e-9
    at_s = arrivals.at_s - begin_s
    names = [endpoint.name for endpoint in model.endpoints]
    code = np.array([names.index(f"GET {path}") for path in arrivals.paths])
    _, found = forecast_run(
        model,
        traffic=TrafficPlan(
            rate=len(at_s) / float(arrivals.at_s[-1]),
            duration=float(at_s[-1]) + 1e-6,
            warmup=float(begin_s),
        ),
        replications=1,
        seed=seed,
        arrivals=ArrivalReplay(at_s, code[arrivals.path]),
    )
    return found.runs[0].latency_s(None)


def errors(lives: list[Served], twins: list[np.ndarray]) -> list[float]:
    """Return the errors of mean, p50, p95 and p99 over all sets together."""
    twin = np.concatenate(twins)
    found = [float(twin.mean()), *np.quantile(twin, (0.5, 0.95, 0.99)).tolist()]
    return [a / b - 1.0 for a, b in zip(found, live_values(lives), strict=True)]


def intervals(model: ServiceModel, rate_per_s: float, truth_s: list[float], seed: int) -> str:
    """Tell for mean, p50, p95 and p99 where the interval of a forecast lies beside the truth."""
    run = forecast_run(
        model,
        traffic=TrafficPlan(rate=rate_per_s, duration=ASKED_REQUESTS / rate_per_s, warmup=3.0),
        replications=6,
        seed=seed,
        with_doubt=True,
    ).run
    marks = ""
    for metric, true_s in zip(("mean", "p50", "p95", "p99"), truth_s, strict=True):
        found = getattr(run.total.latency, metric)
        if found.low is None or found.high is None:
            marks += "."
        else:
            marks += "+" if found.low > true_s else "-" if found.high < true_s else "="
    return marks


def live_values(lives: list[Served]) -> list[float]:
    """Return mean, p50, p95 and p99 of all sets together, seconds."""
    measured = np.concatenate([each.latency_s[int(WARM * len(each.latency_s)) :] for each in lives])
    return [float(measured.mean()), *np.quantile(measured, (0.5, 0.95, 0.99)).tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="*", default=list(SERVICES))
    parser.add_argument("--records", default="0.3,0.6", help="loads to record at")
    parser.add_argument("--loads", default="0.75,0.9", help="loads to predict")
    parser.add_argument("--requests", type=int, default=3000, help="recorded requests")
    parser.add_argument("--live", type=int, default=15_000, help="live requests of a set")
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--sample", type=float, default=1.0, help="share of requests recorded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="record with OpenTelemetry alone")
    parser.add_argument("--jointly", action="store_true", help="one model of all loads")
    parser.add_argument("--intervals", action="store_true")
    asked = parser.parse_args()
    unknown = [name for name in asked.services if name not in SERVICES]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; known: {', '.join(SERVICES)}")
    marks = ""
    print(f"{'service':20s} {'recorded':>8s} {'asked':>6s}    mean    p50    p95    p99   CPU s")
    for name in asked.services:
        service = SERVICES[name]
        lives = {
            load: [live(service, load, asked.live, seed) for seed in range(1, asked.sets + 1)]
            for load in map(float, asked.loads.split(","))
        }
        records = list(map(float, asked.records.split(",")))
        for recorded in [records] if asked.jointly else [[load] for load in records]:
            begun = time.process_time()
            model = record(
                service,
                recorded,
                asked.requests,
                plain=asked.plain,
                sample_ratio=asked.sample,
                seed=asked.seed,
            )
            spent = time.process_time() - begun
            for load, served in lives.items():
                twins = [
                    predict(model, each.arrivals, number) for number, each in enumerate(served)
                ]
                cells = " ".join(f"{100 * error:+6.1f}" for error in errors(served, twins))
                if asked.intervals:
                    rate = load / service.code_s
                    found = intervals(model, rate, live_values(served), asked.seed)
                    cells += f"  {found}"
                    marks += found
                at = "+".join(f"{each:g}" for each in recorded)
                print(f"{name:20s} {at:>8s} {load:6.2f}  {cells}  {spent:6.1f}", flush=True)
    given = len(marks) - marks.count(".")
    if given:
        print(f"{marks.count('=')} of {given} intervals hold the live value")


if __name__ == "__main__":
    main()
