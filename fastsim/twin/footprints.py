"""Which steps are the same code, and how warm it is in the caches of a loop's processor.

Code that ran a moment ago is still in the caches, which makes it cheaper (``loop.cold.less``,
docs/decisions/0026). What counts is how long ago the same step of the endpoint ran, and how long
ago any endpoint's step after the same kind of wait did: those share the framework's code.
Calibration tells steps apart by the same rule (``fastsim.calibrate.warmth``).
"""

import math
from collections.abc import Iterator, Sequence

from fastsim.loop_costs import ColdCost

# Of a model's steps; typed by name alone: the engine needs nothing of the model.
Place = tuple[object, ...]


class Footprints:
    """Numbers of the code that places run: what is the same code has one number."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, endpoint: str, place: Place) -> tuple[int, int]:
        """Return the numbers of an endpoint's own code at a place, and of what all share there."""
        numbers = self._numbers
        own = numbers.setdefault((endpoint, place), len(numbers))
        return own, numbers.setdefault(place, len(numbers))


def places(named: Sequence[object], within: Place) -> Iterator[Place]:
    """Yield where each step is: after what, and after how many of that before.

    Parameters
    ----------
    named
        What steps are to those that follow them.
    within
        The place of the step that they are part of.
    """
    counts: dict[object, int] = {}
    before: object = "begin"
    for name in named:
        number = counts[before] = counts.get(before, -1) + 1
        yield (*within, before, number)
        before = name


class Caches:
    """When code last ran on one loop, and what that and idleness make of its cost.

    Parameters
    ----------
    own, shared
        Numbers of the code at each place of the program; -1 for what nothing keeps warm.
    count
        How many numbers there are.
    """

    def __init__(self, cold: ColdCost, own: list[int], shared: list[int], count: int) -> None:
        self._less = cold.less
        """0 where it saves nothing or nobody knows: then idleness is that of all code."""
        self._reach = cold.reach
        self._forgets = cold.forgets
        self._own = own
        self._shared = shared
        self._over = [-math.inf] * count
        """When each ran last."""
        self.alone_s = 0.0
        """What all code would have taken on a busy loop, cold; what idleness and warmth made it."""
        self.spent_s = 0.0

    def cost_s(self, place: int, now: float, code_s: float, dearer: float) -> float:
        """Return how long code takes that begins now, and note that it ran.

        Parameters
        ----------
        code_s
            What it takes on a busy loop when it has not run for long, seconds.
        dearer
            What idleness adds to code of which nothing is warm, relative.
        """
        own, factor = self._own[place], dearer
        self.alone_s += code_s
        if own < 0 or not self._less:
            code_s += (code_s if code_s < self._reach else self._reach) * factor  # noqa: FURB136
            self.spent_s += code_s
            return code_s
        shared, over, forgets = self._shared[place], self._over, self._forgets
        age, of_any = now - over[own], now - over[shared]
        warm = math.exp(-math.sqrt(age / forgets)) if age > 0.0 else 1.0
        warm += math.exp(-math.sqrt(of_any / forgets)) if of_any > 0.0 else 1.0
        factor -= (dearer + self._less) * warm / 2.0
        code_s += (code_s if code_s < self._reach else self._reach) * factor  # noqa: FURB136
        self.spent_s += code_s
        over[own] = over[shared] = now + code_s
        return code_s
