import numpy as np
import numpy.typing as npt
import pytest

from fastsim.calibrate.families import FAMILIES
from fastsim.calibrate.likelihood import Candidate, _Loss, bin_observations
from fastsim.model import Constant


class Shape:
    """A likelihood of a given curvature at its maximum."""

    def __init__(self, curve: list[list[float]]) -> None:
        self._curve = np.array(curve)

    def curvature(self, _parameters: object) -> object:
        return self._curve

    def quantile_slope(self, _parameters: object, _quantiles_s: object) -> object:
        return np.ones((3, len(self._curve)))


def covariance(curve: list[list[float]]) -> npt.NDArray[np.float64] | None:
    candidate = Candidate(Constant(value=1.0), 0.0, Shape(curve), np.zeros(2))  # type: ignore[arg-type]
    return candidate.quantile_covariance(np.ones(3))


@pytest.mark.parametrize(
    "curve",
    [
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0 + 2e-16]],
        [[1e30, 0.0], [0.0, 1e-30]],
        [[1.0, 0.0], [0.0, -1.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[np.nan, 0.0], [0.0, 1.0]],
    ],
)
def test_a_likelihood_without_a_clear_maximum_gives_no_errors(curve: list[list[float]]) -> None:
    assert covariance(curve) is None


def test_a_clear_maximum_gives_the_inverse_of_its_curvature() -> None:
    two, one = covariance([[2.0, 0.0], [0.0, 4.0]]), covariance([[2.0]])
    assert two is not None
    assert one is not None
    np.testing.assert_allclose(two, np.full((3, 3), 0.75))
    np.testing.assert_allclose(one, np.full((3, 3), 0.5))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_slope_is_that_of_the_loss_and_stays_within_the_limits(name: str) -> None:
    family = FAMILIES[name]
    rng = np.random.default_rng(3)
    times = rng.gamma(2.0, 1e-3, 400)
    loss = _Loss(family, bin_observations(times, times, np.ones(400, np.bool_)), 0.0)
    _low, high = np.array(family.limits).T
    for at in (loss.start(), high.copy()):
        value, slope = loss.with_slope(at)
        assert value == loss(at)
        move = np.where(at + 1e-4 > high, -1e-4, 1e-4)
        for number, step in enumerate(move):
            other = at.copy()
            other[number] += step
            expected = (loss(other) - value) / step
            assert slope[number] == pytest.approx(expected, rel=0.02, abs=2e-3)
