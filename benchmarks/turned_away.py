"""Requests that uvicorn's ``--limit-concurrency`` turns away: live beside the twin.

    python -m benchmarks.turned_away                  # about a minute and a half

An endpoint sleeps 50 ms; more connections than the limit are answered 503 and closed. Loads are
shares of what the limit lets through (its connections over 50 ms), the model is written by hand,
and the same arrivals are asked of both.
"""

import argparse
import asyncio
import os
from contextlib import ExitStack

import numpy as np
from fastapi import FastAPI

from benchmarks.fidelity.serving import serving
from fastsim.demo.servers import Cores
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import parse_mix
from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin import ArrivalReplay, forecast_run
from fastsim.yaml_source import parse_yaml

LIMIT, SLEEP_S, LENGTH_S = 8, 0.05, 15.0
MODEL = "version: 1\nprocess: {cores: 2}\nendpoints:\n  GET /a: [sleep: 50ms]\n"

app = FastAPI()


@app.get("/a")
async def sleep() -> int:
    """Wait for a while."""
    await asyncio.sleep(SLEEP_S)
    return 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", default="0.5,1,1.5")
    asked = parser.parse_args()
    cores = Cores()
    print("load   turned away: live    twin")
    for seed, load in enumerate(map(float, asked.loads.split(",")), start=1):
        plan = draw_schedule(
            parse_mix("GET /a=100%"),
            rate_per_s=load * LIMIT / SLEEP_S,
            duration_s=LENGTH_S,
            seed=seed,
        )
        with ExitStack() as stack, cores.use(cores.others):
            limit = ("--limit-concurrency", str(LIMIT))
            url = serving("benchmarks.turned_away:app", cores.shop, dict(os.environ), stack, *limit)
            result = run_load(url, plan, timeout_s=30.0)
        _, found = forecast_run(
            parse_yaml(MODEL, ServiceModel),
            traffic=TrafficPlan(rate=plan.rate_per_s, duration=LENGTH_S, warmup=0.0),
            deployment=Deployment(limit_concurrency=LIMIT),
            replications=4,
            arrivals=ArrivalReplay(plan.at_s, np.zeros(len(plan), np.int64)),
        )
        twin = float(found.each(lambda run: run.error_ratio(None)).mean())
        print(f"{load:4.2f} {float((result.status == 503).mean()):18.1%} {twin:8.1%}", flush=True)


if __name__ == "__main__":
    main()
