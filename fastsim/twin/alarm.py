"""SimPy's clock, and the lightest event that it can carry: one callback, one value.

A ``Timeout`` can be waited for by processes, fail and be defused; the twin has none of these
and makes millions of events.
"""

from collections.abc import Callable
from typing import Any

from simpy import Environment
from simpy.events import NORMAL


class Clock(Environment):
    """SimPy's clock, which whoever is called may put forward to before the next event."""

    def put_forward(self, delay_s: float) -> bool:
        """Let time pass; refuse, and do nothing, where something else happens first or then."""
        then = self._now + delay_s
        if self._queue and self._queue[0][0] <= then:
            return False
        self._now = then
        return True


class Alarm:
    """Calls ``callback(alarm)`` once, when its time comes."""

    __slots__ = ("callbacks", "value")

    _ok = True

    def __init__(self, callback: "Callable[[Alarm], None]", value: Any) -> None:
        self.callbacks = (callback,)
        self.value = value


def set_alarm(
    env: Environment, delay_s: float, callback: Callable[[Alarm], None], value: Any = None
) -> None:
    """Have ``callback`` called after ``delay_s`` seconds; what lies in the past is due now."""
    alarm: Any = Alarm(callback, value)
    env.schedule(alarm, NORMAL, max(0.0, delay_s))
