"""One independent random stream for each purpose."""

import zlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream of one purpose; names are hashed, so order does not matter."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))
