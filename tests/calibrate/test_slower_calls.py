"""Calls that take longer among many of their kind are found, others are not."""

import heapq
from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.observed import UNKNOWN, ObservedStep
from fastsim.calibrate.plain import plain_spans
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.slower_calls import SlowerCalls, calls_by_name, slower_calls
from fastsim.calibrate.variants import Programs
from fastsim.spans import Attributes, Span, SpanKind, StepKind, Via

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


def slower(requests: RequestSet) -> tuple[SlowerCalls, ...]:
    return slower_calls(calls_by_name(requests, plain_spans(requests).programs))


def test_a_database_that_queues_is_found() -> None:
    [found] = slower(recording(2, 1))
    assert found.label == "postgresql"
    assert found.ratio > 1.4
    assert found.sentence().startswith("postgresql: calls take 2.7 times as long")


@pytest.mark.parametrize("seed", range(5))
def test_one_that_does_not_is_not(seed: int) -> None:
    assert slower(recording(1_000, seed)) == ()


def test_other_waits_of_a_library_are_no_calls() -> None:
    """The end of a body comes at once: it is no call that was quick."""
    call = ObservedStep("wait", 0.0, 0.020, kind=StepKind.HTTP, via=Via.SOCKET, label="httpx")
    body = replace(call, start_s=0.020, wall_s=0.0001)
    timer = replace(call, via=Via.TIMER)
    requests = recording(2, 1)
    found = calls_by_name(requests, dict.fromkeys(range(200), (call, timer, body)))
    assert list(found) == ["httpx"]
    assert found["httpx"].number.tolist() == [0] * 200


def test_calls_without_a_name_are_those_of_their_place() -> None:
    call = ObservedStep("wait", 0.0, 0.020, via=Via.SOCKET, where="app.py:7 read")
    unknown, nobody = replace(call, label=UNKNOWN), replace(call, where="")
    requests = recording(2, 1)
    programs: Programs = dict.fromkeys(range(9), (call, unknown, nobody))
    assert list(calls_by_name(requests, programs)) == [call.where]
