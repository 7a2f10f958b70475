"""Simulate the same plan several times, independently, on as many processes as wanted.

Each replication has its own child of the seed, so results do not depend on how many
processes share the work, and the first n of m replications are the n replications. What
the results say is decided in ``fastsim.twin.forecast`` and ``fastsim.twin.compare``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastsim.errors import InputError
from fastsim.twin.doubt import Processor, draw_processor
from fastsim.twin.law_doubt import idle_s
from fastsim.twin.metrics import Measures, View
from fastsim.twin.plan import Plan
from fastsim.twin.processes import Jobs, OnProgress, shared
from fastsim.twin.statistics import METRICS, latency_statistics, stretches

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Replications:
    """Independent simulations of one plan, kept apart: their spread is what chance does."""

    plan: Plan
    seed: int
    runs: tuple[Measures, ...]
    stopped: bool = False
    """Whether more were asked for, and somebody lost patience."""
    _known: dict[tuple[str | None, View], tuple[Floats, Floats]] = field(
        default_factory=dict, init=False, repr=False
    )
    _failures: dict[str | None, Floats] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Names of the model's endpoints."""
        return self.runs[0].endpoints

    def within(self, start_s: float, end_s: float) -> "Replications":
        """Return the replications with the requests alone that arrived in a part of the time."""
        return Replications(
            self.plan, self.seed, tuple(run.within(start_s, end_s) for run in self.runs)
        )

    def pooled_s(self, endpoint: str | None, view: View = "client") -> Floats:
        """Return the latencies of all replications together; of all endpoints for None."""
        return np.concatenate([run.latency_s(endpoint, view) for run in self.runs])

    def statistics(self, endpoint: str | None, view: View = "client") -> Floats:
        """Return the latency statistics of each replication, shape (runs, len(METRICS)).

        NaN where a replication had no successful request of the endpoint.
        """
        return self._summary(endpoint, view)[0]

    def pooled_statistics(self, endpoint: str | None, view: View = "client") -> Floats:
        """Return the latency statistics of all replications together, shape (len(METRICS),)."""
        return self._summary(endpoint, view)[1]

    def failures(self, endpoint: str | None) -> Floats:
        """Return how many requests failed, and how many had an end, shape (runs, 2)."""
        if endpoint not in self._failures:
            counts = [run.failures(endpoint) for run in self.runs]
            self._failures[endpoint] = np.array(counts, np.float64).reshape(len(self.runs), 2)
        return self._failures[endpoint]

    def stretches(self, endpoint: str | None, view: View = "client") -> Floats:
        """Return on how many separate stretches of time each statistic rests, all together."""
        pooled = self.pooled_statistics(endpoint, view)
        each = [stretches(run.latency_s(endpoint, view), pooled) for run in self.runs]
        total: Floats = np.sum(each, axis=0)
        return total

    def _summary(self, endpoint: str | None, view: View) -> tuple[Floats, Floats]:
        key = (endpoint, view)
        if key not in self._known:
            rows = [latency_statistics(run.latency_s(endpoint, view)) for run in self.runs]
            table = np.array(rows).reshape(len(self.runs), len(METRICS))
            self._known[key] = table, latency_statistics(self.pooled_s(endpoint, view))
        return self._known[key]

    def processors(self) -> list[Processor]:
        """Return the processor that each replication drew; none without doubt."""
        if not self.plan.doubtful:
            return []
        costs, duration_s = self.plan.model.loop, self.plan.duration_s
        seeds = replication_seeds(self.seed, len(self))
        return [draw_processor(costs, duration_s, seed) for seed in seeds]

    def idle_logs(self) -> dict[str | None, Floats]:
        """Return by how much a request without queueing takes longer in each replication's model.

        Logarithms, by endpoint and for all together; of laws and paths alone, without the
        processor. Empty without doubt.
        """
        drawn = [run.idle_s for run in self.runs if run.idle_s is not None]
        if not self.plan.doubtful or len(drawn) < len(self):
            return {}
        plan = self.plan
        each_s = np.array([idle_s(plan.model), *drawn])
        shares = [plan.mix.get(e.name, 0.0) if plan.mix else e.share for e in plan.model.endpoints]
        columns: dict[str | None, Floats] = dict(zip(self.endpoints, each_s.T, strict=True))
        columns[None] = (each_s * shares).sum(axis=1)
        times = {name: np.maximum(column, _SHORTEST_S) for name, column in columns.items()}
        return {name: np.log(column[1:] / column[0]) for name, column in times.items()}

    def each(self, value: Callable[[Measures], float]) -> Floats:
        """Return one number for each replication."""
        return np.array([value(run) for run in self.runs], dtype=np.float64)


_SHORTEST_S = 1e-9


def replicate(
    plan: Plan,
    *,
    replications: int,
    seed: int,
    jobs: Jobs = 1,
    on_progress: OnProgress | None = None,
    keep: bool = False,
    before: Replications | None = None,
) -> Replications:
    """Simulate a plan several times.

    Parameters
    ----------
    jobs
        See ``fastsim.twin.processes``.
    on_progress
        Called with (done, all) after each replication.
    keep
        Whether Ctrl-C ends the simulations and leaves those that are done, if any are.
    before
        The first replications of the same plan and seed, which are not simulated again.

    Raises
    ------
    InputError
        When the numbers make no sense or the mix names an unknown endpoint.
    """
    if replications < 1:
        raise InputError(f"replications must be at least 1, not {replications}")
    known = () if before is None else before.runs[:replications]
    seeds = replication_seeds(seed, replications)[len(known) :]
    if not seeds:
        return Replications(plan, seed, known)
    with shared(jobs) as processes:
        runs = processes.simulate(plan, seeds, on_progress or silent, keep=keep)
    return Replications(plan, seed, (*known, *runs), stopped=len(runs) < len(seeds))


def replication_seeds(seed: int, replications: int) -> list[int]:
    """Return one seed for each replication; a longer list begins with the shorter one.

    Raises
    ------
    InputError
        When the seed is negative.
    """
    if seed < 0:
        raise InputError(f"seed must not be negative, not {seed}")
    children = np.random.SeedSequence(seed).spawn(replications)
    return [int(child.generate_state(1, np.uint64)[0]) for child in children]


def silent(_done: int, _total: int) -> None:
    """Report to nobody."""
