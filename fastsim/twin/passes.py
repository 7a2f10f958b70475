"""The passes of a worker's event loop, as asyncio makes them.

A pass polls, then runs exactly the handles that were ready at that moment, in order: first what
the previous pass scheduled, then finished I/O, then due timers. A finished wait costs a callback
and wakes its task one pass later; a new request likewise. uvloop runs these callbacks while it
polls, so its tasks step in the same pass. The loop's queues, timers, pools and threads touch
nobody else, so passes are computed one after the other without any clock, until the next moment
at which somebody outside may reach this process.
"""

import math
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from fastsim.twin import code as ops
from fastsim.twin.tasks import ARRIVE, CALLBACK, EVENT, KIND_BITS, SPREAD, STEP

if TYPE_CHECKING:
    from fastsim.twin.worker import Worker

TIME, CPU, COMPUTE, HOLD, POLL, SLEEP = range(6)
"""What a loop waits for when it stops: the time of others; or, hosted, a core for ``cost_s``, one
without the GIL, that time to pass, others to have had the GIL, something to happen."""

_LAG_EVERY, _NEVER = 8, math.inf

# Plain names: those of a module are looked up twice.
_CPU, _WAIT, _ACQUIRE, _RELEASE, _RESPOND = ops.CPU, ops.WAIT, ops.ACQUIRE, ops.RELEASE, ops.RESPOND
_END, _THREAD, _YIELD, _CHOOSE, _MARK = ops.END, ops.THREAD, ops.YIELD, ops.CHOOSE, ops.MARK
_REPEAT, _AGAIN, _FORK, _LIMIT, _CALL = ops.REPEAT, ops.AGAIN, ops.FORK, ops.LIMIT, ops.CALL
_ASK, _NEXT, _TIMER, _BY_THREAD = ops.ASK, ops.NEXT, ops.TIMER, ops.BY_THREAD


def passes(worker: "Worker") -> Iterator[int]:
    """Replay the loop, and stop whenever somebody outside may reach it.

    One flat function on purpose: a call costs more than most of what is done here.
    """
    costs, tasks = worker.costs, worker.tasks
    code, records = tasks.code, tasks.records
    operation, argument, node = code.operation, code.argument, code.node
    fixed, second, kind_of, choices = code.value, code.second, code.kind, code.choices
    value_of = tasks.draws.value
    inbox, sockets, timers = worker.inbox, worker.sockets, worker.timers
    stations, threads, hosted = worker.stations, worker.threads, worker.hosted
    threaded = code.uses_threads() and not hosted
    requests, places, occasions = tasks.request, tasks.place, tasks.occasion
    repeats, parents, woken = tasks.repeats, tasks.parent, tasks.woken
    responded, since, began = tasks.responded, tasks.since, tasks.began
    running, waits_at, waits = tasks.running, tasks.waits_at, records.waits
    started, ended, responds = records.start, worker.ended, records.respond
    rounds, window_s, speed = worker.rounds_timers, worker.window_s, worker.speed
    lags, window_busy = worker.lags, worker.window_busy
    cold, stretch, dearer, all_of_it = costs.cold, 1.0, 0.0, 1.0
    extra, memory, power, caches = cold.extra, cold.memory, cold.power, worker.caches
    per_pass, per_accept, event_cost = costs.per_pass, costs.accept, costs.per_event
    suspend_cost, exp = costs.per_suspend, math.exp
    ends, in_threads, came, read = (_RESPOND, _END), (_THREAD, _CALL), tasks.came, tasks.read
    pushed = _NEXT in operation
    fallible, held, gates = stations.fallible, tasks.held, worker.gates
    failing, cancels, awaits = tasks.failing, tasks.cancels, tasks.awaits
    children = tasks.children
    exit_place = operation.index(_END) if fallible else -1
    idle_at_wake, awake_since, idle_since = 1.0, 0.0, 0.0
    handles: list[int] = []
    ready = tasks.ready
    now, steps, ready_max = 0.0, 0, 0
    busy = worker.busy = threads.loop_has = worker.busy_at_start
    while True:
        if not busy:
            if hosted:
                yield SLEEP
                polled, now = worker.woken_s, worker.now
            else:
                if timers or cancels or (threaded and threads.active):
                    polled = worker.sleep_until(worker.until)
                else:
                    polled = sockets[0][0] if sockets else _NEVER
                    if inbox and inbox[0][0] < polled:
                        polled = inbox[0][0]
                    if polled >= worker.until:
                        polled = _NEVER
                if polled == _NEVER:
                    yield TIME
                    continue
                now = polled
                if threaded:
                    if threads.active:
                        now = worker.let_go(polled, asleep=True)
                    threads.loop_has = True
            busy = worker.busy = True
            worker.idle_wakeups += 1
            if extra:
                before = idle_at_wake * exp((awake_since - idle_since) / memory)
                idle_at_wake = 1.0 - (1.0 - before) * exp((idle_since - polled) / memory)
            awake_since = polled
            worker.busy_s -= polled
        else:
            if now >= worker.until:
                worker.now = now
                yield TIME
                continue
            polled = now
            if fallible:
                worker.drop_stale()
            if threaded and threads.active:
                threads.catch_up(now)
                if threads.calls:
                    worker.take_calls()
            if not (
                ready
                or (sockets and sockets[0][0] <= now)
                or (inbox and inbox[0][0] <= now)
                or (timers and timers[0][0] <= now)
            ):
                busy = worker.busy = False
                worker.busy_s += now
                idle_since = worker.idle_since = now
                if threaded:
                    threads.loop_has = False
                    if threads.active:
                        threads.loop_sleeps(now)
                continue
            if threaded and threads.active:
                now = worker.let_go(now)
                if now > polled:
                    worker.book(polled, now - polled)
            elif hosted:
                yield POLL
                now = worker.now
                if now > polled:
                    worker.book(polled, now - polled)

        # --- a pass begins with its poll
        begin = now
        handles.clear()
        handles, ready = ready, handles
        tasks.ready = ready
        worker.passes += 1
        if speed is not None:
            stretch = speed.at(begin)
        if extra:
            dearer = extra * (idle_at_wake * exp((awake_since - begin) / memory)) ** power
        all_of_it = stretch * (1.0 + dearer)
        accept, per_event = per_accept * all_of_it, event_cost * all_of_it
        cost = per_pass * all_of_it
        if hosted and cost:
            worker.cost_s = cost
            yield CPU
            now = worker.now
        else:
            now += cost
        while True:
            # In the order in which they happened: new requests and finished waits.
            if sockets and sockets[0][0] <= polled:
                if inbox and inbox[0][0] <= sockets[0][0]:
                    at, request, entry = inbox.popleft()
                    handle = tasks.new(request, entry, at, -1, 0) << KIND_BITS | ARRIVE
                else:
                    _, ticket, handle = heappop(sockets)
                    if cancels and abs(awaits[handle >> KIND_BITS]) != ticket:
                        continue
            elif inbox and inbox[0][0] <= polled:
                at, request, entry = inbox.popleft()
                handle = tasks.new(request, entry, at, -1, 0) << KIND_BITS | ARRIVE
            elif timers and timers[0][0] <= begin:
                _, ticket, task = heappop(timers)
                if task < 0:  # the end of somebody's patience
                    task = ~task
                    if not worker.give_up(task, ticket, begin):
                        continue
                elif cancels and awaits[task] != ticket:
                    continue
                handle = task << KIND_BITS | EVENT
            else:
                break
            if rounds or handle & 3 == CALLBACK:
                handles.append(handle)
            else:
                # uvloop answers to what it polls in the poll itself.
                cost = accept if handle & 3 == ARRIVE else per_event
                if hosted and cost:
                    worker.cost_s = cost
                    yield CPU
                    now = worker.now
                else:
                    now += cost
                awaits[handle >> KIND_BITS] = 0
                if pushed:
                    read[handle >> KIND_BITS] = now
                handles.append(handle & ~3)
        left = len(handles)
        if left > ready_max:
            ready_max = worker.ready_max = left
        queued_s = 0.0

        # --- its handles, one after the other
        for handle in handles:
            before = now
            task = handle >> KIND_BITS
            if handle & 3:
                if not cancels or handle & 3 == ARRIVE or awaits[task]:
                    ready.append(handle & ~3)
                    awaits[task] = 0
                    if pushed:
                        read[task] = now
                cost = accept if handle & 3 == ARRIVE else per_event
                if hosted and cost:
                    worker.cost_s = cost
                    yield CPU
                    now = worker.now
                else:
                    now += cost
                queued_s += left * (now - before)
                left -= 1
                continue
            # A step: the task runs until it suspends.
            request = requests[task]
            if began[task] < 0.0:
                began[task] = now
                if parents[task] < 0:
                    started[request] = now
            steps += 1
            if not steps % _LAG_EVERY:
                lags.append(now - since[task])
            if woken[task] >= 0:
                stations.resumed(task, now)
            place = places[task]
            cost = 0.0
            if cancels and children[task]:
                worker.cancel_losers(task, now)
            if fallible and failing[task]:
                worker.unwind(task, now)
                place = exit_place
            while True:
                does = operation[place]
                drawn = node[place]
                value = fixed[place] if drawn < 0 else value_of(drawn, request, occasions[task])
                if does == _CPU:
                    off_core = 0.0
                    if second[place]:
                        off_core = value * second[place]
                        value -= off_core
                        if kind_of[place]:
                            off_core *= stretch
                    if caches is not None:
                        value = caches.cost_s(place, now, value, dearer)
                    spent = value * stretch
                    if hosted:
                        if spent:
                            worker.cost_s = spent
                            yield CPU
                        if off_core:
                            worker.cost_s = off_core
                            yield COMPUTE if kind_of[place] else HOLD
                        now = worker.now
                        spent += off_core
                    else:
                        if not (threaded and threads.active):
                            now += spent + off_core
                        else:
                            now = worker.interrupted(now, spent, off_core)
                        spent += off_core
                    if responded[task] < 0.0:
                        running[task] += spent
                    place += 1
                elif does == _WAIT:
                    if responded[task] < 0.0:
                        waits[waits_at[task] + kind_of[place]] += value
                    via = argument[place]
                    since[task] = now + value
                    number = worker.number = worker.number + 1
                    if cancels:
                        awaits[task] = number
                    if via == _TIMER:
                        heappush(timers, (now + value, number, task))
                    elif via == _BY_THREAD and second[place] > 0.0 and threads.gil:
                        worker.thread_wait(task, now, value, second[place])
                    else:
                        heappush(sockets, (now + value, number, task << KIND_BITS | EVENT))
                    places[task] = place + 1
                    cost = suspend_cost * all_of_it
                    break
                elif does == _ACQUIRE:
                    station = argument[place]
                    place += 1
                    if fallible:
                        held[task].append(station)
                    if not stations.take(station, task, now):
                        places[task] = place
                        if fallible:
                            worker.wait_in_line(station, task, now)
                        break
                elif does == _RELEASE:
                    station = argument[place]
                    stations.give_back(station, now)
                    if fallible and station in held[task]:
                        held[task].remove(station)
                    place += 1
                elif does in ends:
                    if responded[task] < 0.0 and parents[task] < 0:
                        if threaded and threads.active:
                            now = worker.let_go(now)
                        elif hosted:
                            yield POLL
                            now = worker.now
                        responded[task] = now
                        responds[request] = now
                        if worker.tell is None:
                            ended.append((now, request))
                        else:
                            worker.tell(now, request)
                    place += 1
                    if does == _END:
                        if parents[task] < 0:
                            tasks.end_request(task, now)
                        else:
                            tasks.end(task, now)
                        break
                elif does == _MARK:
                    records.path[request] = argument[place]
                    if second[place]:
                        records.failed[request] = 1
                    place += 1
                elif does == _CHOOSE:
                    place = choices[argument[place]][int(value)]
                elif does in in_threads:
                    worker.thread_step(task, place, now)
                    places[task] = place + 1
                    cost = suspend_cost * all_of_it
                    break
                elif does == _ASK:
                    worker.call_peer(task, place, now, value)
                    places[task] = place + 1
                    cost = suspend_cost * all_of_it
                    break
                elif does == _NEXT:
                    place += 1
                    if worker.awaits_chunk(task, place - 1, now, value):
                        places[task] = place
                        cost = suspend_cost * all_of_it
                        break
                elif does == _LIMIT:
                    place += 1
                    delay = gates[argument[place - 1]].enter(now)
                    if delay < 0.0:
                        worker.unwind(task, now)
                        place = exit_place
                    elif delay > 0.0:
                        places[task] = place
                        worker.wait_for_turn(task, now, delay)
                        cost = suspend_cost * all_of_it
                        break
                elif does == _YIELD:
                    since[task] = now
                    ready.append(task << KIND_BITS | STEP)
                    places[task] = place + 1
                    break
                elif does == _REPEAT:
                    if value < 1.0:
                        place = argument[place]
                    else:
                        came[task] = since[task] if kind_of[place] else -1.0
                        repeats[task] += (int(value), occasions[task])
                        occasions[task] *= SPREAD
                        place += 1
                elif does == _AGAIN:
                    stack = repeats[task]
                    if stack[-2] > 1:
                        stack[-2] -= 1
                        occasions[task] += 1
                        place = argument[place]
                    else:
                        occasions[task] = stack.pop()
                        stack.pop()
                        place += 1
                elif does == _FORK:
                    place += 1
                    if tasks.fork(task, argument[place - 1], now, kind_of[place - 1]):
                        places[task] = place
                        cost = suspend_cost * all_of_it
                        break
                else:  # JUMP
                    place = argument[place]
            if cost:
                if hosted:
                    worker.cost_s = cost
                    yield CPU
                    now = worker.now
                else:
                    now += cost
            queued_s += left * (now - before)
            left -= 1
        worker.ready_integral += queued_s
        window = int(begin / window_s)
        if window < len(window_busy):
            window_busy[window] += now - begin
        else:
            worker.book(begin, now - begin)
