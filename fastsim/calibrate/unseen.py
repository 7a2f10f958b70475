"""Put back the requests that sampling left out, so that a replay is as busy as the service was.

A twin that is given one request in ten of those that came sees a tenth of the load, and its queues
are empty. When the others came is not known, but how many and about when: as often as those that
were recorded at the time.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.exposure import are_rests

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

COARSE, FINE = 100, 20
"""Recorded requests, on average, in the stretches of time of which the rate is taken: first of long
ones, then of short ones within them."""
MOST_COARSE = 24
MOST = 50_000
"""Requests that are replayed by default, put back ones included; beyond, a stretch of them is."""
FEWEST = 20
"""Recorded requests that are replayed at least."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is replayed, in order."""

    at_s: FloatArray
    endpoint: IntArray
    of: IntArray
    """Which recorded request each is; -1 for one that was put back."""


def with_unseen(
    at_s: FloatArray,
    endpoint: IntArray,
    stand_for: FloatArray,
    *,
    seed: int,
    most: int | None = MOST,
) -> Arrivals:
    """Return recorded arrivals with others among them, for each one as many as it stands for.

    Parameters
    ----------
    at_s, endpoint, stand_for
        Of recorded requests in order of arrival: when, for what, for how many.
    seed
        Of the times of the others.
    most
        Requests that are wanted, put back ones included; None for all.
    """
    of = np.arange(len(at_s), dtype=np.int64)
    others = np.maximum(stand_for - 1.0, 0.0)
    if others.sum() < 0.5:
        return Arrivals(at_s, endpoint, of)
    room = len(at_s) if most is None else max(int(most / stand_for.mean()), FEWEST)
    if len(at_s) > room:
        of = of[(len(at_s) - room) // 2 :][:room]
        at_s, endpoint, others = at_s[of], endpoint[of], others[of]
    random = np.random.default_rng(seed)
    count = int(random.poisson(others.sum()))
    chosen = random.choice(len(at_s), count, p=others / others.sum())
    came_s = _moments(at_s, count, random)
    every_s = np.concatenate([at_s, came_s])
    order = np.argsort(every_s, kind="stable")
    return Arrivals(
        every_s[order],
        np.concatenate([endpoint, endpoint[chosen]])[order],
        np.concatenate([of, np.full(count, -1, np.int64)])[order],
    )


def _moments(at_s: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    """Return moments drawn as often as requests came at the time, none while all rested."""
    gaps_s = np.diff(at_s)
    active_s = np.concatenate([[0.0], np.cumsum(np.where(are_rests(gaps_s), 0.0, gaps_s))])
    rates, length_s = _rates(active_s)
    block = random.choice(len(rates), count, p=rates / rates.sum())
    moment: FloatArray = (block + random.random(count)) * length_s
    return np.interp(moment, active_s, at_s)


def _rates(at_s: FloatArray) -> tuple[FloatArray, float]:
    """Return how often requests came in equal stretches of time, without chance; and their length.

    Of a sample, counts vary by chance much more than those of all requests do: only what they vary
    beyond that is taken for the rate's doing.
    """
    long = int(np.clip(len(at_s) // COARSE, 1, MOST_COARSE))
    short = max(len(at_s) // (FINE * long), 1)
    edges = np.linspace(0.0, max(float(at_s[-1]), 1e-9), long * short + 1)
    counts = np.histogram(at_s, edges)[0].reshape(long, short).astype(np.float64)
    usual = np.full(long, counts.sum() / long)
    coarse = _without_chance(counts.sum(axis=1), usual)
    rates = _without_chance(counts, np.repeat(coarse[:, None] / short, short, axis=1))
    return np.maximum(rates.ravel(), 1e-12), float(edges[1])


def _without_chance(counts: FloatArray, expected: FloatArray) -> FloatArray:
    """Return counts drawn towards what is expected by the part of their variance that is chance."""
    chance = float(expected.mean())
    excess = max(float(((counts - expected) ** 2).mean()) - chance, 0.0)
    found: FloatArray = expected + (counts - expected) * excess / max(excess + chance, 1e-12)
    return found
