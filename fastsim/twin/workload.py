"""What happens to the service, and what became of it.

A Workload says nothing about the deployment, so the same one replayed on two deployments gives
common random numbers for free.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.twin.compiling import KINDS, Program
from fastsim.twin.users import UserTraffic

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """n requests in order of arrival, and the programs that they run."""

    program: Program
    arrival_s: FloatArray
    endpoint: IntArray
    """Index into ``endpoints``."""
    entry: IntArray
    """Where in the code each request begins."""
    seed: int
    """Of everything that the requests draw."""
    users: UserTraffic | None = None
    """Who sends the requests, where arrivals are not known before; they are written down then."""

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Names of the endpoints."""
        return self.program.endpoints

    @property
    def resources(self) -> tuple[str, ...]:
        """Names of the resources, and after them of the limits."""
        return self.program.stations + self.program.limits

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of waits, in the order of ``Outcome.wait_s``."""
        return KINDS


@dataclass(frozen=True, slots=True)
class Slots:
    """Use of one kind of slots, all workers together."""

    busy_s: float
    wait_s: float
    acquires: int
    max_queue: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of every request and resource. Per-request arrays have length n.

    NaN where something did not happen before the end of the simulation.
    """

    start_s: FloatArray
    """First instruction of the application: the start of the server span."""
    respond_s: FloatArray
    done_s: FloatArray
    worker: IntArray
    there_s: FloatArray
    back_s: FloatArray
    """How long the request and its response were on their way over the network."""
    failure: IntArray
    """0 none, 1 the application failed, 2 rejected by ``limit_concurrency``."""
    path: IntArray
    """Which of the endpoint's paths it took."""
    running_s: FloatArray
    loop_wait_s: FloatArray
    pool_wait_s: FloatArray
    wait_s: FloatArray
    """Shape (n, kinds). running + loop_wait + pool_wait + waits = respond - arrival - there."""
    resource_busy_s: FloatArray
    resource_wait_s: FloatArray
    resource_acquires: IntArray
    resource_max_queue: IntArray
    threads: "Slots"
    """The thread pools of all workers together."""
    processor_s: float | None
    """What code took of the cores, seconds of a core, where there are fewer than want to run."""
    gil_lost_s: float
    """Busy time of all loops in which threads had the GIL."""
    loop_busy_s: FloatArray
    passes: IntArray
    idle_wakeups: IntArray
    ready_integral: FloatArray
    """Per worker: length of the ready queue integrated over time, seconds."""
    ready_max: IntArray
    lag_s: FloatArray
    """Delay from ready to running of a regular sample of task steps."""
    window_s: float
    window_busy_s: FloatArray
    """Shape (workers, windows)."""
    end_s: float
    code_cost: float = 1.0
    """What code took, of what it takes on a busy loop when it has not run for long."""
