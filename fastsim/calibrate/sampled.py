"""What part of all requests a trace stands for, as far as the trace says.

Most production traces are a sample. Durations of a fair sample are those of all requests; rates,
and how busy the process was, are not: each trace stands for one over the probability with which it
was kept. Several ways to write that probability down are in use:

- ``tracestate``, ``ot=th:c``: traces whose randomness is below the threshold were left out, 56 bits
  in hexadecimal with its trailing zeros cut (OpenTelemetry, probability sampling); before that
  ``ot=p:2``, kept with probability 2**-2; Elastic's ``es=s:0.1``.
- Attributes, as samplers, agents and backends add them.

A sample is not fair where errors or slow requests are kept with preference (tail sampling). If
each trace says for how many it stands, those that stand for few are thinned until all of an
endpoint stand for as many; otherwise all that can be done is to say so.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastsim.spans import Attributes, Span
from fastsim.units import format_duration, format_share

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Told = Literal["", "by the traces", "as asked"]

ALL_RECORDED = 1.02
"""Requests served per request recorded up to which all count as recorded."""
LISTED = 5

NOT_TOLD = 0.0
"""In place of a number of requests, where nothing says how many."""

MOST = 1e4
"""No trace stands for more requests than this: a slip of the pen, or a probability of 0."""

_THRESHOLD = re.compile(r"(?:^|;)th:([0-9a-f]{1,14})(?:;|$)")
_POWER = re.compile(r"(?:^|;)p:(\d{1,2})(?:;|$)")
_ELASTIC = re.compile(r"(?:^|;)s:([0-9.]{1,12})(?:;|$)")

_STATE = "w3c.tracestate"
"""Attribute that holds the trace state in formats without a place for it."""
_DATADOG = ("_dd.rule_psr", "_dd.agent_psr", "_dd.limit_psr")
"""Probabilities of Datadog's rules, agent and rate limiter: all that are there have kept it."""
_BY_TAIL = ("tailsampling.policy", "tailsampling.composite_policy", "meta.refinery.reason")
"""Attributes of collectors that look at whole traces before they keep them."""

_MEANINGS: dict[str, Callable[[float], float]] = {
    "SampleRate": lambda value: 1.0 / value if value else math.nan,
    "_MS.sampleRate": lambda value: value / 100.0,
    "microsoft.sample_rate": lambda value: value / 100.0,
    "sentry.sample_rate": lambda value: value,
}
"""Probability to be kept, by attributes that hold the number of requests, or per cent, or it."""

STEP = 4.0
"""How many times as many requests there must be just above a round duration as below."""
FEWEST = 50
"""Requests above a round duration from which that may be said."""
_ROUND_S = (0.1, 0.2, 0.25, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
"""Durations that people choose as the limit of what is slow."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is known of which traces were kept."""

    told: Told = ""
    """From where it is known for how many requests a trace stands; empty if from nowhere."""
    policies: tuple[str, ...] = ()
    """By which a collector kept whole traces, after they had ended."""
    slow_from_s: float | None = None
    """From this duration on requests seem to be kept with preference."""

    def sentences(self, stand_for: FloatArray) -> list[str]:
        """Say for people what it means; ``stand_for`` as of the requests."""
        said = []
        if self.told and stand_for.max(initial=1.0) > ALL_RECORDED:
            part = len(stand_for) / float(stand_for.sum())
            said.append(
                f"the traces are {format_share(part, 3)} of all requests, {self.told}: rates are "
                "those of all, and what the others kept waiting is taken out of waits"
            )
        if self.policies:
            said.append(
                "which traces were kept was decided when they had ended (tail sampling: "
                f"{', '.join(self.policies[:LISTED])}): if errors or slow requests are preferred, "
                "shares and latencies of the model are theirs; sample by chance alone for FastSim"
            )
        elif self.slow_from_s is not None:
            limit = format_duration(self.slow_from_s)
            said.append(
                f"from {limit} on there suddenly are many more requests: if slow ones are kept "
                "with preference (tail sampling), latencies of the model are too long"
            )
        return said


def stands_for(span: Span) -> float:
    """Return how many requests a span stands for by what it says itself, ``NOT_TOLD`` if nothing.

    Spans of one trace share the decision, so any of them may tell.
    """
    state = span.trace_state or span.attributes.get(_STATE)
    found = _by_trace_state(state) if isinstance(state, str) and state else NOT_TOLD
    return found if found != NOT_TOLD else _by_attributes(span.attributes)


def kept_by(attributes: Attributes) -> str | None:
    """Return the policy by which a collector kept a trace after it had ended; None if none says so.

    Policies that say for how many requests a trace stands do no harm.
    """
    if "SampleRate" in attributes:
        return None
    return next((str(attributes[name]) for name in _BY_TAIL if name in attributes), None)


def _by_trace_state(state: str) -> float:
    members = dict(each.strip().partition("=")[::2] for each in state.split(","))
    ot = members.get("ot", "")
    if found := _THRESHOLD.search(ot):
        rejected = int(found[1].ljust(14, "0"), 16) / 2.0**56
        return _inverse(1.0 - rejected)
    if found := _POWER.search(ot):
        return _inverse(2.0 ** -int(found[1]))
    if found := _ELASTIC.search(members.get("es", "")):
        return _inverse(_number(found[1]))
    return NOT_TOLD


def _by_attributes(attributes: Attributes) -> float:
    if attributes.get("sampler.type") == "probabilistic":
        return _inverse(_number(attributes.get("sampler.param")))
    for name, meaning in _MEANINGS.items():
        if name in attributes:
            return _inverse(meaning(_number(attributes[name])))
    if any(name in attributes for name in _DATADOG):
        kept = [_number(attributes[name]) for name in _DATADOG if name in attributes]
        return _inverse(math.prod(kept))
    return NOT_TOLD


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _inverse(probability: float) -> float:
    return 1.0 / probability if 0.999 / MOST <= probability <= 1.0 else NOT_TOLD


def fair_sample(
    trace_ids: Sequence[str], endpoint: IntArray, stand_for: FloatArray
) -> tuple[BoolArray, FloatArray]:
    """Mark requests of which those of one endpoint stand for as many, chosen by their trace ids.

    A request that stands for ``w`` others, where one of its endpoint stands for ``most``, is kept
    with probability ``w / most``: of what remains each stands for ``most``. Second come these
    numbers, of the marked ones.

    Parameters
    ----------
    trace_ids, endpoint, stand_for
        One entry per request.
    """
    most = np.zeros(int(endpoint.max(initial=-1)) + 1)
    np.maximum.at(most, endpoint, stand_for)
    part = stand_for / most[endpoint]
    kept: BoolArray = part >= 1.0 - 1e-9
    for row in np.flatnonzero(~kept).tolist():
        # Decisions of samplers are made by the id's other end.
        kept[row] = np.random.default_rng(_seed(trace_ids[row])).random() < part[row]
    return kept, most[endpoint[kept]]


def _seed(trace_id: str) -> int:
    return int.from_bytes(trace_id.encode()[:64], "big")


def slow_ones_kept(duration_s: FloatArray) -> float | None:
    """Return the round duration above which requests seem to be kept with preference, or None.

    Where all slow requests are kept and few of the others, durations suddenly are more frequent
    above the limit, and stay so. A timer or a timeout of that length is a peak there instead.

    Parameters
    ----------
    duration_s
        Of all requests, seconds.
    """
    for limit_s in _ROUND_S:
        edges = limit_s * np.array([0.81, 0.9, 1.0, 1.0 / 0.9, 1.0 / 0.81])
        far_below, below, above, far_above = np.histogram(duration_s, edges)[0].tolist()
        level = below + far_below >= 4 and above + far_above >= FEWEST
        stays = far_above >= 0.4 * above and below <= 2.5 * max(far_below, 1)
        if level and stays and above >= STEP * max(below, far_below):
            return limit_s
    return None


def told(counts: Mapping[int, float], keys: IntArray, own: FloatArray) -> FloatArray:
    """Return what each request stands for: by itself, else by another span of its trace.

    Parameters
    ----------
    counts
        What other spans say, by key of the trace.
    keys, own
        Key of each request's trace, and what it says itself.
    """
    if not counts:
        return own
    others = np.array([counts.get(key, NOT_TOLD) for key in keys.tolist()], np.float64)
    return np.where(own != NOT_TOLD, own, others)
