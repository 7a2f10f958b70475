"""Check that the twin gives back the recording it was fitted to.

The recorded arrivals are replayed through the twin several times with fresh durations.
The spread between replays is the noise floor: what a perfect twin would miss by.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from fastsim.calibrate.requests import RequestSet
from fastsim.model import CheckRow, ServiceModel
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin import sample_at, simulate

FloatArray = npt.NDArray[np.float64]

REPLAYS = 10
LEAST_REQUESTS = 50
METRICS = {"p50": 0.5, "p95": 0.95}
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Result of replaying the recording."""

    rows: list[CheckRow]
    before_application_s: dict[str, float]
    """Per endpoint, typical time from arrival to the first instruction of the application."""
    utilisation: float


def replay_recording(
    model: ServiceModel, requests: RequestSet, *, seed: int = 1, replays: int = REPLAYS
) -> SelfCheck:
    """Replay the recorded arrivals through the twin and compare server-span latencies."""
    names = [endpoint.name for endpoint in model.endpoints]
    known = np.array([names.index(n) if n in names else -1 for n in requests.endpoints])
    endpoint = known[requests.endpoint]
    used = (endpoint >= 0) & ~requests.rejected
    arrival = (requests.start_ns[used] - requests.start_ns[used].min()) / 1e9
    order = np.argsort(arrival, kind="stable")
    arrival, endpoint = arrival[order], endpoint[used][order]
    counted = ~requests.warm_up[used][order]
    recorded = served_s(requests)[used][order]
    deployment = resolve_deployment(model, Deployment())
    latencies: list[FloatArray] = []
    before: list[FloatArray] = []
    busy: list[float] = []
    for replay in range(replays):
        workload = sample_at(model, arrival, endpoint, seed * 1000 + replay)
        outcome = simulate(workload, deployment, model.loop, seed=replay)
        latencies.append(outcome.respond_s - outcome.start_s)
        before.append(outcome.start_s - workload.arrival_s)
        busy.append(float(outcome.loop_busy_s.mean() / max(outcome.end_s, 1e-9)))
    rows = []
    waits = {}
    for number, name in enumerate(names):
        mine = counted & (endpoint == number)
        if mine.sum() < LEAST_REQUESTS:
            continue
        waits[name] = float(np.median([np.median(values[mine]) for values in before]))
        for metric, p in METRICS.items():
            twin = np.array([np.quantile(values[mine], p) for values in latencies])
            rows.append(_row(name, metric, float(np.quantile(recorded[mine], p)), twin))
    return SelfCheck(rows, waits, float(np.mean(busy)))


def served_s(requests: RequestSet) -> FloatArray:
    """Return seconds from the application's first instruction to the end of the response.

    From the timeline where there is one: the server span begins some instructions later.
    """
    served = requests.duration_ns / 1e9
    for index, timeline in requests.timelines():
        if timeline.response_s is not None:
            served[index] = timeline.response_s
    return served


def _row(endpoint: str, metric: str, recorded: float, twin: FloatArray) -> CheckRow:
    center = float(twin.mean())
    n = len(twin)
    # One recording differs from the mean of n replays by its own spread and by theirs.
    spread = float(twin.std(ddof=1)) * np.sqrt(1.0 + 1.0 / n)
    floor = float(student.ppf(0.5 + CONFIDENCE / 2, n - 1)) * spread / center
    return CheckRow(
        endpoint=endpoint,
        metric=metric,
        recorded=recorded,
        twin=center,
        error=round(center / recorded - 1.0, 4),
        floor=round(floor, 4),
    )


def check_warnings(rows: list[CheckRow], *, tolerance: float = 0.10) -> list[str]:
    """Return a sentence for every line that is off by more than tolerance and chance."""
    return [
        f"self-check: {row.endpoint} {row.metric} is {row.error:+.0%} off the recording "
        f"(chance explains {row.floor:.0%})"
        for row in rows
        if abs(row.error) > max(tolerance, row.floor)
    ]
