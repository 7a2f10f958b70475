"""Small workloads written by hand, for tests of the engine."""

from collections.abc import Sequence

import numpy as np

from fastsim.model import LoopCosts
from fastsim.scenario import ResolvedDeployment
from fastsim.twin.workload import KINDS, FloatArray, Op, ViaCode, Workload

IO = KINDS.index("io")

Step = tuple[Op, int, float, float]


def cpu(seconds: float, blocking: float = 0.0) -> Step:
    return (Op.CPU, 0, seconds, blocking)


def wait(seconds: float, via: ViaCode = ViaCode.SOCKET, thread_cpu: float = 0.0) -> Step:
    return (Op.WAIT, via, seconds, thread_cpu)


def thread(cpu_s: float, off_gil_s: float) -> Step:
    return (Op.THREAD, 0, cpu_s, off_gil_s)


ACQUIRE: Step = (Op.ACQUIRE, 0, 0.0, 0.0)
RELEASE: Step = (Op.RELEASE, 0, 0.0, 0.0)
YIELD: Step = (Op.YIELD, 0, 0.0, 0.0)
RESPOND: Step = (Op.RESPOND, 0, 0.0, 0.0)


def workload(
    arrivals: Sequence[float] | FloatArray, programs: Sequence[Sequence[Step]]
) -> Workload:
    """One program per request."""
    ops = [step for program in programs for step in program]
    n = len(arrivals)
    return Workload(
        endpoints=("GET /",),
        resources=("pool",),
        kinds=KINDS,
        arrival_s=np.asarray(arrivals, np.float64),
        endpoint=np.zeros(n, np.int64),
        variant=np.zeros(n, np.int64),
        failed=np.zeros(n, np.bool_),
        op_first=np.concatenate([[0], np.cumsum([len(program) for program in programs])]),
        op_code=np.array([int(op[0]) for op in ops], np.int64),
        op_arg=np.array([int(op[1]) for op in ops], np.int64),
        op_kind=np.full(len(ops), IO, np.int64),
        op_value=np.array([op[2] for op in ops]),
        op_extra=np.array([op[3] for op in ops]),
    )


def deployment(
    *,
    pool: int = 1,
    workers: int = 1,
    cores: int = 1,
    tokens: int = 40,
    limit: int | None = None,
    gil: bool = True,
) -> ResolvedDeployment:
    return ResolvedDeployment(
        workers=workers,
        cores=cores,
        loop="asyncio",
        thread_tokens=tokens,
        limit_concurrency=limit,
        gil=gil,
        resources={"pool": pool},
    )


FREE = LoopCosts()
"""A loop that costs nothing, as queueing theory has it."""
