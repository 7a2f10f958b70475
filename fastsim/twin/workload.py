"""What happens to the service: arrivals and, per request, a flat program of operations.

A Workload says nothing about the deployment, so the same one replayed on two
deployments gives common random numbers for free.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from fastsim.spans import StepKind

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

KINDS: tuple[str, ...] = tuple(kind.value for kind in StepKind)
"""Step kinds in the order of ``Workload.op_kind``."""


class Op(IntEnum):
    """Operation codes; times in seconds."""

    CPU = 0
    """Hold the loop for ``value``, of which ``extra`` without using a core."""
    WAIT = 1
    """Suspended for ``value``; ``arg`` is a ViaCode, ``extra`` the CPU of a waking thread."""
    YIELD = 2
    """Back into the ready queue at once."""
    ACQUIRE = 3
    """Take a slot of resource ``arg``."""
    RELEASE = 4
    """Give a slot of resource ``arg`` back."""
    THREAD = 5
    """In the thread pool: ``value`` CPU under the GIL, ``extra`` off the GIL."""
    RESPOND = 6
    """The response is complete."""
    FORK = 7
    """Start ``arg`` tasks and wait for all; their programs follow, each after a BRANCH."""
    BRANCH = 8
    """The next ``arg`` operations are one task's program."""


class ViaCode(IntEnum):
    """How the loop learns that a WAIT is over."""

    SOCKET = 0
    TIMER = 1
    THREAD = 2


@dataclass(frozen=True, slots=True)
class Workload:
    """n requests in order of arrival and their m operations."""

    endpoints: tuple[str, ...]
    resources: tuple[str, ...]
    kinds: tuple[str, ...]
    arrival_s: FloatArray
    endpoint: IntArray
    variant: IntArray
    failed: npt.NDArray[np.bool_]
    """Requests that answer with status 500 or above."""
    op_first: IntArray
    """Shape (n + 1,): the operations of request i are ``op_first[i]:op_first[i + 1]``."""
    op_code: IntArray
    op_arg: IntArray
    op_kind: IntArray
    """Index into ``kinds``: what a wait is booked under."""
    op_value: FloatArray
    op_extra: FloatArray

    def __len__(self) -> int:
        return len(self.arrival_s)


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
    failure: IntArray
    """0 none, 1 the application failed, 2 rejected by ``limit_concurrency``."""
    running_s: FloatArray
    loop_wait_s: FloatArray
    pool_wait_s: FloatArray
    wait_s: FloatArray
    """Shape (n, kinds). running + loop_wait + pool_wait + waits = respond - arrival."""
    resource_busy_s: FloatArray
    resource_wait_s: FloatArray
    resource_acquires: IntArray
    resource_max_queue: IntArray
    threads: "Slots"
    """The thread pools of all workers together."""
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
