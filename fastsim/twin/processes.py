"""Processes that share simulations, for as long as a run or a search lasts.

Starting them costs about as much time as importing numpy and scipy does, so they start when that
much has been spent here, or is certain to be. What a simulation says depends on its plan and seed
alone, never on who ran it.
"""

import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed, wait
from typing import TypeVar

from fastsim.errors import InputError
from fastsim.twin.metrics import Measures
from fastsim.twin.plan import Plan
from fastsim.twin.simulation import simulate_once

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")

OnProgress = Callable[[int, int], None]

WORTH_PROCESSES = 50_000
"""Requests to simulate from which processes are worth their start without trying."""

WORTH_S = 0.7
"""Seconds spent in one process from which the rest is worth more of them."""


class Processes:
    """Simulates plans on as many processes as wanted, which are started once and kept.

    Parameters
    ----------
    most
        Processes to use at most; 1 stays in this one. None uses every core available, as soon
        as the work pays for starting them. Python starts them afresh, so a script that passes
        more than 1 needs ``if __name__ == "__main__"``.

    Raises
    ------
    InputError
        When it is below 1.
    """

    def __init__(self, most: int | None = 1) -> None:
        if most is not None and most < 1:
            raise InputError(f"jobs must be at least 1, not {most}")
        self._most = available_cores() if most is None else most
        self._when_worth = most is None
        self._spent_s = 0.0
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[multiprocessing.process.BaseProcess] = set()
        """Children of this process that are not ours."""

    def simulate(
        self, plan: Plan, seeds: Sequence[int], report: OnProgress, *, keep: bool = False
    ) -> list[Measures]:
        """Return one simulation for each seed, in their order.

        Parameters
        ----------
        report
            Called with (done, all) after each.
        keep
            Whether Ctrl-C ends it and leaves those that are done, if any are.
        """
        runs: list[Measures] = []
        try:
            for seed in seeds:
                left = len(seeds) - len(runs)
                if left > 1 and self._worth(plan, left):
                    break
                began_s = time.perf_counter()
                runs.append(simulate_once(plan, seed))
                self._spent_s += time.perf_counter() - began_s
                report(len(runs), len(seeds))
        except KeyboardInterrupt:
            if not (keep and runs):
                raise
            return runs
        rest = seeds[len(runs) :]
        if rest:
            runs += self._elsewhere(plan, rest, report, keep=keep, before=len(runs))
        return runs

    def _worth(self, plan: Plan, simulations: int) -> bool:
        """Tell whether several simulations are better shared."""
        if self._most == 1:
            return False
        if self._pool is not None or not self._when_worth:
            return True
        requests = plan.rate_per_s * (plan.warmup_s + plan.duration_s) * simulations
        return requests >= WORTH_PROCESSES or self._spent_s >= WORTH_S

    def _elsewhere(
        self, plan: Plan, seeds: Sequence[int], report: OnProgress, *, keep: bool, before: int
    ) -> list[Measures]:
        pool = self._started()
        # Written once, and read once by each process: a model is large.
        written = pickle.dumps(plan)
        futures: list[Future[Measures]] = []
        try:
            futures += [pool.submit(_simulate_written, written, seed) for seed in seeds]
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                report(before + number, before + len(seeds))
        except BaseException as error:
            stopped = keep and isinstance(error, KeyboardInterrupt)
            try:
                if stopped and any(map(Future.done, futures)):
                    # Others may have ended before the first: without it they are of no use.
                    wait(futures[:1])
                done = itertools.takewhile(Future.done, futures)
                found = [future.result() for future in done if future.exception() is None]
            finally:
                self._end_now()
            if stopped and (found or before):
                return found
            raise
        return [future.result() for future in futures]

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not fork: a child forked while threads run (numpy's, a progress bar's) can deadlock.
            methods = multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context(
                "forkserver" if "forkserver" in methods else "spawn"
            )
            self._others = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(
                self._most, mp_context=context, initializer=_leave_ctrl_c_to_the_parent
            )
        return self._pool

    def each(self, work: Callable[[_Item], _Found], items: Sequence[_Item]) -> list[_Found]:
        """Return what some work gives for each item, in their order.

        Shared where the processes are there already, else done in this one.

        Parameters
        ----------
        work
            Can be pickled, and so can what it gives.
        """
        if self._pool is None:
            return [work(item) for item in items]
        try:
            return list(self._pool.map(work, items))
        except BaseException:
            self._end_now()
            raise

    def start(self) -> None:
        """Have the processes start beside what this one does until it needs them."""
        if self._most > 1:
            pool = self._started()
            for _ in range(self._most):
                pool.submit(_nothing)

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _end_now(self) -> None:
        """End them without waiting for what they are at."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
            for child in set(multiprocessing.active_children()) - self._others:
                with contextlib.suppress(OSError):
                    child.terminate()


Jobs = int | Processes | None
"""How many processes to use at most, None for every core when it pays, or those of somebody."""


@contextlib.contextmanager
def shared(jobs: Jobs) -> Iterator[Processes]:
    """Give processes for a while: those of somebody, or some of our own, which end with it."""
    if isinstance(jobs, Processes):
        yield jobs
        return
    processes = Processes(jobs)
    try:
        yield processes
    finally:
        processes.close()


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- in the processes ----------------------------------------------------------------------

_plan_of_process: tuple[bytes, Plan] | None = None


def _leave_ctrl_c_to_the_parent() -> None:
    # It reaches the whole terminal group; the parent decides and ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _nothing() -> None:
    """Have a process that imported what it needs."""


def _simulate_written(written: bytes, seed: int) -> Measures:
    global _plan_of_process  # noqa: PLW0603  the last plan: reading a model takes time
    if _plan_of_process is None or _plan_of_process[0] != written:
        _plan_of_process = written, pickle.loads(written)  # noqa: S301  the parent wrote it
    return simulate_once(_plan_of_process[1], seed)
