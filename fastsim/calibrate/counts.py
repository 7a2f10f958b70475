"""Fit whole numbers: chunks of a stream, rows of a page. Times are fitted in ``fit``."""

import numpy as np
import numpy.typing as npt

from fastsim.model import Counts

MAX_SUPPORT = 64


def fit_counts(values: npt.NDArray[np.int64]) -> Counts:
    """Return the observed distribution of whole numbers, on at most 64 of them.

    With more, neighbours are joined in groups of equal size; each group's weight is shared
    between the two whole numbers around its mean, so the overall mean is kept.

    Parameters
    ----------
    values
        Shape (n,), whole, >= 0. None at all gives the constant 0.
    """
    if len(values) == 0:
        return Counts(values=[0], weights=[1.0])
    ordered = np.sort(np.asarray(values, np.int64))
    support, weight = np.unique(ordered, return_counts=True)
    shares = weight / len(ordered)
    if len(support) > MAX_SUPPORT:
        support, shares = _joined(ordered)
    return Counts(values=support.tolist(), weights=shares.round(9).tolist())


def _joined(
    ordered: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    groups = np.array_split(ordered, MAX_SUPPORT // 2)
    means = np.array([group.mean() for group in groups])
    share = np.array([len(group) for group in groups]) / len(ordered)
    floor = np.floor(means).astype(np.int64)
    upper = share * (means - floor)
    support, place = np.unique(np.concatenate([floor, floor + 1]), return_inverse=True)
    shares = np.bincount(place.ravel(), weights=np.concatenate([share - upper, upper]))
    kept = shares > 0.0
    return support[kept], np.asarray(shares[kept], np.float64)
