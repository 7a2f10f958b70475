"""Spans inside requests, for recordings without FastSim's timeline: what was waited for.

Client calls and model calls are waits. Of all spans the parent is kept, because a call may
be several spans below its request.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from fastsim.llm_spans import UNKNOWN, usage_of
from fastsim.spans import Attributes, Span, SpanKind, StepKind

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_WIDTH = 5
_KEY, _PARENT, _START, _END, _WHAT = range(_WIDTH)
_in_order = attrgetter("start_ns", "end_ns")
_DEEPEST = 64
_AT_A_TIME = 50_000
_CHECKOUT = "connect"
_CACHES = frozenset({"redis", "memcached", "valkey"})
_PEERS = ("server.address", "net.peer.name", "peer.service", "net.sock.peer.name", "http.host")
_OF_MODELS = frozenset(
    {"openinference.span.kind", "gen_ai.operation.name", "gen_ai.system", "gen_ai.provider.name"}
)
"""One of these is in every span of a call of a model."""
_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")


@dataclass(slots=True)  # frozen ones take three times as long to make
class Wait:
    """One call of a request: what was waited for and when, wall clock."""

    kind: StepKind
    label: str
    start_ns: int
    end_ns: int
    tokens: int = UNKNOWN
    """What a language model wrote meanwhile; -1 where nobody knows."""


class InnerSpans:
    """Gathers spans that are no requests; says afterwards which request each wait is of."""

    def __init__(self) -> None:
        self._rows = array("q")
        """Of each span its key, that of its parent, begin, end, and what it waits for."""
        self._tokens: dict[int, int] = {}
        """What was written, by row, of the few spans that say so."""
        self._names: list[tuple[StepKind, str]] = []
        self._codes: dict[tuple[StepKind, str], int] = {}

    def __len__(self) -> int:
        return len(self._rows) // _WIDTH

    def add(self, span: Span) -> None:
        """Take one more span."""
        found = wait_of(span)
        code = -1
        if found is not None:
            code = self._codes.setdefault(found, len(self._names))
            if code == len(self._names):
                self._names.append(found)
            if found[0] is StepKind.LLM:
                self._tokens[len(self)] = usage_of(span.attributes).output_tokens
        trace_id, parent_id = span.trace_id, span.parent_id
        parent = hash((trace_id, parent_id)) if parent_id else 0
        key = hash((trace_id, span.span_id))
        # One call for a row: there may be millions.
        self._rows.extend((key, parent, span.start_ns, span.end_ns, code))

    def waits_of(self, requests: IntArray) -> list[list[Wait]]:
        """Return the outermost waits below each request, by start.

        Parameters
        ----------
        requests
            Shape (n,): the requests' own keys, ``hash((trace_id, span_id))``.
        """
        found: list[list[Wait]] = [[] for _ in range(len(requests))]
        what = self._column(_WHAT)
        # A wait below another one is a part of it.
        rows, owner = self._owners(requests, what >= 0, through=what < 0)
        columns = (rows, owner, self._of(rows, _START), self._of(rows, _END), what[rows])
        for row, request, start_ns, end_ns, code in zip(
            *map(np.ndarray.tolist, columns), strict=True
        ):
            kind, label = self._names[code]
            tokens = self._tokens.get(row, UNKNOWN)
            found[request].append(Wait(kind, label, start_ns, end_ns, tokens))
        for waits in found:
            if len(waits) > 1:
                waits.sort(key=_in_order)
        return found

    def last_ends_of(self, requests: IntArray, respond_ns: IntArray) -> IntArray:
        """Return when the last span ended that a request began after its answer; 0 without any.

        Parameters
        ----------
        requests, respond_ns
            Shape (n,): the requests' own keys, and when their own spans ended, nanoseconds.
        """
        found = np.zeros(len(requests), np.int64)
        everything = np.ones(len(self), np.bool_)
        rows, owner = self._owners(requests, everything, through=everything)
        after = self._of(rows, _START) >= respond_ns[owner]
        np.maximum.at(found, owner[after], self._of(rows[after], _END))
        return found

    def _column(self, number: int) -> IntArray:
        """Return one column of all spans."""
        if not self._rows:
            return np.zeros(0, np.int64)
        return np.frombuffer(self._rows, np.int64)[number::_WIDTH].copy()

    def _of(self, rows: IntArray, number: int) -> IntArray:
        """Return one column of some spans."""
        return np.frombuffer(self._rows, np.int64)[rows * _WIDTH + number]

    def _owners(
        self, requests: IntArray, chosen: BoolArray, *, through: BoolArray
    ) -> tuple[IntArray, IntArray]:
        """Return which of the chosen spans are below a request through others, and whose."""
        rows = np.flatnonzero(chosen)
        if not len(rows) or not len(requests):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        inner, outer, parent = _Index(self._column(_KEY)), _Index(requests), self._column(_PARENT)
        owner = np.full(len(rows), -1, np.int64)
        # A part at a time: what is on the way is larger than what is found.
        for begin in range(0, len(rows), _AT_A_TIME):
            part = rows[begin : begin + _AT_A_TIME]
            mine = owner[begin : begin + _AT_A_TIME]
            left, above = np.arange(len(part)), parent[part]
            for _ in range(_DEEPEST):
                at = outer.find(above)
                mine[left] = at
                up = inner.find(above)
                # A span without a known parent is lost.
                on = (at < 0) & (up >= 0) & through[np.maximum(up, 0)]
                left, above = left[on], parent[up[on]]
                if not len(left):
                    break
        return rows[owner >= 0], owner[owner >= 0]


class _Index:
    """Where each of many keys is."""

    def __init__(self, keys: IntArray) -> None:
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def find(self, wanted: IntArray) -> IntArray:
        """Return where each wanted key is, -1 for none."""
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        there = (self._keys[place] == wanted) & (wanted != 0)
        return np.where(there, self._order[place], -1)


def wait_of(span: Span) -> tuple[StepKind, str] | None:
    """Return what kind of wait a span is, and for whom or what; None if it is none.

    SQLAlchemy's instrumentation calls it ``connect`` where a connection is taken of its pool, made
    or not: that is a wait for the pool, as far as it has slots.
    """
    attributes = span.attributes
    if not _OF_MODELS.isdisjoint(attributes) and _is_model_call(attributes):
        return StepKind.LLM, _first(attributes, _MODELS) or span.name
    if span.kind not in (SpanKind.CLIENT, SpanKind.PRODUCER):
        return None
    system = _first(attributes, ("db.system.name", "db.system"))
    if system:
        if span.name == _CHECKOUT:
            return StepKind.POOL, system
        return (StepKind.CACHE if system in _CACHES else StepKind.DB), system
    messaging = _first(attributes, ("messaging.system",))
    if messaging:
        return StepKind.IO, messaging
    if any(name.startswith(("http.", "url.", "rpc.")) for name in attributes):
        return StepKind.HTTP, _first(attributes, _PEERS) or span.name
    return StepKind.IO, span.name


def _is_model_call(attributes: Attributes) -> bool:
    if attributes.get("openinference.span.kind") == "LLM":
        return True
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None:
        return operation in ("chat", "text_completion", "generate_content", "embeddings")
    return "gen_ai.system" in attributes or "gen_ai.provider.name" in attributes


def _first(attributes: Attributes, names: Sequence[str]) -> str:
    for name in names:
        if value := attributes.get(name):
            return str(value)
    return ""
