"""How much of a language model's time goes with what it writes: first so long, then each token.

Of an answer that comes at once, the wait is one number; with the tokens of the answer beside it,
the time of each token is the slope of a line through all calls. Latencies spread in proportion to
how long they are, so calls are weighed by that: a long answer says no more than a short one.
"""

import numpy as np
import numpy.typing as npt
from scipy import stats

from fastsim.laws import Counts
from fastsim.program import Tokens

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEAST_CALLS = 50
LEAST_EXPLAINED = 0.25
"""Part of the variance of logarithms that tokens have to explain to be worth a word."""
CHANCE = 1e-4
"""How likely tokens that mean nothing may be taken for the cause."""
_ROUNDS = 10
_GROUPS = 16
"""Numbers of tokens that a model keeps."""
_SHORTEST_S = 1e-6


def fit_tokens(low_s: FloatArray, high_s: FloatArray, tokens: IntArray) -> Tokens | None:
    """Return what each token takes and what does not depend on them; None where they do not tell.

    Parameters
    ----------
    low_s, high_s
        Between which times each wait was, seconds.
    tokens
        What the model wrote meanwhile; -1 where nobody knows.
    """
    known = tokens >= 0
    if known.sum() < max(LEAST_CALLS, len(tokens) // 2):
        return None
    number = tokens[known].astype(np.float64)
    time_s = np.maximum((low_s[known] + high_s[known]) / 2.0, _SHORTEST_S)
    if number.min() == number.max() or time_s.min() == time_s.max():
        return None
    rank, chance = stats.spearmanr(number, time_s)
    if not (rank > 0.0 and chance < CHANCE):
        return None
    first_s, each_s = _line(number, time_s)
    if each_s <= 0.0:
        return None
    logs = np.log(time_s / np.maximum(first_s + each_s * number, _SHORTEST_S))
    explained = 1.0 - float(logs.var() / np.log(time_s).var())
    if explained < LEAST_EXPLAINED:
        return None
    return Tokens(
        output=_counts(tokens[known]),
        each=each_s,
        first=first_s,
        spread=round(float(logs.std()), 6),
        explained=round(explained, 4),
    )


def _line(number: FloatArray, time_s: FloatArray) -> tuple[float, float]:
    """Return the line through all calls, which spread in proportion to its height.

    It does not begin below 0.
    """
    weight = np.ones_like(time_s)
    first_s, each_s = 0.0, 0.0
    for _ in range(_ROUNDS):
        design = np.stack([np.ones_like(number), number], axis=1)
        normal = design.T @ (design * weight[:, None])
        first_s, each_s = np.linalg.solve(normal, design.T @ (weight * time_s)).tolist()
        if first_s < 0.0:
            first_s = 0.0
            each_s = float((weight * number * time_s).sum() / (weight * number**2).sum())
        foretold = np.maximum(first_s + each_s * number, 0.1 * time_s.mean())
        weight = 1.0 / foretold**2
    return first_s, each_s


def _counts(tokens: IntArray) -> Counts:
    """Return numbers of tokens, as often one as another."""
    groups = np.array_split(np.sort(tokens), min(_GROUPS, len(tokens)))
    values, times = np.unique([round(float(group.mean())) for group in groups], return_counts=True)
    return Counts(values=values.tolist(), weights=(times / times.sum()).round(6).tolist())
