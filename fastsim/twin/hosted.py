"""A worker whose loop and threads share the cores of a machine with others."""

from fastsim.twin.alarm import Alarm, set_alarm
from fastsim.twin.host import LOOP, Host, Lock
from fastsim.twin.passes import COMPUTE, CPU, HOLD, SLEEP
from fastsim.twin.threads import Threads
from fastsim.twin.worker import Worker


class HostedThreads(Threads):
    """The threads of a worker on SimPy's clock: their code runs on the machine's cores.

    Native code needs a core, too, but no lock.

    Nothing of what they do is computed ahead, so they are never ``active`` for the loop, which
    hears of them by ``calls`` only.
    """

    tells_native = True

    def __init__(self, tokens: int, host: Host, *, gil: bool, handover_s: float) -> None:
        super().__init__(tokens, gil=gil, handover_s=handover_s)
        self._host = host
        self.worker: Hosted
        self.lock = Lock(host, enabled=gil, handover_s=handover_s)
        self._env = host.env

    def _start(self, task: int, now: float) -> None:
        """Begin a task's work at its time."""
        set_alarm(self._env, now - self._env.now, self._first, task)

    def lost_s(self) -> float:
        """Return what threads took from the busy loop, seconds."""
        return self.lock.lost_s

    def _later(self, at: float, task: int) -> None:
        """Have a thread go on at a time, with the GIL."""
        set_alarm(self._env, at - self._env.now, self._awake, task)

    def _end_patience(self, at: float, task: int) -> None:
        """Have a thread give up at a time, if it is still blocked then."""
        set_alarm(self._env, at - self._env.now, self._impatient, (task, self._number))

    def _impatient(self, alarm: Alarm) -> None:
        task, number = alarm.value
        self._give_up(task, number, self._env.now)

    def _first(self, alarm: Alarm) -> None:
        task: int = alarm.value
        self.lock.run(task, self._work[task].left_s, lambda: self._between(task))

    def _awake(self, alarm: Alarm) -> None:
        task: int = alarm.value
        self.lock.run(task, 0.0, lambda: self._go_on(task))

    def _between(self, task: int) -> bool:
        work = self._work[task]
        if work.native_s > 0.0:
            native_s, work.native_s = work.native_s, 0.0
            self._host.start(native_s, lambda: self._computed(task))
        elif work.off_s > 0.0:
            set_alarm(self._env, work.off_s, self._second, task)
        elif work.call is not None:
            return self._go_on(task)
        else:
            self._finish(task)
        return False

    def _computed(self, task: int) -> None:
        """Go on after native code."""
        set_alarm(self._env, self._work[task].off_s, self._second, task)

    def _second(self, alarm: Alarm) -> None:
        task: int = alarm.value
        work = self._work[task]
        if work.call is not None:
            self._awake(alarm)
        else:
            self.lock.run(task, work.second_s, lambda: self._finish(task))

    def _go_on(self, task: int) -> bool:
        """Let a call that has the GIL go on; tell whether it keeps it."""
        if not self._next_piece(task, self._env.now):
            if task not in self._work:
                self.worker.called_back()
            return False
        self.lock.run(task, self._work[task].left_s, lambda: self._between(task))
        return True

    def _finish(self, task: int) -> None:
        self._end(task, self._env.now)
        self.worker.called_back()


class Hosted:
    """Runs a worker's passes on a host, event by event."""

    def __init__(self, worker: Worker, threads: HostedThreads, host: Host) -> None:
        self.worker = worker
        self._env, self._host, self._lock = host.env, host, threads.lock
        self._asleep = False
        self._version = 0
        threads.worker = self
        self._resume()

    def poke(self) -> None:
        """Have a sleeping loop look when it wakes next: something new has happened."""
        if not self._asleep:
            return
        self._version += 1
        due = self.worker.next_due()
        if due < float("inf"):
            set_alarm(self._env, due - self._env.now, self._wake, self._version)

    def called_back(self) -> None:
        """Tell the loop that a thread is done."""
        self.worker.take_calls()
        self.poke()

    def answer(self, task: int, now: float) -> None:
        """Have something outside answer a task now, through a socket."""
        self.worker.answer(task, now)
        self.poke()

    def _wake(self, alarm: Alarm) -> None:
        if not self._asleep or alarm.value != self._version:
            return
        self._asleep = False
        self.worker.woken_s = self._env.now
        self._lock.run(LOOP, 0.0, self._resume)

    def _resume(self) -> None:
        """Run the loop until it has to wait for something."""
        worker, env = self.worker, self._env
        while True:
            worker.now = env.now
            wants = worker.go_on()
            if wants == CPU:
                self._lock.run(LOOP, worker.cost_s, self._resume)
                return
            if wants == HOLD:
                self._lock.release()
                set_alarm(env, worker.cost_s, self._held)
                return
            if wants == COMPUTE:
                self._lock.release()
                self._host.start(worker.cost_s, lambda: self._lock.run(LOOP, 0.0, self._resume))
                return
            if wants == SLEEP:
                self._asleep = True
                self._lock.release()
                self.poke()
                return
            if self._lock.let_go(self._resume):
                return

    def _held(self, _alarm: Alarm) -> None:
        self._lock.run(LOOP, 0.0, self._resume)
