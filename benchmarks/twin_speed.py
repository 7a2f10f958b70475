"""How many requests the twin simulates per second of CPU, beside two floors.

Run: python benchmarks/twin_speed.py [--requests 40000] [--rounds 5]
     python benchmarks/twin_speed.py --model model.yaml --rate 400 --workers 3 --cores 2

A request of six steps (code, a pooled query, code, a call, code, response) at three loads,
with all measures on. Floors, in the same rounds because the machine's speed wanders: the
same number of bare ``heapq`` events, and the same queue written as SimPy's tutorial has it
(a process per request, a ``Resource`` for the loop, no passes).
"""

import argparse
import heapq
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import simpy

from fastsim.model import (
    AcquireStep,
    ColdCost,
    CpuStep,
    Endpoint,
    Gamma,
    Lognorm,
    LoopCosts,
    ReleaseStep,
    Resource,
    RespondStep,
    ServiceModel,
    Variant,
    WaitStep,
)
from fastsim.scenario import Deployment, TrafficPlan, resolve_deployment
from fastsim.spans import StepKind
from fastsim.twin import passes
from fastsim.twin.engine import simulate
from fastsim.twin.planning import make_plan
from fastsim.twin.sampling import sample
from fastsim.twin.simulation import simulate_once
from fastsim.yaml_source import parse_yaml, read_text

CODE_S = (400e-6, 200e-6, 300e-6)
WAITS_S = (0.005, 0.010)
EVENTS = 4
"""Events of a request that no simulation can do without: arrival, two waits, its end."""


def service() -> ServiceModel:
    """Return a service of one endpoint, about 0.95 ms of code a request."""
    code = [CpuStep(time=Gamma(mean=seconds, shape=4.0)) for seconds in CODE_S]
    query, call = (Lognorm(median=seconds, sigma=0.4) for seconds in WAITS_S)
    steps = [
        code[0],
        AcquireStep(resource="db"),
        WaitStep(kind=StepKind.DB, time=query),
        code[1],
        ReleaseStep(resource="db"),
        WaitStep(kind=StepKind.HTTP, time=call),
        code[2],
        RespondStep(),
    ]
    return ServiceModel(
        service="speed",
        resources={"db": Resource(capacity=10)},
        loop=LoopCosts(
            accept=1e-4, per_suspend=1e-5, per_event=1e-5, per_pass=2e-5, cold=ColdCost(extra=0.3)
        ),
        endpoints=[Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])],
    )


def twin(requests: int, rate: float) -> float:
    """Return requests per CPU second, drawing included."""
    model = service()
    deployment = resolve_deployment(model, Deployment())
    begin = time.process_time()
    workload = sample(model, rate_per_s=rate, duration_s=requests / rate, seed=1)
    simulate(workload, deployment, model.loop, seed=1)
    return len(workload) / (time.process_time() - begin)


def heap(requests: int, _rate: float) -> float:
    """Return the same for a heap of bare events."""
    begin = time.process_time()
    rng = random.Random(1)
    events = [(rng.random(), number) for number in range(50)]
    heapq.heapify(events)
    for number in range(requests * EVENTS):
        now, _ = heapq.heappop(events)
        heapq.heappush(events, (now + rng.random(), number))
    return requests / (time.process_time() - begin)


def tutorial(requests: int, rate: float) -> float:
    """Return the same for a process per request."""
    env, rng = simpy.Environment(), random.Random(1)
    loop, pool = simpy.Resource(env, 1), simpy.Resource(env, 10)
    latency: list[float] = []

    def code(seconds: float) -> object:
        with loop.request() as turn:
            yield turn
            yield env.timeout(rng.gammavariate(4.0, seconds / 4.0))

    def request() -> object:
        start = env.now
        yield from code(CODE_S[0])  # type: ignore[misc]
        with pool.request() as slot:
            yield slot
            yield env.timeout(rng.lognormvariate(0.0, 0.4) * WAITS_S[0])
            yield from code(CODE_S[1])  # type: ignore[misc]
        yield env.timeout(rng.lognormvariate(0.0, 0.4) * WAITS_S[1])
        yield from code(CODE_S[2])  # type: ignore[misc]
        latency.append(env.now - start)

    def arrivals() -> object:
        for _ in range(requests):
            env.process(request())  # type: ignore[arg-type]
            yield env.timeout(rng.expovariate(rate))

    begin = time.process_time()
    env.process(arrivals())  # type: ignore[arg-type]
    env.run()
    return requests / (time.process_time() - begin)


def time_model(file: Path, rate: float, deployment: Deployment, rounds: int) -> None:
    """Print what a request of a model takes to simulate, with all that is measured of it."""
    model = parse_yaml(read_text(file), ServiceModel, name=str(file))
    traffic = TrafficPlan(rate=rate, duration=10.0, warmup=2.5)
    plan = make_plan(model, traffic, deployment)
    took = []
    for _ in range(rounds):
        begin = time.process_time()
        simulate_once(plan, 1)
        took.append((time.process_time() - begin) / (rate * 12.5))
    print(f"{median(took) * 1e6:.0f} us of CPU per request, median of {rounds}")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    kinds: dict[str, Callable[[int, float], float]] = {
        "twin": twin,
        "tutorial SimPy": tutorial,
        "bare heap": heap,
    }
    engine = "pure Python" if str(passes.__file__).endswith(".py") else "compiled"
    print(f"engine: {engine}")
    if options.model is not None:
        asked = Deployment(workers=options.workers, cores=options.cores)
        time_model(options.model, options.rate, asked, options.rounds)
        return
    print("requests per CPU second, medians; ratio to tutorial SimPy")
    for rate in (200.0, 500.0, 800.0):
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(options.rounds):
            for name, run in kinds.items():
                found[name].append(run(options.requests, rate))
        floor = median(found["tutorial SimPy"])
        cells = (f"{name} {median(v):,.0f} ({median(v) / floor:.2f}x)" for name, v in found.items())
        print(f"  {rate:.0f}/s: " + ", ".join(cells))


if __name__ == "__main__":
    main()
