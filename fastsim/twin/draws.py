"""Every random value is a function of (seed, node, request, occasion), and of nothing else.

So it does not matter in which order values are asked for, by which engine, or whether at all: the
same request draws the same on every deployment (common random numbers), and nothing is drawn in
advance. Uniform numbers are those of splitmix64 (Steele, Lea and Flood 2014), a generator whose
state is a counter: the node gives the start, the request the number in the sequence. An occasion
other than 0 (the third repeat of a loop, the second of equal branches) starts a sequence of its
own from there.

Nodes may follow the size of the request (a long list takes the database and the code long): their
uniform numbers are then joined with one of the request's own by a normal copula. That of two
nodes with sizes ``a`` and ``b`` has the correlation ``a * b``, and each by itself is uniform.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fastsim.twin.tables import FloatArray, Table

BLOCK_BITS = 8
BLOCK = 1 << BLOCK_BITS
"""Requests whose values are computed at once where most requests need them."""
WORTH_A_BLOCK = 0.05
"""Share of the requests that need a value, from which a whole block is cheaper."""

ROUND_BITS = 6
ROUNDS = 1 << ROUND_BITS
"""Rounds of a loop whose values are computed at once where loops are long."""
WORTH_ROUNDS = 32.0
"""Rounds of a loop, in the mean, from which that is cheaper."""

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_UNIT = 2.0**-52
_LEAST = 2.0**-53


def key_of(seed: int, name: str) -> int:
    """Return where the sequence of a node starts: a hash of its name, so order does not matter."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mixed(z: int) -> int:
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)


def uniform(key: int, request: int, occasion: int = 0) -> float:
    """Return a uniform number above 0 and below 1."""
    z = _mixed((key + request * _STEP) & _MASK)
    if occasion:
        z = _mixed((z + occasion * _STEP) & _MASK)
    return ((z >> 12) + 0.5) * _UNIT


def uniforms(key: int, requests: npt.NDArray[np.int64]) -> FloatArray:
    """Return the uniform numbers of many requests, occasion 0: the same bits as one by one."""
    return _uniforms(np.uint64(key) + requests.astype(np.uint64) * np.uint64(_STEP))


def uniforms_of(key: int, request: int, first: int, occasions: int) -> FloatArray:
    """Return those of one request and many occasions from ``first`` on, none of which is 0."""
    start = (_mixed((key + request * _STEP) & _MASK) + first * _STEP) & _MASK
    return _uniforms(np.uint64(start) + np.arange(occasions, dtype=np.uint64) * np.uint64(_STEP))


def _uniforms(z: npt.NDArray[np.uint64]) -> FloatArray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    z ^= z >> np.uint64(31)
    found: FloatArray = ((z >> np.uint64(12)).astype(np.float64) + 0.5) * _UNIT
    return found


_T = TypeVar("_T", float, FloatArray)


def following(own: _T, size: _T, loading: float) -> _T:
    """Return uniform numbers that follow a size: both are uniform, one or many.

    ``scipy.special`` goes through an array number by number, so one has the bits that it has
    among many.

    Parameters
    ----------
    loading
        Correlation of both as normal scores, -1 to 1.
    """
    # scipy.special costs a quarter second to import: only where it is needed.
    from scipy.special import ndtr, ndtri

    scores = loading * ndtri(size) + math.sqrt(1.0 - loading * loading) * ndtri(own)
    found: _T = np.clip(ndtr(scores), _LEAST, 1.0 - _LEAST)
    return found


class Draws:
    """The values of all nodes of a program.

    Parameters
    ----------
    names
        What each node is; the same name draws the same values.
    shares
        Which share of the requests is expected to need each node's value.
    sizes
        How far each follows the size of its request, -1 to 1; none when empty.
    rounds
        How many values of each a request is expected to need one after the other; one when empty.
    """

    def __init__(
        self,
        seed: int,
        names: Sequence[str],
        tables: Sequence[Table],
        shares: Sequence[float],
        sizes: Sequence[float] = (),
        *,
        rounds: Sequence[float] = (),
    ) -> None:
        self._keys = [key_of(seed, name) for name in names]
        self._sizes = list(sizes) or [0.0] * len(names)
        self._of_request = key_of(seed, "size")
        self._tables = tables
        self._rare = [share < WORTH_A_BLOCK for share in shares]
        self._long = [each >= WORTH_ROUNDS for each in rounds] or [False] * len(names)
        self._rounds: list[dict[tuple[int, int], list[float]]] = [{} for _ in names]
        self._block = [-1] * len(names)
        self._values: list[list[float]] = [[] for _ in names]
        self._older: list[dict[int, list[float]]] = [{} for _ in names]

    def value(self, node: int, request: int, occasion: int = 0) -> float:
        """Return a node's value for a request."""
        if occasion or self._rare[node]:
            if occasion and self._long[node]:
                of = request, occasion >> ROUND_BITS
                found = self._rounds[node].get(of)
                if found is None:
                    found = self._some_rounds(node, *of)
                return found[occasion & (ROUNDS - 1)]
            u = uniform(self._keys[node], request, occasion)
            if self._sizes[node]:
                u = float(following(u, uniform(self._of_request, request), self._sizes[node]))
            return self._tables[node].one(u)
        block = request >> BLOCK_BITS
        if block != self._block[node]:
            self._turn_to(node, block)
        return self._values[node][request & (BLOCK - 1)]

    def _some_rounds(self, node: int, request: int, block: int) -> list[float]:
        """Return the values of a request's next rounds; those of the latest requests are kept."""
        u = uniforms_of(self._keys[node], request, block << ROUND_BITS, ROUNDS)
        if self._sizes[node]:
            size = np.full(ROUNDS, uniform(self._of_request, request))
            u = following(u, size, self._sizes[node])
        kept = self._rounds[node]
        if len(kept) >= KEPT_ROUNDS:
            del kept[next(iter(kept))]
        found: list[float] = self._tables[node].many(u).tolist()
        kept[request, block] = found
        return found

    def _turn_to(self, node: int, block: int) -> None:
        """Have the values of a block at hand; those of the last few blocks are kept."""
        older = self._older[node]
        found = older.get(block)
        if found is None:
            requests = np.arange(block << BLOCK_BITS, (block + 1) << BLOCK_BITS)
            u = uniforms(self._keys[node], requests)
            if self._sizes[node]:
                u = following(u, uniforms(self._of_request, requests), self._sizes[node])
            found = self._tables[node].many(u).tolist()
            if len(older) >= _KEPT:
                del older[next(iter(older))]
            older[block] = found
        self._block[node], self._values[node] = block, found


_KEPT, KEPT_ROUNDS = 8, 2048
