"""Small workloads written by hand, for tests of the engine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastsim.model import LoopCosts, Scope
from fastsim.scenario import Balancing, Network, ResolvedDeployment
from fastsim.twin import code as ops
from fastsim.twin.code import Branch, Code
from fastsim.twin.compiling import KINDS, Program
from fastsim.twin.workload import FloatArray, Workload

IO = KINDS.index("io")

Plain = tuple[int, int, float, float]


@dataclass(frozen=True)
class Call:
    """A call in the thread pool."""

    steps: "list[Plain]"


Step = Plain | Call | list["list[Step]"]
"""An operation, its argument and its two values; or a call; or the branches of a fork."""


def cpu(seconds: float, blocking: float = 0.0) -> Plain:
    return (ops.CPU, 0, seconds, blocking / seconds if seconds else 0.0)


def native(seconds: float) -> Plain:
    """Code that needs a core without the GIL."""
    return (ops.CPU, ops.NATIVE, seconds, 1.0)


def wait(seconds: float, via: int = ops.SOCKET, thread_cpu: float = 0.0) -> Plain:
    return (ops.WAIT, via, seconds, thread_cpu)


def thread(cpu_s: float, off_gil_s: float) -> Plain:
    return (ops.THREAD, 0, cpu_s, off_gil_s)


def acquire(station: int = 0) -> Plain:
    return (ops.ACQUIRE, station, 0.0, 0.0)


def release(station: int = 0) -> Plain:
    return (ops.RELEASE, station, 0.0, 0.0)


ACQUIRE: Plain = (ops.ACQUIRE, 0, 0.0, 0.0)
RELEASE: Plain = (ops.RELEASE, 0, 0.0, 0.0)
YIELD: Plain = (ops.YIELD, 0, 0.0, 0.0)
RESPOND: Plain = (ops.RESPOND, 0, 0.0, 0.0)


def add(code: Code, program: Sequence[Step]) -> int:
    """Append a program, whose branches follow it; return where it begins."""
    begin = len(code)
    forks: list[tuple[int, list[list[Step]]]] = []
    calls: list[tuple[int, Call]] = []
    for step in program:
        if isinstance(step, Call):
            calls.append((code.add(ops.CALL), step))
        elif isinstance(step, list):
            code.forks.append([])
            forks.append((len(code.forks) - 1, step))
            code.add(ops.FORK, len(code.forks) - 1)
        else:
            operation, argument, value, second = step
            kind = argument if operation == ops.CPU else IO
            code.add(operation, argument, kind=kind, value=value, second=second)
    code.add(ops.END)
    for place, call in calls:
        code.argument[place] = add(code, call.steps)
    for number, branches in forks:
        code.forks[number] += [Branch(add(code, branch), -1, 1) for branch in branches]
    return begin


def workload(
    arrivals: Sequence[float] | FloatArray,
    programs: Sequence[Sequence[Step]],
    stations: tuple[str, ...] = ("pool",),
) -> Workload:
    """One program per request."""
    code = Code()
    entries = [add(code, program) for program in programs]
    return Workload(
        program=Program(code, (), ("GET /",), stations),
        arrival_s=np.asarray(arrivals, np.float64),
        endpoint=np.zeros(len(arrivals), np.int64),
        entry=np.array(entries, np.int64),
        seed=1,
    )


def deployment(
    *,
    pool: int = 1,
    workers: int = 1,
    cores: int = 1,
    tokens: int = 40,
    limit: int | None = None,
    gil: bool = True,
    replicas: int = 1,
    balancer: Balancing = "round robin",
    network: Network | None = None,
    scope: Scope = "worker",
    sessions: int = 1,
    patience_s: float | None = None,
) -> ResolvedDeployment:
    return ResolvedDeployment(
        replicas=replicas,
        balancer=balancer,
        network=network or Network(),
        scopes={} if scope == "worker" else {"pool": scope},
        workers=workers,
        cores=cores,
        loop="asyncio",
        thread_tokens=tokens,
        limit_concurrency=limit,
        gil=gil,
        resources={"pool": pool, "sessions": sessions},
        timeouts={} if patience_s is None else {"sessions": patience_s},
    )


FREE = LoopCosts()
"""A loop that costs nothing, as queueing theory has it."""
