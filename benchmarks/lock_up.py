"""Threads that wait for sessions which other threads hold: live beside the twin.

    python -m benchmarks.lock_up                      # about three minutes

A ``def`` dependency takes a session of a pool and reads with it, the ``def`` endpoint reads with
it in another thread; the session goes back when the request ends. There are 40 threads and 15
sessions, and who waits for a session keeps the thread. Up to what the sessions can do all is well;
beyond that every thread waits for a session, those who hold one wait for a thread, and requests
fail when the pool's patience ends. Loads are shares of what the sessions can do; the model is
written by hand, and the same arrivals are asked of both.
"""

import argparse
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated

import numpy as np
from fastapi import Depends, FastAPI, HTTPException

from benchmarks.fidelity.serving import serving
from fastsim.demo.servers import Cores
from fastsim.load.driver import LoadResult
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import parse_mix
from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin import ArrivalReplay, forecast_run
from fastsim.yaml_source import parse_yaml

SESSIONS, PATIENCE_S = 15, 2.0
FIRST_S, SECOND_S, SHAPE = 0.100, 0.150, 4.0
FULL_PER_S = SESSIONS / (FIRST_S + SECOND_S)
LENGTH_S = 15.0

MODEL = f"""
version: 1
process: {{cores: 2, thread_tokens: 40, python: "3.11"}}
endpoints:
  GET /rows:
    steps:
      - thread: 100us
      - thread:
          - {{do: acquire, resource: sessions}}
          - db: {{gamma: {{mean: {FIRST_S}s, shape: {SHAPE}}}}}
      - thread: [db: {{gamma: {{mean: {SECOND_S}s, shape: {SHAPE}}}}}]
      - {{do: release, resource: sessions}}
resources: {{sessions: {{capacity: {SESSIONS}, timeout: {PATIENCE_S}s}}}}
"""

Floats = np.typing.NDArray[np.float64]


def make() -> FastAPI:
    """Return the service."""
    random.seed(os.getpid())
    pool: queue.Queue[int] = queue.Queue()
    for number in range(SESSIONS):
        pool.put(number)
    lock = threading.Lock()

    def a_while(mean_s: float) -> float:
        with lock:
            return random.gammavariate(SHAPE, mean_s / SHAPE)

    def session() -> Iterator[list[int]]:
        held: list[int] = []
        try:
            yield held
        finally:
            for number in held:
                pool.put(number)

    def user(held: Annotated[list[int], Depends(session)]) -> int:
        try:
            held.append(pool.get(timeout=PATIENCE_S))
        except queue.Empty:
            raise HTTPException(500, "no session") from None
        time.sleep(a_while(FIRST_S))
        return held[0]

    made = FastAPI()

    @made.get("/rows")
    def rows(
        _user: Annotated[int, Depends(user)], _held: Annotated[list[int], Depends(session)]
    ) -> int:
        time.sleep(a_while(SECOND_S))
        return 1

    return made


def live(url: str, load: float, seed: int) -> LoadResult:
    """Send the load and wait for every answer."""
    plan = draw_schedule(
        parse_mix("GET /rows=100%"),
        rate_per_s=load * FULL_PER_S,
        duration_s=LENGTH_S,
        seed=seed,
    )
    return run_load(url, plan, timeout_s=60.0)


def twin(at_s: Floats, seed: int) -> tuple[Floats, float]:
    """Return the latencies of the answers, and the share of the requests that failed."""
    model = parse_yaml(MODEL, ServiceModel)
    _, found = forecast_run(
        model,
        traffic=TrafficPlan(rate=len(at_s) / LENGTH_S, duration=LENGTH_S, warmup=0.0),
        deployment=Deployment(),
        replications=8,
        seed=seed,
        arrivals=ArrivalReplay(at_s, np.zeros(len(at_s), np.int64)),
    )
    errors = float(found.each(lambda run: run.error_ratio(None)).mean())
    return found.pooled_s(None), errors


def said(latency_s: Floats, errors: float) -> str:
    """Write p50, p95 and the share of failures."""
    if not len(latency_s):
        return f"     -      -  {errors:6.1%}"
    p50, p95 = np.quantile(latency_s, (0.5, 0.95))
    return f"{p50:5.2f}s {p95:5.2f}s  {errors:6.1%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", default="0.6,0.9,1.05,1.3")
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    cores = Cores()
    print(f"sessions are full at {FULL_PER_S:.0f}/s; p50, p95 of the answers, failures")
    print("load            live                     twin")
    for load in map(float, asked.loads.split(",")):
        for seed in range(1, asked.rounds + 1):
            with ExitStack() as stack, cores.use(cores.others):
                url = serving("benchmarks.lock_up:app", cores.shop, dict(os.environ), stack)
                result = live(url, load, seed)
            ok = result.status == 200
            latency_s = (result.done_s - result.schedule.at_s)[ok]
            answers, errors = twin(result.schedule.at_s, seed)
            print(f"{load:.2f}  {said(latency_s, float((~ok).mean()))}   {said(answers, errors)}")
            sys.stdout.flush()


app = make()

if __name__ == "__main__":
    main()
