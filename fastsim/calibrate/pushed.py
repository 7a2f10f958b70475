"""Whether a peer writes its stream by its own clock, and how far apart its chunks come.

A language model that streams does not wait until the last chunk was read; a cursor that fetches
row after row does. Where chunks are pushed, who reads late waits less for the next one: by just as
much. Where each is asked for, he waits as long as ever. So the slope of the waits over how long
ago the chunk before had come is -1 or 0.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.observed import Chunk, ObservedStep, chunk_of
from fastsim.calibrate.variants import (
    BranchGroup,
    ObservedEndpoint,
    ObservedVariant,
    branch_groups,
)
from fastsim.spans import StepKind, Via

FloatArray = npt.NDArray[np.float64]

LEADING = 5
"""A stream's first chunks (headers, first token) may have laws of their own."""
WORDS_S = 0.25
"""Words of a language model come faster; whole answers, one call after the other, do not."""
HALFWAY = -0.5
SURE = 2.0
"""Standard errors that the slope must be on one side by."""
FEWEST = 30
"""Pairs of chunks that a slope is worth looking at from."""
_FAR = 4.0
"""Medians from which a gap is something else: what the peer needs for its first words."""
_EARLY = 0.25
"""Quantile of the gaps up to which readers are looked at: later, chunks are mostly there, and a
wait cannot be shorter than 0."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sends a stream, as far as a recording says."""

    kind: StepKind
    via: Via
    label: str
    where: str

    @classmethod
    def of(cls, step: ObservedStep) -> Self:
        """Return the peer that a step waits for."""
        return cls(step.kind, step.via, step.label, step.where)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of chunks of one path that follow each other, seconds."""

    late_s: FloatArray
    """How late the second was waited for after the first had come, around the mean."""
    waited_s: FloatArray
    """How long, around the mean."""
    apart_s: FloatArray
    """How far they came from each other, of all pairs."""


Stream = Sequence[Chunk]


def pushing_peers(endpoints: Iterable[ObservedEndpoint]) -> frozenset[Peer]:
    """Return the peers that write their streams by their own clocks.

    Where the recording cannot tell, a language model does whose chunks come as fast as words, and
    others do not.
    """
    found: dict[Peer, list[_Pairs]] = {}
    for variant in (variant for endpoint in endpoints for variant in endpoint.variants):
        if not variant.pooled:
            for peer, streams in _streams(variant):
                found.setdefault(peer, []).append(_pairs(streams))
    return frozenset(
        peer for peer, pairs in found.items() if peer.via is Via.SOCKET and _pushes(peer, pairs)
    )


def streams_of(rounds: BranchGroup) -> list[Stream] | None:
    """Return the rounds of a loop as streams, by request; None if they do more than that."""
    if [step.do for step in rounds.branches.requests[0]] != ["wait", "cpu"]:
        return None
    parts = iter(map(chunk_of, rounds.branches.requests))
    return [tuple(itertools.islice(parts, count)) for count in rounds.counts]


def leading_chunks(streams: Sequence[Stream]) -> int:
    """Count first chunks whose typical wait is far from that of the rest: headers, first words."""
    most = min(LEADING, min(len(chunks) for chunks in streams) - 1)
    if most < 1:
        return 0
    rest = np.median([chunk.wall_s for chunks in streams for chunk in chunks[most:]])
    leading = 0
    for position in range(most):
        typical = float(np.median([chunks[position].wall_s for chunks in streams]))
        if not 0.5 * rest <= typical <= 2.0 * rest:
            leading = position + 1
    return leading


def gaps_s(streams: Sequence[Stream], leading: int) -> tuple[FloatArray, FloatArray]:
    """Return how far each chunk came after the one before it, at least and at most, seconds.

    Parameters
    ----------
    leading
        Chunks at the beginning of each stream that are left out. The first chunk of all comes
        after nothing: its wait is taken.
    """
    low: list[float] = []
    high: list[float] = []
    for chunks in streams:
        came_s = _came_s(chunks)
        for position in range(leading, len(chunks)):
            least, most = _wait(chunks[position])
            if position:
                passed_s = chunks[position].start_s - came_s[position - 1]
                # It may have been there before it was waited for.
                least = passed_s + least if least > 0.0 else 0.0
                most += passed_s
            low.append(max(least, 0.0))
            high.append(max(most, least, 0.0))
    return np.array(low), np.array(high)


def _wait(chunk: Chunk) -> tuple[float, float]:
    """Return between which times its wait ended, seconds from when it began."""
    return max(chunk.wall_s - chunk.bound_s, 0.0), max(chunk.wall_s - chunk.late_s, 0.0)


def _came_s(chunks: Stream) -> list[float]:
    """Return about when each chunk came, from the start of the request."""
    found: list[float] = []
    for chunk in chunks:
        low, high = (chunk.start_s + each for each in _wait(chunk))
        if found and low <= chunk.start_s:
            # It was there when it was waited for: some time since the one before.
            low = min(found[-1], high)
        found.append((low + high) / 2.0)
    return found


def _streams(variant: ObservedVariant) -> Iterator[tuple[Peer, list[Stream]]]:
    """Yield the streams of all requests of a variant, also those within its branches and loops."""
    for steps in zip(*variant.requests, strict=True):
        if steps[0].do == "stream":
            yield Peer.of(steps[0]), _after_the_first([step.chunks for step in steps])
        elif steps[0].do in {"parallel", "repeat"}:
            for group in branch_groups(steps, variant.indices):
                streams = streams_of(group) if steps[0].do == "repeat" else None
                if streams is not None:
                    yield Peer.of(group.branches.requests[0][0]), _after_the_first(streams)
                else:
                    yield from _streams(group.branches)


def _after_the_first(streams: Sequence[Stream]) -> list[Stream]:
    leading = leading_chunks(streams)
    return [chunks[leading:] for chunks in streams]


def _pairs(streams: Sequence[Stream]) -> _Pairs:
    """Return what chunks say that were not waited for too late to tell."""
    late, waited = [], []
    for chunks in streams:
        for one, other in itertools.pairwise(chunks):
            low, high = _wait(one)
            if low > 0.0:  # else nobody knows when it came
                late.append(other.start_s - one.start_s - (low + high) / 2.0)
                waited.append(sum(_wait(other)) / 2.0)
    if not late:
        return _Pairs(np.zeros(0), np.zeros(0), np.zeros(0))
    late_s, waited_s = np.array(late, np.float64), np.array(waited, np.float64)
    apart_s = late_s + waited_s
    told = late_s <= np.quantile(apart_s, _EARLY)
    told &= apart_s <= _FAR * np.median(apart_s)
    late_s, waited_s = late_s[told], waited_s[told]
    return _Pairs(late_s - late_s.mean(), waited_s - waited_s.mean(), apart_s)


def _pushes(peer: Peer, pairs: Sequence[_Pairs]) -> bool:
    late_s = np.concatenate([each.late_s for each in pairs])
    waited_s = np.concatenate([each.waited_s for each in pairs])
    apart_s = np.concatenate([each.apart_s for each in pairs])
    usual = peer.kind is StepKind.LLM and len(apart_s) > 0
    usual = usual and float(np.median(apart_s)) < WORDS_S
    square = float((late_s**2).sum())
    if len(late_s) < FEWEST or square <= 0.0:
        return usual
    slope = float((late_s * waited_s).sum()) / square
    # Waits scatter by themselves and by how late the reader was: each pair by its own.
    error = math.sqrt(float(((late_s * (waited_s - slope * late_s)) ** 2).sum())) / square
    if abs(slope - HALFWAY) <= SURE * error:
        return usual
    return slope < HALFWAY
