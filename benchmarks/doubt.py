"""How often a forecast's interval holds the truth when the model is fitted to a few requests.

Code (gamma) and a wait (lognormal) are drawn from a known law, so many as a recording has
requests; both are fitted as ``calibrate`` fits them, and the fitted model is asked for a load. The
truth is a long simulation of the law itself. Beside it stands the interval of the simulation
alone, which knows nothing of how little was recorded.

    python -m benchmarks.doubt                # about ten minutes
"""

import argparse
import math

import numpy as np

from fastsim.calibrate.fit import fit_distribution
from fastsim.laws import Distribution, Gamma, Lognorm
from fastsim.model import CpuStep, Endpoint, ServiceModel, Variant, WaitStep
from fastsim.result import Run
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.spans import StepKind
from fastsim.twin import forecast_run
from fastsim.twin.planning import make_plan
from fastsim.twin.replicate import replicate
from fastsim.twin.statistics import METRICS

CODE, QUERY = Gamma(mean=0.004, shape=2.0), Lognorm(median=0.02, sigma=0.6)
ASKED = ("mean", "p50", "p95", "p99")
LOADS = (0.3, 0.6, 0.8)
REQUESTS = (100, 400, 1600)
DURATION_S = 30.0


def service(code: Distribution, query: Distribution) -> ServiceModel:
    """Return a service of one endpoint: code, then a query."""
    steps = [CpuStep(time=code), WaitStep(kind=StepKind.DB, time=query)]
    endpoint = Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])
    return ServiceModel(endpoints=[endpoint])


def recorded(requests: int, seed: int) -> ServiceModel:
    """Return the service as fitted to so many requests."""
    rng = np.random.default_rng([seed, requests])
    code = rng.gamma(CODE.shape, CODE.mean / CODE.shape, requests)
    query = rng.lognormal(math.log(QUERY.median), QUERY.sigma, requests)
    none = np.zeros(requests)
    return service(fit_distribution(code, none), fit_distribution(query, none))


def traffic(load: float, duration_s: float) -> TrafficPlan:
    """Return traffic that keeps the loop so busy."""
    return TrafficPlan(rate=load / CODE.mean, duration=duration_s, warmup=3.0)


def held(run: Run, metric: str, truth_s: float) -> bool:
    """Tell whether an interval was given and holds the truth."""
    found = getattr(run.total.latency, metric)
    return found.low is not None and found.low <= truth_s <= found.high


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=60)
    seeds = parser.parse_args().seeds
    print("share of 95 % intervals that hold the truth: with doubt about the model (without)")
    print("load  recorded " + "".join(f"{metric:>17}" for metric in ASKED))
    for load in LOADS:
        plan = make_plan(service(CODE, QUERY), traffic(load, 200.0), Deployment())
        truth = replicate(plan, replications=20, seed=1, jobs=None).pooled_statistics(None)
        for requests in REQUESTS:
            right = dict.fromkeys([(metric, known) for metric in ASKED for known in (1, 0)], 0)
            for seed in range(seeds):
                model = recorded(requests, seed)
                for known in (1, 0):
                    asked = traffic(load, DURATION_S)
                    run = forecast_run(model, traffic=asked, seed=seed, with_doubt=bool(known)).run
                    for metric in ASKED:
                        right[metric, known] += held(run, metric, truth[METRICS.index(metric)])
            cells = [
                f"{right[metric, 1] / seeds:.0%} ({right[metric, 0] / seeds:.0%})"
                for metric in ASKED
            ]
            print(f"{load:.1f}   {requests:>7}  " + "".join(f"{c:>17}" for c in cells), flush=True)


if __name__ == "__main__":
    main()
