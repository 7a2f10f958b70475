"""The tasks of one worker: its requests, and the branches of their forks."""

from fastsim.twin.code import FIRST, NONE, Code
from fastsim.twin.draws import Draws
from fastsim.twin.records import Records

STEP, ARRIVE, EVENT, CALLBACK = range(4)
"""Handles: a task's step; the callbacks of a new request, a finished wait, another thread.

A handle is one number: the task's, times four, plus one of these.
"""
KIND_BITS = 2
SPREAD = 65_537
"""Occasions of nested repeats and branches are the digits of a number to this base."""
NOT_YET = -1.0
_CHILD = 2**62
"""In place of an event: the end of a child."""
REQUEST, ORPHAN = -1, -2
"""Instead of a parent: of a request itself, and of a task that nobody waits for."""
SOUND, FAILED, CANCELLED = range(3)
"""What goes through a task when it runs next: nothing, an exception, the end of it."""


class Tasks:
    """Columns with one entry per task; entries of tasks that have ended are used again.

    Lists of plain numbers, because the event loop reads single ones, where arrays are slow.
    """

    def __init__(self, code: Code, draws: Draws, records: Records) -> None:
        self.code, self.draws, self.records = code, draws, records
        self._unused: list[int] = []
        self.live = 0
        """Requests that have begun and not ended."""
        self.background = 0
        """Tasks of no request."""
        self.ready: list[int] = []
        """Handles that the next pass runs."""
        self.request: list[int] = []
        self.place: list[int] = []
        """Where in the code it goes on."""
        self.occasion: list[int] = []
        self.repeats: list[list[int]] = []
        """For each repeat that it is in: how often yet, and the occasion outside."""
        self.parent: list[int] = []
        """The task that waits for it, or ``REQUEST`` or ``ORPHAN``."""
        self.joins: list[int] = []
        """Branches that it waits for."""
        self.since: list[float] = []
        """When what it waits for was over; the event loop may be late."""
        self.came: list[float] = []
        """When the peer whose stream it reads wrote last; below 0 if it has not yet."""
        self.read: list[float] = []
        """When the loop was last told of the end of a wait, and read what was there."""
        self.began: list[float] = []
        self.responded: list[float] = []
        self.running: list[float] = []
        self.pool_wait: list[float] = []
        self.waits_at: list[int] = []
        """Where in ``Records.waits`` the time that it waits is added up."""
        self.woken: list[int] = []
        """The semaphore that has woken it and that it has not told yet; -1 without."""

        self.held: list[list[int]] = []
        """Stations of which it holds a slot, where a request can fail while it does."""
        self.failing: list[int] = []
        """What goes through it when it runs next."""
        self.cancels = code.cancels()
        """Whether tasks may be cancelled; only then the following is known."""
        self.awaits: list[int] = []
        """Number of the event that it waits for, below 0 if it cannot be left; 0 once its callback
        has run.
        """
        self.first: list[bool] = []
        """Whether it waits for the first of its children only."""
        self.children: list[list[int]] = []
        """Of a fork that is waited for, where any of them can be left behind."""
        self.leaves = False
        """Whether who waits for a fork may go on before all of it has ended: a request can fail."""

    def new(self, request: int, place: int, now: float, parent: int, occasion: int) -> int:
        """Return the number of a new task."""
        if self._unused:
            task = self._unused.pop()
        else:
            task = len(self.request)
            self.repeats.append([])
            self.held.append([])
            self.failing.append(SOUND)
            self.awaits.append(0)
            self.first.append(False)
            self.children.append([])
            for numbers in (self.request, self.place, self.occasion, self.parent, self.joins):
                numbers.append(0)
            for times in (self.since, self.began, self.responded, self.running, self.pool_wait):
                times.append(0.0)
            self.came.append(NOT_YET)
            self.read.append(NOT_YET)
            self.waits_at.append(0)
            self.woken.append(-1)
        self.request[task], self.place[task], self.occasion[task] = request, place, occasion
        self.parent[task], self.since[task] = parent, now
        self.began[task] = self.responded[task] = NOT_YET
        self.running[task] = self.pool_wait[task] = 0.0
        records = self.records
        if parent == REQUEST:
            self.live += 1
            at = request * records.kinds
            self.waits_at[task] = at if at < len(records.waits) else 0
        else:
            self.waits_at[task] = records.spare()
            if parent == ORPHAN:
                self.began[task] = self.responded[task] = 0.0
        return task

    def leave(self, task: int) -> None:
        """Have nobody wait for a task any longer, nor count its time."""
        self.parent[task] = ORPHAN
        self.began[task] = self.responded[task] = 0.0

    def start_background(self, number: int, place: int, offset: int) -> None:
        """Start work of no request, which is in nobody's account."""
        task = self.new(offset + number, place, 0.0, REQUEST, 0)
        self.waits_at[task] = self.records.spare()
        self.began[task] = self.responded[task] = 0.0
        self.live -= 1
        self.background += 1
        self.ready.append(task << KIND_BITS | STEP)

    def fork(self, task: int, number: int, now: float, join: int) -> bool:
        """Start the tasks of a fork, whose first steps run in the next pass; tell if it waits."""
        request, occasion = self.request[task], self.occasion[task]
        parent = ORPHAN if join == NONE else task
        started = 0
        for branch in self.code.forks[number]:
            count = branch.count
            if branch.node >= 0:
                count = int(self.draws.value(branch.node, request, occasion))
            for which in range(count):
                child = self.new(request, branch.entry, now, parent, occasion * SPREAD + which)
                self.ready.append(child << KIND_BITS | STEP)
                if self.leaves and parent == task:
                    self.children[task].append(child)
            started += count
        if not started or join == NONE:
            return False
        self.first[task] = join == FIRST
        self.joins[task] = 1 if join == FIRST else started
        self.awaits[task] = _CHILD if join == FIRST else -_CHILD
        return True

    def end(self, task: int, now: float) -> None:
        """End a task of a fork; the one that is waited for wakes its parent, two passes later.

        What that one spent its time with is what its parent waited for.
        """
        parent, records = self.parent[task], self.records
        self.joins[parent] -= 1
        if self.failing[task] == FAILED and not self.failing[parent]:
            self.failing[parent] = FAILED
        if self.leaves:
            self.children[parent].remove(task)
            if self.failing[task] and self.joins[parent]:
                # ``gather`` is done with the first child that raises or has been cancelled; the
                # others go on, and nobody waits for them.
                self.joins[parent] = 0
                for child in self.children[parent]:
                    self.leave(child)
                self.children[parent].clear()
        self.failing[task] = SOUND
        if not self.joins[parent]:
            if self.responded[parent] < 0.0:
                self.running[parent] += self.running[task]
                self.pool_wait[parent] += self.pool_wait[task]
                mine, theirs, waits = self.waits_at[task], self.waits_at[parent], records.waits
                for kind in range(records.kinds):
                    waits[theirs + kind] += waits[mine + kind]
            self.since[parent] = now
            self.ready.append(parent << KIND_BITS | EVENT)
        records.give_back(self.waits_at[task])
        self._unused.append(task)

    def fail(self, task: int) -> None:
        """Let the exception that goes through a task end it; it has given everything back."""
        del self.held[task][:]
        del self.repeats[task][:]
        if self.parent[task] < 0:
            self.failing[task] = SOUND
            if self.responded[task] < 0.0:
                self.records.failed[self.request[task]] = 1

    def end_request(self, task: int, now: float) -> None:
        """End a request that has responded, or a task that nobody waits for."""
        records, request = self.records, self.request[task]
        if self.parent[task] == ORPHAN:
            records.give_back(self.waits_at[task])
            self._unused.append(task)
            return
        records.done[request] = now
        records.running[request] = self.running[task]
        records.pool_wait[request] = self.pool_wait[task]
        self.live -= 1
        self._unused.append(task)
