"""Calls that take longer among many of their kind are found, others are not."""

import heapq

import numpy as np
import pytest

from fastsim.calibrate.plain import plain_spans
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.spans import Attributes, Span, SpanKind

START = 1_760_000_000_000_000_000


def recording(slots: int, seed: int) -> RequestSet:
    """Requests of one query each, on a database that serves so many at a time."""
    rng = np.random.default_rng(seed)
    free = [0.0] * slots
    spans = []
    for n, at in enumerate(np.cumsum(rng.exponential(0.010, 800)).tolist()):
        begin = at + 0.001
        end = max(begin, heapq.heappop(free)) + rng.gamma(3.0, 0.005)
        heapq.heappush(free, end)
        http: Attributes = {"http.request.method": "GET", "http.route": "/a"}
        begin_ns, end_ns = (START + round(when * 1e9) for when in (begin, end))
        spans += [
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", begin_ns - 1_000_000,
                 end_ns + 1_000_000, service="shop", attributes=http),
            Span(f"{n}", "c", "r", SpanKind.CLIENT, "select", begin_ns, end_ns, service="shop",
                 attributes={"db.system": "postgresql"}),
        ]  # fmt: skip
    return collect_requests(spans, skip_first_s=0.0)


def test_a_database_that_queues_is_said() -> None:
    [slower] = plain_spans(recording(2, 1)).slower
    assert slower.label == "postgresql"
    assert slower.ratio > 1.4
    assert any(
        "postgresql: calls take" in said for said in plain_spans(recording(2, 1)).sentences()
    )


@pytest.mark.parametrize("seed", range(5))
def test_one_that_does_not_is_not(seed: int) -> None:
    assert plain_spans(recording(1_000, seed)).slower == ()
