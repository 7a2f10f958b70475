"""The twin's mechanics alone: replay recorded arrivals and durations, compare latencies.

Nothing is fitted but the loop's own costs, so what differs is the mechanics (and waits are
known only up to one pass of the loop: the middle of that interval is taken).

Run: fastsim record -o traces -- uvicorn ... ; python benchmarks/full_replay.py traces...
"""

import sys

import numpy as np

from fastsim.calibrate.build import read_requests
from fastsim.calibrate.code_runs import code_runs
from fastsim.calibrate.cold import fit_cold, on_a_busy_loop
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
from fastsim.twin import code as ops
from fastsim.twin import simulate
from fastsim.twin.code import Code
from fastsim.twin.compiling import KINDS, Program
from fastsim.twin.workload import Workload

VIA = {Via.TIMER: ops.TIMER, Via.THREAD: ops.BY_THREAD}
MARKS = {"yield": ops.YIELD, "respond": ops.RESPOND}


def add(
    code: Code, step: ObservedStep, resources: list[str], costs: LoopCosts, thread_cpu: float
) -> None:
    """Append a recorded step with the times that it took."""
    kind = KINDS.index(step.kind.value)
    match step.do:
        case "cpu":
            took_s, idle = np.array([step.cpu_s]), np.array([step.idle_share])
            code.add(ops.CPU, value=float(on_a_busy_loop(costs.cold, took_s, idle)[0]))
        case "wait":
            wait = max(step.wall_s - (step.bound_s + step.late_s) / 2.0, 0.0)
            extra = thread_cpu if step.via is Via.THREAD else 0.0
            via = VIA.get(step.via, ops.SOCKET)
            code.add(ops.WAIT, via, kind=kind, value=wait, second=extra)
        case "thread":
            code.add(ops.THREAD, kind=kind, value=step.cpu_s, second=step.off_gil_s)
        case "acquire":
            code.add(ops.ACQUIRE, resources.index(step.resource))
        case "release":
            code.add(ops.RELEASE, resources.index(step.resource))
        case _:
            code.add(MARKS[step.do])


def replay(requests: RequestSet) -> None:
    observed = group_variants(requests)
    cold = fit_cold(code_runs(requests, observed))
    costs = fit_loop_costs(requests, observed, loop_windows(requests, observed), cold)
    costs = costs.model_copy(update={"timer_late": requests.loop_series.timer_late_s})
    thread_cpu = fit_thread_use(requests, observed).cpu_per_wait_s
    lines = dict(requests.timelines())
    capacity = {event.name: event.capacity for line in lines.values() for event in line.events}
    wakes = {event.name for line in lines.values() for event in line.events if event.wakes}
    resources = sorted(capacity)
    rows = sorted(lines, key=lambda row: int(requests.start_ns[row]))
    code = Code()
    entries = []
    for row in rows:
        entries.append(len(code))
        for step in normalise(lines[row], fold=False):
            add(code, step, resources, costs, thread_cpu)
        code.add(ops.END)
    workload = Workload(
        program=Program(code, (), tuple(requests.endpoints), tuple(resources)),
        arrival_s=(requests.start_ns[rows] - requests.start_ns[rows].min()) / 1e9,
        endpoint=requests.endpoint[rows],
        entry=np.array(entries, np.int64),
        seed=1,
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
        hand_over=dict.fromkeys(wakes, "wake"),
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
