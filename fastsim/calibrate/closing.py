"""Close the account of the event loop's time: what no part of the model explains.

The recording is replayed through the twin at its own arrivals. Where the loop was busier than
the twin's by more than a few per cent of it, the rest (turns that only the real loop makes, the
core and the GIL taken away by threads, a law whose mean is not the data's) is put on every
request, so that a forecast starts from the utilisation that was measured.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from fastsim import spans
from fastsim.calibrate.growth import loop_share, per_request_s, replayed_s, to_replay, unsampled
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.sampled import ALL_RECORDED
from fastsim.calibrate.taken import Taken
from fastsim.distributions import mean
from fastsim.means import times_run
from fastsim.model import (
    CallStep,
    CpuStep,
    ServiceModel,
    Step,
    ThreadStep,
    WaitStep,
    all_steps,
)
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin import sample_at, simulate
from fastsim.twin.doubt import MUCH_TAKEN
from fastsim.twin.processes import Processes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REPLAYS = 3
LEAST = 0.03
"""Share of the busy time below which nothing is missing: laws are known no better."""
MUCH = 0.15
"""Share of the busy time that is worth a warning."""


HANDOVERS_S = (0.0, 100e-6)
"""Costs of a hand-over that are tried; what the loop loses is linear in it."""
MOST_HANDOVER_S = 200e-6
MOST_BLOCKED = 0.5
"""Part of the lost time that may be blocking code; beyond, it says nothing about threads."""
_FEWEST_LOST_S = 10e-6
"""Loss per request by threads below which nothing can be fitted to it."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Busy time of the event loop per request, seconds."""

    recorded_s: float
    twin_s: float

    @property
    def missing(self) -> float:
        """Part of the recorded time that the twin lacks; negative if it has too much."""
        return 1.0 - self.twin_s / self.recorded_s


class Replay:
    """The recording's arrivals, to be replayed through models."""

    def __init__(self, model: ServiceModel, requests: RequestSet, jobs: Processes | None) -> None:
        requests = to_replay(requests)
        self._jobs = jobs or Processes()
        names = [endpoint.name for endpoint in model.endpoints]
        known = np.array([names.index(n) if n in names else -1 for n in requests.endpoints])
        endpoint = known[requests.endpoint]
        used = (endpoint >= 0) & ~requests.rejected & ~requests.warm_up
        order = np.argsort(requests.start_ns[used], kind="stable")
        start_ns = requests.start_ns[used]
        self._arrival_s = replayed_s((start_ns - start_ns.min())[order] / 1e9, requests)
        self._endpoint = endpoint[used][order]

    def per_request_s(self, model: ServiceModel, replays: int) -> tuple[float, float]:
        """Return busy time of the loop, and what threads took of it, per request."""
        found = self._each(model, replays)
        served = replays * max(len(self._arrival_s), 1)
        return sum(once[0] for once in found) / served, sum(once[1] for once in found) / served

    def code_cost(self, model: ServiceModel, replays: int) -> float:
        """Return what code takes, of what it takes on a busy loop when it has not run for long."""
        return sum(once[2] for once in self._each(model, replays)) / replays

    def _each(self, model: ServiceModel, replays: int) -> list[tuple[float, float, float]]:
        once = partial(_once, model, self._arrival_s, self._endpoint)
        return self._jobs.each(once, range(replays))


def _once(
    model: ServiceModel, arrival_s: FloatArray, endpoint: IntArray, replay: int
) -> tuple[float, float, float]:
    """Replay once, in whatever process.

    Return how long the loop is busy, what threads take of it, and what code costs.
    """
    workload = sample_at(model, arrival_s, endpoint, replay)
    deployment = resolve_deployment(model, Deployment())
    outcome = simulate(workload, deployment, model.loop, seed=replay)
    return float(outcome.loop_busy_s.sum()), outcome.gil_lost_s, outcome.code_cost


def balance(
    model: ServiceModel, requests: RequestSet, jobs: Processes | None = None
) -> Balance | None:
    """Compare the loop's busy time with the twin's; None where the recording cannot tell."""
    recorded_s = per_request_s(requests, spans.LOOP_BUSY_NS)
    if recorded_s is None or unsampled(requests) > ALL_RECORDED:
        return None
    # What belongs to no request is not put on them; the twin has none of it.
    recorded_s -= per_request_s(requests, spans.BACKGROUND_WALL_NS) or 0.0
    twin_s, _ = Replay(model, requests, jobs).per_request_s(model, REPLAYS)
    return Balance(max(recorded_s, 1e-9), twin_s)


def fit_handover(
    model: ServiceModel,
    requests: RequestSet,
    stolen_s: float = 0.0,
    jobs: Processes | None = None,
) -> float | None:
    """Fit what the loop loses each time a thread has had the GIL, seconds.

    The loop's busy time beyond its CPU is what other threads took from it: their own CPU, which
    is known, and so much per hand-over. Code that blocks takes no CPU either, and the recorder's
    own thread works beside the loop as often as the loop is busy: both are taken out first, with
    what others than threads take (``stolen_s``, of a request). None where no thread works beside
    the loop, or where blocking explains most of it.
    """
    if not _uses_threads(model):
        return None
    busy_s = per_request_s(requests, spans.LOOP_BUSY_NS)
    cpu_s = _loop_cpu_s(requests)
    share = loop_share(requests, spans.LOOP_BUSY_NS)
    if busy_s is None or cpu_s is None or share is None or unsampled(requests) > ALL_RECORDED:
        return None
    blocked_s = _blocked_s(model)
    if blocked_s > MOST_BLOCKED * (busy_s - cpu_s):
        return None
    writer_s = (per_request_s(requests, spans.RECORDER_CPU_NS) or 0.0) * share
    lost_s = busy_s - cpu_s - blocked_s - writer_s - stolen_s
    replay = Replay(model, requests, jobs)
    lost = []
    for handover_s in HANDOVERS_S:
        loop = model.loop.model_copy(update={"handover": handover_s})
        tried = model.model_copy(update={"loop": loop})
        lost.append(replay.per_request_s(tried, REPLAYS)[1])
    if lost[1] < _FEWEST_LOST_S or lost[1] <= lost[0]:
        return None
    per_handover = (lost[1] - lost[0]) / (HANDOVERS_S[1] - HANDOVERS_S[0])
    return float(np.clip((lost_s - lost[0]) / per_handover, 0.0, MOST_HANDOVER_S))


def _uses_threads(model: ServiceModel) -> bool:
    """Tell whether any step has a thread run code, which needs the GIL."""
    return any(
        isinstance(step, (CallStep, ThreadStep))
        or (isinstance(step, WaitStep) and step.thread_cpu > 0.0)
        for endpoint in model.endpoints
        for variant in endpoint.variants
        for step in all_steps(variant.steps)
    )


def _other_threads_s(model: ServiceModel, requests: RequestSet) -> float:
    """Return the CPU per request, seconds, of threads whose work no step has: native ones."""
    process_s = per_request_s(requests, spans.PROCESS_CPU_NS)
    loop_s = per_request_s(requests, spans.LOOP_CPU_NS)
    if process_s is None or loop_s is None:
        return 0.0
    known_s = per_request_s(requests, spans.RECORDER_CPU_NS) or 0.0
    known_s += sum(times * _in_threads_s(step) for times, step in _steps_of_a_request(model))
    return max(0.0, process_s - loop_s - known_s)


def _in_threads_s(step: Step) -> float:
    """Return the CPU that a step takes in threads, under the GIL, in the mean; seconds."""
    match step:
        case WaitStep():
            return step.thread_cpu
        case ThreadStep():
            return mean(step.cpu)
        case CallStep():
            inner = times_run(step.steps)
            return sum(
                often * mean(each.time) for often, each in inner if isinstance(each, CpuStep)
            )
        case _:
            return 0.0


def _steps_of_a_request(model: ServiceModel) -> Iterator[tuple[float, Step]]:
    """Yield all steps with how often each runs in a request of any endpoint, in the mean."""
    for endpoint in model.endpoints:
        for variant in endpoint.variants:
            yield from times_run(variant.steps, endpoint.share * variant.share)


def _loop_cpu_s(requests: RequestSet) -> float | None:
    """Return the CPU of the loop's thread per request while it did not sleep, seconds."""
    cpu_s = per_request_s(requests, spans.LOOP_CPU_NS)
    if cpu_s is None:
        return None
    return cpu_s - (per_request_s(requests, spans.SLEEP_CPU_NS) or 0.0)


def _blocked_s(model: ServiceModel) -> float:
    """Return how long code blocks the loop per request, seconds."""
    return sum(
        times * mean(step.time) * step.blocking
        for times, step in _steps_of_a_request(model)
        if isinstance(step, CpuStep)
    )


def close_account(
    model: ServiceModel,
    requests: RequestSet,
    stolen_s: float = 0.0,
    taken: Taken | None = None,
    *,
    jobs: Processes | None = None,
) -> tuple[ServiceModel, list[str]]:
    """Return the model with what is missing accounted for, and what must be said.

    First what threads cost the loop, then what others take from it and the rest, which are put on
    every request. Other processes need not be there when the service runs again: how fast the
    machine is then is doubted by as much as they took, and by how much that changed. Threads of
    the service that share its only core with the loop will be.

    Parameters
    ----------
    stolen_s
        What others than threads took, of a request, as far as the loop's own account tells.
    taken
        What the kernel says that other processes took; None where it was not asked.
    jobs
        Share the replays, if they are started.
    """
    busy_s = per_request_s(requests, spans.LOOP_BUSY_NS)
    if taken is not None and busy_s is not None:
        stolen_s = max(stolen_s, taken.share * busy_s)
    handover_s = fit_handover(model, requests, stolen_s, jobs)
    if taken is None:
        by_others_s = stolen_s
        if model.process.cores == 1:
            by_others_s = max(0.0, stolen_s - _other_threads_s(model, requests))
        taken = Taken(by_others_s / (busy_s or math.inf), 0.0)
    doubt = model.loop.doubt
    # Two standard deviations: they are gone, or twice as many.
    error = min(1.0, math.hypot(doubt.error, taken.share / 2.0, taken.error))
    drift = min(1.0, math.hypot(doubt.drift, taken.error))
    known = {"error": error, "drift": drift, "taken": taken.share}
    loop = model.loop.model_copy(
        update={
            "accept": model.loop.accept + stolen_s,
            "doubt": doubt.model_copy(update=known),
        }
    )
    if handover_s is not None:
        loop = loop.model_copy(update={"handover": handover_s})
    model = model.model_copy(update={"loop": loop})
    said = []
    if taken.share > MUCH_TAKEN:
        said.append(
            f"other processes took {taken.share:.0%} of the event loop's time while it was "
            "recorded; a forecast takes them along, and a comparison allows for their being gone"
        )
    found = balance(model, requests, jobs)
    if found is None or found.missing < LEAST:
        return model, said
    missing_s = found.recorded_s - found.twin_s
    loop = model.loop.model_copy(update={"accept": model.loop.accept + missing_s})
    if found.missing > MUCH:
        said.append(
            f"{found.missing:.0%} of the event loop's busy time is not explained by the requests' "
            "code; it is put on every request (something else on the loop, or other threads or "
            "processes on its core?)"
        )
    return model.model_copy(update={"loop": loop}), said
