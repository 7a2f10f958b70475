"""Simulate the same plan several times, independently, on as many processes as wanted.

Each replication has its own child of the seed, so results do not depend on how many
processes share the work, and the first n of m replications are the n replications. What
the results say is decided in ``fastsim.twin.forecast`` and ``fastsim.twin.compare``.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fastsim.errors import InputError
from fastsim.means import endpoint_mean_s
from fastsim.twin.doubt import Processor, draw_processor, on_processor
from fastsim.twin.engine import simulate
from fastsim.twin.law_doubt import draw_model
from fastsim.twin.metrics import Measures, View, summarise
from fastsim.twin.plan import ArrivalReplay, Plan
from fastsim.twin.sampling import sample, sample_at, sample_users
from fastsim.twin.statistics import METRICS, latency_statistics, stretches
from fastsim.twin.users import sent_only
from fastsim.twin.workload import Workload

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OnProgress = Callable[[int, int], None]

WORTH_PROCESSES = 150_000
"""Requests below which starting processes costs more time than it saves (about 1 s)."""


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
        if not self.plan.doubtful:
            return {}
        plan, seeds = self.plan, replication_seeds(self.seed, len(self))
        models = [plan.model, *(draw_model(plan.model, seed) for seed in seeds)]
        idle_s = np.array([[endpoint_mean_s(e) for e in model.endpoints] for model in models])
        shares = [plan.mix.get(e.name, 0.0) if plan.mix else e.share for e in plan.model.endpoints]
        columns: dict[str | None, Floats] = dict(zip(self.endpoints, idle_s.T, strict=True))
        columns[None] = (idle_s * shares).sum(axis=1)
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
    jobs: int | None = 1,
    on_progress: OnProgress | None = None,
    keep: bool = False,
    before: Replications | None = None,
) -> Replications:
    """Simulate a plan several times.

    Parameters
    ----------
    jobs
        Processes to use at most; 1 stays in this process. None uses every core available
        unless the work is too small to pay for starting them. Python starts them afresh,
        so a script that passes more than 1 needs ``if __name__ == "__main__"``.
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
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, not {jobs}")
    known = () if before is None else before.runs[:replications]
    seeds = replication_seeds(seed, replications)[len(known) :]
    if not seeds:
        return Replications(plan, seed, known)
    processes = min(_wanted(plan, len(seeds)) if jobs is None else jobs, len(seeds))
    report = on_progress or silent
    if processes == 1:
        runs = _one_by_one(plan, seeds, report, keep=keep)
    else:
        runs = _in_processes(plan, seeds, processes, report, keep=keep)
    return Replications(plan, seed, (*known, *runs), stopped=len(runs) < len(seeds))


def _one_by_one(plan: Plan, seeds: list[int], report: OnProgress, *, keep: bool) -> list[Measures]:
    runs: list[Measures] = []
    try:
        for number, child in enumerate(seeds, start=1):
            runs.append(simulate_once(plan, child))
            report(number, len(seeds))
    except KeyboardInterrupt:
        if not (keep and runs):
            raise
    return runs


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


def simulate_once(plan: Plan, seed: int) -> Measures:
    """Draw a workload, simulate it and summarise: one replication."""
    if plan.doubtful:
        drawn = draw_processor(plan.model.loop, plan.duration_s, seed)
        other = on_processor(draw_model(plan.model, seed), drawn)
        plan = replace(plan, model=other, doubtful=False)
    warmup_s, workload = _workload(plan, seed)
    outcome = simulate(workload, plan.deployment, plan.model.loop, seed=seed)
    if workload.users is not None:
        workload, outcome = sent_only(workload, outcome, workload.users.sent)
    return summarise(
        workload,
        outcome,
        model=plan.model,
        deployment=plan.deployment,
        warmup_s=warmup_s,
        duration_s=plan.duration_s,
    )


def _workload(plan: Plan, seed: int) -> tuple[float, Workload]:
    """Return the length of the warm-up, seconds, and who asks for what."""
    if plan.replay is not None:
        return _replayed(plan, plan.replay, seed)
    warmup_s = plan.warmup_s
    if plan.users is not None:
        length_s = warmup_s + plan.duration_s
        return warmup_s, sample_users(
            plan.model, plan.users, duration_s=length_s, seed=seed, mix=plan.mix
        )
    return warmup_s, sample(
        plan.model,
        rate_per_s=plan.rate_per_s,
        duration_s=plan.duration_s,
        warmup_s=warmup_s,
        seed=seed,
        mix=plan.mix,
        arrivals=plan.arrivals,
        course=plan.course,
    )


def _replayed(plan: Plan, replay: ArrivalReplay, seed: int) -> tuple[float, Workload]:
    """Return the length of the warm-up and the workload at the given arrivals."""
    at_s, endpoint = replay.at_s, replay.endpoint
    if not len(at_s):
        raise InputError("there are no arrivals to replay")
    if at_s[0] < 0.0:
        warmup_s = max(plan.warmup_s, float(-at_s[0]))
    else:
        warmup_s = plan.warmup_s
        # A live service was warm and busy when its measured time began: fresh arrivals of
        # the same rate and mix bring the twin there.
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5741524D]))
        count = int(rng.poisson(plan.rate_per_s * warmup_s))
        before_s = np.sort(rng.random(count)) * warmup_s - warmup_s
        at_s = np.concatenate([before_s, at_s])
        endpoint = np.concatenate([rng.choice(endpoint, count), endpoint])
    return warmup_s, sample_at(plan.model, at_s + warmup_s, endpoint, seed)


def _wanted(plan: Plan, replications: int) -> int:
    requests = plan.rate_per_s * (plan.warmup_s + plan.duration_s) * replications
    return 1 if requests < WORTH_PROCESSES else available_cores()


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def silent(_done: int, _total: int) -> None:
    """Report to nobody."""


# --- processes ---------------------------------------------------------------------------

_plan_of_process: Plan | None = None


def _prepare_process(plan: Plan) -> None:
    global _plan_of_process  # noqa: PLW0603  the way a pool hands its processes shared input
    _plan_of_process = plan
    # Ctrl-C reaches the whole terminal group; the parent decides and ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _simulate_in_process(seed: int) -> Measures:
    if _plan_of_process is None:
        raise RuntimeError("the process was not prepared")
    return simulate_once(_plan_of_process, seed)


def _in_processes(
    plan: Plan, seeds: list[int], processes: int, on_progress: OnProgress, *, keep: bool
) -> list[Measures]:
    # Not fork: a child forked while threads run (numpy's, a progress bar's) can deadlock.
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    )
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes, mp_context=context, initializer=_prepare_process, initargs=(plan,)
    )
    futures: list[Future[Measures]] = []
    try:
        futures += [pool.submit(_simulate_in_process, seed) for seed in seeds]
        for number, future in enumerate(as_completed(futures), start=1):
            future.result()
            on_progress(number, len(seeds))
    except BaseException as error:
        done = itertools.takewhile(Future.done, futures)
        found = [future.result() for future in done if future.exception() is None]
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            with contextlib.suppress(OSError):
                child.terminate()
        if keep and found and isinstance(error, KeyboardInterrupt):
            return found
        raise
    pool.shutdown()
    return [future.result() for future in futures]
