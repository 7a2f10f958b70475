"""What a call in the thread pool does, piece by piece.

A call runs code under the GIL, waits off it, and takes and gives back slots of the same stations
as the event loop; who waits for a slot keeps the thread. A thread that goes on after any wait
needs the GIL first.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

from fastsim.spans import StepKind
from fastsim.twin import code as ops
from fastsim.twin.compiling import KINDS
from fastsim.twin.tasks import FAILED, SPREAD

if TYPE_CHECKING:
    from fastsim.twin.worker import Worker

BLOCKED = -1.0
"""Instead of a time off the GIL: until somebody gives a slot back, or patience ends."""

Piece = tuple[float, float, float]
"""Code under the GIL, then native code off it, then time that needs no core either, seconds."""

Call = Generator[Piece, float, None]
"""Yields pieces, and is sent the time when each is over, seconds."""

_THREAD = KINDS.index(StepKind.THREAD.value)


def start_call(worker: "Worker", task: int, place: int) -> Call:
    """Return a call that is ready to be sent the time at which it begins."""
    call = _call(worker, task, place)
    next(call)
    return call


def _call(worker: "Worker", task: int, place: int) -> Call:
    tasks, stations = worker.tasks, worker.stations
    code, draws = tasks.code, tasks.draws
    request, occasion = tasks.request[task], tasks.occasion[task]
    repeats: list[tuple[int, int]] = []
    own: list[int] = []
    """Stations of which the call took a slot that it still has."""
    todo_s = 0.0
    now = yield 0.0, 0.0, 0.0
    while True:
        does, node = code.operation[place], code.node[place]
        value = code.value[place] if node < 0 else draws.value(node, request, occasion)
        if does == ops.CPU:
            off_s = value * code.second[place]
            todo_s += value - off_s
            _book(worker, task, _THREAD, value)
            if off_s:
                native = code.kind[place] == ops.NATIVE
                now = yield (todo_s, off_s, 0.0) if native else (todo_s, 0.0, off_s)
                todo_s = 0.0
        elif does == ops.WAIT:
            _book(worker, task, code.kind[place], value)
            now = yield todo_s, 0.0, value
            todo_s = 0.0
        elif does == ops.ASK:
            if todo_s:
                now = yield todo_s, 0.0, 0.0
                todo_s = 0.0
            delay_s = worker.peers[code.argument[place]].call(now, value)
            _book(worker, task, code.kind[place], value)
            if tasks.responded[task] < 0.0:
                tasks.pool_wait[task] += delay_s
            now = yield 0.0, 0.0, delay_s + value
        elif does == ops.REPEAT:
            if value < 1.0:
                place = code.argument[place]
                continue
            repeats.append((int(value), occasion))
            occasion *= SPREAD
        elif does == ops.AGAIN:
            left, outside = repeats.pop()
            if left > 1:
                repeats.append((left - 1, outside))
                occasion += 1
                place = code.argument[place]
                continue
            occasion = outside
        elif does == ops.CHOOSE:
            place = code.choices[code.argument[place]][int(value)]
            continue
        elif does == ops.JUMP:
            place = code.argument[place]
            continue
        else:  # a slot, or the end: what has been said so far has to be done first
            if todo_s:
                now = yield todo_s, 0.0, 0.0
                todo_s = 0.0
            if does == ops.END:
                return
            station = code.argument[place]
            if does == ops.RELEASE:
                stations.give_back(station, now)
                if station in own:
                    own.remove(station)
                if stations.fallible and station in tasks.held[task]:
                    tasks.held[task].remove(station)
            else:
                if stations.fallible:
                    tasks.held[task].append(station)
                if not stations.take(station, task, now):
                    worker.block_thread(station, task, now)
                    now = yield 0.0, 0.0, BLOCKED
                    if tasks.failing[task] == FAILED:
                        _leave(worker, task, own, now)
                        return
                    if tasks.woken[task] >= 0:
                        stations.resumed(task, now)
                own.append(station)
        place += 1


def _book(worker: "Worker", task: int, kind: int, spent_s: float) -> None:
    """Put time into the request's account, unless it has responded."""
    tasks = worker.tasks
    if tasks.responded[task] < 0.0:
        tasks.records.waits[tasks.waits_at[task] + kind] += spent_s


def _leave(worker: "Worker", task: int, own: list[int], now: float) -> None:
    """Let the exception that ends the call give back what the call took."""
    for station in reversed(own):
        worker.stations.give_back(station, now)
        worker.tasks.held[task].remove(station)
