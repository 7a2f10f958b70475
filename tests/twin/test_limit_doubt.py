"""How far other models move a limit is looked for around it, and farther off where it must be."""

import numpy as np
import pytest

from fastsim.twin.limit_doubt import AROUND, NEAREST, limit_doubt
from fastsim.twin.trial import Trial

LIMIT = 100.0
NONE = np.zeros(0)


class Others:
    """Models whose margins are their load over limits of their own, to a power."""

    def __init__(self, *limits: float) -> None:
        self.limits = np.array(limits)
        self.tried: list[float] = []

    def attempt(self, rate_per_s: float) -> Trial:
        self.tried.append(rate_per_s)
        margins = (rate_per_s / self.limits) ** 3
        return Trial(rate_per_s, margins, 0, NONE, "", NONE, 0.0, 0.0)

    def doubt(self) -> float:
        return limit_doubt(self.attempt, LIMIT, np.full(len(self.limits), LIMIT))


def parts(low: int, high: int) -> list[float]:
    return [part * LIMIT for part in AROUND[low:high]]


def test_models_with_nearly_the_same_limit_need_few_loads() -> None:
    others = Others(95.0, 98.0, 103.0, 107.0)
    near = others.doubt()
    assert sorted(others.tried) == parts(*NEAREST)
    assert 0.0 < near < 0.2


@pytest.mark.parametrize(
    ("limits", "tried"),
    [
        ((80.0, 98.0, 103.0, 107.0), parts(1, 5)),
        ((65.0, 98.0, 103.0, 107.0), parts(0, 5)),
        ((95.0, 98.0, 103.0, 120.0), parts(2, 6)),
        ((50.0, 98.0, 103.0, 150.0), parts(0, 6)),
    ],
)
def test_a_model_with_a_limit_far_off_is_followed(
    limits: tuple[float, ...], tried: list[float]
) -> None:
    others = Others(*limits)
    far = others.doubt()
    assert sorted(others.tried) == tried
    assert far > Others(95.0, 98.0, 103.0, 107.0).doubt()
