"""A small service to simulate, and replications made up of random latencies."""

import numpy as np
import numpy.typing as npt

from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin.live import LiveSample
from fastsim.twin.metrics import IN_FLIGHT, OK, LoopMeasure, Measures, Windows
from fastsim.twin.plan import Plan
from fastsim.twin.planning import make_plan
from fastsim.twin.replicate import Replications

Floats = npt.NDArray[np.float64]

ENDPOINTS = ("GET /items", "POST /search")


def shop(*, cpu: float = 0.001, query: float = 0.010, failing: float = 0.0) -> ServiceModel:
    """Two endpoints; items take one of 4 db slots. ``failing`` is the share of failing items."""
    return ServiceModel.model_validate(
        {
            "service": "shop",
            "client": {"overhead": 0.0003},
            "traffic": {"rate": 200.0, "duration": 30.0},
            "loop": {"accept": 0.0001, "per_event": 0.00002, "per_pass": 0.00002},
            "resources": {"db": {"capacity": 4}},
            "endpoints": [
                {"name": "GET /items", "share": 0.7, "variants": _items(cpu, query, failing)},
                {"name": "POST /search", "share": 0.3, "variants": [_search(cpu)]},
            ],
        }
    )


def _items(cpu: float, query: float, failing: float) -> list[dict[str, object]]:
    code = {"do": "cpu", "time": {"family": "gamma", "mean": cpu, "shape": 2.0}}
    wait = {
        "do": "wait",
        "kind": "db",
        "time": {"family": "lognorm", "median": query, "sigma": 0.4},
    }
    slot = {"resource": "db"}
    steps = [code, {"do": "acquire", **slot}, wait, {"do": "release", **slot}, code]
    good: dict[str, object] = {"share": 1.0 - failing, "steps": steps}
    bad: dict[str, object] = {"name": "error", "share": failing, "failed": True, "steps": [code]}
    return [good, bad] if failing else [good]


def _search(cpu: float) -> dict[str, object]:
    wait = {"do": "wait", "kind": "http", "time": {"family": "expon", "mean": 0.04}}
    return {"steps": [{"do": "cpu", "time": {"family": "expon", "mean": 2.0 * cpu}}, wait]}


def plan(rate: float = 100.0, duration: float = 4.0, model: ServiceModel | None = None) -> Plan:
    traffic = TrafficPlan(rate=rate, duration=duration, warmup=1.0)
    return make_plan(model or shop(), traffic, Deployment())


def random_run(
    rng: np.random.Generator, n: int = 400, *, factor: float = 1.0, unrest: float = 0.05
) -> Measures:
    """One run of log-normal latencies around 50 ms times ``factor``.

    ``unrest`` is the deviation between runs that no request of a run escapes, as a queue
    makes it.
    """
    level = 0.05 * factor * float(np.exp(unrest * rng.standard_normal()))
    latency_s = level * np.exp(0.5 * rng.standard_normal(n))
    endpoint = (rng.random(n) < 0.3).astype(np.int64)
    return measured(np.sort(rng.random(n)) * 4.0, endpoint, latency_s, 4.0)


def measured(
    at_s: Floats, endpoint: npt.NDArray[np.int64], latency_s: Floats, duration_s: float
) -> Measures:
    """Measures of successful requests, with nothing else known."""
    one = np.ones(4, np.int64)
    return Measures(
        endpoints=ENDPOINTS,
        duration_s=duration_s,
        at_s=at_s,
        endpoint=endpoint,
        state=np.zeros(len(at_s), np.int64),
        client_s=latency_s,
        server_s=latency_s * 0.9,
        parts=("running",),
        part_sum_s=np.array([[latency_s[endpoint == code].sum()] for code in (0, 1)]),
        completions=np.bincount(endpoint, minlength=2).astype(np.int64),
        growth_per_s=0.0,
        late_growth_per_s=0.0,
        loop=LoopMeasure(0.5, 0.001, 0.004, 0.5, 9),
        resources={},
        windows=Windows(1.0, one, one, np.full(4, 0.5), np.full(4, 5.0)),
    )


def random_replications(
    rng: np.random.Generator, runs: int, *, factor: float = 1.0
) -> Replications:
    return Replications(plan(), 0, tuple(random_run(rng, factor=factor) for _ in range(runs)))


def as_live(run: Measures, rate_per_s: float = 100.0) -> LiveSample:
    """Take a simulated run for a measured one."""
    done = run.state != IN_FLIGHT
    return LiveSample(
        endpoints=run.endpoints,
        endpoint=run.endpoint[done],
        at_s=run.at_s[done],
        latency_s=run.client_s[done],
        ok=run.state[done] == OK,
        rate_per_s=rate_per_s,
        duration_s=run.duration_s,
    )
