"""What one simulation showed: per request, per loop, per resource, over time.

``summarise`` reduces the engine's arrays to the requests that count and the measured time.
Statistics over several simulations are made in ``fastsim.twin.forecast``; this module
computes no quantile of latencies.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastsim.model import ServiceModel
from fastsim.scenario import ResolvedDeployment
from fastsim.twin.workload import Outcome, Slots, Workload

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
View = Literal["client", "server"]

OK, FAILED, REJECTED, IN_FLIGHT = range(4)
"""What became of a request."""

CAUSES = {FAILED: "status 500", REJECTED: "status 503"}
"""Errors are named as ``fastsim load`` names them."""

PROCESSOR = "processor"
"""Name of the cores that more wants than there are, or that a container may not use up."""

THREAD_POOL = "thread pool"
"""Name of the threads that ``def`` endpoints and ``to_thread`` share, beside other resources."""

MOST_WINDOWS = 1000


@dataclass(frozen=True, slots=True)
class LoopMeasure:
    """The event loops of all workers, averaged."""

    utilisation: float
    lag_mean_s: float
    lag_p99_s: float
    ready_mean: float
    ready_max: int


@dataclass(frozen=True, slots=True)
class ResourceMeasure:
    """One resource of all who have one of their own, each with ``capacity``."""

    capacity: float
    utilisation: float
    mean_wait_s: float
    max_queue: int
    copies: int
    """How many have one: workers, replicas, or the service."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The measured time in windows of equal length, one entry per window."""

    window_s: float
    arrivals: Ints
    completions: Ints
    utilisation: Floats
    in_flight: Floats
    """Mean number of requests in the system."""


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """One simulation, reduced to what counts.

    Requests count when they arrive in the measured time; the arrays have one entry per
    counted request, in order of arrival.

    Parameters
    ----------
    at_s : float array, shape (n,)
        Arrival, seconds from the start of the measured time.
    endpoint, state : int array, shape (n,)
        Index into ``endpoints``; one of ``OK``, ``FAILED``, ``REJECTED``, ``IN_FLIGHT``.
    client_s, server_s : float array, shape (n,)
        Latency from arrival to response plus the client's overhead; from the first
        instruction of the application to the response. NaN without a response.
    parts, part_sum_s
        Where the time of successful requests went: names, and seconds by endpoint,
        shape (len(endpoints), len(parts)); a row adds up to the sum of ``client_s``.
    completions : int array, shape (len(endpoints),)
        Successful responses in the measured time, whenever the request arrived.
    growth_per_s
        Trend of the number in flight over the measured time, and over its second half.
    idle_s : float array, shape (len(endpoints),)
        Mean time of a request without queueing in the model that was drawn for this simulation,
        without its processor; None where the model was taken as it is.
    """

    endpoints: tuple[str, ...]
    duration_s: float
    at_s: Floats
    endpoint: Ints
    state: Ints
    client_s: Floats
    server_s: Floats
    parts: tuple[str, ...]
    part_sum_s: Floats
    completions: Ints
    growth_per_s: float
    late_growth_per_s: float
    loop: LoopMeasure
    resources: dict[str, ResourceMeasure]
    windows: Windows
    idle_s: Floats | None = None

    def chosen(self, endpoint: str | None) -> Flags:
        """Mark the requests of an endpoint; all without one."""
        if endpoint is None:
            return np.ones(len(self.at_s), np.bool_)
        if endpoint not in self.endpoints:
            return np.zeros(len(self.at_s), np.bool_)
        marked: Flags = self.endpoint == self.endpoints.index(endpoint)
        return marked

    def within(self, start_s: float, end_s: float) -> "Measures":
        """Return the requests that arrived in a part of the measured time, whenever they end.

        Where their time went is not known: it is summed over all.
        """
        rows = slice(*np.searchsorted(self.at_s, [start_s, end_s]).tolist())
        done_s = self.at_s + self.client_s
        ended = (self.state == OK) & (done_s >= start_s) & (done_s < end_s)
        return replace(
            self,
            duration_s=end_s - start_s,
            at_s=self.at_s[rows],
            endpoint=self.endpoint[rows],
            state=self.state[rows],
            client_s=self.client_s[rows],
            server_s=self.server_s[rows],
            completions=np.bincount(self.endpoint[ended], minlength=len(self.endpoints)),
            parts=(),
            part_sum_s=np.zeros((len(self.endpoints), 0)),
        )

    def latency_s(self, endpoint: str | None, view: View = "client") -> Floats:
        """Return the latencies of successful requests, in order of arrival."""
        values = self.client_s if view == "client" else self.server_s
        chosen: Floats = values[self.chosen(endpoint) & (self.state == OK)]
        return chosen

    def throughput_per_s(self, endpoint: str | None) -> float:
        """Return successful responses per second of the measured time."""
        if endpoint is None:
            return float(self.completions.sum()) / self.duration_s
        return float(self.completions[self.endpoints.index(endpoint)]) / self.duration_s

    def error_ratio(self, endpoint: str | None) -> float:
        """Return failed over finished requests; NaN without any."""
        failed, finished = self.failures(endpoint)
        return failed / finished if finished else math.nan

    def failures(self, endpoint: str | None) -> tuple[int, int]:
        """Return how many requests failed, and how many were answered or failed."""
        state = self.state[self.chosen(endpoint)]
        failed = int(((state == FAILED) | (state == REJECTED)).sum())
        return failed, int((state != IN_FLIGHT).sum())


def summarise(
    workload: Workload,
    outcome: Outcome,
    *,
    model: ServiceModel,
    deployment: ResolvedDeployment,
    warmup_s: float,
    duration_s: float,
) -> Measures:
    """Reduce one simulation to the requests that arrive in [warmup, warmup + duration).

    Parameters
    ----------
    model
        Gives the overhead that a client sees on top of the server.
    """
    due_s = workload.arrival_s - warmup_s
    done_s = outcome.respond_s + outcome.back_s - warmup_s
    counted = (due_s >= 0.0) & (due_s < duration_s)
    answered = np.isfinite(done_s)
    state = np.where(answered, outcome.failure, IN_FLIGHT).astype(np.int64)
    completed = answered & (state == OK) & (done_s >= 0.0) & (done_s < duration_s)
    overhead_s = model.client.overhead
    parts, part_sum_s = _parts(workload, outcome, counted & (state == OK), overhead_s)
    half_s = duration_s / 2.0
    return Measures(
        endpoints=tuple(workload.endpoints),
        duration_s=duration_s,
        at_s=due_s[counted],
        endpoint=workload.endpoint[counted].astype(np.int64),
        state=state[counted],
        client_s=(done_s - due_s)[counted] + overhead_s,
        server_s=(outcome.respond_s - outcome.start_s)[counted],
        parts=parts,
        part_sum_s=part_sum_s,
        completions=np.bincount(
            workload.endpoint[completed], minlength=len(workload.endpoints)
        ).astype(np.int64),
        growth_per_s=growth(due_s, done_s, 0.0, duration_s),
        late_growth_per_s=growth(due_s, done_s, half_s, duration_s),
        loop=_loop(outcome, warmup_s, duration_s),
        resources=_resources(workload, outcome, deployment, warmup_s + duration_s),
        windows=_windows(
            due_s,
            done_s,
            outcome,
            completed=completed,
            warmup_s=warmup_s,
            duration_s=duration_s,
        ),
    )


def window_length_s(duration_s: float) -> float:
    """Return the length of the windows of a time series: 1 s, more for long runs."""
    return float(max(1, math.ceil(duration_s / MOST_WINDOWS)))


def _parts(
    workload: Workload, outcome: Outcome, chosen: Flags, overhead_s: float
) -> tuple[tuple[str, ...], Floats]:
    columns: dict[str, Floats] = {
        "running": outcome.running_s[chosen],
        "loop": outcome.loop_wait_s[chosen],
        "pool": outcome.pool_wait_s[chosen],
    }
    for index, kind in enumerate(workload.kinds):
        # A recorded wait of kind "pool" (of a pool that is not simulated) joins the simulated.
        columns[kind] = columns.get(kind, 0.0) + outcome.wait_s[chosen, index]
    columns["client"] = (outcome.there_s + outcome.back_s)[chosen] + overhead_s
    endpoint = workload.endpoint[chosen]
    sums = [
        np.bincount(endpoint, weights=column, minlength=len(workload.endpoints))
        for column in columns.values()
    ]
    return tuple(columns), np.stack(sums, axis=1)


def growth(due_s: Floats, done_s: Floats, start_s: float, end_s: float) -> float:
    """Return the trend of the number in flight, per second: the slope of its least-squares line.

    NaN in ``done_s`` stands for what never ended.
    """
    times_s = np.linspace(start_s, end_s, 41)
    in_flight = np.searchsorted(np.sort(due_s), times_s, "right") - np.searchsorted(
        np.sort(done_s[np.isfinite(done_s)]), times_s, "right"
    )
    centred_s = times_s - times_s.mean()
    return float(centred_s @ in_flight / (centred_s @ centred_s))


def _loop(outcome: Outcome, warmup_s: float, duration_s: float) -> LoopMeasure:
    busy_s = _busy_between(outcome, np.array([warmup_s, warmup_s + duration_s]))
    has_lag = len(outcome.lag_s) > 0
    return LoopMeasure(
        utilisation=min(1.0, float(busy_s[0]) / duration_s),
        lag_mean_s=float(outcome.lag_s.mean()) if has_lag else 0.0,
        lag_p99_s=float(np.quantile(outcome.lag_s, 0.99)) if has_lag else 0.0,
        ready_mean=float(outcome.ready_integral.mean()) / max(outcome.end_s, 1e-12),
        ready_max=int(outcome.ready_max.max(initial=0)),
    )


def _busy_between(outcome: Outcome, edges_s: Floats) -> Floats:
    """Return the busy time between neighbouring edges, averaged over workers.

    Edges inside an engine window share it in proportion. A pass is counted in the window in which
    it began, so what is more than a window holds belongs to those that follow.
    """
    each_s = outcome.window_busy_s
    total_s = np.concatenate([np.zeros((len(each_s), 1)), np.cumsum(each_s, axis=1)], axis=1)
    grid_s = np.arange(total_s.shape[1]) * outcome.window_s
    total_s = grid_s + np.minimum.accumulate(total_s - grid_s, axis=1)
    # What the last window holds happened before the end, which may come early in it.
    if len(grid_s) > 1 and grid_s[-2] < outcome.end_s < grid_s[-1]:
        grid_s[-1] = outcome.end_s
    return np.diff(np.interp(edges_s, grid_s, total_s.mean(axis=0)))


def _resources(
    workload: Workload, outcome: Outcome, deployment: ResolvedDeployment, until_s: float
) -> dict[str, ResourceMeasure]:
    found = {}
    for index, name in enumerate(workload.resources):
        slots = Slots(
            busy_s=float(outcome.resource_busy_s[index]),
            wait_s=float(outcome.resource_wait_s[index]),
            acquires=int(outcome.resource_acquires[index]),
            max_queue=int(outcome.resource_max_queue[index]),
        )
        if name in deployment.limits:
            limit = deployment.limits[name]
            if limit.rate is None:  # a station of the user's own has no measure of being full
                continue
            found[name] = _use(slots, 1, deployment.copies(limit.scope), until_s)
        else:
            copies = deployment.copies(deployment.scopes.get(name, "worker"))
            found[name] = _use(slots, deployment.resources[name], copies, until_s)
    if outcome.processor_s is not None:
        cores = min(float(deployment.cores), deployment.cpu_quota or math.inf)
        found[PROCESSOR] = ResourceMeasure(
            capacity=int(cores) if cores.is_integer() else cores,
            utilisation=min(1.0, outcome.processor_s / (cores * deployment.replicas * until_s)),
            mean_wait_s=0.0,
            max_queue=0,
            copies=deployment.replicas,
        )
    if outcome.threads.acquires:
        tokens = deployment.thread_tokens
        found[THREAD_POOL] = _use(outcome.threads, tokens, deployment.processes, until_s)
    return found


def _use(slots: Slots, capacity: int, copies: int, until_s: float) -> ResourceMeasure:
    return ResourceMeasure(
        capacity=capacity,
        # The work of all arrivals over the time they arrived in: what is still held
        # afterwards stands for what an empty start lacks. Beyond 1 it is a backlog.
        utilisation=min(1.0, slots.busy_s / (capacity * copies * until_s)),
        mean_wait_s=slots.wait_s / max(slots.acquires, 1),
        max_queue=slots.max_queue,
        copies=copies,
    )


def _windows(
    due_s: Floats,
    done_s: Floats,
    outcome: Outcome,
    *,
    completed: Flags,
    warmup_s: float,
    duration_s: float,
) -> Windows:
    window_s = window_length_s(duration_s)
    count = math.floor(duration_s / window_s + 1e-9)
    edges_s = np.arange(count + 1, dtype=np.float64) * window_s
    present_s = _time_present(due_s, edges_s) - _time_present(done_s, edges_s)
    busy_s = _busy_between(outcome, edges_s + warmup_s)
    return Windows(
        window_s=window_s,
        arrivals=np.histogram(due_s, edges_s)[0].astype(np.int64),
        completions=np.histogram(done_s[completed], edges_s)[0].astype(np.int64),
        utilisation=np.minimum(1.0, busy_s / window_s),
        in_flight=np.diff(present_s) / window_s,
    )


def _time_present(since_s: Floats, at_s: Floats) -> Floats:
    """Return how long all that began at ``since_s`` lasted by ``at_s``, summed.

    NaN stands for what never begins.
    """
    begun_s = np.sort(since_s[np.isfinite(since_s)])
    before = np.searchsorted(begun_s, at_s)
    begun_sum_s = np.concatenate([[0.0], np.cumsum(begun_s)])
    total: Floats = before * at_s - begun_sum_s[before]
    return total
