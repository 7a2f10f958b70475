"""The twin's mechanics alone: replay recorded arrivals and durations, compare latencies.

Nothing is fitted but the loop's own costs, so what differs is the mechanics (and waits are
known only up to one pass of the loop: the middle of that interval is taken).

Run: fastsim record -o traces -- uvicorn ... ; python benchmarks/full_replay.py traces...
"""

import sys

import numpy as np

from fastsim.calibrate.build import read_requests
from fastsim.calibrate.cold import code_runs, fit_cold, on_a_busy_loop
from fastsim.calibrate.loop_costs import fit_loop_costs, fit_thread_use, utilisation
from fastsim.calibrate.loop_windows import loop_windows
from fastsim.calibrate.observed import ObservedStep
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.selfcheck import served_s
from fastsim.calibrate.timeline import normalise
from fastsim.calibrate.variants import group_variants
from fastsim.model import LoopCosts
from fastsim.scenario import ResolvedDeployment
from fastsim.spans import Via
from fastsim.twin import simulate
from fastsim.twin.workload import KINDS, Op, ViaCode, Workload

VIA = {Via.TIMER: ViaCode.TIMER, Via.THREAD: ViaCode.THREAD}
MARKS = {"yield": Op.YIELD, "respond": Op.RESPOND}

Row = tuple[int, int, int, float, float]


def operation(step: ObservedStep, resources: list[str], costs: LoopCosts, thread_cpu: float) -> Row:
    kind = KINDS.index(step.kind.value)
    match step.do:
        case "cpu":
            took_s, idle = np.array([step.cpu_s]), np.array([step.idle_share])
            return (Op.CPU, 0, 0, float(on_a_busy_loop(costs.cold, took_s, idle)[0]), 0.0)
        case "wait":
            wait = max(step.wall_s - (step.bound_s + step.late_s) / 2.0, 0.0)
            extra = thread_cpu if step.via is Via.THREAD else 0.0
            return (Op.WAIT, VIA.get(step.via, ViaCode.SOCKET), kind, wait, extra)
        case "thread":
            return (Op.THREAD, 0, kind, step.cpu_s, step.off_gil_s)
        case "acquire":
            return (Op.ACQUIRE, resources.index(step.resource), 0, 0.0, 0.0)
        case "release":
            return (Op.RELEASE, resources.index(step.resource), 0, 0.0, 0.0)
        case _:
            return (MARKS[step.do], 0, 0, 0.0, 0.0)


def replay(requests: RequestSet) -> None:
    observed = group_variants(requests)
    cold = fit_cold(code_runs(requests, observed))
    costs = fit_loop_costs(requests, observed, loop_windows(requests, observed), cold)
    thread_cpu = fit_thread_use(requests, observed).cpu_per_wait_s
    lines = dict(requests.timelines())
    capacity = {event.name: event.capacity for line in lines.values() for event in line.events}
    resources = sorted(capacity)
    rows = sorted(lines, key=lambda row: int(requests.start_ns[row]))
    programs = [
        [operation(s, resources, costs, thread_cpu) for s in normalise(lines[row], fold=False)]
        for row in rows
    ]
    code, arg, kind, value, extra = zip(*(op for ops in programs for op in ops), strict=True)
    arrival = (requests.start_ns[rows] - requests.start_ns[rows].min()) / 1e9
    workload = Workload(
        endpoints=requests.endpoints,
        resources=tuple(resources),
        kinds=KINDS,
        arrival_s=arrival,
        endpoint=requests.endpoint[rows],
        variant=np.zeros(len(rows), np.int64),
        failed=np.zeros(len(rows), np.bool_),
        op_first=np.concatenate([[0], np.cumsum([len(ops) for ops in programs])]),
        op_code=np.array(code, np.int64),
        op_arg=np.array(arg, np.int64),
        op_kind=np.array(kind, np.int64),
        op_value=np.array(value),
        op_extra=np.array(extra),
    )
    cores = requests.instances[0].facts.get("fastsim.process.cores", 1)
    deployment = ResolvedDeployment(
        workers=1,
        cores=cores if isinstance(cores, int) else 1,
        loop="asyncio",
        thread_tokens=40,
        limit_concurrency=None,
        gil=True,
        resources=capacity,
    )
    outcome = simulate(workload, deployment, costs)
    print(f"utilisation live {utilisation(requests) or 0:.3f}, "
          f"twin {outcome.loop_busy_s.sum() / outcome.end_s:.3f}")  # fmt: skip
    live, twin = served_s(requests)[rows], outcome.respond_s - outcome.start_s
    for number, name in enumerate(requests.endpoints):
        mine = workload.endpoint == number
        if mine.sum() < 30:
            continue
        cells = [f"{name:32} {mine.sum():6}"]
        for p in (0.5, 0.9, 0.95):
            a, b = (float(np.quantile(values[mine], p)) for values in (live, twin))
            cells.append(f"p{p * 100:.0f} {a * 1e3:8.2f} {b * 1e3:8.2f} ms {b / a - 1:+6.1%}")
        print("  ".join(cells))


if __name__ == "__main__":
    for directory in sys.argv[1:]:
        print(directory)
        replay(read_requests([directory]))
